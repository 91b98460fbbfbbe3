"""What one look at one credential showed, and what that means.

An :class:`Observation` is a fact: a connection, a moment, the layer that answered, and the kind of answer.
Its :class:`Verdict` is the judgement: how grave it is, whether waiting can mend it, and who has to act.
Amazon's error codes decide (RFC 6749 section 5.2, "Access token errors"); ``amazon/errors.py`` has already
translated them into kinds. Observations hold no secret and are plain JSON, so that they may pass through XCom
and triggers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

from airflow_provider_lwa.amazon.errors import (
    ApiError,
    ClientSecretExpired,
    ConfigurationError,
    LwaError,
    clean,
    redact,
)
from airflow_provider_lwa.health.plain import from_plain, to_plain
from airflow_provider_lwa.health.standing import Standing  # noqa: TC001 - because from_plain reads the annotation

Layer = Literal["local", "token", "api", "operation"]
Severity = Literal["info", "warning", "error", "critical"]
Addressee = Literal["nobody", "account owner", "application owner", "engineer", "platform team"]

#: From the connection over Login with Amazon and the API's cheapest call to what tasks do; proof at one layer
#: speaks for those before it.
LAYERS: tuple[Layer, ...] = ("local", "token", "api", "operation")
#: From quiet to loud.
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")

HEALTHY = "healthy"
#: The connection could not be read at all: the secrets backend or Airflow's own API did not answer.
SOURCE_ERROR = "source_error"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a kind of observation means.

    :param name: the class of the failure; one name may stand for several kinds
    :param headline: the same in a few words, for a title
    :param permanent: no waiting will mend it, so it is reported at once
    :param severity: how loudly
    :param addressee: who can mend it
    """

    name: str
    headline: str
    permanent: bool
    severity: Severity
    addressee: Addressee


_HEALTHY = Verdict(HEALTHY, "healthy", permanent=False, severity="info", addressee="nobody")
_UNAVAILABLE = Verdict("unavailable", "Amazon does not answer", False, "warning", "engineer")
_THROTTLED = Verdict("throttled", "Amazon asks to slow down", False, "warning", "engineer")
_UNEXPECTED = Verdict("unexpected", "the check met something unexpected", False, "warning", "engineer")

#: ``LwaError.kind`` -> verdict; the kinds of errors that no check of a credential can meet are left out.
VERDICTS: dict[str, Verdict] = {
    HEALTHY: _HEALTHY,
    "revoked": Verdict("revoked", "authorization revoked", True, "error", "account owner"),
    "client_rejected": Verdict(
        "client_rejected", "client secret rejected", True, "error", "application owner"
    ),
    "client_secret_expired": Verdict(
        "client_secret_expired", "client secret expired", True, "error", "application owner"
    ),
    "client_unauthorized": Verdict(
        "client_unauthorized", "application not authorized", True, "error", "application owner"
    ),
    "scope_denied": Verdict("scope_denied", "scope not granted", True, "error", "application owner"),
    "misconfigured": Verdict("misconfigured", "connection misconfigured", True, "error", "engineer"),
    "code_rejected": Verdict("code_rejected", "authorization code rejected", True, "error", "engineer"),
    "refused": Verdict("refused", "token request refused", True, "error", "engineer"),
    "broken": Verdict("broken", "credential broken", True, "error", "engineer"),
    "token_rejected": Verdict("token_rejected", "access token rejected", True, "error", "account owner"),
    "access_denied": Verdict("access_denied", "access denied", True, "error", "application owner"),
    "throttled": _THROTTLED,
    "quota": _THROTTLED,
    "unavailable": _UNAVAILABLE,
    "api_unavailable": _UNAVAILABLE,
    "transient": _UNAVAILABLE,
    "bad_response": Verdict("bad_response", "unreadable answer", False, "warning", "engineer"),
    "transport": Verdict("transport", "no safe line to Amazon", False, "warning", "engineer"),
    SOURCE_ERROR: Verdict(SOURCE_ERROR, "connection cannot be read", False, "warning", "platform team"),
}

#: Judgements that no single look gives: about time, about tasks, about the monitor itself.
OVERVIEWS: dict[str, Verdict] = {
    "operators_failing": Verdict(
        "operators_failing", "tasks fail although checks succeed", False, "warning", "engineer"
    ),
    "authorization_expiring": Verdict(
        "authorization_expiring", "authorization runs out", False, "warning", "account owner"
    ),
    "client_secret_expiring": Verdict(
        "client_secret_expiring", "client secret runs out", False, "warning", "application owner"
    ),
    "inventory_shrunk": Verdict("inventory_shrunk", "connections are missing", False, "error", "engineer"),
    "stale": Verdict("stale", "connections are not looked at", False, "warning", "engineer"),
}


