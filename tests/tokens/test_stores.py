"""What every store must do, and what files must beside."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import socket
import stat
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.tokens import Entry, FileStore, MemoryStore, Role, TokenStore
from airflow_provider_lwa.tokens import stores as module

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "ab" * 32
OTHER = "cd" * 32
OLD = Entry("0" * 32, b"old", 60.0)
NEW = Entry("1" * 32, b"new", 60.0)


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStore:
    """A store of each kind."""
    return FileStore(tmp_path / "cache") if request.param == "file" else MemoryStore()


@pytest.fixture
def files(tmp_path: Path) -> FileStore:
    """A store of files."""
    return FileStore(tmp_path / "cache")


class TestEveryStore:
    """The contract of a store, which one of somebody else's must keep, too."""

    def test_it_is_a_store(self, store: TokenStore) -> None:
        """It has the methods and a word for people."""
        assert isinstance(store, TokenStore)
        assert store.kind in {"memory", "file"}

    def test_what_is_saved_is_loaded(self, store: TokenStore) -> None:
        """An entry comes back as it was, under its name only; a ttl only from a store that keeps time."""
        assert store.save(NAME, OLD, replaces=None)

        assert store.load(NAME) == Entry(OLD.generation, OLD.sealed)
        assert store.load(OTHER) is None

    def test_a_latecomer_does_not_undo_newer_work(self, store: TokenStore) -> None:
        """An entry is replaced only by what was based on it."""
        store.save(NAME, OLD, replaces=None)

        assert store.save(NAME, NEW, replaces=OLD.generation)
        assert not store.save(NAME, OLD, replaces=None)
        assert not store.save(NAME, OLD, replaces=OLD.generation)
        assert store.load(NAME) == Entry(NEW.generation, b"new")

    def test_what_is_gone_may_be_written_anew(self, store: TokenStore) -> None:
        """Where nothing stands, anybody may write, whatever it was based on."""
        assert store.save(NAME, NEW, replaces=OLD.generation)

    def test_delete(self, store: TokenStore) -> None:
        """An entry is deleted as a whole or only in one version."""
        store.save(NAME, NEW, replaces=None)

        assert [store.delete(NAME, OLD.generation), store.delete(NAME, NEW.generation)] == [False, True]
        assert [store.delete(NAME, NEW.generation), store.delete(NAME)] == [False, False]
        store.save(NAME, NEW, replaces=None)
        assert store.delete(NAME)
        assert store.load(NAME) is None

    def test_one_leads_and_the_others_follow(self, store: TokenStore) -> None:
        """While one leads nobody else does; of another entry somebody else may."""
        with store.election(NAME) as first, store.election(NAME) as second, store.election(OTHER) as other:
            assert (first, second, other) == (Role.LEADER, Role.FOLLOWER, Role.LEADER)
        with store.election(NAME) as next_one:
            assert next_one is Role.LEADER

    def test_a_leader_that_fails_leads_no_more(self, store: TokenStore) -> None:
        """An error ends the lead."""
        with pytest.raises(ZeroDivisionError), store.election(NAME):
            raise ZeroDivisionError
        with store.election(NAME) as role:
            assert role is Role.LEADER

    def test_clear(self, store: TokenStore) -> None:
        """All entries go, and their number is told; an election in progress is not disturbed."""
        store.save(NAME, OLD, replaces=None)
        store.save(OTHER, NEW, replaces=None)

        with store.election(NAME):
            assert [store.clear(), store.clear()] == [2, 0]
            with store.election(NAME) as role:
                assert role is Role.FOLLOWER
        assert store.load(NAME) is None

    def test_a_child_does_not_inherit_the_lead(self, store: TokenStore) -> None:
        """After a fork, the child's copy of the lock is gone, and the parent's still holds."""
        with store.election(NAME):
            store.after_fork()
            with store.election(NAME) as role:
                assert role is Role.LEADER


