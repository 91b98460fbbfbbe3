"""A document of Amazon's: from its pre-signed address into a file, streamed, whole or not at all.

Follows the Selling Partner API's "Reports API v2021-06-30 use case guide" (step "Retrieve a report") and the
download parts of the Amazon Ads API. Both hand out an address of Amazon's store that is itself a credential
and dies within minutes. So nothing but a plain GET goes to that address, and nothing of it goes anywhere.

The way of the bytes, each step a generator over the one before, in constant memory::

    pre-signed address -> _Source      asks again for an expired address, continues a cut body by Range
                       -> inflated     gzip by its magic bytes, whatever the flag says
                       -> Text         checked or converted to UTF-8, never guessed character by character
                       -> Output       a temporary file beside the target, with size, rows and SHA-256
                       -> replace      put in place when whole, removed otherwise

This module imports ``requests``; import it where a document is really fetched.
"""

from __future__ import annotations

import itertools
import logging
import re
import time
import zlib
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from requests import exceptions as wire
from tenacity import Retrying, retry_if_exception_type, wait_exponential, wait_random

from airflow_provider_lwa.amazon.charsets import Reading, Text, media_type, reading, require_codec
from airflow_provider_lwa.amazon.errors import (
    BadResponse,
    DocumentError,
    DocumentTruncated,
    DocumentUndecodable,
    DocumentUrlExpired,
    LwaError,
    Throttled,
    TransientError,
    Unavailable,
)
from airflow_provider_lwa.amazon.http import (
    CONNECT_TIMEOUT,
    USER_AGENT,
    read_some,
    retry_after_seconds,
    translate,
)
from airflow_provider_lwa.amazon.profiles import is_loopback
from airflow_provider_lwa.amazon.targets import Output, place, temporary, writing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Iterable, Iterator

    from tenacity import RetryCallState

    from airflow_provider_lwa.amazon.targets import Place, StoredPath

STALL = 30.0
ATTEMPTS = 4  # in a row without a byte
_STARTS = 3  # from the first byte
_REFRESHES = 2  # fresh addresses in a row without a byte
_REQUESTS = 16  # for one document, and one more for each stretch received
_STRETCH = 16 * 1024 * 1024
_REDIRECTS = 3
_LONGEST_WAIT = 60.0
_OK = 200
_FORBIDDEN = 403
_UNDERSTOOD = frozenset({_OK, 206, 416})
_PASSING = frozenset({408, 429, *range(500, 600)})

_CHUNK = 64 * 1024
_INFLATED = 1024 * 1024  # the most that one call may decompress
_GZIP = b"\x1f\x8b"
_HEAD = 64  # enough to tell a byte order mark, JSON and XML

log = logging.getLogger(__name__)

# urllib3 logs the whole address of a request, and here the address is a credential.
_in_flight: ContextVar[bool] = ContextVar("_in_flight", default=False)
for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry"):
    logging.getLogger(_name).addFilter(lambda _record: not _in_flight.get())


