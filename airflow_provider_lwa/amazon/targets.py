"""Where a document is written: a local file, or one in a store of fsspec's, whole or as it was before.

A file is written under a temporary name beside the target and takes its place in one step when it is whole.
Object stores need this too: leaving a ``with`` block by an exception completes what was uploaded so far.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from airflow_provider_lwa.amazon.errors import ConfigurationError, DocumentError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

_UPLOAD_BLOCK = 8 * 1024 * 1024


class StoredPath(Protocol):
    """A file in a store of fsspec's, such as Airflow's ``ObjectStoragePath``."""

    @property
    def fs(self) -> Any:
        """The store."""

    @property
    def path(self) -> str:
        """Where in the store."""


class Place(Protocol):
    """What is used of :class:`pathlib.Path`, with the same meaning."""

    @property
    def name(self) -> str:
        """Its last part."""

    @property
    def parent(self) -> Any:
        """The folder."""

    def with_name(self, name: str, /) -> Self:
        """Another file in the same folder."""

    def is_dir(self) -> bool:
        """Whether it is a folder."""

    def open(self, mode: str, /) -> Any:
        """Open it."""

    def replace(self, target: Any, /) -> Any:
        """Move it to where *target* is or is to be."""

    def unlink(self, missing_ok: bool = ...) -> None:  # noqa: FBT001 - because pathlib has it so
        """Remove it."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A file in a store of fsspec's, with the methods of pathlib.

    The store is used directly: ``ObjectStoragePath.open`` would report the temporary file to lineage.
    """

    fs: Any
    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> _Stored:
        return _Stored(self.fs, self.path.rpartition("/")[0])

    def with_name(self, name: str, /) -> _Stored:
        return _Stored(self.fs, f"{self.path.removesuffix(self.name)}{name}")

    def is_dir(self) -> bool:
        return False  # an object may have the name of a prefix

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        assert parents
        self.fs.makedirs(self.path, exist_ok=exist_ok)

    def open(self, mode: str, /) -> Any:
        return self.fs.open(self.path, mode, block_size=_UPLOAD_BLOCK)

    def replace(self, target: _Stored, /) -> None:
        if set(self.path + target.path).isdisjoint("*?["):
            self.fs.mv(self.path, target.path)
        else:  # a name would be taken for a pattern; a list is not
            self.fs.copy([self.path], [target.path])
            self.fs.rm_file(self.path)

    def unlink(self, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - because pathlib has it so
        if not missing_ok or self.fs.exists(self.path):
            self.fs.rm_file(self.path)

    def __str__(self) -> str:
        return self.path


def place(target: str | os.PathLike[str] | StoredPath) -> Place:
    """Find out what kind of place the target is.

    :param target: a path, or a file in a store of fsspec's
    :return: where to write
    :raises ConfigurationError: if it is a folder, or text where an object of a store is meant
    """
    found = _stored(target) if _in_a_store(target) else _local(target)
    if not found.name or found.is_dir():
        raise ConfigurationError(f"{target} is a folder; name the file to write.")
    return found


def _in_a_store(target: str | os.PathLike[str] | StoredPath) -> bool:
    try:
        return hasattr(target, "fs")
    except Exception as error:  # Airflow looks for the store only now: no such scheme, a package missing
        raise ConfigurationError(f"Cannot write to {target}: {_why(error)}.") from error


def _local(target: Any) -> Place:
    if re.match("[a-z][a-z0-9+.-]+:/", str(target)):
        raise ConfigurationError(f"Pass {target} as an ObjectStoragePath; text names a local path.")
    return Path(target)


def _stored(target: Any) -> Place:
    protocols = target.fs.protocol
    local = "file" in ({protocols} if isinstance(protocols, str) else protocols)
    return Path(target.path) if local else _Stored(target.fs, target.path)


@contextmanager
def temporary(final: Place) -> Iterator[Place]:
    """Make a file beside *final*, gone afterwards unless it took that place.

    :param final: where it is to end
    :return: the file, empty
    :raises ConfigurationError: if nothing can be written there
    """
    part = final.with_name(f".{final.name[:48]}.{secrets.token_hex(4)}.part")
    try:
        try:
            _create(part)
        except Exception as error:  # stores have errors of their own
            raise ConfigurationError(
                f"Cannot write to {final}: {_why(error)}.",
                advice="Check the path and the permissions; nothing was downloaded.",
            ) from error
        yield part
    finally:
        with suppress(Exception):  # what happened before matters more
            part.unlink(missing_ok=True)


def _create(part: Place) -> None:
    try:
        part.open("wb").close()
    except FileNotFoundError:
        part.parent.mkdir(parents=True, exist_ok=True)
        part.open("wb").close()


@contextmanager
def writing(place: Place) -> Iterator[None]:
    """Say which file it was that could not be written.

    :param place: the file
    :raises DocumentError: for an error of the operating system or the store
    """
    try:
        yield
    except Exception as error:  # stores have errors of their own
        raise DocumentError(f"Writing {place} failed: {_why(error)}.") from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Output:
    """A file being written, and the accounts of it.

    :param tabular: whether to count rows
    """

    def __init__(self, *, tabular: bool) -> None:
        self.tabular = tabular
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._breaks = 0
        self._last = b""

    @classmethod
    def of(cls, pieces: Iterable[bytes], place: Place, *, tabular: bool) -> Output:
        """Write all pieces.

        :param pieces: the contents
        :param place: the file
        :param tabular: whether to count rows
        :raises DocumentError: if it cannot be written
        """
        output = cls(tabular=tabular)
        with writing(place):
            file = place.open("wb")
        try:
            for piece in pieces:
                with writing(place):
                    file.write(piece)
                output._count(piece)
        finally:
            with writing(place):
                file.close()
        return output

    def _count(self, piece: bytes) -> None:
        self.size += len(piece)
        self._sha256.update(piece)
        if self.tabular and piece:
            self._breaks += piece.count(b"\n")
            self._last = piece[-1:]

    @property
    def digest(self) -> str:
        """SHA-256 of what was written."""
        return self._sha256.hexdigest()

    @property
    def rows(self) -> int | None:
        """Lines after the header, the last one with or without a line break."""
        unfinished = self._last not in {b"", b"\n"}
        return max(0, self._breaks + unfinished - 1) if self.tabular else None
