"""A document arrives whole or not at all, whatever the store behind its address does."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import http.server
import itertools
import json
import logging
import pickle
import random
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lwa.amazon import documents, errors
from airflow_provider_lwa.amazon.documents import DocumentLink, Fetched, fetch
from airflow_provider_lwa.amazon.http import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from airflow_provider_lwa.emulator.server import Emulator

SECRET = "0123456789abcdefsignature"
ROWS = b"sku\tprice\r\n" + b"".join(b"SKU-%d\t%d.99\r\n" % (n, n) for n in range(9000))
TEXT = {"Content-Type": "text/plain; charset=UTF-8"}
ETAG = {**TEXT, "ETag": '"3b0c"'}
EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


@dataclass(frozen=True)
class Answer:
    """What the store says to one request: a body, perhaps in chunks, perhaps broken off after *cut* bytes."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    chunks: Iterable[bytes] | None = None
    named_length: int | None = -1  # of the body; None names none
    reset: bool = False


@dataclass
class Store:
    """A store of one document on loopback, which answers as told and notes what it is asked."""

    port: int
    document: bytes = ROWS
    headers: dict[str, str] = field(default_factory=lambda: dict(ETAG))
    plan: deque[Answer] = field(default_factory=deque)  # used up first
    always: Answer | None = None  # then this, instead of the document
    asked: list[dict[str, str]] = field(default_factory=list)
    links: int = 0
    compression: str | None = "GZIP"

    def link(self) -> DocumentLink:
        """:return: A fresh address."""
        self.links += 1
        url = f"http://127.0.0.1:{self.port}/doc?n={self.links}&X-Amz-Signature={SECRET}"
        return DocumentLink(url, "amzn1.spdoc.1.4.na.1", self.compression)

    def answer(self, headers: Mapping[str, str]) -> Answer:
        """:return: What was planned, or the document from where it is asked for."""
        if self.plan:
            return self.plan.popleft()
        start = int(headers.get("Range", "bytes=0-")[6:-1])
        if self.always or not start or headers.get("If-Range") != self.headers.get("ETag"):
            return self.always or Answer(200, self.document, self.headers)
        place = {"Content-Range": f"bytes {start}-{len(self.document) - 1}/{len(self.document)}"}
        return Answer(206, self.document[start:], {**self.headers, **place})

    @property
    def ranges(self) -> list[str | None]:
        """From where each request asked."""
        return [headers.get("Range") for headers in self.asked]


class Handler(http.server.BaseHTTPRequestHandler):
    """Carries out a store's answers."""

    protocol_version = "HTTP/1.1"
    store: Store

    def do_GET(self) -> None:
        """Answer one request."""
        self.store.asked.append({**dict(self.headers), "path": self.path})
        answer = self.store.answer(self.headers)  # type: ignore[arg-type] # because a Message is close enough to a Mapping
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.chunks is not None:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.named_length is not None:
            named = len(answer.body) if answer.named_length < 0 else answer.named_length
            self.send_header("Content-Length", str(named))
        self.end_headers()
        self.send_body(answer)

    def send_body(self, answer: Answer) -> None:
        """Send a body, or as much of it as is planned."""
        for chunk in answer.chunks or ():
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if answer.chunks is not None and answer.cut is None:
            self.wfile.write(b"0\r\n\r\n")
        self.wfile.write(answer.body[: answer.cut])
        self.close_connection = answer.cut is not None or answer.named_length is None
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - because the standard library calls it so
        """Keep quiet."""

    def finish(self) -> None:
        """Close; a connection that was reset is closed already."""
        if self.connection.fileno() >= 0:
            super().finish()


class QuietServer(http.server.ThreadingHTTPServer):
    """Does not print that callers hang up, which is what many of the tests are about."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave it to the test to notice."""


@pytest.fixture(scope="module")
def handler() -> Iterator[tuple[type[Handler], int]]:
    """:return: A server's handler, which serves whichever store is put into it, and its port."""

    class OfThisModule(Handler):
        pass

    with QuietServer(("127.0.0.1", 0), OfThisModule) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield OfThisModule, server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def new_store(handler: tuple[type[Handler], int]) -> Callable[..., Store]:
    """:return: Makes a fresh store."""

    def make(*args: Any, **kwargs: Any) -> Store:
        kind, port = handler
        kind.store = Store(port, *args, **kwargs)
        return kind.store

    return make


@pytest.fixture
def store(new_store: Callable[..., Store]) -> Store:
    """:return: A store that serves plain rows."""
    return new_store()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """:return: Where to write; neither the file nor its folder is there."""
    return tmp_path / "reports" / "out.tsv"


@pytest.fixture
def naps() -> list[float]:
    """:return: How long was waited between attempts, instead of waiting."""
    return []


@pytest.fixture
def get(store: Store, target: Path, naps: list[float]) -> Callable[..., Fetched]:
    """:return: Fetches the store's document into the target without waiting."""
    return lambda **options: fetch(store.link, target, sleep=naps.append, **options)