@dataclass(frozen=True, slots=True)
class DocumentLink:
    """Where a document can be fetched, for a few minutes.

    :param url: pre-signed address: whoever has it can read the document
    :param document_id: Amazon's id of the document
    :param compression: what Amazon says it is compressed with; not always true
    """

    url: str = field(repr=False)
    document_id: str
    compression: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was written; small, and without a secret.

    :param path: the target, as text
    :param bytes: size of the file as written
    :param rows: lines after the first, which is the header; a line break inside quotes counts as well.
        ``None`` for JSON, XML and bytes taken as they are
    :param sha256: of the file as written
    :param encoding: what the document was encoded in; ``None`` for bytes taken as they are
    :param content_type: media type that the store named
    """

    path: str
    bytes: int
    rows: int | None
    sha256: str
    encoding: str | None
    content_type: str | None


def fetch(
    link: Callable[[], DocumentLink],
    target: str | os.PathLike[str] | StoredPath,
    *,
    encoding: str | None = "auto",
    marketplace_ids: Collection[str] = (),
    session: requests.Session | None = None,
    stall: float = STALL,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Fetched:
    """Download a document into a file, which is afterwards whole or as it was before.

    Text is written as UTF-8 without byte order mark, line breaks untouched. A file that exists is replaced.

    :param link: gives the document's address, a fresh one each time; asked again when that is refused
    :param target: a path, or a file in a store of fsspec's; its folder is made
    :param encoding: what the document is encoded in; ``"auto"`` goes by :func:`reading`; ``None`` writes the
        (decompressed) bytes as they are
    :param marketplace_ids: what the document is about; Japan's documents have an encoding of their own
    :param session: whose connections, proxies and certificates to use; its headers and cookies stay here
    :param stall: seconds of waiting that have to bring at least 64 KiB
    :param sleep: how to wait between attempts
    :param monotonic: clock of the waiting
    :raises ConfigurationError: unknown encoding, or a target that cannot be written; nothing was asked for
    :raises DocumentUrlExpired: fresh addresses are refused as well
    :raises DocumentTruncated: the document keeps ending early
    :raises DocumentUndecodable: it is not in the compression or encoding it should be in
    :raises DocumentError: the store refuses, or the target cannot be written any more
    :raises TransientError: no answer within the attempts allowed
    """
    require_codec(encoding)
    final = place(target)
    with (
        temporary(final) as part,
        _opened(session) as own,
        closing(_Source(link, own, stall=stall, sleep=sleep, monotonic=monotonic)) as source,
    ):
        starting = _retrying(DocumentTruncated, _STARTS, sleep)
        written, text = starting(_download, source, part, encoding, marketplace_ids)
        if text.doubtful:
            written = _decode_again(part, text.codec or "", tabular=written.tabular)
        with writing(final):
            part.replace(final)
    return Fetched(
        str(target), written.size, written.rows, written.digest, text.codec, media_type(source.content_type)
    )


def require_writable(target: str | os.PathLike[str] | StoredPath) -> None:
    """Find out that *target* can be written, and leave nothing behind, not even its folder.

    :param target: as for :func:`fetch`
    :raises ConfigurationError: if it cannot
    """
    final = place(target)
    while isinstance(final, Path) and not final.parent.exists():
        final = final.parent
    with temporary(final):
        pass


def write_empty(target: str | os.PathLike[str] | StoredPath) -> Fetched:
    """Write a file without content, where there is no document because there is no data.

    :param target: as for :func:`fetch`
    :raises ConfigurationError: if it cannot be written
    """
    final = place(target)
    with temporary(final) as part:
        written = Output.of((), part, tabular=True)
        with writing(final):
            part.replace(final)
    return Fetched(str(target), written.size, written.rows, written.digest, None, None)


def read_text(
    link: Callable[[], DocumentLink],
    *,
    limit: int = _CHUNK,
    session: requests.Session | None = None,
    stall: float = STALL,
    sleep: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> str:
    """Read the beginning of a document for people, such as Amazon's explanation of a failure.

    :param link: as for :func:`fetch`, as are those after *limit*
    :param limit: bytes, decompressed
    :param session: whose connections to use
    :param stall: seconds of waiting that have to bring at least 64 KiB
    :param sleep: how to wait between attempts
    :param monotonic: clock of the waiting
    :return: text; what is not UTF-8 in it is replaced
    :raises LwaError: as :func:`fetch` does
    """
    with (
        _opened(session) as own,
        closing(_Source(link, own, stall=stall, sleep=sleep, monotonic=monotonic)) as source,
    ):
        head, _ = _peek(inflated(source), limit)
    return head[:limit].decode("utf-8-sig", "replace")


def _download(
    source: _Source, part: Place, encoding: str | None, marketplace_ids: Collection[str]
) -> tuple[Output, Text]:
    head, pieces = _peek(inflated(source), _HEAD)
    how = reading(encoding, source.content_type, head, marketplace_ids)
    text = Text(how)
    return Output.of(text.pieces(pieces), part, tabular=how.tabular), text


def _decode_again(part: Place, codec: str, *, tabular: bool) -> Output:
    """Convert a file that looked like UTF-8 for a while, from its start."""
    with temporary(part) as second, part.open("rb") as spooled:
        pieces = iter(lambda: spooled.read(_CHUNK), b"")
        written = Output.of(Text(Reading(codec)).pieces(pieces), second, tabular=tabular)
        with writing(part):
            second.replace(part)
    return written


def inflated(source: _Source) -> Iterator[bytes]:
    """Decompress a document if it is gzip, by its first bytes: the flag errs both ways.

    :param source: the document as it comes
    :raises DocumentTruncated: if the end is missing, or cannot be told from a cut
    :raises DocumentUndecodable: if it is damaged, or compressed in a way that Amazon does not document
    """
    head, chunks = _peek(source.chunks(), len(_GZIP))
    if head.startswith(_GZIP):
        yield from _gunzipped(chunks)
        return
    if source.compression not in {None, "", "GZIP"}:
        raise DocumentUndecodable(
            f"Amazon says that the document is compressed by {source.compression}; only GZIP is known here.",
            advice="",
        )
    yield from chunks
    if not source.end_is_certain:
        raise DocumentTruncated(
            "The store did not say how long the document is, so it cannot be known to be whole."
        )


def _gunzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress gzip of one or more members (RFC 1952), at most 1 MiB at a time however much it expands."""
    member = _member()
    for chunk in chunks:
        rest = chunk.lstrip(b"\0") if member.eof else chunk
        while rest:
            if member.eof:
                member = _member()
            try:
                piece = member.decompress(rest, _INFLATED)
            except zlib.error:
                raise DocumentUndecodable(
                    "The document is damaged: it begins as gzip and is not.",
                    advice="Fetch it again; if that does not help, ask Amazon for a new report.",
                ) from None
            rest = member.unused_data.lstrip(b"\0") if member.eof else member.unconsumed_tail  # less padding
            yield piece
    if not member.eof:
        raise DocumentTruncated("The document ends in the middle of its gzip stream.")


