"""What can go wrong, as a tree that both people and programs can read.

::

    LwaError                            everything below; carries advice, Amazon's code and request id
     ├── ConfigurationError             found before any request: fields missing, contradictory, malformed
     ├── CredentialError                permanent: somebody has to act; never retried
     │    ├── RefreshTokenRevoked       invalid_grant on a refresh token: withdrawn, expired, another's
     │    ├── AuthorizationCodeRejected invalid_grant on a code: five minutes, single use
     │    ├── ClientRejected            invalid_client: client id or secret wrong
     │    ├── ClientUnauthorized        unauthorized_client: token or client not meant for each other
     │    ├── ScopeNotGranted           invalid_scope, access_denied
     │    ├── TokenRequestRefused       invalid_request, unsupported_grant_type, any unknown 4xx
     │    └── ClientSecretExpired       the API says so although LWA still hands out tokens
     ├── TransientError                 passes by itself; retried within bounds
     │    ├── Throttled                 429, or any answer with Retry-After
     │    ├── Unavailable               5xx, no connection, timeout, cut answer
     │    └── BadResponse               an answer that is not what the document describes (proxy, portal)
     ├── TransportError                 this machine: TLS verification, certificate path, proxy address
     ├── ApiError                       an Amazon API refused a call
     │    ├── AccessTokenRejected       the token is too old or malformed: one refresh may help
     │    ├── AccessDenied              role, path, region: not a matter of the token
     │    ├── InvalidInput              400: Amazon names what it does not like
     │    ├── NotFound                  404
     │    ├── QuotaExceeded             429 (transient)
     │    └── ApiUnavailable            5xx (transient)
     ├── ReportError                    a report that ended without a document
     │    ├── ReportCancelled           by request, or because there is no data
     │    ├── ReportFatal               Amazon could not make it
     │    └── ReportTimeout             not ready in the time allowed
     └── DocumentError                  a document that could not be fetched or read whole
          ├── DocumentUrlExpired        a fresh address is needed
          ├── DocumentTruncated         the bytes ended early (transient)
          └── DocumentUndecodable       not gzip, or not text in the charset it should be in

Every error pickles with all its attributes and holds no secret: texts from Amazon are shortened and
redacted by shape before they are kept. The wire codes are those of RFC 6749 section 5.2 and of Amazon's
"Access token errors".
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Self

_MAX_DESCRIPTION = 200
_SECRET_SHAPES = re.compile(
    r"(Atz[ar]|Atc|Atz\.sprdt)(\||%7C)[^\s\"'&,;<>]+"  # access, refresh, client and restricted data tokens
    r"|amzn1\.oa2-cs\.[^\s\"'&,;<>]+"  # client secrets
    r"|(?<=X-Amz-Signature=)[0-9A-Za-z%]+"  # what makes a pre-signed address a key
    r"|(?<=X-Amz-Security-Token=)[0-9A-Za-z%+/=]+"
    r"|(?<=://)[^\s/@]*:[^\s/@]*(?=@)",  # user and password in the address of somebody's database or store
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """Replace everything in *text* that has the shape of a Login with Amazon secret.

    :param text: any text, such as a message of Amazon's
    :return: the text with tokens, client secrets and signatures replaced by ``***``
    """
    return _SECRET_SHAPES.sub("***", text)


def clean(text: object) -> str:
    """Make a text from outside fit to be kept: printable, one line, 200 characters, redacted.

    :param text: anything; other than text becomes ``""``
    """
    if not isinstance(text, str):
        return ""
    redacted = redact(text)
    line = " ".join("".join(ch if ch.isprintable() else " " for ch in redacted).split())
    return line if len(line) <= _MAX_DESCRIPTION else line[: _MAX_DESCRIPTION - 1] + "…"


class LwaError(Exception):
    """The root of the tree.

    :param message: what happened, without secrets
    :param advice: what the reader should do; each class has one of its own
    :param conn_id: the Airflow connection it happened to
    :param code: Amazon's error code
    :param description: Amazon's own words; shortened and redacted here
    :param status: HTTP status of the answer
    :param request_id: Amazon's request id, for a support case
    :param retry_after: seconds to wait before the next attempt
    """

    kind: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    default_advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        advice: str | None = None,
        conn_id: str | None = None,
        code: str | None = None,
        description: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = redact(message)
        super().__init__(self.message)
        self.advice = self.default_advice if advice is None else advice
        self.conn_id = conn_id
        self.code = clean(code) or None
        self.description = clean(description) or None
        self.status = status
        self.request_id = clean(request_id) or None
        self.retry_after = retry_after

    def with_connection(self, conn_id: str) -> Self:
        """Name the connection this happened to, unless one is named already.

        :param conn_id: Airflow connection id
        :return: this error
        """
        if self.conn_id is None:
            self.conn_id = conn_id
        return self

    def __str__(self) -> str:
        """What happened, which connection, what Amazon said, what to do; in one line."""
        where = f"Connection {self.conn_id}: " if self.conn_id else ""
        said = f" Amazon said: {self.description}" if self.description else ""
        said = f"{said}{'' if not said or said.endswith('.') else '.'}"
        facts = [f"HTTP {self.status}" if self.status else "", f"code {self.code}" if self.code else ""]
        facts.append(f"request id {self.request_id}" if self.request_id else "")
        known = ", ".join(fact for fact in facts if fact)
        advice = f" {self.advice}" if self.advice else ""
        return f"{where}{self.message}{said}{f' ({known})' if known else ''}{advice}"

    def __repr__(self) -> str:
        """Class and text; the text holds no secret."""
        return f"{type(self).__name__}({str(self)!r})"

    def to_json(self) -> dict[str, Any]:
        """What :func:`from_json` needs to make this error again, as plain JSON without secrets."""
        return {"class": type(self).__name__, **self.__dict__}

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep every attribute when an error crosses a process."""
        return (_rebuild, (type(self), self.message, self.__dict__.copy()))


