"""What stands between a token source and a store: the seal, and the store's troubles."""

from __future__ import annotations

import logging
import os
import pickle
import sys
import types
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lwa.tokens import Clock, Entry, FileStore, MemoryStore, Role, Safe, open_safe
from airflow_provider_lwa.tokens.safe import CannotShare, Seal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.tokens.conftest import FakeClock, Household

KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
OLD_KEY = "CKN1RAk8bVPbCRyKy2a6wZlOvBPKkSZDfHpBmuRJ1w8="
WHOSE = ("https://api.amazon.com/auth/o2/token", "client", "refresh_token", "Atzr|seller")


class BrokenStore:
    """A store that fails when told to, as a server that goes away does."""

    kind = "broken"

    def __init__(self, **options: object) -> None:
        self.options = options
        self.inner = MemoryStore()
        self.error: Exception | None = None
        self.forked = False

    def _check(self) -> MemoryStore:
        if self.error:
            raise self.error
        return self.inner

    def load(self, name: str) -> Entry | None:
        """See TokenStore."""
        return self._check().load(name)

    def save(self, name: str, entry: Entry, *, replaces: str | None) -> bool:
        """See TokenStore."""
        return self._check().save(name, entry, replaces=replaces)

    def delete(self, name: str, generation: str | None = None) -> bool:
        """See TokenStore."""
        return self._check().delete(name, generation)

    @contextmanager
    def election(self, name: str) -> Iterator[Role]:
        """See TokenStore."""
        with self._check().election(name) as role:
            yield role
        self._check()

    def clear(self) -> int:
        """See TokenStore."""
        return self._check().clear()

    def after_fork(self) -> None:
        """See TokenStore."""
        self.forked = True


@pytest.fixture
def clock(house: Household) -> FakeClock:
    """A clock of the test's own."""
    return house.clock


@pytest.fixture
def store() -> BrokenStore:
    """A store that fails when told to."""
    return BrokenStore()


@pytest.fixture
def safe(store: BrokenStore, clock: FakeClock) -> Safe:
    """That store behind a seal."""
    return Safe(store, Seal([KEY]), clock)


def keep(safe: Safe, value: str, *, replaces: str | None = None, generation: str = "1" * 32) -> bool:
    """Save something of use for a minute."""
    return safe.save("token", WHOSE, {"is": value}, generation=generation, replaces=replaces, ttl=60)


def find(safe: Safe, whose: tuple[str, ...] = WHOSE) -> object:
    """:return: what was saved"""
    document = safe.load("token", whose)
    return document.content["is"] if document and document.content else None


