"""Bodies of any size in constant memory, readable from any place: bytes, a file, or rows that repeat.

A report of a gigabyte is made of one block of rows that repeats. Its gzip form is one gzip member in which
the compressed block repeats as well: each block is compressed from an empty window and ends on a byte
boundary (RFC 1951, a full flush), so the parts can be joined as they are. Only the checksum depends on the
whole, and it follows from the checksum of the block.
"""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 64 * 1024
_BLOCK_ROWS = 4096
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_RAW_DEFLATE = -15
_COLUMNS = b"amazon-order-id\tsku\tquantity\titem-price\tship-country\n"


class Content(Protocol):
    """A body: its size, and any part of it."""

    @property
    def size(self) -> int:
        """The number of bytes."""
        ...

    def read(self, start: int, stop: int) -> bytes:
        """
        Read a part.

        :param start: its first byte
        :param stop: the byte after its last
        :return: the bytes, fewer where the body ends before
        """
        ...


def chunks(content: Content, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
    """
    Read a body piece by piece.

    :param content: the body
    :param start: the first byte
    :param stop: the byte after the last; ``None`` for the end
    :return: pieces of at most 64 KiB
    """
    end = content.size if stop is None else min(stop, content.size)
    for position in range(start, end, CHUNK):
        yield content.read(position, min(position + CHUNK, end))


@dataclass(frozen=True)
class Bytes:
    """
    A body held in memory.

    :param data: the bytes
    """

    data: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.data)

    def read(self, start: int, stop: int) -> bytes:
        """
        Read a part.

        :param start: its first byte
        :param stop: the byte after its last
        :return: the bytes
        """
        return self.data[start:stop]


@dataclass(frozen=True)
class File:
    """
    A body that is a file.

    :param path: where it is
    """

    path: Path

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.path.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        """
        Read a part.

        :param start: its first byte
        :param stop: the byte after its last
        :return: the bytes
        """
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start)


@dataclass(frozen=True)
class Part:
    """
    A part of another body.

    :param whole: the other body
    :param start: the first byte
    :param stop: the byte after the last, not beyond the end
    """

    whole: Content
    start: int
    stop: int

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.stop - self.start

    def read(self, start: int, stop: int) -> bytes:
        """
        Read a part.

        :param start: its first byte
        :param stop: the byte after its last
        :return: the bytes
        """
        return self.whole.read(self.start + start, min(self.start + stop, self.stop))


@dataclass(frozen=True)
class Repeated:
    """
    A body made of a head, a block that repeats, and a tail.

    :param head: the first bytes
    :param block: the bytes that repeat
    :param times: how often they do
    :param tail: the last bytes
    """

    head: bytes
    block: bytes
    times: int
    tail: bytes

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.head) + len(self.block) * self.times + len(self.tail)

    def read(self, start: int, stop: int) -> bytes:
        """
        Read a part.

        :param start: its first byte
        :param stop: the byte after its last
        :return: the bytes
        """
        parts = []
        stop = min(stop, self.size)
        while start < stop:
            piece, offset = self._at(start)
            parts.append(piece[offset : offset + stop - start])
            start += len(parts[-1])
        return b"".join(parts)

    def _at(self, position: int) -> tuple[bytes, int]:
        if position < len(self.head):
            return self.head, position
        position -= len(self.head)
        if position < len(self.block) * self.times:
            return self.block, position % len(self.block)
        return self.tail, position - len(self.block) * self.times


def rows(size: int) -> Repeated:
    """
    Make a tab-separated report of exactly this size.

    :param size: the number of bytes
    :return: the body: a line of column names, then rows; the last row may be short
    """
    head = _COLUMNS[:size]
    block = _rows_block()
    times, rest = divmod(size - len(head), len(block))
    tail = block[: rest - 1] + b"\n" if rest else b""
    return Repeated(head, block, times, tail)


@cache
def _rows_block() -> bytes:
    source = random.Random(20260101)  # noqa: S311 - because the rows must be the same each time, not unguessable
    lines = (
        f"{source.randrange(10**3):03d}-{source.randrange(10**7):07d}-{number:07d}\tSKU-{source.randrange(500)}\t"
        f"{source.randrange(1, 9)}\t{source.randrange(100, 99999) / 100}\tUS\n"
        for number in range(_BLOCK_ROWS)
    )
    return "".join(lines).encode()


def zeros(size: int) -> Repeated:
    """
    Make a body of zero bytes, which gzip shrinks a thousandfold.

    :param size: the number of bytes, rounded down to whole MiB
    :return: the body
    """
    block = bytes(1024 * 1024)
    return Repeated(b"", block, size // len(block), b"")


def gzipped(content: Content) -> Content:
    """
    Compress a body into one gzip member.

    :param content: the body
    :return: its gzip form; that of a :class:`Repeated` body costs the compression of one block
    """
    plain = content if isinstance(content, Repeated) else Repeated(content.read(0, content.size), b"", 0, b"")
    checksum = zlib.crc32(plain.tail, _crc_of_repeated(zlib.crc32(plain.head), plain.block, plain.times))
    return Repeated(
        _GZIP_HEADER + _deflated(plain.head),
        _deflated(plain.block) if plain.times else b"",
        plain.times,
        _deflated(plain.tail, last=True) + struct.pack("<LL", checksum, plain.size & 0xFFFFFFFF),
    )


def _deflated(data: bytes, *, last: bool = False) -> bytes:
    deflate = zlib.compressobj(level=6, wbits=_RAW_DEFLATE)
    return deflate.compress(data) + deflate.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)


class _Affine:
    """
    A map of 32-bit values that is linear apart from a constant: a checksum over given bytes, seen as a map of
    the checksum of what came before.
    """

    def __init__(self, columns: list[int], constant: int) -> None:
        self._columns = columns
        self._constant = constant

    def __call__(self, value: int) -> int:
        return self._linear(value) ^ self._constant

    def _linear(self, value: int) -> int:
        result = 0
        for bit, column in enumerate(self._columns):
            if value >> bit & 1:
                result ^= column
        return result

    def twice(self) -> _Affine:
        """
        Apply the map to itself.

        :return: the map that has the effect of applying this one two times
        """
        return _Affine([self._linear(column) for column in self._columns], self(self._constant))


def _crc_of_repeated(before: int, block: bytes, times: int) -> int:
    """Continue a CRC-32 over a block that repeats, in logarithmic time."""
    if not times:
        return before
    constant = zlib.crc32(block, 0)
    step = _Affine([zlib.crc32(block, 1 << bit) ^ constant for bit in range(32)], constant)
    while times:
        if times & 1:
            before = step(before)
        step = step.twice()
        times >>= 1
    return before