def from_json(data: object) -> LwaError:
    """Make an error again that travelled as JSON, such as in a trigger's event.

    :param data: of :meth:`LwaError.to_json`
    :return: the error; of the root class where the data names none that is known
    """
    said = data if isinstance(data, dict) else {}
    kind = _tree().get(str(said.get("class")), LwaError)
    attributes = {name: said.get(name, unset) for name, unset in kind("").__dict__.items()}
    attributes["message"] = attributes["message"] or "It failed; what happened was not passed on."
    return _rebuild(kind, str(attributes["message"]), attributes)


def _tree(root: type[LwaError] | None = None) -> dict[str, type[LwaError]]:
    top = root or LwaError
    found = {top.__name__: top}
    for kind in top.__subclasses__():
        if kind.__module__ == __name__:
            found |= _tree(kind)
    return found


def _rebuild(kind: type[LwaError], message: str, attributes: dict[str, Any]) -> LwaError:
    error = kind.__new__(kind)
    Exception.__init__(error, message)
    error.__dict__.update(attributes)
    return error


class ConfigurationError(LwaError):
    """Something is missing, contradictory or malformed; no request was made.

    :param problems: each problem in a sentence; all are named at once
    """

    kind = "misconfigured"

    def __init__(self, problems: list[str] | str, **attributes: Any) -> None:
        given = [problems] if isinstance(problems, str) else problems
        self.problems = [redact(problem) for problem in given]
        super().__init__(" ".join(self.problems), **attributes)


class CredentialError(LwaError):
    """The credential does not work and no waiting will mend it.

    :param first_seen: Unix time at which this failure was first met
    :param remembered: whether this was answered from memory, without asking Amazon again
    """

    kind = "broken"

    def __init__(
        self, message: str, *, first_seen: float | None = None, remembered: bool = False, **attributes: Any
    ) -> None:
        super().__init__(message, **attributes)
        self.first_seen = first_seen
        self.remembered = remembered


class RefreshTokenRevoked(CredentialError):
    """``invalid_grant``: the refresh token was withdrawn, is past its time, or belongs to another client."""

    kind = "revoked"
    default_advice = (
        "Ask the account's owner to authorize the application again, and store the new refresh token in the "
        "connection."
    )


class AuthorizationCodeRejected(CredentialError):
    """``invalid_grant`` or ``invalid_request`` on a code: it lives five minutes and works once."""

    kind = "code_rejected"
    default_advice = (
        "Authorization codes live five minutes, work once, and only with the redirect URI they were made "
        "for: open the consent page again."
    )


class ClientRejected(CredentialError):
    """``invalid_client``: Amazon does not accept this client id with this client secret."""

    kind = "client_rejected"
    default_advice = (
        "Put the application's current client secret into the connection; a secret replaced by rotation "
        "stops working after its overlap. Account owners need not authorize again."
    )


class ClientUnauthorized(CredentialError):
    """``unauthorized_client``: the refresh token is another client's, or an app id stands for a client id."""

    kind = "client_unauthorized"
    default_advice = (
        "Check that the refresh token was made for this client id (amzn1.application-oa2-client.…, not the "
        "application id) and that the application is attached to the API."
    )


class ScopeNotGranted(CredentialError):
    """``invalid_scope`` or ``access_denied``: the client may not ask for this scope."""

    kind = "scope_denied"
    default_advice = (
        "Check the spelling of the scope, and attach the security profile to that API in Amazon's developer "
        "console."
    )


class TokenRequestRefused(CredentialError):
    """Any other refusal of a token request; waiting does not help, but it is not a revocation either."""

    kind = "refused"
    default_advice = "Check the connection's API, grant and scopes against Amazon's documentation."


class ClientSecretExpired(CredentialError):
    """The API refuses every call, the client secret being past its 180 days, although LWA still answers."""

    kind = "client_secret_expired"
    default_advice = (
        "Rotate the application's client secret and store the new one in the connection; if calls are still "
        "refused, authorize the application again."
    )


class TransientError(LwaError):
    """Passes by itself; worth another attempt later."""

    kind = "transient"
    retryable = True