def files(folder: Path) -> list[str]:
    """:return: The names of all files below a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def cut(body: bytes, after: int, headers: Mapping[str, str] = ETAG) -> Answer:
    """:return: An answer that names the length of the whole and breaks off."""
    return Answer(200, body, headers, cut=after)


# What comes back


def test_text_arrives_with_its_accounts(get: Callable[..., Fetched], target: Path) -> None:
    """The result describes the file that was written."""
    fetched = get()

    assert target.read_bytes() == ROWS
    assert fetched == Fetched(
        str(target), len(ROWS), 9000, hashlib.sha256(ROWS).hexdigest(), "utf-8", "text/plain"
    )


@pytest.mark.parametrize(
    ("document", "rows"),
    [
        (b"", 0),
        (b"header", 0),
        (b"header\n", 0),
        (b"header\none", 1),
        (b"header\r\none\r\n", 1),
        (b"header\n\n\n", 2),
    ],
)
def test_rows_are_the_lines_after_the_header(
    get: Callable[..., Fetched], store: Store, document: bytes, rows: int
) -> None:
    """Lines are counted, with or without a line break at the end."""
    store.document = document

    assert get().rows == rows


@pytest.mark.parametrize("headers", [{"Content-Type": "application/json"}, {}])
def test_json_has_no_rows(get: Callable[..., Fetched], store: Store, headers: dict[str, str]) -> None:
    """Only lines under a header are rows; JSON is told by its type, or else by its first character."""
    store.document, store.headers = b'[{"a": 1},\n{"a": 2}]\n', headers

    fetched = get()

    assert (fetched.rows, fetched.encoding) == (None, "utf-8")
    assert fetched.content_type == headers.get("Content-Type")


def test_bytes_are_left_as_they_are(get: Callable[..., Fetched], store: Store, target: Path) -> None:
    """Without an encoding nothing is checked, converted or counted; only decompressed."""
    raw = codecs.BOM_UTF8 + bytes(range(256)) * 3
    store.document = gzip.compress(raw)

    fetched = get(encoding=None)

    assert target.read_bytes() == raw
    assert (fetched.rows, fetched.encoding, fetched.bytes) == (None, None, len(raw))


# What the store may see, and what nobody may


def test_nothing_of_ours_goes_to_the_store(
    store: Store, target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a session's headers, cookies and login nor ~/.netrc reach the pre-signed address."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    session = requests.Session()
    session.headers["x-amz-access-token"] = "Atza|token"
    session.headers["Authorization"] = "Bearer Atza|token"
    session.cookies.set("session", "1", domain="127.0.0.1")
    session.auth = ("user", "password")

    fetch(store.link, target, session=session)

    assert {name for name in store.asked[0] if name != "path"} == {
        "Host",
        "User-Agent",
        "Accept",
        "Accept-Encoding",
    }
    assert store.asked[0]["User-Agent"] == USER_AGENT
    assert store.asked[0]["Accept-Encoding"] == "identity"


def test_a_session_lends_its_proxies(store: Store, target: Path) -> None:
    """The caller's session decides how the store is reached; here its proxy does not answer."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    session = requests.Session()
    session.proxies = {"http": f"http://127.0.0.1:{closed}"}

    with pytest.raises(errors.Unavailable):
        fetch(store.link, target, session=session, sleep=lambda _: None)

    assert store.asked == []


def test_the_address_is_logged_nowhere(
    get: Callable[..., Fetched], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even urllib3 at DEBUG writes down the signature, through expiry, failure, cut and success."""
    caplog.set_level(logging.DEBUG)
    store.plan.extend([Answer(403, EXPIRED), Answer(503), cut(ROWS, 70_000)])

    get()

    assert "has expired" in caplog.text
    assert "Continuing a document of 127.0.0.1 at byte 70000" in caplog.text
    assert SECRET not in caplog.text


def test_urllib3_speaks_again_afterwards(
    get: Callable[..., Fetched], store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the requests for documents are silent; others are logged as ever."""
    caplog.set_level(logging.DEBUG)
    get()

    requests.get(f"http://127.0.0.1:{store.port}/other", timeout=5)

    assert "/other" in caplog.text


def test_the_address_is_no_part_of_a_link_s_text() -> None:
    """Printing a link does not give the document away."""
    link = DocumentLink(f"https://store.example/?X-Amz-Signature={SECRET}", "amzn1.spdoc.1", "GZIP")

    assert repr(link) == "DocumentLink(document_id='amzn1.spdoc.1', compression='GZIP')"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(403, EXPIRED),
        Answer(404),
        Answer(500),
        Answer(302, headers={"Location": f"http://store.example/?X-Amz-Signature={SECRET}"}),
        Answer(200, ROWS, ETAG, cut=0),
        Answer(200, gzip.compress(ROWS)[:-9], ETAG),
        Answer(200, b"\x1f\x8b" + ROWS, ETAG),
        Answer(200, b"\xff", ETAG),
    ],
    ids=["expired", "gone", "down", "redirect", "cut", "half gzip", "no gzip", "no text"],
)
def test_a_failure_leaves_nothing_and_tells_no_secret(
    get: Callable[..., Fetched], store: Store, tmp_path: Path, answer: Answer
) -> None:
    """There is no file afterwards, not even a temporary one; the error pickles, and holds no address."""
    store.always = answer

    with pytest.raises(errors.LwaError) as caught:
        get()

    assert files(tmp_path) == []
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - because it was made in the line itself
    assert str(again) == str(caught.value)
    assert SECRET not in f"{caught.value!r} {vars(again)}"