class TestSeal:
    """Names tell nothing, values open only where they belong."""

    @given(st.lists(st.text()), st.lists(st.text()))
    def test_different_parts_have_different_names(self, one: list[str], other: list[str]) -> None:
        """Parts are not run together: the name is that of these parts, in this order."""
        seal = Seal([KEY])

        assert (seal.names(one) == seal.names(other)) == (one == other)

    def test_a_name_tells_nothing(self) -> None:
        """It is 64 hexadecimal digits, and another one under another key."""
        (name,), (other,) = Seal([KEY]).names(WHOSE), Seal([OLD_KEY]).names(WHOSE)

        assert len(name) == 64
        assert int(name, 16)
        assert name != other

    @given(st.binary())
    def test_what_is_sealed_opens(self, value: bytes) -> None:
        """Whatever the value, it comes back under its name and under no other."""
        seal = Seal([KEY])
        name, other = "ab" * 32, "cd" * 32

        assert seal.open(name, seal.seal(name, value)) == value
        assert seal.open(other, seal.seal(name, value)) is None

    def test_another_key_does_not_open_it(self) -> None:
        """Without the key there is nothing, and no error either."""
        assert Seal([KEY]).open("ab", Seal([OLD_KEY]).seal("ab", b"x")) is None
        assert Seal([KEY]).open("ab", b"rubbish") is None

    def test_airflows_own_key_is_not_used_itself(self) -> None:
        """The key is derived: what Airflow sealed does not pass for a token, nor the other way round."""
        from cryptography.fernet import Fernet, InvalidToken

        assert Seal([KEY]).open("", Fernet(KEY).encrypt(b"x")) is None
        with pytest.raises(InvalidToken):
            Fernet(KEY).decrypt(Seal([KEY]).seal("", b"x"))

    def test_the_derivation_is_hkdf(self) -> None:
        """The sub-keys are those of HKDF-SHA256 (RFC 5869)."""
        import base64

        from cryptography.fernet import Fernet
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = b"airflow-provider-lwa/cache/v1/seal"
        key = HKDF(SHA256(), 32, salt=None, info=info).derive(base64.urlsafe_b64decode(KEY))

        assert Fernet(base64.urlsafe_b64encode(key)).decrypt(Seal([KEY]).seal("ab", b"x")) == b"abx"

    @pytest.mark.parametrize(
        "keys",
        [[], [""], ["{FERNET_KEY}"], ["too short"], ["ü" * 44], ["A" * 43], [KEY[:-4]]],
        ids=["none", "empty", "literal", "short", "umlaut", "padding", "cut"],
    )
    def test_without_a_usable_key_there_is_no_seal(self, keys: list[str]) -> None:
        """Neither an empty key, nor the placeholder of Airflow's defaults, nor a damaged one will do."""
        with pytest.raises(CannotShare, match="no usable key"):
            Seal(keys)

    def test_unusable_keys_are_passed_over(self) -> None:
        """One good key among bad ones is enough."""
        assert Seal(["{FERNET_KEY}", f" {KEY}\n"]).names(WHOSE) == Seal([KEY]).names(WHOSE)

    def test_it_does_not_pickle(self, safe: Safe) -> None:
        """Keys do not leave the process, with the seal or with the safe."""
        for thing in (Seal([KEY]), safe):
            with pytest.raises(TypeError, match="does not leave its process"):
                pickle.dumps(thing)
            assert KEY[:10] not in repr(vars(thing))


class TestSafe:
    """Documents in, sealed bytes out."""

    def test_no_store_sees_what_it_keeps(self, safe: Safe, store: BrokenStore) -> None:
        """Neither the value nor whose it is can be found in the store."""
        keep(safe, "Atza|secret")
        seen = repr(store.inner.__dict__)

        assert find(safe) == "Atza|secret"
        for secret in ("Atza|secret", "secret", *WHOSE):
            assert secret not in seen

    def test_an_entry_of_somebody_else_does_not_open(self, safe: Safe, store: BrokenStore) -> None:
        """An entry copied under another name counts as unreadable, and is written over."""
        keep(safe, "mine")
        theirs = ("https://api.amazon.com/auth/o2/token", "client", "refresh_token", "Atzr|other")
        safe.save("token", theirs, {"is": "theirs"}, generation="2" * 32, replaces=None, ttl=60)
        mine, other = (Seal([KEY]).names(("token", *whose))[0] for whose in (WHOSE, theirs))
        store.inner._entries[mine] = store.inner._entries[other]

        found = safe.load("token", WHOSE)
        assert found is not None
        assert (found.content, found.generation) == (None, "2" * 32)
        assert keep(safe, "mine again", replaces=found.generation)
        assert find(safe) == "mine again"

    def test_a_rotated_key_still_opens(self, house: Household) -> None:
        """With "new,old" what the old key sealed is found, and written under the new key next time."""
        files = FileStore(house.directory)
        keep(Safe(files, Seal([OLD_KEY]), house.clock), "old")
        rotated = Safe(files, Seal([KEY, OLD_KEY]), house.clock)

        assert find(rotated) == "old"
        assert keep(rotated, "new", replaces="1" * 32, generation="2" * 32)
        assert len(house.files()) == 1
        assert find(Safe(files, Seal([KEY]), house.clock)) == "new"

    def test_a_rotated_key_still_deletes(self, house: Household) -> None:
        """What the old key sealed can be deleted under the new one."""
        files = FileStore(house.directory)
        keep(Safe(files, Seal([OLD_KEY]), house.clock), "old")

        assert Safe(files, Seal([KEY, OLD_KEY]), house.clock).delete("token", WHOSE, "1" * 32)
        assert not house.files()

    def test_a_replaced_key_finds_nothing(self, house: Household) -> None:
        """With another key altogether there is nothing, and no error."""
        files = FileStore(house.directory)
        keep(Safe(files, Seal([OLD_KEY]), house.clock), "old")
        safe = Safe(files, Seal([KEY]), house.clock)

        assert safe.load("token", WHOSE) is None
        assert keep(safe, "new")

    def test_a_stores_own_clock_counts(self, safe: Safe, store: BrokenStore) -> None:
        """What a store says of the time left is passed on."""
        keep(safe, "value")
        name = Seal([KEY]).names(("token", *WHOSE))[0]
        entry = store.inner._entries[name]
        store.inner._entries[name] = Entry(entry.generation, entry.sealed, 12.5)

        found = safe.load("token", WHOSE)
        assert found is not None
        assert found.left == 12.5

    def test_documents_do_not_show_their_content(self, safe: Safe) -> None:
        """A document in a log or a traceback shows no value."""
        keep(safe, "Atza|secret")

        assert "secret" not in repr(safe.load("token", WHOSE))


