"""What is remembered of one credential, and how one more look changes it.

::

    unknown ──ok──► healthy ◄──── proof at the layer that failed; two in a row after an announced outage ────┐
    healthy ──permanent (confirmed, if the policy asks for it)──► broken ────────────────────────────────────┤
    healthy ──transient──► degraded ──often and long enough──► failing ──────────────────────────────────────┘
    broken + outage: stays broken, for the outage neither mends nor explains it
    broken + success at a lower layer: stays broken, for nothing was proven where it failed
    broken where only tasks get: until one of them succeeds, or none has met it for long and a look is healthy

Pure: the clock is an argument. A look that is not newer than the last one changes nothing, so that a task
that is run again does not count twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_lwa.amazon.errors import LwaError, clean
from airflow_provider_lwa.health.standing import UNKNOWN, Standing
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
    :param outage_of: this many credentials of one host in an announced outage are one outage of the host
    :param outage_share: if they are also this share of those that use it
    :param mass_of: this many authorizations of one application withdrawn in one cycle are one incident
    :param mass_share: if they are also this share of the application's
    :param complaints: this many failures of tasks, while looks see health, are worth a message
    :param complaints_within: if they come within this time
    :param complaints_last: a failure that only tasks met is over when none has met it for this long
    :param authorization_lasts: how long an account's authorization of a public application lasts
    :param client_secret_lasts: how long an application's client secret lasts
    :param expiry_days: how many days before its end a term is told of, each once
    :param expiry_error_days: from when on that is an error
    :param shrunk_share: this share of the connections gone at once is a mistake until it has lasted
    :param shrunk_by: if they are also this many; taking one of two out of service is an ordinary edit
    :param look_every: how often each credential should be looked at; three times that makes it stale
    """

    transient_failures: int = 3
    transient_for: timedelta = timedelta(minutes=30)
    recoveries: int = 2
    confirmations: int = 0
    repeat: timedelta = timedelta(hours=24)
    flapping_after: int = 4
    stable_for: timedelta = timedelta(hours=6)
    outage_of: int = 3
    outage_share: float = 0.5
    mass_of: int = 10
    mass_share: float = 0.2
    complaints: int = 3
    complaints_within: timedelta = timedelta(hours=1)
    complaints_last: timedelta = timedelta(hours=24)
    authorization_lasts: timedelta = timedelta(days=365)
    client_secret_lasts: timedelta = timedelta(days=180)
    expiry_days: tuple[int, ...] = (30, 14, 7, 3, 1, 0)
    expiry_error_days: int = 7
    shrunk_share: float = 0.2
    shrunk_by: int = 3
    look_every: timedelta = timedelta(hours=1)


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
    :param standing: what else the connection says
    :param seen: in trouble, the deepest layer at which a look failed
    :param reported: the trouble, or what is left of it, rests on the word of tasks alone
    :param heard: the last failure that a task reported
    :param complaints: the last failures that tasks reported while looks saw health
    :param disputed: tasks complain so often that it was told
    :param failures: how many failures tasks have reported of this trouble
    :param dag_ids: some of the DAGs that met it
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
    standing: Standing = UNKNOWN
    seen: Layer = "local"
    reported: bool = False
    heard: float = 0.0
    complaints: tuple[float, ...] = ()
    disputed: bool = False
    failures: int = 0
    dag_ids: tuple[str, ...] = ()

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


#: What each kind of error advises where the error itself said nothing else, and what each overview does.
ADVICE = {
    **_kinds(LwaError),
    "operators_failing": (
        "Compare the workers with the monitor: another network, an old connection or an old token on one of "
        "them, or a role that only these calls need."
    ),
    "authorization_expiring": (
        "Ask the account's owner to authorize the application again before that day, and store the new "
        "refresh token in the connection."
    ),
    "client_secret_expiring": (
        "Rotate the application's client secret before that day and store the new one in its connections. "
        "Account owners need not authorize again."
    ),
    "inventory_shrunk": (
        "Check what the monitor is told to watch. While this lasts, the missing ones are not being checked; "
        "if they are gone on purpose, do nothing."
    ),
    "stale": "See the log of the monitor's probe tasks. While this lasts, nobody knows whether these work.",
}


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
    known = _identity(record, seen)
    record = replace(record, checked=at, standing=_standing(record, seen, at), **known)
    if seen.is_healthy:
        return _after_success(record, seen.layer, at, policy)
    if seen.permanent:
        return refuse(record, seen, at, policy)
    return _after_outage(record, seen, at, policy)


def _identity(record: Record, seen: Observation) -> dict[str, Any]:
    """Take what the look knows of the connection; one that could not read it takes nothing away."""
    if seen.client_id is None:
        return {name: getattr(seen, name) or getattr(record, name) for name in ("api", "region", "owner")}
    return {"client_id": seen.client_id, "api": seen.api, "region": seen.region, "owner": seen.owner}


def _standing(record: Record, seen: Observation, at: float) -> Standing:
    return record.standing.followed_by(seen.standing, at) if seen.standing else record.standing


def _after_success(record: Record, layer: Layer, at: float, policy: AlertPolicy) -> Record:
    if record.state != "healthy" and not proves(layer, record.layer):
        left_to_tasks = layer != "local" and proves(layer, record.seen) and record.state == "broken"
        quiet = at - record.heard >= policy.complaints_last.total_seconds()
        if not (left_to_tasks and record.layer == "operation"):
            return record
        if not quiet:
            return replace(record, reported=True)
    if record.state == "failing" and record.recovered + 1 < policy.recoveries:
        return replace(record, recovered=record.recovered + 1, suspicions=0)
    since = record.since if record.state == "healthy" else at
    return mended(record, layer, at, since)


def mended(record: Record, layer: Layer, at: float, since: float) -> Record:
    """Give what is left of a record in health: nothing of its trouble.

    :param record: what was remembered
    :param layer: how far the proof goes
    :param at: when it was proven
    :param since: when health began
    """
    kept = {name: getattr(record, name) for name in ("complaints", "failures", "dag_ids")}
    return Record(
        conn_id=record.conn_id,
        state="healthy",
        kind=HEALTHY,
        layer=layer,
        since=since,
        checked=record.checked,
        good=at,
        client_id=record.client_id,
        api=record.api,
        region=record.region,
        owner=record.owner,
        standing=record.standing,
        heard=record.heard,
        disputed=record.disputed,
        **({} if record.is_ailing else kept),
    )


def refuse(record: Record, seen: Observation, at: float, policy: AlertPolicy) -> Record:
    """Change what is remembered by a permanent failure.

    :param record: what was remembered
    :param seen: the failure
    :param at: when
    :param policy: how often it must be seen
    """
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
        seen=max(record.seen, seen.layer, key=LAYERS.index) if began else seen.layer,
        recovered=0,
        reported=False,
        **{"since": record.since if began else at, "misses": 0, "suspicions": 0, **condition},
    )


def proves(layer: Layer, failed: Layer) -> bool:
    """Whether health at one layer says something about a failure at another.

    :param layer: where health was seen
    :param failed: where it had failed
    """
    return LAYERS.index(layer) >= LAYERS.index(failed)
