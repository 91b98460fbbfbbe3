"""Where sealed entries are kept so that other threads, processes or hosts find them.

A :class:`TokenStore` keeps bytes it cannot read under names that tell it nothing, replaces them only by what
was based on them, and elects who may ask Amazon. Two stores stand here: the process's memory, and files below
one directory, which serve all processes of one user on one host. Any other class with these methods will do:
name it in ``[lwa] token_cache``.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import os
import random
import re
import stat
import tempfile
import threading
import time
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

CAPACITY = 10_000
GRACE = 2 * 86_400.0
_ENTRY_LIMIT = 64 * 1024
_CLEANING_ODDS = 50
_HEADER = re.compile(rb"lwa1 ([0-9a-f]{32})\n")
_OPENING = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NOT_A_FILE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES, errno.EPERM})


class Role(enum.Enum):
    """The outcome of an election."""

    #: Nobody else is asking Amazon for this entry; the lock is ours.
    LEADER = enum.auto()
    #: Somebody is asking already.
    FOLLOWER = enum.auto()
    #: This store cannot tell.
    UNLOCKED = enum.auto()


@dataclass(frozen=True, slots=True)
class Entry:
    """A sealed value.

    :param generation: 32 hexadecimal digits that name this version of it
    :param sealed: bytes only the sealer can read
    :param ttl: seconds it will be of use; when loaded, what is left of them by the store's own clock if it
        keeps one
    """

    generation: str
    sealed: bytes
    ttl: float | None = None


@runtime_checkable
class TokenStore(Protocol):
    """What a store can do.

    Each method may raise: the caller then goes on in memory alone for a minute. None may block for longer
    than a moment.
    """

    #: A word for people, such as ``file``.
    kind: str

    def load(self, name: str) -> Entry | None:
        """Find an entry.

        :param name: 64 hexadecimal digits
        """
        ...

    def save(self, name: str, entry: Entry, *, replaces: str | None) -> bool:
        """Keep an entry, unless another than *replaces* stands there: a latecomer must not undo newer work.

        :param name: 64 hexadecimal digits
        :param entry: what to keep
        :param replaces: generation it was based on, ``None`` if there was none
        :return: whether it is kept
        """
        ...

    def delete(self, name: str, generation: str | None = None) -> bool:
        """Remove an entry.

        :param name: 64 hexadecimal digits
        :param generation: only this version
        :return: whether it was there
        """
        ...

    def election(self, name: str) -> AbstractContextManager[Role]:
        """Elect one leader among all who share the store, without waiting, until its block or process ends.

        :param name: 64 hexadecimal digits
        """
        ...

    def clear(self) -> int:
        """Remove all entries.

        :return: how many there were
        """
        ...

    def after_fork(self) -> None:
        """Let go, in a forked child, of what belongs to the parent: locks, sockets."""
        ...


class MemoryStore:
    """Keeps entries in this process's memory, the newest :data:`CAPACITY` of them."""

    kind = "memory"

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self.after_fork()

    def load(self, name: str) -> Entry | None:
        """See :class:`TokenStore`."""
        return self._entries.get(name)

    def save(self, name: str, entry: Entry, *, replaces: str | None) -> bool:
        """See :class:`TokenStore`."""
        with self._lock:
            current = self._entries.get(name)
            if current and current.generation != replaces:
                return False
            self._entries.pop(name, None)
            self._entries[name] = Entry(entry.generation, entry.sealed)
            if len(self._entries) > CAPACITY:
                del self._entries[next(iter(self._entries))]
            return True

    def delete(self, name: str, generation: str | None = None) -> bool:
        """See :class:`TokenStore`."""
        with self._lock:
            current = self._entries.get(name)
            if current is None or generation not in {None, current.generation}:
                return False
            del self._entries[name]
            return True

    @contextlib.contextmanager
    def election(self, name: str) -> Iterator[Role]:
        """See :class:`TokenStore`."""
        ballot = object()
        if self._leaders.setdefault(name, ballot) is not ballot:
            yield Role.FOLLOWER
            return
        try:
            yield Role.LEADER
        finally:
            self._leaders.pop(name, None)

    def clear(self) -> int:
        """See :class:`TokenStore`."""
        with self._lock:
            count = len(self._entries)
            self._entries.clear()
            return count

    def after_fork(self) -> None:
        """See :class:`TokenStore`."""
        self._lock = threading.Lock()
        self._leaders: dict[str, object] = {}