def _member() -> zlib._Decompress:
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


def _peek(chunks: Iterator[bytes], size: int) -> tuple[bytes, Iterator[bytes]]:
    """Look at the first *size* bytes, or all if there are fewer; they come again in one piece."""
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= size:
            break
    return head, itertools.chain([head] if head else [], chunks)


class _Source:
    """The bytes of a document as the store sends them, across expired addresses and cut connections.

    A body that breaks off is continued by Range where the store names a strong ETag, so that only the same
    bytes can follow; otherwise :class:`DocumentTruncated` asks the caller to begin again.

    :param link: gives a fresh address
    :param session: gives connections, proxies and certificates
    :param stall: seconds of waiting that have to bring at least 64 KiB
    :param sleep: how to wait
    :param monotonic: clock of the waiting
    """

    def __init__(
        self,
        link: Callable[[], DocumentLink],
        session: requests.Session,
        *,
        stall: float,
        sleep: Callable[[float], None],
        monotonic: Callable[[], float],
    ) -> None:
        self.content_type: str | None = None
        self._ask = link
        self._link: DocumentLink | None = None
        self._session = session
        self._stall = stall
        self._monotonic = monotonic
        self._retry = _retrying(TransientError, ATTEMPTS, sleep)
        self._response: requests.Response | None = None
        self._offset = 0
        self._size: int | None = None
        self._etag = ""
        self._requests = 0
        self._refreshes = 0
        self._waited, self._arrived = 0.0, 0

    @property
    def compression(self) -> str | None:
        """What Amazon says the document is compressed with."""
        return self._link.compression if self._link else None

    @property
    def end_is_certain(self) -> bool:
        """Whether the answer says where it ends, so that a cut would have been noticed."""
        response = self._response
        return self._size is not None or (response is not None and "transfer-encoding" in response.headers)

    def chunks(self) -> Iterator[bytes]:
        """The document from its first byte."""
        if self._offset:
            self.close()
            self._offset = 0
        while True:
            self._link = self._link or self._ask()  # outside the retries, because it has its own
            try:
                chunk = self._retry(self._read, self._link.url)
            except DocumentUrlExpired:
                self._refreshes += 1
                if self._refreshes > _REFRESHES:
                    raise
                log.info("The address of document %s has expired.", self._link.document_id)
                self._link = None
                continue
            if not chunk:
                return
            self._refreshes = 0
            yield chunk

    def _read(self, url: str) -> bytes:
        try:
            self._response = self._response or self._open(url)
            return self._receive(self._response, _host(url))
        except TransientError:
            self.close()
            raise

    def _receive(self, response: requests.Response, host: str) -> bytes:
        started = self._monotonic()
        chunk = read_some(response, _CHUNK, host, decode=False)
        if chunk:
            self._require_pace(len(chunk), self._monotonic() - started, host)
        elif self._size not in {None, self._offset}:
            raise BadResponse(f"{host} sent another length than it named.")
        self._offset += len(chunk)
        return chunk

    def _require_pace(self, arrived: int, waited: float, host: str) -> None:
        """Give up a connection that drips: timeouts of single reads never fire on one."""
        self._arrived += arrived
        self._waited += waited
        if self._arrived >= _CHUNK:
            self._waited, self._arrived = 0.0, 0
        elif self._waited > self._stall:
            raise Unavailable(f"{host} sends too slowly.")

    def close(self) -> None:
        """Hang up."""
        if self._response is not None:
            self._response.close()
        self._response = None
        self._waited, self._arrived = 0.0, 0

    def _open(self, url: str) -> requests.Response:
        """Ask for the document, or for what is missing of it."""
        self._requests += 1
        if self._offset:
            log.info("Continuing a document of %s at byte %d.", _host(url), self._offset)
        if self._requests > _REQUESTS + self._offset // _STRETCH:
            raise DocumentError(f"{_host(url)} broke off too often: {self._requests - 1} requests were made.")
        continuing = {"Range": f"bytes={self._offset}-", "If-Range": self._etag}
        response = self._get(url, continuing if self._offset and self._etag else {})
        try:
            return self._accept(response, _host(url))
        except BaseException:
            if response is not self._response:
                response.close()
            raise

    def _get(self, url: str, headers: dict[str, str]) -> requests.Response:
        address = url
        for _ in range(_REDIRECTS + 1):
            response = self._send(address, headers)
            if not response.is_redirect:
                return response
            response.close()
            address = _redirected(address, response.headers["location"])
        raise DocumentError(f"{_host(url)} redirects without end.")

    def _send(self, url: str, headers: dict[str, str]) -> requests.Response:
        """Send a GET with these headers, past the session that would add its own and read redirects whole."""
        _require_safe(url)
        quiet = _in_flight.set(True)
        try:
            plain = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **headers}
            request = requests.Request("GET", url, headers=plain).prepare()
            settings: Any = self._session.merge_environment_settings(url, {}, True, None, None)
            adapter = self._session.get_adapter(url)
            return adapter.send(request, timeout=(CONNECT_TIMEOUT, self._stall), **settings)
        except (wire.RequestException, OSError) as error:
            translate(error, _host(url))
        finally:
            _in_flight.reset(quiet)

    def _accept(self, response: requests.Response, host: str) -> requests.Response:
        """Check that what comes is the document, and that it comes from where we stand."""
        if response.status_code not in _UNDERSTOOD:
            raise _refusal(response, host)
        if response.status_code != _OK:
            if not self._continues(response):
                self._etag = ""
                raise DocumentTruncated(f"{host} cannot continue the document where it broke off.")
            return response
        _require_readable(response, host)
        self.content_type = response.headers.get("content-type")
        etag = response.headers.get("etag", "")
        self._etag = etag if etag.startswith('"') else ""
        length = response.headers.get("content-length", "")
        self._size = int(length) if length.isdecimal() else None
        if self._offset:
            self._offset, self._response = 0, response
            raise DocumentTruncated(f"{host} cannot continue the document where it broke off.")
        return response

    def _continues(self, response: requests.Response) -> bool:
        part = re.match(rf"bytes {self._offset}-\d+/(\d*)", response.headers.get("content-range", ""))
        if part is None or not self._etag or response.headers.get("etag") != self._etag:
            return False
        self._size = int(part[1]) if part[1] else self._size
        return True


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the store"