def verdict(kind: str) -> Verdict:
    """Judge a kind of observation.

    :param kind: ``"healthy"``, ``"source_error"``, an ``LwaError.kind`` or a key of :data:`OVERVIEWS`
    :return: its verdict; for a kind not known here, that of something unexpected, never that of health
    """
    return VERDICTS.get(kind) or OVERVIEWS.get(kind, _UNEXPECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one look at one credential showed.

    :param conn_id: the Airflow connection
    :param at: when, in Unix seconds
    :param layer: how far the look went: the connection itself, Login with Amazon, or the API
    :param kind: ``"healthy"`` or the ``kind`` of the error met
    :param permanent: no waiting will mend it
    :param code: Amazon's error code
    :param description: Amazon's words, or ours where Amazon said nothing; shortened and redacted
    :param status: HTTP status
    :param request_id: Amazon's request id
    :param advice: what to do
    :param client_id: the application
    :param api: the API profile
    :param region: the profile's region
    :param owner: who is told, as the connection names them
    :param standing: what else the connection says; ``None`` if it could not be read
    """

    conn_id: str
    at: float
    layer: Layer
    kind: str
    permanent: bool = False
    code: str | None = None
    description: str | None = None
    status: int | None = None
    request_id: str | None = None
    advice: str | None = None
    client_id: str | None = None
    api: str | None = None
    region: str | None = None
    owner: str | None = None
    standing: Standing | None = None

    @classmethod
    def healthy(
        cls,
        conn_id: str,
        *,
        at: float,
        layer: Layer,
        client_id: str | None = None,
        api: str | None = None,
        region: str | None = None,
        owner: str | None = None,
        standing: Standing | None = None,
    ) -> Self:
        """Everything up to *layer* answered as it should.

        :param conn_id: the Airflow connection
        :param at: when, in Unix seconds
        :param layer: how far the proof goes
        :param client_id: the application
        :param api: the API profile
        :param region: the profile's region
        :param owner: who is told
        :param standing: what else the connection says
        """
        return cls(
            conn_id=conn_id,
            at=at,
            layer=layer,
            kind=HEALTHY,
            client_id=clean(client_id) or None,
            api=api,
            region=region,
            owner=clean(owner) or None,
            standing=standing,
        )

    @classmethod
    def of_error(
        cls,
        error: LwaError,
        *,
        at: float,
        layer: Layer | None = None,
        conn_id: str | None = None,
        client_id: str | None = None,
        api: str | None = None,
        region: str | None = None,
        owner: str | None = None,
        standing: Standing | None = None,
    ) -> Self:
        """The look ended with *error*.

        :param error: what was raised
        :param at: when, in Unix seconds
        :param layer: where it was raised; by default where errors of this class come from
        :param conn_id: the Airflow connection, if the error does not name it
        :param client_id: the application
        :param api: the API profile
        :param region: the profile's region
        :param owner: who is told
        :param standing: what else the connection says
        """
        return cls(
            conn_id=conn_id or error.conn_id or "",
            at=at,
            layer=layer or _layer_of(error),
            kind=error.kind,
            permanent=verdict(error.kind).permanent,
            code=error.code,
            description=_words_of(error),
            status=error.status,
            request_id=error.request_id,
            advice=redact(error.advice) or None,
            client_id=clean(client_id) or None,
            api=api,
            region=region,
            owner=clean(owner) or None,
            standing=standing,
        )

    @classmethod
    def unreadable(cls, conn_id: str, *, at: float, reason: str) -> Self:
        """The connection could not be read, so nothing is known about the credential.

        :param conn_id: the Airflow connection
        :param at: when, in Unix seconds
        :param reason: what reading it said
        """
        return cls(
            conn_id=conn_id,
            at=at,
            layer="local",
            kind=SOURCE_ERROR,
            description=clean(reason) or None,
            advice="Check that the connection exists and that Airflow's secrets backend answers.",
        )

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read back what :meth:`to_json` gave, trusting nothing.

        :param data: the parsed JSON
        :raises ValueError: if this is not an observation
        """
        return from_plain(cls, data)

    def to_json(self) -> dict[str, Any]:
        """Give the observation as plain JSON, without what is not set."""
        return to_plain(self)

    @property
    def is_healthy(self) -> bool:
        """Whether everything up to :attr:`layer` answered as it should."""
        return self.kind == HEALTHY

    @property
    def verdict(self) -> Verdict:
        """What this observation means."""
        return verdict(self.kind)


def line(observation: Observation) -> str:
    """Say in one line what was seen and what to do, as the Test button and the command line show it.

    :param observation: the outcome of one check
    :return: one line without secrets
    """
    if observation.is_healthy:
        return _HEALTHY_LINES[observation.layer]
    headline = observation.verdict.headline
    said = f": {observation.description}" if observation.description else "."
    if not said.endswith((".", "…", "!")):
        said += "."
    answer = facts(observation.status, observation.code, observation.request_id)
    advice = f" {observation.advice}" if observation.advice else ""
    text = f"{headline[0].upper()}{headline[1:]}{said}{f' ({answer})' if answer else ''}{advice}"
    return redact(" ".join(text.split()))


def facts(status: int | None, code: str | None, request_id: str | None) -> str:
    """List what Amazon's support asks for, as far as it is known.

    :param status: HTTP status
    :param code: Amazon's error code
    :param request_id: Amazon's request id
    """
    known = (
        f"HTTP {status}" if status else "",
        f"code {code}" if code else "",
        f"request id {request_id}" if request_id else "",
    )
    return ", ".join(fact for fact in known if fact)


_HEALTHY_LINES: dict[Layer, str] = {
    "local": "The connection is complete; Amazon was not asked.",
    "token": "Healthy: Login with Amazon gave an access token; the API itself was not asked.",
    "api": "Healthy: Login with Amazon gave an access token and the API accepted it.",
    "operation": "Healthy: a task's own call was accepted.",
}


def _layer_of(error: LwaError) -> Layer:
    if isinstance(error, ConfigurationError):
        return "local"
    return "api" if isinstance(error, (ApiError, ClientSecretExpired)) else "token"


def _words_of(error: LwaError) -> str | None:
    if isinstance(error, ConfigurationError):  # every problem counts, each within its own length
        return " ".join(clean(problem) for problem in error.problems) or None
    return error.description or clean(error.message) or None
