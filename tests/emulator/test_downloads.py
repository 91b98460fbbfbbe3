"""Pre-signed documents: what opens them, what does not, and resuming."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_lwa.emulator.content import chunks, rows

if TYPE_CHECKING:
    from conftest import Caller

    from airflow_provider_lwa.emulator import Emulator

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
BODY = b"0123456789"


@pytest.fixture
def url(amazon: Emulator, caller: Caller) -> str:
    """The URL of a document of ten bytes."""
    amazon.plan_report(TYPE, body=BODY, gzip=False, polls=0)
    return caller.download_url()


def refused(answer: requests.Response) -> tuple[int, str]:
    """Read the status and the code of the store's XML."""
    assert answer.headers["Content-Type"] == "application/xml"
    assert answer.text.startswith("<?xml")
    return answer.status_code, answer.text.partition("<Code>")[2].partition("</Code>")[0]


def test_a_whole_document(url: str) -> None:
    """The URL alone opens the document, and says how long it is."""
    answer = requests.get(url, timeout=5)

    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["Content-Length"] == "10"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["ETag"]


def test_a_head_request(url: str) -> None:
    """HEAD gives the headers alone."""
    answer = requests.head(url, timeout=5)

    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "10", b"")


@pytest.mark.parametrize("name", ["Authorization", "x-amz-access-token"])
def test_a_second_permission_is_refused(url: str, name: str) -> None:
    """The store refuses a URL that comes with a token, as S3 does."""
    answer = requests.get(url, headers={name: "Bearer Atza|x"}, timeout=5)

    assert refused(answer) == (400, "InvalidArgument")
    assert "Only one auth mechanism allowed" in answer.text


def test_a_url_lives_five_minutes(amazon: Emulator, url: str) -> None:
    """After that the store answers 403, in XML."""
    amazon.clock.advance(290)
    in_time = requests.get(url, timeout=5)
    amazon.clock.advance(10)
    late = requests.get(url, timeout=5)

    assert in_time.status_code == 200
    assert refused(late) == (403, "AccessDenied")
    assert "Request has expired" in late.text


def test_asking_again_gives_a_fresh_url(amazon: Emulator, caller: Caller, url: str) -> None:
    """The document outlives its URL."""
    amazon.clock.advance(301)
    document_id = url.partition("/download/")[2].partition("?")[0]

    fresh = caller.document(document_id).json()["url"]

    assert fresh != url
    assert requests.get(fresh, timeout=5).content == BODY


@pytest.mark.parametrize(
    "change",
    [
        ("X-Amz-Expires=300", "X-Amz-Expires=9999"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
        ("X-Amz-Signature", "X-Amz-Nothing"),
        ("/download/amzn1", "/download/amzn2"),
        ("?", "?response-content-encoding=gzip&"),
    ],
)
def test_a_changed_url_is_refused(url: str, change: tuple[str, str]) -> None:
    """The signature covers the document and every parameter."""
    answer = requests.get(url.replace(*change), timeout=5)

    assert refused(answer) == (403, "SignatureDoesNotMatch")


def test_only_reading_is_allowed(url: str) -> None:
    """A document cannot be overwritten."""
    assert refused(requests.put(url, data=b"x", timeout=5)) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("wanted", "part", "content_range"),
    [
        ("bytes=4-", b"456789", "bytes 4-9/10"),
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
    ],
)
def test_ranges(url: str, wanted: str, part: bytes, content_range: str) -> None:
    """A part of the document comes as 206 and says where it belongs."""
    answer = requests.get(url, headers={"Range": wanted}, timeout=5)

    assert (answer.status_code, answer.content) == (206, part)
    assert answer.headers["Content-Range"] == content_range
    assert answer.headers["Content-Length"] == str(len(part))


def test_a_range_beyond_the_end(url: str) -> None:
    """What is not there cannot be served."""
    assert refused(requests.get(url, headers={"Range": "bytes=10-"}, timeout=5)) == (416, "InvalidRange")


@pytest.mark.parametrize("wanted", ["bytes=-", "lines=1-2", "bytes=1-2,4-5"])
def test_ranges_that_are_not_understood(url: str, wanted: str) -> None:
    """They are ignored, as RFC 9110 says: the whole document comes."""
    assert requests.get(url, headers={"Range": wanted}, timeout=5).status_code == 200


def test_resuming_only_what_has_not_changed(url: str) -> None:
    """With If-Range, a part comes for the known ETag, and the whole for another."""
    etag = requests.get(url, timeout=5).headers["ETag"]

    same = requests.get(url, headers={"Range": "bytes=4-", "If-Range": etag}, timeout=5)
    changed = requests.get(url, headers={"Range": "bytes=4-", "If-Range": '"other"'}, timeout=5)

    assert (same.status_code, changed.status_code) == (206, 200)


def test_content_encoding_on_request(amazon: Emulator, caller: Caller) -> None:
    """With enableContentEncodingUrlHeader the store says gzip itself, so that an HTTP library unpacks it."""
    amazon.plan_report(TYPE, body=b"rows", polls=0)
    document_id = caller.finished()["reportDocumentId"]

    plain = requests.get(caller.document(document_id).json()["url"], timeout=5)
    encoded = caller.document(document_id, params={"enableContentEncodingUrlHeader": "true"}).json()["url"]
    unpacked = requests.get(encoded, timeout=5)

    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(plain.content) == b"rows"
    assert unpacked.headers["Content-Encoding"] == "gzip"
    assert unpacked.content == b"rows"


def test_a_large_document_streams(amazon: Emulator, caller: Caller) -> None:
    """A hundred megabytes of rows arrive compressed, announced by their length, and complete."""
    size = 100 * 1000**2
    amazon.plan_report(TYPE, size=size, polls=0)
    unpacker, received, digest = zlib.decompressobj(wbits=31), 0, hashlib.sha256()

    with requests.get(caller.download_url(), stream=True, timeout=5) as answer:
        for piece in answer.iter_content(1 << 18):
            received += len(piece)
            digest.update(unpacker.decompress(piece))

    expected = hashlib.sha256()
    for piece in chunks(rows(size)):
        expected.update(piece)
    assert received == int(answer.headers["Content-Length"])
    assert unpacker.eof
    assert digest.digest() == expected.digest()
