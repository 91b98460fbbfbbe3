"""Between the token source and a store: seals entries, and keeps a store's trouble from becoming a task's.

No store ever sees a token, a refresh token, or even whose they are. Each key (Airflow's Fernet keys, newest
first, or keys of our own) yields two sub-keys by HKDF-SHA256: one seals values with Fernet, one makes entry
names by HMAC. The name is repeated inside the seal, so that an entry copied under another name does not open.
After a key is rotated, what older keys sealed is still found and read.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import importlib
import json
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from airflow_provider_lwa.tokens.stores import Entry, FileStore, MemoryStore, Role, TokenStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cryptography.fernet import Fernet

    from airflow_provider_lwa.tokens.records import Clock

T = TypeVar("T")
log = logging.getLogger(__name__)

PAUSE = 60.0
_KEY_BYTES = 32
_PURPOSE = b"airflow-provider-lwa/cache/v1/"


class CannotShare(Exception):
    """Why tokens stay within this process, in words without secrets."""


class Seal:
    """Names entries and seals their values.

    :param keys: Fernet keys, newest first; unusable ones are passed over
    :raises CannotShare: if there is no usable key
    """

    def __init__(self, keys: Iterable[str]) -> None:
        raw = [usable for usable in map(_decoded, keys) if usable]
        if not raw:
            raise CannotShare("no usable key in [lwa] cache_encryption_key or [core] fernet_key")
        self._naming = [_derived(key, b"name") for key in raw]
        self._sealing = [_fernet(_derived(key, b"seal")) for key in raw]

    def names(self, parts: Iterable[str]) -> list[str]:
        """What an entry is called, under each key, newest first. Nothing about *parts* can be told from it.

        :param parts: everything that decides what the entry holds
        """
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        message = b"".join(len(part).to_bytes(8, "big") + part for part in encoded)
        return [hmac.digest(key, message, "sha256").hex() for key in self._naming]

    def seal(self, name: str, value: bytes) -> bytes:
        """Seal *value* for the entry *name*, with the newest key."""
        return self._sealing[0].encrypt(name.encode("ascii") + value)

    def open(self, name: str, sealed: bytes) -> bytes | None:
        """The value, or ``None`` if this is not a whole value sealed for *name* with one of the keys."""
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - because it takes long to import

        for fernet in self._sealing:
            try:
                named = fernet.decrypt(sealed)
            except InvalidToken:
                continue
            return named[len(name) :] if named.startswith(name.encode("ascii")) else None
        return None

    def __reduce__(self) -> NoReturn:
        """Refuse to leave the process."""
        raise TypeError("A seal holds keys and does not leave its process.")


def _decoded(key: str) -> bytes | None:
    try:
        raw = base64.urlsafe_b64decode(key.strip().encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        return None
    return raw if len(raw) == _KEY_BYTES else None


def _derived(key: bytes, purpose: bytes) -> bytes:
    """HKDF-SHA256 (RFC 5869) without salt, one block long."""
    extracted = hmac.digest(bytes(hashlib.sha256().digest_size), key, "sha256")
    return hmac.digest(extracted, _PURPOSE + purpose + b"\x01", "sha256")


def _fernet(key: bytes) -> Fernet:
    from cryptography.fernet import Fernet  # noqa: PLC0415 - because it takes long to import

    return Fernet(base64.urlsafe_b64encode(key))


@dataclass(frozen=True, slots=True)
class Document:
    """An opened entry.

    :param generation: names this version
    :param content: what was saved; ``None`` if it does not open with our keys
    :param left: seconds it is still of use by the store's own clock, ``None`` if the store keeps none
    """

    generation: str
    content: Mapping[str, Any] | None = field(repr=False)
    left: float | None


class Safe:
    """A store behind a seal. Trouble with the store never reaches the caller.

    When the store fails, this process's memory stands in for a minute, with one warning per reason.

    :param store: where entries are kept
    :param seal: names and seals them
    :param clock: the clock
    :param reason: why this is not the store that was wished for
    """

    def __init__(self, store: TokenStore, seal: Seal, clock: Clock, *, reason: str | None = None) -> None:
        self.reason = reason
        self.trouble: str | None = None
        self._store = store
        self._seal = seal
        self._clock = clock
        self._spare = MemoryStore()
        self._spare_until = float("-inf")
        self._warned: set[str] = set()

    def info(self) -> dict[str, object]:
        """What people want to know about it; no secrets."""
        return {
            "store": self._store.kind,
            "shared": not isinstance(self._store, MemoryStore),
            "encrypted": True,
            "reason": self.reason,
            "trouble": self.trouble,
        }

    def load(self, what: str, whose: Iterable[str]) -> Document | None:
        """Find what is kept.

        :param what: kind of entry
        :param whose: everything else that decides what the entry holds
        """
        for name in self._seal.names((what, *whose)):
            entry = self._load(name)
            if entry:
                opened = self._seal.open(name, entry.sealed)
                return Document(entry.generation, json.loads(opened) if opened else None, entry.ttl)
        return None

    def _load(self, name: str) -> Entry | None:
        return self._with_store(lambda store: store.load(name))

    def save(
        self,
        what: str,
        whose: Iterable[str],
        content: Mapping[str, Any],
        *,
        generation: str,
        replaces: str | None,
        ttl: float,
    ) -> bool:
        """Keep *content*, unless another version than *replaces* stands there by now.

        :param what: kind of entry
        :param whose: everything else that decides what the entry holds
        :param content: JSON
        :param generation: names this version
        :param replaces: the version it is based on
        :param ttl: seconds it will be of use
        :return: whether it is kept
        """
        name, *older = self._seal.names((what, *whose))
        entry = Entry(generation, self._seal.seal(name, json.dumps(content).encode("ascii")), ttl)
        kept = self._with_store(lambda store: store.save(name, entry, replaces=replaces))
        for outdated in older:
            self._delete(outdated, None)
        return kept

    def delete(self, what: str, whose: Iterable[str], generation: str | None = None) -> bool:
        """Remove an entry, or only one version of it.

        :param what: kind of entry
        :param whose: everything else that decides what the entry holds
        :param generation: the version
        :return: whether it was there
        """
        deleted = [self._delete(name, generation) for name in self._seal.names((what, *whose))]
        return any(deleted)

    def _delete(self, name: str, generation: str | None) -> bool:
        return self._with_store(lambda store: store.delete(name, generation))

    @contextlib.contextmanager
    def election(self, whose: Iterable[str]) -> Iterator[Role]:
        """Elect who may ask Amazon, among all who share the store; without waiting.

        :param whose: everything that decides which token comes back
        """
        name = self._seal.names(("election", *whose))[0]
        block = contextlib.ExitStack()
        role = self._with_store(lambda store: block.enter_context(store.election(name)))
        try:
            yield role
        finally:
            try:
                block.close()
            except Exception as error:  # noqa: BLE001 - because a store of somebody else's may raise anything
                self._do_without(error)

    def clear(self) -> int:
        """Remove all entries.

        :return: how many there were
        """
        return self._with_store(lambda store: store.clear())

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent."""
        self._spare.after_fork()
        self._store.after_fork()

    def _with_store(self, action: Callable[[TokenStore], T]) -> T:
        if self._clock.boot() < self._spare_until:
            return action(self._spare)
        try:
            result = action(self._store)
        except Exception as error:  # noqa: BLE001 - because a store of somebody else's may raise anything
            self._do_without(error)
            return action(self._spare)
        if self.trouble:
            self._spare.clear()
            self.trouble = None
            log.info("Tokens are shared again through the %s store.", self._store.kind)
        return result

    def _do_without(self, error: Exception) -> None:
        self._spare_until = self._clock.boot() + PAUSE
        self.trouble = _in_words(error)
        if self.trouble not in self._warned:
            self._warned.add(self.trouble)
            log.warning("The %s store of tokens failed, memory stands in: %s", self._store.kind, self.trouble)

    def __reduce__(self) -> NoReturn:
        """Refuse to leave the process."""
        raise TypeError("A token store does not leave its process.")


