"""What Amazon's APIs have in common: the user agent, and how a refusal reads by its status.

The user agent is written as "Include a User-Agent header in all requests" of the Selling Partner API asks.
"""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa import __version__
from airflow_provider_lwa.amazon.errors import (
    AccessDenied,
    AccessTokenRejected,
    ApiError,
    ApiUnavailable,
    BadResponse,
    ConfigurationError,
    InvalidInput,
    LwaError,
    NotFound,
    QuotaExceeded,
)

if TYPE_CHECKING:
    from datetime import datetime

    from airflow_provider_lwa.amazon.http import Answer

MAX_USER_AGENT = 500
_REDIRECT = 300
_CLIENT_ERROR = 400
_SERVER_ERROR = 500

_BY_STATUS: dict[int, tuple[type[ApiError], str]] = {
    400: (InvalidInput, "Amazon does not accept the parameters"),
    401: (AccessTokenRejected, "The access token was not accepted"),
    403: (AccessDenied, "Amazon denies access"),
    404: (NotFound, "Amazon knows no such resource"),
    408: (ApiUnavailable, "The API did not get the request in time"),
    429: (QuotaExceeded, "The quota of this operation is used up"),
}


def user_agent(application: str = "") -> str:
    """The user agent Amazon asks for: application and version, language, platform.

    :param application: ``Name/Version`` of the user's application; this provider's without one
    :return: at most 500 characters, which is where Amazon refuses
    :raises ConfigurationError: if the application's part does not fit
    """
    app, _, version = (application or f"airflow-provider-lwa/{__version__}").partition("/")
    escaped = f"{_escape(app)}/{_escape(version or '1')}"
    language = f"Language=Python/{platform.python_version()}"
    text = f"{escaped} ({language}; Platform={_escape(platform.system())})"
    if len(text) > MAX_USER_AGENT or not text.isprintable() or not text.isascii():
        raise ConfigurationError(
            "[lwa] user_agent_application must be printable ASCII and leave the user agent below 500 letters."
        )
    return text


def _escape(text: str) -> str:
    return re.sub(r"([/(=);\\])", r"\\\1", text)


def headers(_now: datetime, agent: str) -> dict[str, str]:
    """What every call carries besides the token.

    :param _now: the time, with zone; other APIs send it
    :param agent: of :func:`user_agent`
    """
    return {"User-Agent": agent, "Accept": "application/json"}


def facts(answer: Answer) -> dict[str, Any]:
    """What every refusal tells besides its words, as an error keeps it.

    :param answer: status and headers
    """
    return {
        "status": answer.status,
        "request_id": answer.header("x-amzn-requestid") or answer.header("x-amz-request-id"),
        "retry_after": answer.retry_after,
    }


def refusal(answer: Answer, operation: str, known: dict[str, Any]) -> LwaError:
    """The error that stands for a status.

    A web page that refuses is not Amazon's API speaking but something on the way to it.

    :param answer: status, 300 or more, and headers
    :param operation: method and path, for the message
    :param known: facts and Amazon's words, as an error keeps them
    """
    status = answer.status
    if status < _CLIENT_ERROR:
        return BadResponse(f"The API answered with a redirect, which is not followed ({operation}).", **known)
    kind, sentence = _BY_STATUS.get(status, (ApiError, "Amazon refused the call"))
    if status >= _SERVER_ERROR:
        kind, sentence = ApiUnavailable, "The API is not answering properly"
    if not kind.retryable and "text/html" in (answer.header("content-type") or ""):
        return BadResponse(f"A web page answered in the API's place ({operation}).", **known)
    return kind(f"{sentence} ({operation}).", operation=operation, **known)


def error_of(answer: Answer, payload: Any, operation: str) -> LwaError | None:
    """Say what an answer means, if it is a refusal and the API has no rules of its own.

    :param answer: status and headers
    :param payload: the parsed JSON, or ``None``
    :param operation: method and path, for the message
    :return: the error, or ``None`` for a success
    """
    if answer.status < _REDIRECT:
        return None
    said = payload if isinstance(payload, dict) else {}
    words = said.get("message") or said.get("Message") or said.get("details") or said.get("detail")
    return refusal(answer, operation, {**facts(answer), "code": said.get("code"), "description": words})
