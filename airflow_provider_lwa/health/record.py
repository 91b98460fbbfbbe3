"""What is remembered of one credential, and how one more look changes it.

::

    unknown ──ok──► healthy ◄──── proof at the layer that failed; two in a row after an announced outage ────┐
    healthy ──permanent (confirmed, if the policy asks for it)──► broken ────────────────────────────────────┤
    healthy ──transient──► degraded ──often and long enough──► failing ──────────────────────────────────────┘
    broken + outage: stays broken, for the outage neither mends nor explains it
    broken + success at a lower layer: stays broken, for nothing was proven where it failed

Pure: the clock is an argument. A look that is not newer than the last one changes nothing, so that a task
that is run again does not count twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_lwa.amazon.errors import LwaError, clean
from airflow_provider_lwa.health.verdict import HEALTHY, LAYERS, Layer, Verdict, verdict

if TYPE_CHECKING:
    from airflow_provider_lwa.health.verdict import Observation

State = Literal["unknown", "healthy", "degraded", "failing", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPolicy:
    """When something is worth a message.

    :param transient_failures: this many failures in a row that may pass by themselves are an outage
    :param transient_for: if they also last this long
    :param recoveries: successes in a row that end an announced outage
    :param confirmations: further looks that must agree before a permanent failure is believed
    :param repeat: time between reminders of something still broken; warnings are not repeated
    :param flapping_after: openings and changes of one incident within a day that make it flapping
    :param stable_for: a flapping incident is over only after this long in health
    """

    transient_failures: int = 3
    transient_for: timedelta = timedelta(minutes=30)
    recoveries: int = 2
    confirmations: int = 0
    repeat: timedelta = timedelta(hours=24)
    flapping_after: int = 4
    stable_for: timedelta = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The condition of one credential.

    :param conn_id: the Airflow connection
    :param state: ``degraded`` and the pending suspicion are known but not announced
    :param kind: of the last look that counted
    :param layer: in health, how far the proof goes; in trouble, the last layer that failed
    :param since: when health, the outage or this class of breakage began
    :param checked: the last look
    :param good: the last proof of health
    :param misses: transient failures in a row
    :param recovered: successes in a row since an announced outage
    :param suspicions: permanent failures in a row that still want confirmation
    :param code: Amazon's error code
    :param description: Amazon's words, shortened
    :param status: HTTP status
    :param request_id: Amazon's request id
    :param advice: what to do, where it is not what this kind always advises
    :param client_id: the application
    :param api: the API profile
    :param region: the profile's region
    :param owner: who is told
    """

    conn_id: str
    state: State = "unknown"
    kind: str = ""
    layer: Layer = "local"
    since: float = 0.0
    checked: float = 0.0
    good: float | None = None
    misses: int = 0
    recovered: int = 0
    suspicions: int = 0
    code: str | None = None
    description: str | None = None
    status: int | None = None
    request_id: str | None = None
    advice: str | None = None
    client_id: str | None = None
    api: str | None = None
    region: str | None = None
    owner: str | None = None

    @property
    def is_ailing(self) -> bool:
        """Whether it is in trouble that is announced."""
        return self.state in ("failing", "broken")

    @property
    def verdict(self) -> Verdict:
        """What the last look that counted means."""
        return verdict(self.kind)

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return self.advice or ADVICE.get(self.kind, "")


def _kinds(root: type[LwaError]) -> dict[str, str]:
    advice = {root.kind: root.default_advice}
    for kind in root.__subclasses__():
        advice = {**_kinds(kind), **advice}
    return advice


#: What each kind of error advises where the error itself said nothing else.
ADVICE = _kinds(LwaError)


def observe(record: Record, seen: Observation, now: float, policy: AlertPolicy) -> Record:
    """Change what is remembered by one more look.

    :param record: what was remembered
    :param seen: the look
    :param now: the present, in Unix seconds; a look from the future counts as of now
    :param policy: how much it takes
    :return: what is remembered from now on
    """
    at = min(seen.at, now)
    if at <= record.checked:
        return record
    record = replace(record, checked=at, **_identity(record, seen))
    if seen.is_healthy:
        return _after_success(record, seen.layer, at, policy)
    if seen.permanent:
        return _after_refusal(record, seen, at, policy)
    return _after_outage(record, seen, at, policy)


def _identity(record: Record, seen: Observation) -> dict[str, Any]:
    """Take what the look knows of the connection; one that could not read it takes nothing away."""
    if seen.client_id is None:
        return {name: getattr(seen, name) or getattr(record, name) for name in ("api", "region", "owner")}
    return {"client_id": seen.client_id, "api": seen.api, "region": seen.region, "owner": seen.owner}


def _after_success(record: Record, layer: Layer, at: float, policy: AlertPolicy) -> Record:
    if record.state != "healthy" and not _proves(layer, record.layer):
        return record
    if record.state == "failing" and record.recovered + 1 < policy.recoveries:
        return replace(record, recovered=record.recovered + 1, suspicions=0)
    since = record.since if record.state == "healthy" else at
    return Record(
        conn_id=record.conn_id,
        state="healthy",
        kind=HEALTHY,
        layer=layer,
        since=since,
        checked=at,
        good=at,
        client_id=record.client_id,
        api=record.api,
        region=record.region,
        owner=record.owner,
    )


def _after_refusal(record: Record, seen: Observation, at: float, policy: AlertPolicy) -> Record:
    if record.state == "broken" or record.suspicions >= policy.confirmations:
        same = record.verdict is seen.verdict and (record.state == "broken" or record.suspicions > 0)
        return _in_trouble(record, seen, at, state="broken", since=record.since if same else at)
    state: State = "failing" if record.state == "failing" else "degraded"
    return _in_trouble(record, seen, at, state=state, suspicions=record.suspicions + 1, misses=record.misses)


def _after_outage(record: Record, seen: Observation, at: float, policy: AlertPolicy) -> Record:
    if record.state == "broken":
        return record
    misses = record.misses + 1
    since = record.since if record.state in ("degraded", "failing") else at
    lasting = misses >= policy.transient_failures and at - since >= policy.transient_for.total_seconds()
    state: State = "failing" if lasting or record.state == "failing" else "degraded"
    return _in_trouble(record, seen, at, state=state, misses=misses, suspicions=record.suspicions)


def _in_trouble(record: Record, seen: Observation, at: float, **condition: Any) -> Record:
    """Take over the reason; trouble is as deep as its deepest failure."""
    began = record.state in ("degraded", "failing", "broken")
    default = ADVICE.get(seen.kind)
    return replace(
        record,
        kind=seen.kind,
        layer=max(record.layer, seen.layer, key=LAYERS.index) if began else seen.layer,
        code=clean(seen.code) or None,
        description=clean(seen.description) or None,
        status=seen.status,
        request_id=clean(seen.request_id) or None,
        advice=None if seen.advice == default else clean(seen.advice) or None,
        recovered=0,
        **{"since": record.since if began else at, "misses": 0, "suspicions": 0, **condition},
    )


def _proves(layer: Layer, failed: Layer) -> bool:
    return LAYERS.index(layer) >= LAYERS.index(failed)