class TestTrouble:
    """When the store fails, memory stands in, and nobody else hears of it but the log."""

    def test_memory_stands_in_for_a_minute(
        self, safe: Safe, store: BrokenStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """One warning per reason; a minute later the store is tried again and counts."""
        keep(safe, "before")
        store.error = ConnectionError("redis://:password@host")
        seen = [find(safe), keep(safe, "meanwhile"), find(safe), safe.info()["trouble"]]
        store.error = None
        clock.advance(59)
        seen.append(find(safe))
        clock.advance(2)
        seen += [find(safe), safe.info()["trouble"]]
        store.error = ConnectionError("again")
        seen.append(find(safe))

        assert seen == [None, True, "meanwhile", "ConnectionError", "meanwhile", "before", None, None]
        warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert warnings == ["The broken store of tokens failed, memory stands in: ConnectionError"]

    def test_one_warning_per_reason(
        self, safe: Safe, store: BrokenStore, clock: FakeClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The same trouble is not told again, another one is."""
        store.error = OSError(28, "No space left on device", "/cache/x.tmp")
        for _ in range(3):
            keep(safe, "value")
            clock.advance(61)
        store.error = OSError("?")
        keep(safe, "value")

        assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
            "No space left on device (/cache/x.tmp)",
            "OSError",
        ]

    def test_an_election_that_fails(self, safe: Safe, store: BrokenStore) -> None:
        """Where nobody can be elected by the store, this process elects alone."""
        store.error = OSError(37, "No locks available")
        with safe.election(WHOSE) as role, safe.election(WHOSE) as other:
            assert (role, other) == (Role.LEADER, Role.FOLLOWER)

    def test_a_lock_that_cannot_be_given_back(self, safe: Safe, store: BrokenStore) -> None:
        """Trouble at the end of an election does not spoil what was done in it."""
        with safe.election(WHOSE) as role:
            store.error = TimeoutError("gone")

        assert role is Role.LEADER
        assert safe.info()["trouble"] == "TimeoutError"

    def test_clearing_and_deleting(self, safe: Safe, store: BrokenStore) -> None:
        """These fail quietly, too."""
        store.error = RuntimeError("gone")

        assert (safe.delete("token", WHOSE), safe.clear()) == (False, 0)

    def test_a_fork_is_passed_on(self, safe: Safe, store: BrokenStore) -> None:
        """The store is told that it is in a child."""
        safe.after_fork()

        assert store.forked


class TestOpening:
    """The configuration's wish, or memory and the reason why."""

    @pytest.fixture
    def opened(self, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> Any:
        """Open, and tell kind, reason and warnings."""

        def open_and_tell(kind: str, **options: Any) -> tuple[object, object, int]:
            caplog.clear()
            info = open_safe(kind, clock, **options).info()
            return info["store"], info["reason"], len(caplog.records)

        return open_and_tell

    @pytest.mark.parametrize("kind", ["auto", "file"])
    def test_files_where_possible(self, opened: Any, tmp_path: Path, kind: str) -> None:
        """With a key and a directory there are files, and nothing to warn of."""
        assert opened(kind, directory=tmp_path / "cache", keys=[KEY]) == ("file", None, 0)

    def test_memory_on_request(self, opened: Any) -> None:
        """Whoever wishes for memory gets it without a word."""
        assert opened("memory") == ("memory", None, 0)

    @pytest.mark.parametrize("keys", [[], [""], ["{FERNET_KEY}"], ["rubbish"]])
    def test_without_a_key_nothing_touches_the_disk(
        self, opened: Any, tmp_path: Path, keys: list[str]
    ) -> None:
        """No usable key: memory only, one warning, no directory."""
        reason = "no usable key in [lwa] cache_encryption_key or [core] fernet_key"

        assert opened("auto", directory=tmp_path / "cache", keys=keys) == ("memory", reason, 1)
        assert not list(tmp_path.iterdir())

    def test_without_a_directory(self, opened: Any) -> None:
        """No directory: memory only, one warning."""
        assert opened("auto", keys=[KEY]) == ("memory", "cache_dir is not set", 1)

    def test_a_directory_that_cannot_be_had(self, opened: Any, tmp_path: Path) -> None:
        """Parent missing, not a directory, open to others: memory only, one warning that names it."""
        (tmp_path / "file").touch()
        (tmp_path / "open" / str(os.geteuid())).mkdir(parents=True)
        (tmp_path / "open" / str(os.geteuid())).chmod(0o755)
        for directory in (tmp_path / "a" / "b", tmp_path / "file", tmp_path / "open"):
            kind, reason, warnings = opened("auto", directory=directory, keys=[KEY])

            assert (kind, warnings) == ("memory", 1)
            assert str(directory) in reason

    def test_a_store_of_ones_own(self, opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A dotted path names a class, which is given directory and address."""
        made: list[BrokenStore] = []

        def make(**options: object) -> BrokenStore:
            made.append(BrokenStore(**options))
            return made[-1]

        own = types.ModuleType("own_stores")
        own.Store = make
        own.Half = lambda **_: object()
        monkeypatch.setitem(sys.modules, "own_stores", own)
        options = {"directory": tmp_path, "url": "redis://:password@host"}

        assert opened("own_stores.Store", keys=[KEY], **options) == ("broken", None, 0)
        assert made[0].options == options
        assert opened("own_stores.Half", keys=[KEY]) == (
            "memory",
            "the class lacks methods of a token store",
            1,
        )
        assert opened("own_stores.None", keys=[KEY]) == ("memory", "AttributeError", 1)
        assert opened("missing_module.Store", keys=[KEY]) == ("memory", "ModuleNotFoundError", 1)
        assert opened("redys", keys=[KEY])[::2] == ("memory", 1)

    def test_memory_is_sealed_too(self, clock: FakeClock) -> None:
        """Without any key, what is in memory is sealed with a key of this process."""
        safe = open_safe("memory", clock)
        keep(safe, "Atza|secret")

        assert "Atza|secret" not in repr(vars(safe._store))
        assert find(safe) == "Atza|secret"

    def test_the_real_clock_will_do(self) -> None:
        """A safe opens with the machine's clock."""
        assert open_safe("memory", Clock()).info() == {
            "store": "memory",
            "shared": False,
            "encrypted": True,
            "reason": None,
            "trouble": None,
        }
