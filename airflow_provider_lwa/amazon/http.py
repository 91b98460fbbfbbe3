"""The door to the network: one bounded request at a time, with nothing of a credential left behind in errors.

Rules: form fields are encoded once; no redirect is followed; ``~/.netrc`` is ignored; the whole exchange has
one deadline and the answer a size limit, because timeouts of single reads never fire on a body that drips;
library exceptions are replaced by ours, since theirs hold the request with its secrets.

This module imports ``requests``; import it where a request is really made, not at the top of Airflow modules.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import requests
from requests import exceptions as wire
from tenacity import Retrying, retry_if_exception_type, wait_exponential, wait_random
from urllib3 import exceptions as urllib3

from airflow_provider_lwa import __version__
from airflow_provider_lwa.amazon.errors import BadResponse, TransientError, TransportError, Unavailable
from airflow_provider_lwa.amazon.profiles import require_trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tenacity import RetryCallState

ATTEMPTS = 3
BODY_LIMIT = 64 * 1024
CONNECT_TIMEOUT = 3.05
READ_TIMEOUT = 10.0
DEFAULT_RETRY_AFTER = 2.0
USER_AGENT = f"airflow-provider-lwa/{__version__}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, small enough to be held.

    :param status: HTTP status
    :param headers: names in lower case
    :param body: at most 64 KiB
    :param received_at: Unix time, for a Retry-After given as a date
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    received_at: float = 0.0

    def header(self, name: str) -> str | None:
        """One header, whatever its case."""
        return self.headers.get(name.lower())

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asks to wait, or ``None`` if it does not."""
        return retry_after_seconds(self.header("retry-after"), self.received_at)

    @property
    def redirects_to(self) -> str | None:
        """Host of a redirect, for the error message; the rest of the address may hold secrets."""
        if not 300 <= self.status < 400:  # noqa: PLR2004 - because these are HTTP's own bounds
            return None
        try:
            return urlsplit(self.header("location") or "").hostname or "another address"
        except ValueError:
            return "another address"


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Read a Retry-After header in either of its two forms (RFC 9110, section 10.2.3).

    :param value: the header, or ``None``
    :param now: Unix time to measure a date against
    :return: seconds, never negative; 2 for something unreadable; ``None`` without a header
    """
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return DEFAULT_RETRY_AFTER
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else DEFAULT_RETRY_AFTER  # noqa: PLR0124 - because only NaN differs from itself


class _NoNetrc(requests.auth.AuthBase):
    """An explicit "no authentication": requests would otherwise look for the host in ``~/.netrc``."""

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        return r


class Door:
    """Sends requests to Amazon within a deadline.

    :param user_agent: what to call ourselves
    :param allowed_hosts: hosts outside Amazon that credentials may be sent to
    :param verify: certificate bundle, or ``None`` for the system's choice
    :param monotonic: clock of deadlines, in seconds
    :param wall: Unix clock, for dates in headers
    :param sleep: how to wait between attempts
    """

    def __init__(
        self,
        *,
        user_agent: str = USER_AGENT,
        allowed_hosts: Collection[str] = (),
        verify: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._user_agent = user_agent
        self._allowed_hosts = frozenset(allowed_hosts)
        self._verify = verify
        self._monotonic = monotonic
        self._wall = wall
        self._sleep = sleep
        self._session: requests.Session | None = None
        self._session_pid = -1

    def deadline(self, budget: float) -> float:
        """The moment on this door's clock at which *budget* seconds are used up."""
        return self._monotonic() + budget

    def retrying(self, deadline: float) -> Retrying:
        """Repeat what raises a :class:`TransientError`: three attempts, never past *deadline*.

        A server that asks for a longer wait than is left fails the call at once.

        :param deadline: from :meth:`deadline`
        """
        jitter = wait_exponential(multiplier=0.5, max=8) + wait_random(0, 1)

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = getattr(error, "retry_after", None)
            return jitter(state) if asked is None else float(asked)

        def enough(state: RetryCallState) -> bool:
            return state.attempt_number >= ATTEMPTS or self._monotonic() + state.upcoming_sleep >= deadline

        return Retrying(
            retry=retry_if_exception_type(TransientError),
            stop=enough,
            wait=wait,
            sleep=self._sleep,
            reraise=True,
        )

    def send(
        self, method: str, url: str, *, form: Mapping[str, str] | None = None, deadline: float
    ) -> Answer:
        """Send one request and read the whole answer.

        :param method: HTTP method
        :param url: absolute address of Amazon's, of loopback, or of an allowed host
        :param form: fields to send URL-encoded
        :param deadline: from :meth:`deadline`
        :raises ConfigurationError: for a host that credentials may not go to
        :raises TransportError: when this machine cannot connect safely
        :raises Unavailable: no answer in time
        :raises BadResponse: an answer that is cut, endless or not decodable
        """
        require_trusted(url, self._allowed_hosts)
        host = urlsplit(url).hostname or url
        left = deadline - self._monotonic()
        if left <= 0:
            raise Unavailable(f"No time left to ask {host}.")
        try:
            with self._requests().request(
                method,
                url,
                data=form,
                headers={"User-Agent": self._user_agent, "Accept": "application/json"},
                auth=_NoNetrc(),
                timeout=(min(CONNECT_TIMEOUT, left), min(READ_TIMEOUT, left)),
                allow_redirects=False,
                stream=True,
                verify=self._verify,
            ) as response:
                return self._read(response, host, deadline)
        except (wire.RequestException, OSError) as error:
            translate(error, host)

    def _requests(self) -> requests.Session:
        """One session per process: a forked child must not share its parent's sockets."""
        if self._session is None or self._session_pid != os.getpid():
            self._session = requests.Session()
            self._session_pid = os.getpid()
        return self._session

    def _read(self, response: requests.Response, host: str, deadline: float) -> Answer:
        body = bytearray()
        while chunk := read_some(response, BODY_LIMIT, host):
            body += chunk
            if len(body) > BODY_LIMIT:
                raise BadResponse(f"{host} sent more than {BODY_LIMIT} bytes where a short answer was due.")
            if self._monotonic() > deadline:
                raise Unavailable(f"{host} did not finish its answer in time.")
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body), self._wall())