@pytest.mark.parametrize(
    "url",
    [
        "http://store.example/doc",
        "ftp://127.0.0.1/doc",
        "https:///doc",
        "http://127.0.0.1.store.example/doc",
        "http://[::1/doc",
        "doc",
    ],
)
def test_only_https_and_loopback_are_asked(target: Path, url: str) -> None:
    """A document in clear, or at no address at all, is not fetched."""
    with pytest.raises(errors.DocumentError, match="neither https nor on loopback"):
        fetch(lambda: DocumentLink(f"{url}?{SECRET}", "d"), target)


def test_https_is_asked_with_its_certificate_checked(store: Store, target: Path) -> None:
    """An address that should be https and answers otherwise is a failure, not a download."""
    link = DocumentLink(f"https://127.0.0.1:{store.port}/doc?{SECRET}", "d")

    with pytest.raises(errors.Unavailable, match="TLS handshake failed"):
        fetch(lambda: link, target, sleep=lambda _: None)


def test_a_redirect_on_the_way_is_followed(get: Callable[..., Fetched], store: Store, target: Path) -> None:
    """The store may send us on to another of its hosts."""
    store.plan.append(Answer(307, headers={"Location": f"http://localhost:{store.port}/there"}))

    get()

    assert target.read_bytes() == ROWS
    assert store.asked[1]["path"] == "/there"
    assert store.asked[1]["Host"].startswith("localhost")


def test_redirects_end(get: Callable[..., Fetched], store: Store) -> None:
    """Four are too many."""
    store.always = Answer(302, headers={"Location": "/again"})

    with pytest.raises(errors.DocumentError, match="without end"):
        get()

    assert len(store.asked) == 4


@pytest.mark.parametrize(
    "location",
    ["http://store.example/doc", "http://[::1", "file:///etc/passwd"],
    ids=["clear", "broken", "file"],
)
def test_a_redirect_into_the_clear_is_not_followed(
    get: Callable[..., Fetched], store: Store, location: str
) -> None:
    """What holds for an address holds for where it leads."""
    store.always = Answer(302, headers={"Location": location})

    with pytest.raises(errors.DocumentError):
        get()

    assert len(store.asked) == 1


def test_a_store_outside_cannot_reach_this_machine() -> None:
    """A redirect from outside to loopback is refused: it would let the store ask our own services."""
    with pytest.raises(errors.DocumentError, match="to this machine"):
        documents._redirected("https://store.example/doc", "http://127.0.0.1:8080/")

    assert documents._redirected("https://store.example/a", "/b") == "https://store.example/b"


# Addresses that have expired, and stores that are down


def test_an_expired_address_is_replaced(get: Callable[..., Fetched], store: Store, naps: list[float]) -> None:
    """A fresh one is asked for at once, without waiting."""
    store.plan.append(Answer(403, EXPIRED))

    get()

    assert [headers["path"][:8] for headers in store.asked] == ["/doc?n=1", "/doc?n=2"]
    assert naps == []


def test_expired_credentials_behind_an_address_are_an_expired_address(
    get: Callable[..., Fetched], store: Store
) -> None:
    """The store answers 400 when the token that signed the address is past its time."""
    store.plan.append(Answer(400, b"<Error><Code>ExpiredToken</Code><Message>Expired.</Message></Error>"))

    get()

    assert store.links == 2


def test_an_address_that_expires_on_the_way_is_continued_by_a_fresh_one(
    get: Callable[..., Fetched], store: Store, target: Path
) -> None:
    """What has arrived is kept."""
    store.plan.extend([cut(ROWS, 70_000), Answer(403, EXPIRED)])

    get()

    assert target.read_bytes() == ROWS
    assert store.ranges == [None, "bytes=70000-", "bytes=70000-"]
    assert store.links == 2


def test_fresh_addresses_that_are_refused_end_it(get: Callable[..., Fetched], store: Store) -> None:
    """Three addresses are tried; the error has the store's words and request id."""
    store.always = Answer(403, EXPIRED, {"x-amz-request-id": "4442587FB7D0A2F9"})

    with pytest.raises(errors.DocumentUrlExpired, match="Request has expired") as caught:
        get()

    assert store.links == len(store.asked) == 3
    assert (caught.value.status, caught.value.code) == (403, "AccessDenied")
    assert caught.value.request_id == "4442587FB7D0A2F9"


def test_an_address_that_cannot_be_had_is_the_callers_own_error(store: Store, target: Path) -> None:
    """What `link` raises comes out as it is: it has its own retries, and they are not multiplied."""
    calls = []

    def link() -> DocumentLink:
        calls.append(1)
        raise errors.Unavailable("Amazon is down.")

    with pytest.raises(errors.Unavailable, match=r"Amazon is down\."):
        fetch(link, target)

    assert len(calls) == 1


