"""What goes wrong, and when: a schedule of faults, and the answers that some of them put in place of the true
one.

The faults that break an answer on its way (:data:`BREAKING`) are carried out in
:mod:`airflow_provider_lwa.emulator.wire`.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.emulator.content import Bytes, gzipped, zeros
from airflow_provider_lwa.emulator.exchange import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_lwa.emulator.content import Content
    from airflow_provider_lwa.emulator.exchange import Call

_BOMB_SIZE = 1024**3
_HTML = "<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"


@dataclass
class Fault:
    """One fault; :meth:`airflow_provider_lwa.emulator.world.World.fail_next` explains the parameters."""

    remaining: int | None
    target: str
    kind: str
    status: int = 503
    retry_after: float | datetime | str | None = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    after: int | None = None
    location: str | None = None
    remove: tuple[str, ...] = ()
    carried_out: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Unknown kind of fault: {self.kind}. Known: {', '.join(sorted(KINDS))}.")

    @property
    def takes_effect(self) -> bool:
        """Whether the request is carried out although its answer fails."""
        return self.kind in DISTORTING if self.carried_out is None else self.carried_out

    def passing(self, kind: str, size: int) -> int:
        """
        Say how much of a body passes before the answer breaks.

        :param kind: the kind of request
        :param size: the size of the body
        :return: the number of bytes
        """
        if self.after is not None:
            return min(self.after, size)
        return 0 if self.kind == "reset" and kind != "download" else size // 2


class Faults:
    """The schedule: which requests will fail."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """
        Put a fault at the end of the schedule.

        :param fault: the fault
        """
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Empty the schedule."""
        with self._lock:
            self._faults.clear()

    def take(self, names: set[str]) -> Fault | None:
        """
        Use up the next fault for a request.

        :param names: what the request is called: its kind, its operation, its grant type
        :return: the fault; ``None`` if the request is to succeed
        """
        with self._lock:
            for fault in self._faults:
                if fault.target in {"*", *names} and fault.remaining != 0:
                    if fault.remaining is not None:
                        fault.remaining -= 1
                    return fault
        return None


def answer_instead(fault: Fault, kind: str, call: Call, true_answer: Answer | None) -> Answer:
    """
    Make the answer that a fault calls for.

    :param fault: the fault
    :param kind: the kind of request: ``token``, ``api`` or ``download``
    :param call: the request
    :param true_answer: the answer of a request that took effect
    :return: the answer that goes over the wire; for the faults that only break it there, the true one
    """
    if fault.kind in BREAKING and true_answer is not None:
        answer = true_answer
    else:
        answer = _MAKERS.get(fault.kind, _status)(fault, kind, call, true_answer)
    report_id = true_answer.report_id if true_answer else None
    return replace(answer, headers={**answer.headers, **fault.headers}, report_id=report_id)


def _status(fault: Fault, kind: str, _call: Call, _true: Answer | None) -> Answer:
    content, content_type = _encoded(_usual_body(kind, fault.status) if fault.body is None else fault.body)
    return Answer(fault.status, content, {"content-type": content_type, **_retry_after(fault)})


def _throttle(fault: Fault, kind: str, _call: Call, _true: Answer | None) -> Answer:
    status = 503 if kind == "download" else 429
    content, content_type = _encoded(_usual_body(kind, status) if fault.body is None else fault.body)
    return Answer(status, content, {"content-type": content_type, **_retry_after(fault)})


def _html200(fault: Fault, _kind: str, _call: Call, _true: Answer | None) -> Answer:
    content, _ = _encoded(_HTML.format(title="Sign in to the network") if fault.body is None else fault.body)
    return Answer(200, content, {"content-type": "text/html; charset=utf-8"})


def _empty(_fault: Fault, _kind: str, _call: Call, _true: Answer | None) -> Answer:
    return Answer(200)


def _json(fault: Fault, _kind: str, _call: Call, _true: Answer | None) -> Answer:
    return Answer(fault.status, Bytes(json.dumps(fault.body).encode()), {"content-type": "application/json"})


def _wrong_types(fault: Fault, kind: str, _call: Call, true_answer: Answer | None) -> Answer:
    changes = fault.body
    if changes is None and not fault.remove:
        changes = {"access_token": 12345, "expires_in": "soon"} if kind == "token" else []
    if not isinstance(changes, dict | None) or true_answer is None or kind == "download":
        return Answer(200, Bytes(json.dumps(changes).encode()), {"content-type": "application/json"})
    payload = json.loads(true_answer.content.read(0, true_answer.content.size))
    payload = {key: value for key, value in {**payload, **(changes or {})}.items() if key not in fault.remove}
    return replace(true_answer, content=Bytes(json.dumps(payload).encode()))