def read_some(response: requests.Response, size: int, host: str, *, decode: bool = True) -> bytes:
    """Read what has arrived, at most *size* bytes, without waiting for more.

    :param response: a streamed response
    :param size: upper bound
    :param host: for the message
    :param decode: whether to undo the Content-Encoding; the bound is of decoded bytes then
    :return: bytes; empty at the end
    :raises BadResponse: if the body is cut or cannot be decoded
    :raises Unavailable: if nothing arrives in time
    """
    try:
        return response.raw.read1(size, decode_content=decode) or b""
    except urllib3.HTTPError as error:
        if isinstance(error, urllib3.DecodeError) or isinstance(error.__cause__, HTTPException):
            raise BadResponse(f"The answer of {host} was cut or damaged.") from None
        raise Unavailable(f"The answer of {host} broke off.") from None


def translate(error: Exception, host: str) -> NoReturn:
    """Replace a library's exception, which holds the request and its secrets, by one of ours.

    :param error: of ``requests`` or the operating system
    :param host: whom the request was for
    :raises TransportError: certificate, proxy or address trouble of this machine
    :raises Unavailable: everything that may pass
    """
    if _is_local(error):
        raise TransportError(f"Cannot connect safely to {host}: {reason(error)}.") from None
    if isinstance(error, (wire.ChunkedEncodingError, wire.ContentDecodingError)):
        raise BadResponse(f"The answer of {host} was cut or damaged.") from None
    raise Unavailable(f"No answer from {host}: {reason(error)}.") from None


def _is_local(error: Exception) -> bool:
    text = str(error)
    if isinstance(error, wire.SSLError):
        return "CERTIFICATE" in text.upper() or "hostname" in text.lower()
    if isinstance(error, wire.ProxyError):
        return "407" in text
    if isinstance(error, (wire.InvalidURL, wire.InvalidProxyURL, wire.InvalidSchema, wire.MissingSchema)):
        return True
    return isinstance(error, OSError) and not isinstance(error, wire.RequestException)


def reason(error: Exception) -> str:
    """Say in a few words what kept a request from being answered; a library's own text may quote the request.

    :param error: of ``requests`` or the operating system
    """
    local = _is_local(error)
    words: dict[type[Exception], str] = {
        wire.SSLError: "the TLS certificate was not accepted" if local else "the TLS handshake failed",
        wire.ProxyError: "the proxy refused with 407" if local else "the proxy refused",
        wire.ConnectTimeout: "connecting took too long",
        wire.ReadTimeout: "it did not answer in time",
        wire.ConnectionError: "the connection failed",
        wire.InvalidProxyURL: "the proxy's address is not usable",
    }
    for kind, text in words.items():
        if isinstance(error, kind):
            return text
    return "the certificate bundle or address is not usable" if local else type(error).__name__


def json_of(response: requests.Response) -> Any:
    """The JSON of an API's answer, or ``None`` if it holds none."""
    try:
        return response.json()
    except ValueError:
        return None
