"""Bodies of any size: the parts fit together, and what is compressed unpacks to what it was."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from airflow_provider_lwa.emulator.content import Bytes, Part, Repeated, chunks, gzipped, rows, zeros

SIZES = [0, 1, 30, 54, 55, 1000, 200_000, 1_234_567]


@pytest.mark.parametrize("size", SIZES)
def test_rows_have_the_size_asked_for(size: int) -> None:
    """A report of n bytes has n bytes, and its lines are whole but for the last."""
    body = b"".join(chunks(rows(size)))

    assert len(body) == rows(size).size == size
    assert size < 100 or {line.count(b"\t") for line in body.splitlines()[:-1]} == {4}


@pytest.mark.parametrize("size", SIZES)
def test_compressed_rows_unpack_to_the_rows(size: int) -> None:
    """The joined parts are one valid gzip member, checksum and size included."""
    compressed = b"".join(chunks(gzipped(rows(size))))
    member = zlib.decompressobj(wbits=31)
    plain = member.decompress(compressed)

    assert plain == b"".join(chunks(rows(size)))
    assert member.eof
    assert member.unused_data == b""


@pytest.mark.parametrize("times", [0, 1, 2, 3, 7, 64, 1000])
def test_the_checksum_of_a_block_that_repeats(times: int) -> None:
    """However often a block repeats, the checksum is that of the whole."""
    body = Repeated(b"head", b"block of bytes", times, b"tail")

    packed = gzipped(body)

    assert gzip.decompress(packed.read(0, packed.size)) == b"head" + b"block of bytes" * times + b"tail"


def test_any_body_can_be_compressed() -> None:
    """Bytes are compressed as rows are."""
    packed = gzipped(Bytes(b"some bytes"))

    assert gzip.decompress(packed.read(0, packed.size)) == b"some bytes"


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (3, 9), (4, 40), (30, 33), (31, 99), (33, 40), (50, 60)])
def test_any_part_can_be_read(start: int, stop: int) -> None:
    """A part is what a slice of the whole would be, across all seams."""
    body = Repeated(b"head", b"0123456789", 3, b"tail")
    whole = b"head" + b"0123456789" * 3 + b"tail"

    assert body.read(start, stop) == whole[start:stop]
    assert b"".join(chunks(Part(body, 2, 37))) == whole[2:37]


def test_a_gigabyte_takes_no_memory() -> None:
    """Making, compressing and reading the end of a gigabyte costs a few blocks."""
    tracemalloc.start()
    packed = gzipped(rows(10**9))
    end = packed.read(packed.size - 4, packed.size)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert int.from_bytes(end, "little") == 10**9
    assert peak < 8 * 1024**2


def test_a_bomb_is_small() -> None:
    """A gigabyte of zeros goes over the wire as a megabyte."""
    assert zeros(1024**3).size == 1024**3
    assert gzipped(zeros(1024**3)).size < 2 * 1024**2