def _redirect(fault: Fault, _kind: str, call: Call, _true: Answer | None) -> Answer:
    status = fault.status if fault.status in range(300, 400) else HTTPStatus.TEMPORARY_REDIRECT
    return Answer(status, headers={"location": fault.location or _elsewhere(call)})


def _elsewhere(call: Call) -> str:
    """The same place under another origin: the emulator again, so that the journal shows who followed."""
    here, there = ("localhost", "127.0.0.1") if "//localhost" in call.origin else ("127.0.0.1", "localhost")
    return f"{call.origin.replace(here, there)}{call.target}"


def _gzip_bomb(_fault: Fault, _kind: str, _call: Call, _true: Answer | None) -> Answer:
    return Answer(200, _bomb(), {"content-type": "application/json", "content-encoding": "gzip"})


@cache
def _bomb() -> Content:
    return gzipped(zeros(_BOMB_SIZE))


_MAKERS: dict[str, Callable[[Fault, str, Call, Answer | None], Answer]] = {
    "status": _status,
    "throttle": _throttle,
    "html200": _html200,
    "empty": _empty,
    "json": _json,
    "wrong_types": _wrong_types,
    "redirect": _redirect,
    "gzip_bomb": _gzip_bomb,
}

#: Faults that break an answer on its way:
#: ``truncated`` (a body shorter than its Content-Length), ``reset`` (a TCP reset), ``hang`` (no answer at
#: all), ``slow_body`` (byte by byte), ``endless`` (a chunked body without end).
BREAKING = frozenset({"truncated", "reset", "hang", "slow_body", "endless"})

#: Faults that need the true answer, so that the request takes effect.
DISTORTING = BREAKING | {"wrong_types"}

#: All kinds of faults. Beside the breaking ones:
#: ``status`` (that status), ``throttle`` (429, with Retry-After if given), ``html200`` (a captive portal),
#: ``empty`` (200 without a body), ``json`` (that JSON), ``wrong_types`` (the true answer with keys replaced
#: or removed), ``redirect`` (to another origin), ``gzip_bomb`` (a gigabyte of zeros, compressed).
KINDS = BREAKING | _MAKERS.keys()


def _retry_after(fault: Fault) -> dict[str, str]:
    value = fault.retry_after
    if value is None:
        return {}
    if isinstance(value, datetime):
        value = format_datetime(value.astimezone(UTC), usegmt=True)
    return {"retry-after": str(value)}


def _encoded(body: Any) -> tuple[Content, str]:
    if isinstance(body, bytes):
        return Bytes(body), "application/octet-stream"
    if isinstance(body, str):
        start = body.lstrip()[:5].lower()
        return Bytes(body.encode()), {"<html": "text/html", "<?xml": "application/xml"}.get(
            start, "text/plain"
        )
    return Bytes(json.dumps(body).encode()), "application/json"


def _usual_body(kind: str, status: int) -> Any:
    if kind == "download":
        return s3_error(
            "SlowDown" if status == HTTPStatus.SERVICE_UNAVAILABLE else "InternalError", "Please try again."
        )
    if kind == "api":
        code, message = _API_ERRORS.get(status, ("InternalFailure", "We encountered an internal error."))
        return {"errors": [{"code": code, "message": message, "details": ""}]}
    return _LOGIN_BODIES.get(status, "")


def s3_error(code: str, message: str) -> str:
    """
    Write an error as the store of the documents does.

    :param code: its code
    :param message: what it says
    :return: XML
    """
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'


_LOGIN_BODIES: dict[int, Any] = {
    500: {"error": "server_error"},
    502: _HTML.format(title="502 Bad Gateway"),
    503: _HTML.format(title="503 Service Unavailable"),
    504: _HTML.format(title="504 Gateway Timeout"),
}
_API_ERRORS = {
    400: ("InvalidInput", "Invalid Input"),
    403: ("Unauthorized", "Access to requested resource is denied."),
    404: ("NotFound", "The resource was not found."),
    429: ("QuotaExceeded", "You exceeded your quota for the requested resource."),
    503: ("ServiceUnavailable", "Service is temporarily unavailable. Please try again."),
}
