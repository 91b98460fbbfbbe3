"""One request and its answer, as values: what the emulator's rules take and give; no web framework here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.emulator.content import Bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_lwa.emulator.content import Content


@dataclass(frozen=True)
class Call:
    """
    One request, read whole.

    :param method: the HTTP method
    :param path: the path without the prefixes that name a region or the sandbox
    :param target: the path and query as they were sent
    :param query: the query parameters; a repeated one is joined by commas, as Amazon's array parameters are
    :param headers: the headers by lower-case name
    :param body: the body
    :param origin: scheme, host and port under which the caller reached the emulator
    :param region: the region named by the path prefix; ``None`` on the endpoint for all regions
    :param sandbox: whether the path prefix names the sandbox
    """

    method: str
    path: str
    target: str = field(default="", repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    origin: str = ""
    region: str | None = None
    sandbox: bool = False

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def api_headers_sent(self) -> bool:
        """Whether the caller sent a header that carries an access token."""
        return "authorization" in self.headers or "x-amz-access-token" in self.headers


@dataclass(frozen=True)
class Answer:
    """
    One answer, before it goes over the wire.

    :param status: the HTTP status
    :param content: the body
    :param headers: the headers, without Content-Length
    :param report_id: the report this answer is about, when only the answer knows it
    """

    status: int
    content: Content = field(default_factory=lambda: Bytes(b""))
    headers: Mapping[str, str] = field(default_factory=dict)
    report_id: str | None = None


class Refused(Exception):
    """
    Ends the handling of a request early, with this answer.

    :param answer: the answer
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


@dataclass(frozen=True)
class Facts:
    """
    What the journal can say of a request before it is answered; nothing secret.

    :param operation: Amazon's name of the operation
    :param grant_type: the grant asked for at the token endpoint
    :param client_id: the application
    :param credential: the fingerprint of the refresh token behind the request
    :param report_id: the report asked for
    """

    operation: str | None = None
    grant_type: str | None = None
    client_id: str | None = None
    credential: str | None = None
    report_id: str | None = None


def json_answer(
    status: int, payload: Any, headers: Mapping[str, str] | None = None, *, report_id: str | None = None
) -> Answer:
    """
    Answer with JSON.

    :param status: the HTTP status
    :param payload: what to encode
    :param headers: further headers
    :param report_id: see :class:`Answer`
    :return: the answer
    """
    content = Bytes(json.dumps(payload).encode())
    return Answer(status, content, {"content-type": "application/json", **(headers or {})}, report_id)


def text_answer(status: int, text: str, content_type: str) -> Answer:
    """
    Answer with text.

    :param status: the HTTP status
    :param text: the body
    :param content_type: its type
    :return: the answer
    """
    return Answer(status, Bytes(text.encode()), {"content-type": content_type})