class FileStore:
    """Keeps one file per entry in a private directory of this user.

    The kernel releases a lock when its holder dies, so nobody waits for the dead. Lock files stay: removing
    one could split those who wait for it. Nothing is flushed to disk; a lost entry costs one request.

    :param directory: the entries go into a subdirectory named after the effective user id
    :raises OSError: if no private directory can be made there, or files in it not written or locked
    """

    kind = "file"

    def __init__(self, directory: Path) -> None:
        self.directory = directory / str(os.geteuid())
        self._locks: set[FileIO] = set()
        self._make_directory()
        self._try_out()

    def _make_directory(self) -> None:
        for path, mode in ((self.directory.parent, 0o755), (self.directory, 0o700)):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode)
        status = self.directory.lstat()
        if not stat.S_ISDIR(status.st_mode) or not _is_private(status):
            raise PermissionError(errno.EPERM, "not a directory of this user alone", str(self.directory))

    def _try_out(self) -> None:
        """Find out now, not at the first token, whether files can be written and locked here."""
        with self.election("probe"):
            self._write(self._path("probe"), b"", 0)
            _unlink(self._path("probe"))

    def load(self, name: str) -> Entry | None:
        """See :class:`TokenStore`."""
        content = _read(self._path(name))
        header = _HEADER.match(content)
        return Entry(header[1].decode("ascii"), content[header.end() :]) if header else None

    def save(self, name: str, entry: Entry, *, replaces: str | None) -> bool:
        """See :class:`TokenStore`.

        Between the comparison and the replacement another writer may come, but only one who did without the
        lock, and then both tokens are good.
        """
        current = self.load(name)
        if current and current.generation != replaces:
            return False
        content = b"lwa1 %b\n%b" % (entry.generation.encode("ascii"), entry.sealed)
        self._write(self._path(name), content, entry.ttl or 0.0)
        if random.randrange(_CLEANING_ODDS) == 0:  # noqa: S311 - because it spreads work, it protects nothing
            self.collect_garbage()
        return True

    def delete(self, name: str, generation: str | None = None) -> bool:
        """See :class:`TokenStore`."""
        current = self.load(name) if generation else None
        if generation and (current is None or current.generation != generation):
            return False
        return _unlink(self._path(name))

    @contextlib.contextmanager
    def election(self, name: str) -> Iterator[Role]:
        """See :class:`TokenStore`."""
        path = self.directory / f"{name}.lock"
        lock = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | _OPENING, 0o600))
        self._locks.add(lock)
        try:
            yield _try_lock(lock)
        finally:
            self._let_go(lock)

    def _let_go(self, lock: FileIO) -> None:
        self._locks.discard(lock)
        if lock.closed:  # by after_fork, in a child that was forked within the block
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_UN)  # closing alone would leave the lock with a forked child's copy
        finally:
            lock.close()

    def clear(self) -> int:
        """See :class:`TokenStore`."""
        return sum(_unlink(path) for path in self.directory.glob("*.sealed"))

    def collect_garbage(self) -> None:
        """Remove what was of no use for two days, and what a killed writer left behind."""
        oldest = time.time() - GRACE
        with os.scandir(self.directory) as found:
            for entry in found:
                with contextlib.suppress(OSError):
                    if _is_garbage(entry, oldest):
                        Path(entry).unlink()

    def after_fork(self) -> None:
        """See :class:`TokenStore`."""
        locks, self._locks = self._locks, set()
        for lock in locks:
            lock.close()

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.sealed"

    def _write(self, path: Path, content: bytes, ttl: float) -> None:
        """Replace a file as a whole. Its time of modification is when it stops being of use."""
        descriptor, temporary = tempfile.mkstemp(suffix=".tmp", dir=self.directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.utime(temporary, (time.time(), time.time() + ttl))
            _replace(Path(temporary), path)
        except BaseException:
            _unlink(Path(temporary))
            raise


def _read(path: Path) -> bytes:
    """A private regular file's content; empty for anything else in its place."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _OPENING)
    except OSError as error:
        if error.errno in _NOT_A_FILE:
            return b""
        raise
    try:
        status = os.fstat(descriptor)
        trusted = stat.S_ISREG(status.st_mode) and _is_private(status) and status.st_size <= _ENTRY_LIMIT
        return os.read(descriptor, _ENTRY_LIMIT) if trusted else b""
    finally:
        os.close(descriptor)


def _is_private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _is_garbage(entry: os.DirEntry[str], oldest: float) -> bool:
    return entry.name.endswith((".sealed", ".tmp")) and entry.stat(follow_symlinks=False).st_mtime < oldest


def _replace(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)
    except IsADirectoryError:
        path.rmdir()
        temporary.replace(path)


def _try_lock(lock: FileIO) -> Role:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return Role.FOLLOWER
    return Role.LEADER


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