class TestMemory:
    """Entries in this process alone."""

    def test_the_newest_entries_stay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond the capacity, the entries written longest ago go."""
        monkeypatch.setattr(module, "CAPACITY", 3)
        store = MemoryStore()
        for number in (1, 2, 3, 1, 4):
            current = store.load(f"{number:064}")
            store.save(f"{number:064}", NEW, replaces=current.generation if current else None)

        assert [bool(store.load(f"{number:064}")) for number in (1, 2, 3, 4)] == [True, False, True, True]

    def test_it_survives_many_threads(self) -> None:
        """Writers in many threads do not trip over each other."""
        store = MemoryStore()
        failures: list[Exception] = []

        def write(number: int) -> None:
            try:
                for turn in range(200):
                    store.save(f"{number}{turn % 7}", NEW, replaces=NEW.generation)
                    store.delete(f"{number}{turn % 5}")
            except Exception as error:  # noqa: BLE001 - because any will do
                failures.append(error)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures


class TestFiles:
    """One private file per entry."""

    def test_modes_whatever_the_umask(self, tmp_path: Path) -> None:
        """Directory 0700, files 0600, also under a permissive umask."""
        before = os.umask(0)
        try:
            store = FileStore(tmp_path / "cache")
            with store.election(NAME):
                store.save(NAME, NEW, replaces=None)
        finally:
            os.umask(before)

        assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in store.directory.iterdir()} == {0o600}

    def test_a_directory_for_each_user(self, tmp_path: Path) -> None:
        """Files go below the effective user's own directory."""
        assert FileStore(tmp_path / "cache").directory == tmp_path / "cache" / str(os.geteuid())

    def test_processes_share_it(self, files: FileStore) -> None:
        """What one process writes, another reads."""
        files.save(NAME, NEW, replaces=None)

        assert FileStore(files.directory.parent).load(NAME) == Entry(NEW.generation, b"new")

    def test_nothing_is_left_beside_the_entry(self, files: FileStore) -> None:
        """No temporary file stays behind."""
        files.save(NAME, NEW, replaces=None)

        assert {path.suffix for path in files.directory.iterdir()} == {".sealed", ".lock"}

    @pytest.mark.parametrize(
        "damage",
        [
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(path.read_bytes()[:20]),
            lambda path: path.write_bytes(os.urandom(500)),
            lambda path: path.write_bytes(b"lwa1 " + b"g" * 32 + b"\n"),
            lambda path: path.write_bytes(path.read_bytes() + bytes(70_000)),
            lambda path: path.chmod(0o644),
            lambda path: _instead(path, lambda: os.mkfifo(path, 0o600)),
            lambda path: _instead(path, lambda: path.mkdir(0o700)),
            lambda path: _instead(path, lambda: path.symlink_to(path.with_name("target"))),
            lambda path: _instead(path, lambda: path.symlink_to(path.parent)),
            lambda path: _instead(path, lambda: _bind(path)),
        ],
        ids=[
            "empty",
            "cut",
            "random",
            "odd",
            "huge",
            "open",
            "fifo",
            "directory",
            "link",
            "link-to-directory",
            "socket",
        ],
    )
    def test_what_is_no_entry_is_ignored_and_written_over(
        self, files: FileStore, damage: Callable[[Path], Any]
    ) -> None:
        """Damaged, foreign, too large, too open, or no file at all: it counts as absent and does not hang."""
        files.save(NAME, OLD, replaces=None)
        path = files.directory / f"{NAME}.sealed"
        target = files.directory / "target"
        target.write_bytes(path.read_bytes())
        target.chmod(0o600)
        damage(path)

        assert files.load(NAME) is None
        assert files.save(NAME, NEW, replaces=None)
        assert files.load(NAME) == Entry(NEW.generation, b"new")
        assert target.read_bytes().endswith(b"old")

    def test_a_file_that_may_not_be_read(self, files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Somebody else's file in the place of an entry counts as absent, too."""
        files.save(NAME, OLD, replaces=None)
        monkeypatch.setattr(os, "geteuid", lambda: 12345)

        assert files.load(NAME) is None

    def test_a_disk_that_fails(self, files: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is wrong with the disk is not taken for an absent entry."""
        files.save(NAME, OLD, replaces=None)
        monkeypatch.setattr(os, "open", _failing(errno.EIO))

        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            files.load(NAME)

    def test_a_full_disk_leaves_nothing_behind(
        self, files: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The temporary file of a failed write goes, the old entry stays."""
        files.save(NAME, OLD, replaces=None)
        monkeypatch.setattr(os, "utime", _failing(errno.ENOSPC))

        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            files.save(NAME, NEW, replaces=OLD.generation)
        assert not list(files.directory.glob("*.tmp"))
        assert files.load(NAME) == Entry(OLD.generation, b"old")

    def test_a_directory_with_something_in_it_is_not_removed(self, files: FileStore) -> None:
        """Only an empty directory in the place of an entry gives way."""
        inside = files.directory / f"{NAME}.sealed" / "precious"
        inside.parent.mkdir()
        inside.write_text("precious")

        with pytest.raises(OSError, match="not empty"):
            files.save(NAME, NEW, replaces=None)
        assert inside.read_text() == "precious"
        assert not list(files.directory.glob("*.tmp"))

    def test_locks_hold_between_processes(self, files: FileStore) -> None:
        """Another process follows while this one leads, and leads after it."""
        with files.election(NAME):
            assert _role_elsewhere(files) == "FOLLOWER"
        assert _role_elsewhere(files) == "LEADER"

    def test_a_copy_of_the_lock_does_not_keep_it(self, files: FileStore) -> None:
        """A lock is given back although a program forked meanwhile, by whatever means, holds a copy of it."""
        with files.election(NAME):
            copy = os.dup(next(iter(files._locks)).fileno())
        with files.election(NAME) as role:
            assert role is Role.LEADER
        os.close(copy)

    def test_lock_files_stay(self, files: FileStore) -> None:
        """Neither clearing nor cleaning removes a lock file: those who wait for it would be split."""
        with files.election(NAME):
            pass
        lock = files.directory / f"{NAME}.lock"
        os.utime(lock, (0, 0))
        files.clear()
        files.collect_garbage()

        assert lock.exists()

    def test_a_lock_file_is_not_followed(self, files: FileStore, tmp_path: Path) -> None:
        """A symbolic link in the place of a lock is refused."""
        (files.directory / f"{NAME}.lock").symlink_to(tmp_path / "elsewhere")

        with pytest.raises(OSError, match="symbolic links"), files.election(NAME):
            pass
        assert not (tmp_path / "elsewhere").exists()

    def test_garbage_is_collected(self, files: FileStore) -> None:
        """What was of no use for two days goes, and what a killed writer left; the rest stays."""
        now = time.time()
        for name, age in {
            "a.sealed": 3,
            "b.sealed": 1,
            "c.tmp": 3,
            "d.tmp": 1,
            "e.lock": 3,
            "f.txt": 3,
        }.items():
            path = files.directory / name
            path.touch()
            os.utime(path, (now, now - age * 86_400))
        files.collect_garbage()

        assert sorted(path.name for path in files.directory.iterdir() if path.name != "probe.lock") == [
            "b.sealed",
            "d.tmp",
            "e.lock",
            "f.txt",
        ]

    def test_time_of_use_counts_from_the_end_of_the_ttl(self, files: FileStore) -> None:
        """An entry that is of use for weeks is not garbage after two days."""
        files.save(NAME, Entry("0" * 32, b"", 30 * 86_400.0), replaces=None)

        assert (files.directory / f"{NAME}.sealed").stat().st_mtime == pytest.approx(
            time.time() + 30 * 86_400, abs=60
        )

    def test_garbage_is_collected_now_and_then(self, files: FileStore) -> None:
        """Writers clean up, one time in fifty."""
        garbage = files.directory / "a.sealed"
        garbage.touch()
        os.utime(garbage, (0, 0))
        turns = 0
        while garbage.exists() and turns < 2000:
            files.save(NAME, NEW, replaces=NEW.generation)
            turns += 1

        assert turns < 2000  # but for a chance of one in 10^17

    def test_garbage_that_somebody_else_collected(
        self, files: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Two cleaners do not get into each other's way."""
        garbage = files.directory / "a.sealed"
        garbage.touch()
        os.utime(garbage, (0, 0))
        unlink = Path.unlink

        def twice(path: Path) -> None:
            unlink(path)
            unlink(path)

        monkeypatch.setattr(Path, "unlink", twice)
        files.collect_garbage()

        assert not garbage.exists()

    def test_descriptors_are_not_leaked(self, files: FileStore) -> None:
        """However often the store is used, it holds nothing open."""
        before = len(list(Path("/dev/fd").iterdir()))
        for _ in range(50):
            with files.election(NAME), files.election(NAME):
                files.save(NAME, NEW, replaces=NEW.generation)
                files.load(NAME)

        assert len(list(Path("/dev/fd").iterdir())) == before


class TestAPlaceForFiles:
    """Where no private directory can be had, that is said at once."""

    @pytest.mark.parametrize("mode", [0o755, 0o770, 0o707])
    def test_a_directory_open_to_others(self, tmp_path: Path, mode: int) -> None:
        """A directory that others may look into is refused."""
        (tmp_path / str(os.geteuid())).mkdir()
        (tmp_path / str(os.geteuid())).chmod(mode)

        with pytest.raises(PermissionError, match="this user alone"):
            FileStore(tmp_path)

    def test_a_directory_of_somebody_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A directory that belongs to another user is refused."""
        somebody = os.geteuid() + 1
        (tmp_path / str(somebody)).mkdir(0o700)
        monkeypatch.setattr(os, "geteuid", lambda: somebody)

        with pytest.raises(PermissionError, match="this user alone"):
            FileStore(tmp_path)

    def test_a_link_in_its_place(self, tmp_path: Path) -> None:
        """A link is not followed."""
        (tmp_path / "real").mkdir(0o700)
        (tmp_path / str(os.geteuid())).symlink_to(tmp_path / "real")

        with pytest.raises(PermissionError, match="this user alone"):
            FileStore(tmp_path)

    def test_a_missing_parent(self, tmp_path: Path) -> None:
        """Only the last two parts of the path are made."""
        with pytest.raises(FileNotFoundError):
            FileStore(tmp_path / "missing" / "cache")

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        """A file in the place of the directory is refused."""
        (tmp_path / "cache").touch()

        with pytest.raises(NotADirectoryError):
            FileStore(tmp_path / "cache")

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO])
    def test_a_file_system_without_locks(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        """A network file system that cannot lock is refused before the first token."""
        monkeypatch.setattr(fcntl, "flock", _failing(number))

        with pytest.raises(OSError, match=os.strerror(number)):
            FileStore(tmp_path / "cache")


def _instead(path: Path, make: Callable[[], Any]) -> None:
    path.unlink()
    make()


def _bind(path: Path) -> None:
    """Put a socket in the place of *path*; its full name is too long for the system."""
    here = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/s")
    os.close(here)
    (path.parent / "s").rename(path)


def _failing(number: int) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def _elect(directory: Path, answer: Any) -> None:
    with FileStore(directory).election(NAME) as role:
        answer.put(role.name)


def _role_elsewhere(files: FileStore) -> str:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=_elect, args=(files.directory.parent, answer))
    process.start()
    role: str = answer.get(timeout=20)
    process.join()
    return role
