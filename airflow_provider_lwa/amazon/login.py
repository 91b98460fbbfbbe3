"""Login with Amazon's token endpoint: build a request, judge the answer.

Both are functions over frozen values; :func:`exchange` puts the network between them. The grants are those of
Amazon's "Connect to the Selling Partner API" (``refresh_token``, ``client_credentials``), "Generate access
and refresh tokens" of the Ads API (``authorization_code``) and the Appstore's "API authentication" page.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from airflow_provider_lwa.amazon.errors import (
    TOKEN_ERRORS,
    AuthorizationCodeRejected,
    BadResponse,
    ConfigurationError,
    LwaError,
    RefreshTokenRevoked,
    Throttled,
    TokenRequestRefused,
    Unavailable,
)
from airflow_provider_lwa.amazon.profiles import TOKEN_PATH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_lwa.amazon.http import Answer, Door

DEFAULT_LIFETIME = 3600.0
MAX_LIFETIME = 86_400.0
MAX_TOKEN = 16_384
DOCUMENTED_MAX_TOKEN = 2048
_SERVER_ERROR = 500
_TRANSIENT_STATUS = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Credential:
    """What Amazon knows a caller by.

    :param client_id: ``amzn1.application-oa2-client.…``
    :param client_secret: its secret
    :param refresh_token: grant of a seller, vendor or advertiser; ``None`` for client-credentials APIs
    :param scopes: scopes for client-credentials calls
    :param token_url: token endpoint of the credential's region
    """

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ()
    token_url: str = "https://api.amazon.com" + TOKEN_PATH


class _Unseen(dict[str, Any]):
    """A dictionary that keeps its values out of tracebacks that show local variables."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One form for the token endpoint.

    :param url: the endpoint
    :param grant_type: ``refresh_token``, ``client_credentials`` or ``authorization_code``
    :param client_id: the application
    :param client_secret: its secret
    :param parameters: what the grant adds to the form
    """

    url: str
    grant_type: str
    client_id: str
    client_secret: str = field(repr=False)
    parameters: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def form(self) -> dict[str, str]:
        """The form's fields as Amazon names them; to be URL-encoded once."""
        fields = _Unseen(self.parameters, grant_type=self.grant_type)
        return _Unseen(fields, client_id=self.client_id, client_secret=self.client_secret)

    @property
    def identity(self) -> tuple[str, ...]:
        """Everything that decides which token comes back.

        The client secret is not part of it: refresh tokens belong to the client id, and a rotated secret must
        not throw good tokens away. It contains the refresh token: digest it before it is written anywhere.
        """
        return (self.url, self.client_id, self.grant_type, *(value for _, value in self.parameters))

    @property
    def refresh_token(self) -> str | None:
        """The refresh token it sends, if its grant has one."""
        return dict(self.parameters).get("refresh_token")

    def with_refresh_token(self, refresh_token: str) -> TokenRequest:
        """The same request with the refresh token that took the place of its own.

        :param refresh_token: from an earlier answer
        """
        return replace(self, parameters=(("refresh_token", refresh_token),))


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What Login with Amazon granted.

    :param access_token: the token
    :param lifetime: seconds it is valid from the moment the request was sent
    :param refresh_token: the one sent, or a new one; ``None`` where the grant has none
    :param scope: scope of a client-credentials token
    :param warnings: what was unusual about the answer, for the log
    """

    access_token: str = field(repr=False)
    lifetime: float
    refresh_token: str | None = field(default=None, repr=False)
    scope: str | None = None
    warnings: tuple[str, ...] = ()


def request_for(credential: Credential, scopes: Sequence[str] | None = None) -> TokenRequest:
    """Choose the grant: grantless if scopes are given, else the refresh token, else the credential's scopes.

    :param credential: who asks
    :param scopes: scopes of a grantless call; Amazon does not accept them together with a refresh token
    :raises ConfigurationError: if the credential has neither a refresh token nor scopes
    """
    if scopes:
        return client_credentials_request(credential, scopes)
    if credential.refresh_token:
        return _request(credential, "refresh_token", ("refresh_token", credential.refresh_token))
    if credential.scopes:
        return client_credentials_request(credential, credential.scopes)
    raise ConfigurationError("Neither a refresh token nor scopes: fill in the one that the API needs.")


def client_credentials_request(credential: Credential, scopes: Sequence[str]) -> TokenRequest:
    """Build the request for a token that belongs to the application alone (a grantless one).

    :param credential: who asks
    :param scopes: at least one, such as ``sellingpartnerapi::notifications``
    :raises ConfigurationError: if there is no scope
    """
    wanted = " ".join(sorted({scope.strip() for scope in scopes if scope.strip()}))
    if not wanted:
        raise ConfigurationError("A client-credentials token needs at least one scope.")
    return _request(credential, "client_credentials", ("scope", wanted))


def authorization_code_request(
    credential: Credential, code: str, *, redirect_uri: str | None = None, code_verifier: str | None = None
) -> TokenRequest:
    """Build the request that turns a consent's code into a refresh token.

    :param credential: the application; its refresh token is not used
    :param code: from the redirect; five minutes, single use
    :param redirect_uri: the one the consent page was opened with
    :param code_verifier: of a PKCE flow
    """
    extra = [("code", code)]
    extra += [("redirect_uri", redirect_uri)] if redirect_uri else []
    extra += [("code_verifier", code_verifier)] if code_verifier else []
    return _request(credential, "authorization_code", *extra)


def _request(credential: Credential, grant_type: str, *parameters: tuple[str, str]) -> TokenRequest:
    return TokenRequest(
        credential.token_url, grant_type, credential.client_id, credential.client_secret, parameters
    )


def exchange(door: Door, request: TokenRequest, *, budget: float) -> TokenAnswer:
    """Ask for a token, retrying what passes by itself within *budget*.

    :param door: the way to the network
    :param request: what to ask
    :param budget: seconds for all attempts together
    :raises CredentialError: at once, when Amazon refuses for good
    :raises TransientError: when the attempts or the budget are used up
    :raises TransportError: when this machine cannot connect safely
    """
    deadline = door.deadline(budget)
    return door.retrying(deadline)(
        lambda: judge(request, door.send("POST", request.url, form=request.form, deadline=deadline))
    )


def judge(request: TokenRequest, answer: Answer) -> TokenAnswer:
    """Read what the token endpoint answered.

    The error code decides first, the HTTP status second, the description never.

    :param request: what was asked
    :param answer: what came back
    :return: the token
    :raises CredentialError: refused for good
    :raises TransientError: no usable answer
    """
    body = _json_object(answer.body)
    if answer.status != 200 or body is None or "error" in body:  # noqa: PLR2004 - because 200 is clearest as itself
        _refuse(request, answer, body)
    return _read_token(answer, body)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):  # the former also for what is not UTF-8
        return None
    return _Unseen(value) if isinstance(value, dict) else None


def _refuse(request: TokenRequest, answer: Answer, body: dict[str, Any] | None) -> NoReturn:
    said = body or {}
    code = str(said.get("error") or "").strip().lower()
    host = urlsplit(request.url).hostname
    facts: dict[str, Any] = {
        "code": code or None,
        "description": said.get("error_description"),
        "status": answer.status,
        "request_id": said.get("request_id") or answer.header("x-amzn-requestid"),
        "retry_after": answer.retry_after,
    }
    if answer.redirects_to:
        elsewhere = (
            f"{host} redirects token requests to {answer.redirects_to}; no secret is sent after a redirect."
        )
        raise BadResponse(elsewhere, **facts)
    kind = _kind_of(request, answer, code, said)
    sentence = _SENTENCES.get(kind.kind, "Login with Amazon refused the token request")
    raise kind(f"{sentence} at {host}.", **facts)


_SENTENCES = {
    "revoked": "The refresh token is not accepted any more",
    "code_rejected": "The authorization code was not accepted",
    "client_rejected": "The client id and secret were not accepted",
    "client_unauthorized": "This client may not use this refresh token",
    "scope_denied": "The scope was not granted",
    "throttled": "Too many token requests",
    "unavailable": "Login with Amazon did not answer the token request",
    "bad_response": "What answered the token request is not Login with Amazon, or its answer was damaged,",
}


def _kind_of(request: TokenRequest, answer: Answer, code: str, said: dict[str, Any]) -> type[LwaError]:
    if answer.status == 429 or (answer.status >= _SERVER_ERROR and answer.retry_after is not None):  # noqa: PLR2004 - because 429 is clearest as itself
        return Throttled
    if answer.status >= _SERVER_ERROR or answer.status in _TRANSIENT_STATUS:
        return Unavailable
    if code:
        kind = TOKEN_ERRORS.get(code, TokenRequestRefused)
        return _by_grant(request, kind, said)
    if said.get("error_description") and answer.status >= 400:  # noqa: PLR2004 - because 400 is clearest as itself
        return _by_grant(request, TokenRequestRefused, said)
    return BadResponse


def _by_grant(request: TokenRequest, kind: type[LwaError], said: dict[str, Any]) -> type[LwaError]:
    """``invalid_grant`` means revoked only where a refresh token was sent."""
    about_code = str(said.get("error_description") or "").rstrip(" .").endswith("code")
    if request.grant_type == "authorization_code" and (
        kind is RefreshTokenRevoked or (kind is TokenRequestRefused and about_code)
    ):
        return AuthorizationCodeRejected
    if kind is RefreshTokenRevoked and request.grant_type != "refresh_token":
        return TokenRequestRefused
    return kind


def _read_token(answer: Answer, body: dict[str, Any]) -> TokenAnswer:
    token_type = body.get("token_type", "bearer")
    if not isinstance(token_type, str) or token_type.lower() != "bearer":
        raise _bad(answer, "bad_token_type", "Login with Amazon's answer holds a token of an unknown type.")
    lifetime, warnings = _lifetime(answer, body.get("expires_in"))
    if not _is_header_safe(body.get("access_token")):
        raise _bad(answer, "bad_token", "Login with Amazon's answer holds no usable access token.")
    token: str = body["access_token"]  # last, so that no traceback of the above can show it
    if len(token) > DOCUMENTED_MAX_TOKEN:
        warnings = (*warnings, f"the access token is {len(token)} bytes long, more than the documented 2048")
    refresh_token = body.get("refresh_token")
    scope = body.get("scope")
    return TokenAnswer(
        access_token=token,
        lifetime=lifetime,
        refresh_token=refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        scope=scope if isinstance(scope, str) else None,
        warnings=warnings,
    )


def _is_header_safe(token: object) -> bool:
    if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN:
        return False
    return token.isascii() and token.isprintable() and " " not in token


def _lifetime(answer: Answer, value: object) -> tuple[float, tuple[str, ...]]:
    if value is None:
        return DEFAULT_LIFETIME, ("expires_in is missing; 3600 seconds assumed",)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise _bad(answer, "bad_expires_in", "Login with Amazon's answer says no usable lifetime.")
    try:
        seconds = float(value)
    except ValueError:
        return DEFAULT_LIFETIME, ("expires_in is not a number; 3600 seconds assumed",)
    except OverflowError:
        seconds = MAX_LIFETIME
    if math.isnan(seconds) or seconds <= 0:
        raise _bad(answer, "bad_expires_in", "Login with Amazon's answer says no usable lifetime.")
    return min(seconds, MAX_LIFETIME), ()


def _bad(answer: Answer, code: str, message: str) -> BadResponse:
    return BadResponse(message, code=code, status=answer.status, request_id=answer.header("x-amzn-requestid"))