def _require_safe(url: str) -> None:
    try:
        parts = urlsplit(url)
        safe = bool(parts.hostname) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_loopback(str(parts.hostname)))
        )
    except ValueError:
        safe = False
    if not safe:
        raise DocumentError("The document's address is neither https nor on loopback; it was not asked.")


def _redirected(url: str, location: str) -> str:
    """Where a redirect leads. A store outside has no business on this machine."""
    try:
        address = urljoin(url, location)
        allowed = is_loopback(_host(url)) or not is_loopback(_host(address))
    except ValueError:
        allowed = False
    if not allowed:
        raise DocumentError(f"{_host(url)} redirects to this machine or to nowhere; that was not followed.")
    return address


def _require_readable(response: requests.Response, host: str) -> None:
    """We ask for no encoding on the way; gzip is the one that the store may have put on for good."""
    applied = {name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")}
    if unknown := applied - {"", "identity", "gzip", "x-gzip", "aws-chunked"}:
        raise DocumentUndecodable(
            f"{host} sent the document as {', '.join(sorted(unknown))}, which was not asked for.", advice=""
        )


def _refusal(response: requests.Response, host: str) -> LwaError:
    """Read the store's XML error, without the parts that repeat the request."""
    status, body = response.status_code, _beginning(response, host)
    code = _element(body, "Code")
    facts: dict[str, Any] = {
        "status": status,
        "code": code,
        "description": _element(body, "Message"),
        "request_id": response.headers.get("x-amz-request-id"),
    }
    if status == _FORBIDDEN or code in {"ExpiredToken", "RequestExpired"}:
        return DocumentUrlExpired("The document's address is no longer accepted.", **facts)
    if status in _PASSING:
        asked = retry_after_seconds(response.headers.get("retry-after"), time.time())
        kind = Unavailable if asked is None else Throttled
        return kind(f"{host} cannot give the document now.", retry_after=asked, **facts)
    return DocumentError(f"{host} does not give the document.", **facts)


def _beginning(response: requests.Response, host: str) -> str:
    """The first parts of a body that should be short."""
    parts = iter(lambda: read_some(response, _CHUNK, host), b"")
    try:
        return b"".join(itertools.islice(parts, 8)).decode("utf-8", "replace")
    except TransientError:
        return ""


def _element(xml: str, name: str) -> str:
    found = re.search(f"<{name}>([^<]*)</{name}>", xml)
    return found[1] if found else ""


def _retrying(kind: type[LwaError], attempts: int, sleep: Callable[[float], None]) -> Retrying:
    """Repeat what raises *kind*. A store that asks for a longer wait than a minute fails the call at once."""
    jitter = wait_exponential(multiplier=0.5, max=8) + wait_random(0, 1)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = getattr(error, "retry_after", None)
        return jitter(state) if asked is None else float(asked)

    def stop(state: RetryCallState) -> bool:
        return state.attempt_number >= attempts or state.upcoming_sleep > _LONGEST_WAIT

    return Retrying(
        retry=retry_if_exception_type(kind),
        stop=stop,
        wait=wait,
        sleep=sleep,
        reraise=True,
    )


@contextmanager
def _opened(session: requests.Session | None) -> Iterator[requests.Session]:
    """The caller's session, or one that is closed afterwards."""
    if session is not None:
        yield session
        return
    with requests.Session() as own:
        yield own