def open_safe(
    kind: str,
    clock: Clock,
    *,
    directory: Path | None = None,
    url: str | None = None,
    keys: Sequence[str] = (),
) -> Safe:
    """Open the store that the configuration wishes for, or do with this process's memory and say why.

    :param kind: ``auto`` (files where possible), ``memory``, ``file``, or the dotted path of a class with the
        methods of :class:`TokenStore`, which is called with ``directory`` and ``url``
    :param clock: the clock
    :param directory: where files go
    :param url: where a server is
    :param keys: Fernet keys, newest first
    """
    if kind == "memory":
        return _in_memory(clock, None)
    try:
        seal = Seal(keys)  # first: without a key nothing is touched
        return Safe(_open_store(kind, directory, url), seal, clock)
    except Exception as error:  # noqa: BLE001 - because a store of somebody else's may raise anything
        reason = _in_words(error)
    log.warning("Tokens stay within this process, token_cache = %s does not work: %s", kind, reason)
    return _in_memory(clock, reason)


def _in_memory(clock: Clock, reason: str | None) -> Safe:
    of_this_process = base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode("ascii")
    return Safe(MemoryStore(), Seal([of_this_process]), clock, reason=reason)


def _open_store(kind: str, directory: Path | None, url: str | None) -> TokenStore:
    if kind in {"auto", "file"}:
        if directory is None:
            raise CannotShare("cache_dir is not set")
        return FileStore(directory)
    module, _, name = kind.rpartition(".")
    if not module:
        raise CannotShare("it is none of auto, memory, file, and not the dotted path of a class")
    store = getattr(importlib.import_module(module), name)(directory=directory, url=url)
    if not isinstance(store, TokenStore):
        raise CannotShare("the class lacks methods of a token store")
    return store


def _in_words(error: Exception) -> str:
    """A few words that are ours or the system's; a library's may quote a password."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return str(error) if isinstance(error, CannotShare) else type(error).__name__
