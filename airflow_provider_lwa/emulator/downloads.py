"""Pre-signed documents, as the store behind ``getReportDocument`` serves them.

A URL works for five minutes, carries its own permission and must be fetched without any other: the store
refuses a request that brings an Authorization header or an access token beside the signature. Ranges are
served (RFC 9110), so that a download can be resumed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from airflow_provider_lwa.emulator.content import Part
from airflow_provider_lwa.emulator.exchange import Answer, Facts, Refused, text_answer
from airflow_provider_lwa.emulator.faults import s3_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_lwa.emulator.exchange import Call
    from airflow_provider_lwa.emulator.reports import Document
    from airflow_provider_lwa.emulator.world import World

PATH = "/download/"

_LIFETIME = 300
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})")


def presigned_url(world: World, document: Document, origin: str, *, content_encoding: bool = False) -> str:
    """
    Make a URL for a document that works for five minutes.

    :param world: the world
    :param document: the document
    :param origin: scheme, host and port under which the caller reaches the emulator
    :param content_encoding: whether the store shall say ``Content-Encoding: gzip``
    :return: the URL: whoever has it can read the document
    """
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Date": datetime.fromtimestamp(world.clock.now(), UTC).strftime(_TIME_FORMAT),
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Expires": str(_LIFETIME),
    }
    if content_encoding:
        query["response-content-encoding"] = "gzip"
    query["X-Amz-Signature"] = _signature(world, document.document_id, query)
    return f"{origin}{PATH}{document.document_id}?{urlencode(query)}"


def describe(world: World, call: Call) -> Facts:
    """
    Say what the journal may know of a download.

    :param world: the world
    :param call: the request
    :return: the operation and the report
    """
    document = world.documents.get(call.path.removeprefix(PATH))
    return Facts(operation="download", report_id=document.report_id if document else None)


def answer(world: World, call: Call) -> Answer:
    """
    Answer a download.

    :param world: the world
    :param call: the request
    :return: the document or the part of it that was asked for
    :raises Refused: with the store's XML
    """
    if call.method not in {"GET", "HEAD"}:
        raise _refused(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
    if call.api_headers_sent:
        raise _refused(
            400,
            "InvalidArgument",
            "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
            "Signature query string parameter or the Authorization header should be specified",
        )
    document_id = call.path.removeprefix(PATH)
    _check_signature(world, document_id, call.query)
    document = world.documents.get(document_id)
    if document is None:
        raise _refused(404, "NoSuchKey", "The specified key does not exist.")
    return _part(document, call)


def _check_signature(world: World, document_id: str, query: Mapping[str, str]) -> None:
    signature = query.get("X-Amz-Signature", "")
    if not hmac.compare_digest(signature.encode(), _signature(world, document_id, query).encode()):
        raise _refused(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided.",
        )
    signed_at = datetime.strptime(query["X-Amz-Date"], _TIME_FORMAT).replace(tzinfo=UTC).timestamp()
    if world.clock.now() >= signed_at + int(query["X-Amz-Expires"]):
        raise _refused(403, "AccessDenied", "Request has expired")


def _signature(world: World, document_id: str, query: Mapping[str, str]) -> str:
    signed = sorted((name, value) for name, value in query.items() if name != "X-Amz-Signature")
    return hmac.new(
        world.signing_key, urlencode([("id", document_id), *signed]).encode(), hashlib.sha256
    ).hexdigest()


def _part(document: Document, call: Call) -> Answer:
    size = document.content.size
    etag = f'"{hashlib.md5(document.document_id.encode(), usedforsecurity=False).hexdigest()}"'
    headers = {"content-type": document.content_type, "etag": etag, "accept-ranges": "bytes"}
    if "response-content-encoding" in call.query:
        headers["content-encoding"] = call.query["response-content-encoding"]
    wanted = _RANGE.fullmatch(call.headers.get("range", ""))
    if wanted is None or wanted.group() == "bytes=-" or call.headers.get("if-range", etag) != etag:
        return Answer(200, document.content, headers)
    start, stop = _bounds(wanted["first"], wanted["last"], size)
    if not start < stop:
        raise _refused(416, "InvalidRange", "The requested range is not satisfiable")
    headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Answer(206, Part(document.content, start, stop), headers)


def _bounds(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(int(last) + 1 if last else size, size)


def _refused(status: int, code: str, message: str) -> Refused:
    return Refused(text_answer(status, s3_error(code, message), "application/xml"))
