"""A ``requests.Session`` that carries the access token to Amazon's API, renews it and repeats what may be.

To the API's own host it adds address, headers and a token taken anew for every attempt; an answer that blames
the token invalidates that token and is asked once more with a fresh one. 429 and 5xx are repeated within a
time budget, a call that creates something only when it certainly was not carried out. To any other host it is
a plain session: the token never leaves for a foreign address, nor after a redirect.

This module imports ``requests``; import it where a request is really made.
"""

from __future__ import annotations

import functools
import os
import time
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import requests
from requests import exceptions as wire
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from tenacity import (
    Retrying,
    retry_any,
    retry_if_exception,
    retry_if_result,
    wait_exponential,
    wait_random,
)

from airflow_provider_lwa.amazon.errors import AccessTokenRejected, ClientSecretExpired
from airflow_provider_lwa.amazon.http import Answer, json_of, reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tenacity import RetryCallState

    from airflow_provider_lwa.amazon.errors import LwaError

TIMEOUT = (3.05, 60.0)
POOL_SIZE = 64
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_THROTTLED = 429
_PASSING = frozenset({408, 500, 502, 503, 504})


class Bearer(Protocol):
    """A token and the generation it belongs to."""

    @property
    def value(self) -> str:
        """The access token."""

    @property
    def generation(self) -> str:
        """Which of the credential's tokens it is."""


class _Carrying(AuthBase):
    """Puts the token on a request at the last moment, so that it stands in no variable a traceback shows."""

    def __init__(self, header: str, prefix: str, token: Bearer) -> None:
        self._header, self._prefix, self._token = header, prefix, token

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers[self._header] = self._prefix + self._token.value
        return r


@functools.cache
def _adapter(_pid: int) -> HTTPAdapter:
    """One for each process: sockets are not shared over a fork."""
    return HTTPAdapter(pool_connections=16, pool_maxsize=POOL_SIZE, max_retries=0)


class ApiSession(requests.Session):
    """A session bound to one API and one credential.

    Connections are shared by all sessions of a process, so that many short-lived hooks and triggers reuse
    them.

    :param base_url: address of the API; paths are taken relative to it
    :param token: gives a valid token, from memory as a rule
    :param reject: told the generation of a token the API refused; returns whether another may be had
    :param judge: reads a refusal: ``judge(answer, payload, operation)``
    :param headers: headers of every call, made anew each time
    :param token_header: header for the token
    :param token_prefix: what stands before it
    :param budget: seconds that waiting and repeating may take together
    :param monotonic: clock of the budget
    :param sleep: how to wait
    """

    def __init__(
        self,
        *,
        base_url: str,
        token: Callable[[], Bearer],
        reject: Callable[[str], bool],
        judge: Callable[[Answer, Any, str], LwaError | None],
        headers: Callable[[], dict[str, str]],
        token_header: str,
        token_prefix: str,
        budget: float = 120.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._base_url = base_url
        self._token = token
        self._reject = reject
        self._judge = judge
        self._headers = headers
        self._token_header = token_header
        self._token_prefix = token_prefix
        self._budget = budget
        self._monotonic = monotonic
        self._sleep = sleep
        adapter = _adapter(os.getpid())
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def __repr__(self) -> str:
        """The host; nothing of the credential."""
        return f"<ApiSession to {urlsplit(self._base_url).hostname}>"

    def close(self) -> None:
        """Nothing to close: connections belong to the process."""

    def request(  # type: ignore[override]  # because requests spells out every keyword
        self, method: str, url: str, **kwargs: Any
    ) -> requests.Response:
        """Send a request as ``requests`` does, with everything this session adds for the API's own host.

        From there no redirect is followed, whatever the keywords say: the token would go along.

        :param method: HTTP method
        :param url: path below the API's address, or an absolute address
        :param kwargs: as for ``requests.Session.request``
        :return: the last answer, whatever its status
        :raises LwaError: if no token can be had
        :raises requests.RequestException: without the request in it, if there was no answer
        """
        relative = url if url.startswith("/") else f"/{url}"
        address = url if _is_absolute(url) else self._base_url + relative
        kwargs.setdefault("timeout", TIMEOUT)
        if not self._is_own(address):
            return super().request(method, address, **kwargs)
        kwargs["allow_redirects"] = False
        return self._retrying(method.upper())(self._attempt, method, address, kwargs)

    def answer_of(self, response: requests.Response) -> tuple[Answer, Any]:
        """The parts of a response that rules look at: status and headers, and the parsed JSON.

        :param response: of this session
        """
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, b"", time.time()), json_of(response)

    def error_of(self, response: requests.Response, operation: str) -> LwaError | None:
        """What a refusal means, in the terms of the API.

        :param response: of this session
        :param operation: method and path
        """
        if response.status_code < 300:  # noqa: PLR2004 - because these are HTTP's own bounds
            return None
        return self._judge(*self.answer_of(response), operation)

    def _is_own(self, address: str) -> bool:
        ours, theirs = urlsplit(self._base_url), urlsplit(address)
        return bool(ours.netloc) and (ours.scheme, ours.netloc) == (theirs.scheme, theirs.netloc)

    def _attempt(self, method: str, address: str, kwargs: dict[str, Any]) -> requests.Response:
        token = self._token()
        response = self._send(method, address, token, **kwargs)
        error = self.error_of(response, method)
        if isinstance(error, (AccessTokenRejected, ClientSecretExpired)) and self._reject(token.generation):
            response.close()
            response = self._send(method, address, self._token(), **kwargs)
        return response

    def _send(
        self,
        method: str,
        address: str,
        token: Bearer,
        *,
        headers: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> requests.Response:
        kwargs["auth"] = _Carrying(self._token_header, self._token_prefix, token)
        try:
            return super().request(method, address, headers={**self._headers(), **(headers or {})}, **kwargs)
        except wire.RequestException as error:
            raise type(error)(f"No answer from {urlsplit(address).hostname}: {reason(error)}") from None

    def _retrying(self, method: str) -> Retrying:
        deadline = self._monotonic() + self._budget
        grows = wait_exponential(multiplier=1, max=32) + wait_random(0, 1)

        def wait(state: RetryCallState) -> float:
            return self._asked_to_wait(state) or grows(state)  # also where Amazon says "in 0 seconds"

        def too_late(state: RetryCallState) -> bool:
            return self._monotonic() + state.upcoming_sleep >= deadline

        return Retrying(
            retry=retry_any(
                retry_if_result(lambda response: _may_repeat(method, response.status_code)),
                retry_if_exception(lambda error: _was_not_carried_out(method, error)),
            ),
            stop=too_late,
            wait=wait,
            sleep=self._sleep,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )

    def _asked_to_wait(self, state: RetryCallState) -> float | None:
        if state.outcome is None or state.outcome.failed:
            return None
        return self.answer_of(state.outcome.result())[0].retry_after


def _may_repeat(method: str, status: int) -> bool:
    """A throttled call was not carried out; after other errors only a repeatable one may be sent again."""
    return status == _THROTTLED or (status in _PASSING and method in REPEATABLE)


def _was_not_carried_out(method: str, error: BaseException) -> bool:
    if not isinstance(error, (wire.ConnectionError, wire.Timeout, wire.ChunkedEncodingError)):
        return False
    local = isinstance(error, (wire.SSLError, wire.ProxyError, wire.InvalidProxyURL))
    return not local and (method in REPEATABLE or isinstance(error, wire.ConnectTimeout))


def _is_absolute(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.scheme and parts.netloc)