class Throttled(TransientError):
    """Amazon asks to slow down; ``retry_after`` is how long, in seconds, if it says."""

    kind = "throttled"
    default_advice = "Fewer requests, or wait; the next attempt may succeed."


class Unavailable(TransientError):
    """No usable answer: server error, timeout, reset, name resolution."""

    kind = "unavailable"
    default_advice = "Wait and try again; if it lasts, check the network and Amazon's status page."


class BadResponse(TransientError):
    """An answer, but not the one the document describes: HTML of a proxy, no token, a cut body."""

    kind = "bad_response"
    default_advice = "Often a proxy or captive portal in between; check what answers in Amazon's place."


class TransportError(LwaError):
    """The local machine cannot speak to Amazon safely: certificate, certificate path, proxy address."""

    kind = "transport"
    default_advice = (
        "Check the proxy settings and the certificate authorities of this machine. No secret was sent."
    )


class ApiError(LwaError):
    """An Amazon API refused a call.

    :param operation: method and path template of the call
    """

    kind = "api_error"

    def __init__(self, message: str, *, operation: str | None = None, **attributes: Any) -> None:
        super().__init__(message, **attributes)
        self.operation = operation


class AccessTokenRejected(ApiError):
    """The token is expired or malformed in the API's eyes, also after one refresh."""

    kind = "token_rejected"
    default_advice = (
        "Run the connection's check; if Login with Amazon accepts it, the account has to authorize again."
    )


class AccessDenied(ApiError):
    """The token is good but this call is not allowed: role, path, region, account type, restricted data."""

    kind = "access_denied"
    default_advice = (
        "Not a revoked credential. Check in this order: the application's role for this operation (and that "
        "the account authorized after it was added), the path, the region of the connection, seller versus "
        "vendor, and whether "
        "the operation needs a restricted data token."
    )


class InvalidInput(ApiError):
    """Amazon does not accept the parameters; ``description`` holds its words."""

    kind = "invalid_input"
    default_advice = "Correct the parameter Amazon names."


class NotFound(ApiError):
    """The resource does not exist, or no longer."""

    kind = "not_found"


class QuotaExceeded(ApiError):
    """Too many calls of this operation for this application and account."""

    kind = "quota"
    retryable = True
    default_advice = "Spread the calls; the quota counts all processes of the application for this account."


class ApiUnavailable(ApiError):
    """The API is not answering properly right now."""

    kind = "api_unavailable"
    retryable = True


class ReportError(LwaError):
    """A report ended without the document asked for.

    :param report_id: Amazon's id of the report
    :param report_type: what was asked for
    """

    kind = "report"

    def __init__(
        self, message: str, *, report_id: str | None = None, report_type: str | None = None, **attributes: Any
    ) -> None:
        super().__init__(message, **attributes)
        self.report_id = report_id
        self.report_type = report_type


class ReportCancelled(ReportError):
    """Amazon cancelled the report: on request, or because there is no data for it."""

    kind = "report_cancelled"
    default_advice = (
        "Amazon does not tell a cancelled report from one without data: widen the dates, or accept it with "
        "on_no_data."
    )


class ReportFatal(ReportError):
    """Amazon could not make the report; ``description`` holds its explanation where it gave one."""

    kind = "report_fatal"
    default_advice = (
        "Correct what Amazon names; a report asked for again too soon also ends this way (30 minutes to 4 "
        "hours for FBA)."
    )


class ReportTimeout(ReportError):
    """The report was not ready in the time allowed; it goes on at Amazon and a retry finds it again."""

    kind = "report_timeout"
    retryable = True
    default_advice = "Retry the task: it goes on with the same report where it can. Or allow more time."


class DocumentError(LwaError):
    """A document could not be fetched or read whole; nothing was left at the target."""

    kind = "document"


class DocumentUrlExpired(DocumentError):
    """The pre-signed address is past its minutes; a fresh one is needed."""

    kind = "document_url_expired"
    retryable = True


class DocumentTruncated(DocumentError):
    """The bytes ended before the document did."""

    kind = "document_truncated"
    retryable = True


class DocumentUndecodable(DocumentError):
    """The bytes are not in the compression or charset they should be in."""

    kind = "document_undecodable"
    default_advice = (
        "Name the charset with the encoding parameter, or take the bytes as they are with encoding=None."
    )


#: Login with Amazon's error codes and what they mean for a token request (compared without regard to case).
TOKEN_ERRORS: dict[str, type[LwaError]] = {
    "invalid_grant": RefreshTokenRevoked,
    "invalid_client": ClientRejected,
    "unauthorized_client": ClientUnauthorized,
    "invalid_scope": ScopeNotGranted,
    "access_denied": ScopeNotGranted,
    "invalid_request": TokenRequestRefused,
    "unsupported_grant_type": TokenRequestRefused,
    "server_error": Unavailable,
    "servererror": Unavailable,
    "temporarily_unavailable": Unavailable,
    "unknown_error": Unavailable,
}