@pytest.mark.parametrize("status", [404, 401, 400, 304, 302])
def test_a_refusal_for_good_is_not_repeated(get: Callable[..., Fetched], store: Store, status: int) -> None:
    """The error names what the store said."""
    body = b"<Error><Code>NoSuchKey</Code><Message>Not there.</Message></Error>" if status >= 400 else b""
    store.always = Answer(status, body)

    with pytest.raises(errors.DocumentError, match=rf"does not give the document\..*HTTP {status}"):
        get()

    assert len(store.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_store_that_is_down_is_asked_four_times(
    get: Callable[..., Fetched], store: Store, naps: list[float], status: int
) -> None:
    """Then the call fails, as something that passes; the waits grow."""
    store.always = Answer(status)

    with pytest.raises(errors.TransientError, match=f"HTTP {status}"):
        get()

    assert len(store.asked) == 4
    assert store.links == 1
    assert len(naps) == 3


def test_a_store_is_waited_for_as_long_as_it_asks(
    get: Callable[..., Fetched], store: Store, naps: list[float], target: Path
) -> None:
    """Retry-After is heeded."""
    store.plan.append(Answer(503, b"<Code>SlowDown</Code>", {"Retry-After": "7"}))

    get()

    assert target.read_bytes() == ROWS
    assert naps == [7.0]


def test_a_store_that_asks_for_more_than_a_minute_fails_the_call(
    get: Callable[..., Fetched], store: Store, naps: list[float]
) -> None:
    """A worker does not wait for an hour; Airflow can."""
    store.always = Answer(503, headers={"Retry-After": "3600"})

    with pytest.raises(errors.Throttled) as caught:
        get()

    assert (naps, caught.value.retry_after) == ([], 3600.0)


def test_a_refusal_that_breaks_off_is_still_a_refusal(get: Callable[..., Fetched], store: Store) -> None:
    """The status counts; the words are lost."""
    store.always = Answer(404, b"<Error><Code>NoSuchKey</Code>", cut=9)

    with pytest.raises(errors.DocumentError, match="HTTP 404"):
        get()


def test_nobody_at_the_address_passes(target: Path) -> None:
    """A refused connection is tried again, then reported without the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = taken.getsockname()[1]
    link = DocumentLink(f"http://127.0.0.1:{closed}/doc?{SECRET}", "d")

    with pytest.raises(errors.Unavailable) as caught:
        fetch(lambda: link, target, sleep=lambda _: None)

    assert SECRET not in str(caught.value)


# Bodies that break off


def test_a_cut_body_is_continued_where_it_broke_off(
    get: Callable[..., Fetched], store: Store, target: Path
) -> None:
    """Only the missing part is asked for, on condition that the document is still the same."""
    store.plan.append(cut(ROWS, 70_000))

    fetched = get()

    assert target.read_bytes() == ROWS
    assert fetched.sha256 == hashlib.sha256(ROWS).hexdigest()
    assert store.ranges == [None, "bytes=70000-"]
    assert store.asked[1]["If-Range"] == '"3b0c"'
    assert store.links == 1


def test_a_reset_connection_is_continued(get: Callable[..., Fetched], store: Store, target: Path) -> None:
    """However the connection ends."""
    store.plan.append(Answer(200, ROWS, ETAG, cut=70_000, reset=True))

    get()

    assert target.read_bytes() == ROWS


def test_a_cut_chunked_body_is_continued(get: Callable[..., Fetched], store: Store, target: Path) -> None:
    """The last chunk is missing, so the document is not whole."""
    store.plan.append(Answer(200, b"", ETAG, cut=0, chunks=[ROWS[:50_000], ROWS[50_000:70_000]]))

    get()

    assert target.read_bytes() == ROWS
    assert store.ranges == [None, "bytes=70000-"]


def test_a_part_that_is_shorter_than_asked_for_is_continued(
    get: Callable[..., Fetched], store: Store, target: Path
) -> None:
    """A store may send less than the rest."""
    total = len(ROWS)
    part = {**ETAG, "Content-Range": f"bytes 70000-99999/{total}"}
    store.plan.extend([cut(ROWS, 70_000), Answer(206, ROWS[70_000:100_000], part)])

    get()

    assert target.read_bytes() == ROWS
    assert store.ranges == [None, "bytes=70000-", "bytes=100000-"]


@pytest.mark.parametrize("headers", [TEXT, {**TEXT, "ETag": 'W/"3b0c"'}], ids=["no ETag", "weak ETag"])
def test_without_a_strong_etag_a_cut_body_is_begun_again(
    get: Callable[..., Fetched], store: Store, target: Path, headers: dict[str, str]
) -> None:
    """Nothing would tell whether the rest belongs to the beginning; the new answer is used at once."""
    store.headers = headers
    store.plan.append(cut(ROWS, 70_000, headers))

    get()

    assert target.read_bytes() == ROWS
    assert store.ranges == [None, None]


def test_a_document_that_changed_is_begun_again(
    get: Callable[..., Fetched], store: Store, target: Path
) -> None:
    """The store sends the new one whole, because If-Range does not hold any more."""
    store.plan.append(cut(b"sku\n" * 90_000, 70_000, {**TEXT, "ETag": '"other"'}))

    get()

    assert target.read_bytes() == ROWS
    assert len(store.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(206, b"x" * 9, {**TEXT, "ETag": '"other"', "Content-Range": "bytes 70000-70008/70009"}),
        Answer(206, b"x" * 9, {**ETAG, "Content-Range": "bytes 0-8/9"}),
        Answer(206, b"x" * 9, ETAG),
        Answer(416, EXPIRED),
    ],
    ids=["other document", "other place", "no place", "out of range"],
)
def test_a_part_that_does_not_fit_is_not_used(
    get: Callable[..., Fetched], store: Store, target: Path, answer: Answer
) -> None:
    """The document is begun again instead."""
    store.plan.extend([cut(ROWS, 70_000), answer])

    get()

    assert target.read_bytes() == ROWS
    assert store.ranges == [None, "bytes=70000-", None]


def test_a_part_nobody_asked_for_is_not_used(get: Callable[..., Fetched], store: Store) -> None:
    """A store that always sends a part is given up after three attempts."""
    store.always = Answer(206, b"x" * 9, {**ETAG, "Content-Range": "bytes 0-8/9"})

    with pytest.raises(errors.DocumentTruncated):
        get()

    assert len(store.asked) == 3


def test_a_body_that_always_breaks_off_at_once_is_given_up(get: Callable[..., Fetched], store: Store) -> None:
    """Four attempts in a row without a byte are enough."""
    store.always = cut(ROWS, 0)

    with pytest.raises(errors.TransientError):
        get()

    assert len(store.asked) == 4


def test_a_body_that_breaks_off_again_and_again_is_given_up(
    get: Callable[..., Fetched], store: Store
) -> None:
    """Progress earns further attempts, but not without end: sixteen requests, one more for every 16 MiB."""
    size = len(ROWS)
    for start in itertools.count(0, 1000):
        headers = {**ETAG, "Content-Range": f"bytes {start}-{size - 1}/{size}"}
        store.plan.append(Answer(206 if start else 200, ROWS[start:], headers, cut=1000))
        if start > 30_000:
            break

    with pytest.raises(errors.DocumentError, match="16 requests were made"):
        get()

    assert len(store.asked) == 16


def test_a_body_that_begins_again_too_often_is_given_up(get: Callable[..., Fetched], store: Store) -> None:
    """Without an ETag, three beginnings are all."""
    store.headers = TEXT
    store.always = cut(ROWS, 70_000, TEXT)

    with pytest.raises(errors.DocumentTruncated, match="cannot continue"):
        get()

    assert len(store.asked) == 4


def test_a_body_that_drips_is_cut_and_continued(store: Store, target: Path) -> None:
    """Time spent waiting has to bring something: here each read takes 20 seconds and brings 100 bytes."""
    store.plan.append(Answer(200, b"", ETAG, chunks=[ROWS[n : n + 100] for n in range(0, len(ROWS), 100)]))
    clock = itertools.count(0, 20)

    def monotonic() -> float:
        return next(clock) if len(store.asked) == 1 else 0

    fetch(store.link, target, stall=30, sleep=lambda _: None, monotonic=monotonic)

    assert target.read_bytes() == ROWS
    assert store.ranges == [None, "bytes=100-"]


def test_large_chunks_may_take_their_time(store: Store, target: Path) -> None:
    """The limit is on the pace, not on the size: 64 KiB in 20 seconds are enough, however long it lasts."""
    store.document = ROWS * 5
    clock = itertools.count(0, 20)

    fetch(store.link, target, stall=30, monotonic=lambda: next(clock))

    assert target.read_bytes() == ROWS * 5
    assert store.ranges == [None]


def test_silence_is_noticed(target: Path) -> None:
    """A store that accepts and says nothing is not waited for without end."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        link = DocumentLink(f"http://127.0.0.1:{silent.getsockname()[1]}/doc?{SECRET}", "d")

        with pytest.raises(errors.Unavailable, match="did not answer in time"):
            fetch(lambda: link, target, stall=0.05, sleep=lambda _: None)


def test_a_document_of_unknown_length_is_not_believed(get: Callable[..., Fetched], store: Store) -> None:
    """Where nothing says how long it is, nothing would show a cut."""
    store.always = Answer(200, ROWS, TEXT, named_length=None)

    with pytest.raises(errors.DocumentTruncated, match="cannot be known to be whole"):
        get()


def test_gzip_of_unknown_length_is_believed(get: Callable[..., Fetched], store: Store, target: Path) -> None:
    """It says itself where it ends."""
    store.always = Answer(200, gzip.compress(ROWS), TEXT, named_length=None)

    get()

    assert target.read_bytes() == ROWS


def test_gzip_of_unknown_length_that_is_cut_is_begun_again(
    get: Callable[..., Fetched], store: Store, target: Path
) -> None:
    """Its end is missing although the answer looks whole."""
    store.document = gzip.compress(ROWS)
    store.plan.append(Answer(200, store.document, ETAG, cut=9000, named_length=None))

    get()

    assert target.read_bytes() == ROWS
    assert store.ranges == [None, None]


# Compression


@pytest.mark.parametrize("compression", [None, "", "GZIP"])
@pytest.mark.parametrize("compressed", [False, True])
def test_the_flag_may_lie(
    get: Callable[..., Fetched], store: Store, target: Path, *, compressed: bool, compression: str | None
) -> None:
    """The first bytes tell whether it is gzip."""
    store.compression = compression
    store.document = gzip.compress(ROWS) if compressed else ROWS

    get()

    assert target.read_bytes() == ROWS


def test_an_unknown_compression_is_refused(get: Callable[..., Fetched], store: Store) -> None:
    """Bytes that nobody can read are not written as if they were text."""
    store.compression = "ZSTD"

    with pytest.raises(errors.DocumentUndecodable, match="compressed by ZSTD"):
        get()


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity", "aws-chunked", "gzip,aws-chunked"])
def test_content_encoding_is_undone_once(
    get: Callable[..., Fetched], store: Store, target: Path, coding: str
) -> None:
    """`enableContentEncodingUrlHeader` makes the store name what is gzip anyway."""
    store.document = gzip.compress(ROWS)
    store.headers = {**ETAG, "Content-Encoding": coding}

    get()

    assert target.read_bytes() == ROWS


def test_an_encoding_that_was_not_asked_for_is_refused(get: Callable[..., Fetched], store: Store) -> None:
    """Some proxy compressed the answer although we asked for none."""
    store.headers = {**ETAG, "Content-Encoding": "br"}

    with pytest.raises(errors.DocumentUndecodable, match="sent the document as br"):
        get()


@pytest.mark.parametrize(
    "document",
    [
        gzip.compress(ROWS[:9000]) + gzip.compress(b"") + gzip.compress(ROWS[9000:]),
        gzip.compress(ROWS) + bytes(1000),
        gzip.compress(ROWS[:9000]) + bytes(9) + gzip.compress(ROWS[9000:]),
    ],
    ids=["members", "padding", "members and padding"],
)
def test_gzip_may_have_members_and_padding(
    get: Callable[..., Fetched], store: Store, target: Path, document: bytes
) -> None:
    """As the gzip program reads it."""
    store.document = document

    get()

    assert target.read_bytes() == ROWS


@pytest.mark.parametrize(
    "document",
    [
        gzip.compress(ROWS) + b"garbage",
        gzip.compress(ROWS)[:-8] + bytes(8),
        gzip.compress(ROWS)[:9000] + bytes(100) + gzip.compress(ROWS)[9100:],
        b"\x1f\x8b",
    ],
    ids=["garbage after it", "checksum", "in the middle", "two bytes"],
)
def test_damaged_gzip_is_refused(
    get: Callable[..., Fetched], store: Store, tmp_path: Path, document: bytes
) -> None:
    """Nothing of it is left."""
    store.document = document

    with pytest.raises((errors.DocumentUndecodable, errors.DocumentTruncated)):
        get()

    assert files(tmp_path) == []


def test_truncated_gzip_is_refused(get: Callable[..., Fetched], store: Store) -> None:
    """Although the store sent all bytes it named; it is asked three times."""
    store.document = gzip.compress(ROWS)[:-20]

    with pytest.raises(errors.DocumentTruncated, match="middle of its gzip stream"):
        get()

    assert len(store.asked) == 3


# Encodings on the wire; the rules have tests of their own


@pytest.mark.parametrize(
    ("charset", "codec"),
    [
        ("UTF-8", "utf-8"),
        ("Shift_JIS", "cp932"),
        ("windows-31j", "cp932"),
        ("ISO-8859-1", "cp1252"),
        ("Cp1252", "cp1252"),
        ("UTF-16", "utf-16"),
    ],
)
def test_the_declared_charset_becomes_utf_8(
    get: Callable[..., Fetched], store: Store, target: Path, charset: str, codec: str
) -> None:
    """A file is always UTF-8, whatever Amazon sent; also the characters that Microsoft added."""
    text = "商品\t①\r\nテスト\t㈱\r\n" if codec == "cp932" else "Größe\t“x”\r\nçà\t€\r\n"
    store.document = gzip.compress(text.encode(codec))
    store.headers = {"Content-Type": f"text/plain;charset={charset}"}

    fetched = get()

    assert target.read_bytes() == text.encode()
    assert (fetched.encoding, fetched.rows) == (codec, 1)


def test_text_that_stops_being_utf_8_is_decoded_from_its_start(
    get: Callable[..., Fetched], store: Store, tmp_path: Path, target: Path
) -> None:
    """Half-width katakana can look like UTF-8 for a while; then what was written is read again."""
    text = "sku\tname\n" + "A\tﾃｱ\n" * 9000 + "B\tテスト\n"
    store.document, store.headers = text.encode("cp932"), {"Content-Type": "text/plain"}

    fetched = get(marketplace_ids=["A1VC38T7YXB528"])

    assert target.read_bytes() == text.encode()
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert fetched == Fetched(str(target), len(text.encode()), 9001, digest, "cp932", "text/plain")
    assert files(tmp_path) == ["out.tsv"]


def test_text_in_no_encoding_is_refused(get: Callable[..., Fetched], store: Store, tmp_path: Path) -> None:
    """The error says where, and what to do about it; nothing is replaced by question marks."""
    store.document = ROWS[:70_000] + b"\xff" + ROWS[70_000:]

    with pytest.raises(errors.DocumentUndecodable, match=r"not utf-8.*at byte 70000.*encoding parameter"):
        get()

    assert files(tmp_path) == []


def test_an_unknown_encoding_is_noticed_before_anything_is_asked(
    get: Callable[..., Fetched], store: Store
) -> None:
    """No report is downloaded to find out that a parameter is misspelt."""
    with pytest.raises(errors.ConfigurationError, match="'utf-88'"):
        get(encoding="utf-88")

    assert (store.links, store.asked) == (0, [])


# Whole or as it was


def test_the_file_that_was_there_is_replaced(get: Callable[..., Fetched], target: Path) -> None:
    """In one step, when the new one is whole."""
    target.parent.mkdir()
    target.write_text("old")

    get()

    assert target.read_bytes() == ROWS


@pytest.mark.parametrize("failure", [KeyboardInterrupt, SystemExit, MemoryError])
def test_whatever_ends_it_leaves_the_file_that_was_there(
    store: Store, target: Path, failure: type[BaseException]
) -> None:
    """A task that is killed politely does not leave half a report, or litter."""
    target.parent.mkdir()
    target.write_text("old")
    store.plan.extend([cut(ROWS, 70_000), Answer(503)])

    def sleep(_seconds: float) -> None:
        raise failure

    with pytest.raises(failure):
        fetch(store.link, target, sleep=sleep)

    assert target.read_text() == "old"
    assert files(target.parent) == ["out.tsv"]


def test_a_target_that_cannot_be_written_is_noticed_before_anything_is_asked(
    store: Store, tmp_path: Path
) -> None:
    """The address is not even asked for."""
    (tmp_path / "file").touch()

    with pytest.raises(errors.ConfigurationError, match=r"Cannot write to .*file/out\.tsv: Not a directory"):
        fetch(store.link, tmp_path / "file" / "out.tsv")

    assert store.links == 0


# What goes with documents


def test_a_target_can_be_tried_beforehand(tmp_path: Path) -> None:
    """Before a report is asked for; nothing is left, not even the folder."""
    (tmp_path / "file").touch()

    documents.require_writable(tmp_path / "a" / "b" / "out.tsv")
    with pytest.raises(errors.ConfigurationError, match="Cannot write to"):
        documents.require_writable(tmp_path / "file" / "a" / "out.tsv")

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_empty_file_stands_for_no_data(target: Path) -> None:
    """Where there is no document; it replaces what was there."""
    target.parent.mkdir()
    target.write_text("old")

    fetched = documents.write_empty(target)

    assert target.read_bytes() == b""
    assert fetched == Fetched(str(target), 0, 0, hashlib.sha256().hexdigest(), None, None)


def test_a_document_for_people_is_read_as_text(store: Store) -> None:
    """Amazon's explanation of a failure, however it is sent; its beginning is enough."""
    store.document = gzip.compress(codecs.BOM_UTF8 + b'{"errorDetails": "No \xff"}' + b" " * 10**6)
    store.plan.append(Answer(403, EXPIRED))

    assert documents.read_text(store.link, limit=27) == '{"errorDetails": "No \ufffd"}'
    assert store.links == 2


# Any document, any boundaries


CODECS = {"utf-8": "UTF-8", "cp932": "windows-31j", "cp1252": "ISO-8859-1", "utf-16": "UTF-16"}


@st.composite
def encoded_texts(draw: st.DrawFn) -> tuple[str, str]:
    """:return: A text, and a codec that can encode it."""
    codec = draw(st.sampled_from(sorted(CODECS)))
    never_come_back = "\ufeff" if codec.startswith("utf") else "¢£¬‖\u2212〜"  # cp932 reads them as others
    text = draw(st.text(st.characters(codec=codec, exclude_characters=never_come_back), max_size=200))
    return codec, text.encode(codec).decode(codec)


@st.composite
def pieces_of(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """:return: The data in pieces of any size."""
    bounds = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    pairs = itertools.pairwise([0, *bounds, len(data)])
    return [data[start:stop] for start, stop in pairs if start < stop]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """:return: Where the properties write."""
    return tmp_path_factory.mktemp("any")


@given(encoded_texts(), st.data())
def test_any_text_arrives_whatever_the_boundaries(
    new_store: Callable[..., Store], folder: Path, encoded: tuple[str, str], data: st.DataObject
) -> None:
    """Characters may be split between any two chunks of the connection."""
    codec, text = encoded
    chunks = data.draw(pieces_of(text.encode(codec)))
    headers = {"Content-Type": f"text/plain; charset={CODECS[codec]}"}
    store = new_store(always=Answer(200, b"", headers, chunks=chunks))

    fetched = fetch(store.link, folder / "text")

    assert (folder / "text").read_bytes() == text.encode()
    assert fetched.encoding == codec


@given(st.lists(st.binary(max_size=300), max_size=4), st.booleans(), st.data())
def test_any_bytes_arrive_whatever_the_boundaries(
    new_store: Callable[..., Store],
    folder: Path,
    members: list[bytes],
    compressed: bool,  # noqa: FBT001 - because the property is given its arguments by position
    data: st.DataObject,
) -> None:
    """Gzip of any number of members, or no gzip."""
    plain = b"".join(members)
    sent = b"".join(map(gzip.compress, members)) if compressed else b"." + plain
    store = new_store(always=Answer(200, b"", chunks=data.draw(pieces_of(sent))))

    fetched = fetch(store.link, folder / "bytes", encoding=None)

    expected = plain if compressed else b"." + plain
    assert (folder / "bytes").read_bytes() == expected
    assert fetched.sha256 == hashlib.sha256(expected).hexdigest()


@given(st.data(), st.booleans(), st.booleans())
def test_a_document_cut_anywhere_arrives_whole_or_not_at_all(
    new_store: Callable[..., Store],
    folder: Path,
    data: st.DataObject,
    compressed: bool,  # noqa: FBT001 - because the property is given its arguments by position
    tagged: bool,  # noqa: FBT001 - because the property is given its arguments by position
) -> None:
    """Up to three cuts at any place, with and without a way to continue."""
    body = gzip.compress(ROWS, mtime=0) if compressed else ROWS
    headers = ETAG if tagged else TEXT
    store = new_store(body, headers)
    position = 0
    for step in data.draw(st.lists(st.integers(0, len(body)), max_size=3)):
        start = position if tagged else 0
        place = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        store.plan.append(Answer(206 if start else 200, body[start:], {**headers, **place}, cut=step))
        position = min(position + step, len(body))
        if position == len(body):
            break
    target = folder / "cut"
    target.unlink(missing_ok=True)

    try:
        fetch(store.link, target, sleep=lambda _: None)
    except (errors.DocumentError, errors.TransientError):
        assert files(folder / "cut") == []
    else:
        assert target.read_bytes() == ROWS
    assert not [name for name in files(folder) if name.endswith(".part")]


# Against the emulator, and at size


def link_of(amazon: Emulator, **plan: Any) -> Callable[[], DocumentLink]:
    """:return: Gives fresh addresses of a document in the emulator."""
    from airflow_provider_lwa.emulator.downloads import presigned_url

    amazon.plan_report("GET_MERCHANT_LISTINGS_ALL_DATA", **plan)
    report = amazon.add_report(amazon.add_seller(amazon.add_application()), "GET_MERCHANT_LISTINGS_ALL_DATA")
    assert report.document
    document = report.document
    return lambda: DocumentLink(presigned_url(amazon, document, amazon.url), document.document_id, "GZIP")


def test_the_emulators_documents_arrive(lwa_emulator: Emulator, target: Path) -> None:
    """Through an address that is past its five minutes, a reset and a cut."""
    link = link_of(lwa_emulator, size=3_000_000)
    stale = link()
    lwa_emulator.clock.advance(301)
    links = iter([stale])
    lwa_emulator.fail_next(1, target="download", kind="reset", after=100_000)
    lwa_emulator.fail_next(1, target="download", kind="truncated", after=50_000)

    fetched = fetch(lambda: next(links, None) or link(), target, sleep=lambda _: None)

    assert target.stat().st_size == fetched.bytes == 3_000_000
    assert fetched.sha256 == hashlib.sha256(target.read_bytes()).hexdigest()


MEASURE = """
import json, pathlib, resource, sys
from airflow_provider_lwa.amazon.documents import DocumentLink, fetch

def peak():
    try:  # ru_maxrss would begin with what the process that started this one had
        status = pathlib.Path("/proc/self/status").read_text()
    except FileNotFoundError:  # macOS
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

idle = peak()
fetched = fetch(lambda: DocumentLink(sys.argv[1], "d", "GZIP"), sys.argv[2], encoding=json.loads(sys.argv[3]))
print(json.dumps([fetched.bytes, peak() - idle]))
"""


def measure(url: str, target: Path, encoding: str | None) -> tuple[int, int]:
    """:return: The size of the file, and how many bytes of memory a process of its own needed on top."""
    command = [sys.executable, "-c", MEASURE, url, str(target), json.dumps(encoding)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    size, memory = json.loads(done.stdout)
    return size, memory


@pytest.mark.parametrize("encoding", ["auto", "cp1252"])
def test_memory_does_not_grow_with_the_document(
    lwa_emulator: Emulator, target: Path, encoding: str | None
) -> None:
    """300 MB take less than 64 MiB beyond what the process had before."""
    link = link_of(lwa_emulator, size=300_000_000)

    size, memory = measure(link().url, target, encoding)

    assert size == target.stat().st_size == 300_000_000
    assert memory < 64 * 2**20


def test_a_bomb_takes_no_memory(store: Store, target: Path) -> None:
    """A megabyte that expands a thousandfold passes through a constant amount of memory."""
    pack = zlib.compressobj(9, wbits=31)
    store.document = b"".join(pack.compress(bytes(2**20)) for _ in range(256)) + pack.flush()

    size, memory = measure(store.link().url, target, None)

    assert size == 256 * 2**20 > 900 * len(store.document)
    assert memory < 64 * 2**20


def test_text_beyond_ascii_at_size_takes_no_memory(store: Store, target: Path) -> None:
    """Checking and converting work piece by piece too."""
    source = random.Random(1)  # noqa: S311 - because it only has to vary
    block = "".join(source.choices("aé€ツ商\t\n", k=2**18)).encode()
    store.document = gzip.compress(block, 1) * 128

    size, memory = measure(store.link().url, target, "auto")

    assert size == len(block) * 128 > 60_000_000
    assert memory < 64 * 2**20
