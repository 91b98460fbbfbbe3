"""From looks at credentials to what has to be told, each breakage once.

:func:`cycle` is one step of a single writer: observations in, notifications out, and the state that the next
step starts from. The state is plain JSON, so it fits a Variable (:mod:`~airflow_provider_lwa.health.memory`).
Records say how each credential is (:mod:`~airflow_provider_lwa.health.record`); incidents say what people
have been told. Both are kept apart, because one incident can speak for many credentials
(:mod:`~airflow_provider_lwa.health.grouping`): a rejected client secret is one breakage of the application,
not two hundred of its accounts.

========  =======================================================================================
phase     when
========  =======================================================================================
firing    a permanent failure was seen, an outage has lasted, or something runs out soon
update    the same incident is now of another class, louder, twice as wide, or nearer to its day
reminder  it is still open a day later (errors only)
resolved  every credential in it was seen healthy at the layer that had failed
closed    its credentials are no longer watched; nothing was proven
========  =======================================================================================

A silenced credential is told of when its silence ends, if it is still broken then; ends are always told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_lwa.health import expiry
from airflow_provider_lwa.health.grouping import INVENTORY, Grouping
from airflow_provider_lwa.health.memory import EVERYTHING, OF_TROUBLE, About, Incident, Memory, plain, read
from airflow_provider_lwa.health.record import ADVICE, Record, observe
from airflow_provider_lwa.health.reports import hear, weigh
from airflow_provider_lwa.health.verdict import LAYERS, SEVERITIES, Layer, Severity, verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from airflow_provider_lwa.health.grouping import Topic
    from airflow_provider_lwa.health.record import AlertPolicy
    from airflow_provider_lwa.health.reports import Report
    from airflow_provider_lwa.health.verdict import Observation

__all__ = ["EVERYTHING", "Cycle", "Incident", "Memory", "Notification", "cycle", "read"]

Phase = Literal["firing", "update", "reminder", "resolved", "closed"]

#: Answers that Login with Amazon gives only to a client it has accepted, or that come from behind it.
_CLIENT_ACCEPTED = frozenset({"revoked", "scope_denied", "access_denied", "token_rejected"})
#: The verdicts of incidents whose members need not be in trouble.
_KINDS: dict[About, str] = {
    "operators": "operators_failing",
    "authorization": "authorization_expiring",
    "client_secret": "client_secret_expiring",
    "inventory": "inventory_shrunk",
    "stale": "stale",
}
_EXPIRING: frozenset[About] = frozenset({"authorization", "client_secret"})
_OF_THE_MONITOR: frozenset[About] = frozenset({"inventory", "stale"})
_DAY = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One thing to tell; :mod:`~airflow_provider_lwa.health.wording` puts it into words.

    :param phase: see the table above
    :param key: the same for every notification of one incident
    :param kind: name of the verdict
    :param severity: how loudly
    :param at: when it was made
    :param since: when the trouble began
    :param conn_ids: the connections it is about
    :param remedy: what to do
    :param layer: the last layer that failed
    :param good: the last proof of health
    :param next_at: when the next reminder is due
    :param before: verdict told before, in an update of the class
    :param working: other connections of the same application that are healthy
    :param flapping: it opens and closes so often that it will be over only after a time in health
    :param memory_lost: what was told before is not known; this may be a repetition
    :param about: what the incident speaks of
    :param place: the host that does not answer
    :param total: how many connections there are, of which it is about some
    :param outdated: the working ones hold another client secret
    :param days: threshold reached, if something runs out
    :param ends: when it runs out
    :param failures: how many failures tasks have reported
    :param dag_ids: some of the DAGs that met it
    :param code: Amazon's error code
    :param description: Amazon's words
    :param status: HTTP status
    :param request_id: Amazon's request id
    :param client_id: the application
    :param api: the API profile
    :param region: the profile's region
    :param owners: who is told
    """

    phase: Phase
    key: str
    kind: str
    severity: Severity
    at: float
    since: float
    conn_ids: tuple[str, ...]
    remedy: str = ""
    layer: Layer = "local"
    good: float | None = None
    next_at: float | None = None
    before: str | None = None
    working: int = 0
    flapping: bool = False
    memory_lost: bool = False
    about: About = "credential"
    place: str | None = None
    total: int = 0
    outdated: bool = False
    days: int | None = None
    ends: float | None = None
    failures: int = 0
    dag_ids: tuple[str, ...] = ()
    code: str | None = None
    description: str | None = None
    status: int | None = None
    request_id: str | None = None
    client_id: str | None = None
    api: str | None = None
    region: str | None = None
    owners: tuple[str, ...] = ()

    @property
    def of_application(self) -> bool:
        """Whether it is about the application's client secret, not about a single connection."""
        return self.about == "application"


@dataclass(frozen=True, slots=True)
class Cycle:
    """The outcome of one step.

    :param state: plain JSON for the next step
    :param notifications: what has to be told now
    :param lost: connections and incidents whose part of the old state was unreadable; ``"*"`` for all of it
    """

    state: dict[str, Any]
    notifications: tuple[Notification, ...]
    lost: tuple[str, ...] = ()


def cycle(
    now: float,
    observations: Iterable[Observation],
    state: object,
    policy: AlertPolicy,
    *,
    deployment: str = "airflow",
    inventory: Collection[str] | None = None,
    reports: Iterable[Report] = (),
) -> Cycle:
    """Take one step.

    :param now: the present, in Unix seconds
    :param observations: what was seen since the last step, of any of the connections
    :param state: what the last step returned; ``None`` at the first
    :param policy: when something is worth a message
    :param deployment: names this Airflow in the keys, so that two of them can share one pager
    :param inventory: the connections in service; records of others are closed. ``None`` closes none
    :param reports: what tasks met, read before looking; those of earlier steps may be among them
    :return: the new state, what to tell, and what could not be read of the old state
    """
    past = read(state)
    records = _learn(past.records, list(observations), list(reports), now, policy)
    missing: frozenset[str] = frozenset()
    if inventory is not None:
        grouping = Grouping(now, policy, deployment, {}, {}, past.incidents)
        missing = _missing(past, records, inventory, now, policy, grouping.key(INVENTORY))
        records = {name: record for name, record in records.items() if name in inventory or name in missing}
    grouping = Grouping(now, policy, deployment, records, past.records, past.incidents, missing)
    desk = _Desk(now, policy, records, grouping.secrets_end, frozenset(past.lost))
    groups = grouping.groups()
    incidents: dict[str, Incident] = {}
    notifications: list[Notification] = []
    for key in sorted(groups.keys() | past.incidents.keys()):
        incident, notification = desk.settle(key, past.incidents.get(key), groups.get(key))
        if incident is not None and (incident.open or incident.changes):
            incidents[key] = incident
        if notification is not None:
            notifications.append(notification)
    return Cycle(plain(now, records, incidents), tuple(notifications), past.lost)


def _learn(
    known: Mapping[str, Record],
    observations: list[Observation],
    reports: list[Report],
    now: float,
    policy: AlertPolicy,
) -> dict[str, Record]:
    """Take in what tasks said and what looks saw; forget what is out of service."""
    records = dict(known)
    healthy = {seen.conn_id for seen in observations if seen.is_healthy}
    said: dict[str, list[Report]] = {}
    for report in reports:
        said.setdefault(report.conn_id, []).append(report)
    for conn_id, theirs in said.items():
        before = records.get(conn_id, Record(conn_id=conn_id))
        records[conn_id] = hear(before, theirs, now, policy, contradicted=conn_id in healthy)
    for seen in sorted(observations, key=lambda one: one.at):
        before = records.get(seen.conn_id, Record(conn_id=seen.conn_id))
        records[seen.conn_id] = observe(before, seen, now, policy)
    return {
        conn_id: weigh(record, now, policy)
        for conn_id, record in records.items()
        if not record.standing.retired
    }


def _missing(
    past: Memory,
    records: Mapping[str, Record],
    inventory: Collection[str],
    now: float,
    policy: AlertPolicy,
    key: str,
) -> frozenset[str]:
    """Name the connections that are gone in such a number that it must be taken for a mistake.

    A list that stays shorter for a day is believed; an empty one never.
    """
    known = past.records.keys() & records.keys()
    gone = known - set(inventory)
    if not inventory:
        return frozenset(gone)
    incident = past.incidents.get(key)
    if incident and incident.open and now - incident.since >= policy.repeat.total_seconds():
        return frozenset()
    many = len(gone) >= max(policy.shrunk_by, policy.shrunk_share * len(known))
    return frozenset(gone) if many else frozenset()


@dataclass(frozen=True, slots=True)
class _Desk:
    """Decides for one incident after the other what people hear of it now."""

    now: float
    policy: AlertPolicy
    records: Mapping[str, Record]
    secrets_end: Mapping[str, float]
    lost: frozenset[str]

    def settle(
        self, key: str, incident: Incident | None, group: tuple[Topic, list[Record]] | None
    ) -> tuple[Incident | None, Notification | None]:
        """Bring one incident up to the present.

        :param key: the incident's
        :param incident: what was told so far; ``None`` for a new one
        :param group: credentials it speaks for now; ``None`` only for an incident that exists
        """
        if incident is not None:
            incident = replace(incident, changes=tuple(at for at in incident.changes if at > self.now - _DAY))
            if group is None:
                return self._end(key, incident) if incident.open else (incident, None)
        assert group is not None
        topic, members = group
        hushed = topic.about not in _OF_THE_MONITOR and all(map(self._is_muted, members))
        if incident is None or not incident.open:
            if hushed:
                return incident, None
            changes = (*(incident.changes if incident else ()), self.now)
            return self._fire(key, replace(self._picture(topic, members), changes=changes), members)
        return self._go_on(key, incident, topic, members, hushed=hushed)

    def _is_muted(self, record: Record) -> bool:
        return record.standing.muted_until is not None and self.now < record.standing.muted_until

    def _picture(self, topic: Topic, members: list[Record]) -> Incident:
        """Draw the incident as it would be told now."""
        days = self._days(topic.about, members[0])
        kinds = Counter(record.verdict.name for record in members)
        kind = _KINDS.get(topic.about) or min(kinds, key=lambda name: (-kinds[name], name))
        ailing = topic.about in OF_TROUBLE
        return Incident(
            kind=kind,
            severity=self._severity(topic, kind, members, days),
            layer=max((record.layer for record in members), key=LAYERS.index) if ailing else "local",
            since=min(record.since for record in members) if ailing else self.now,
            told=self.now,
            members=tuple(sorted(record.conn_id for record in members)),
            wide=len(members),
            about=topic.about,
            client_id=topic.client_id,
            place=topic.place,
            days=days,
        )

    def _severity(self, topic: Topic, kind: str, members: list[Record], days: int | None) -> Severity:
        if topic.about == "revocations":
            return "critical"
        if topic.about == "application":
            return "error" if self._working(topic.client_id, members) else "critical"
        if days is not None and days <= self.policy.expiry_error_days:
            return "error"
        return verdict(kind).severity

    def _ends(self, about: About, record: Record) -> float | None:
        if about == "authorization":
            return expiry.authorization_ends(record, self.policy)
        return self.secrets_end.get(record.client_id or "") if about == "client_secret" else None

    def _days(self, about: About, record: Record) -> int | None:
        return expiry.step(self._ends(about, record), self.now, self.policy)

    def _working(self, client_id: str | None, members: list[Record]) -> list[Record]:
        """Give the application's healthy connections, except for those that hold the same secret."""
        rejected = {record.standing.client_print for record in members} - {None}
        return [
            record
            for record in self._of(client_id)
            if record.state == "healthy" and record.standing.client_print not in rejected
        ]

    def _of(self, client_id: str | None) -> list[Record]:
        return [record for record in self.records.values() if client_id and record.client_id == client_id]

    def _fire(self, key: str, incident: Incident, members: list[Record]) -> tuple[Incident, Notification]:
        lost = not self.lost.isdisjoint({EVERYTHING, key, *incident.members})
        return incident, replace(self._notification("firing", key, incident, members), memory_lost=lost)

    def _go_on(
        self, key: str, incident: Incident, topic: Topic, members: list[Record], *, hushed: bool
    ) -> tuple[Incident, Notification | None]:
        now = self._picture(topic, members)
        now = replace(
            now,
            severity=max(now.severity, incident.severity, key=SEVERITIES.index),
            since=min(now.since, incident.since),
            changes=incident.changes,
            members=tuple(sorted({*now.members, *self._lingering(incident)})),
        )
        silent = replace(incident, members=now.members, layer=now.layer, hushed=hushed)
        if hushed:
            return silent, None
        if self._is_news(incident, now):
            now = replace(now, changes=(*now.changes, self.now))
            before = incident.kind if incident.kind != now.kind else None
            return now, replace(self._notification("update", key, now, members), before=before)
        if incident.hushed or self._reminder_due(incident):
            return now, self._notification("reminder", key, now, members)
        return silent, None

    def _is_news(self, told: Incident, now: Incident) -> bool:
        """Whether to tell the change: always if it got louder, else unless it flaps.

        An outage that changes its face is not told; warnings are said once.
        """
        if SEVERITIES.index(now.severity) > SEVERITIES.index(told.severity):
            return True
        if now.days is not None and told.days is not None:
            return now.days < told.days
        other = now.kind != told.kind and verdict(now.kind).permanent
        return (other or now.wide >= 2 * told.wide) and not self._is_flapping(told)

    def _reminder_due(self, incident: Incident) -> bool:
        due = self._next_reminder(incident)
        return due is not None and self.now >= due

    def _next_reminder(self, incident: Incident) -> float | None:
        quiet = SEVERITIES.index(incident.severity) < SEVERITIES.index("error")
        if quiet or incident.about in _EXPIRING:
            return None
        return incident.told + self.policy.repeat.total_seconds()

    def _end(self, key: str, incident: Incident) -> tuple[Incident, Notification | None]:
        """End an incident that speaks for nobody now: by proof, for want of members, or not yet."""
        left = [self.records[conn_id] for conn_id in incident.members if conn_id in self.records]
        over = replace(incident, open=False, hushed=False)
        if not left or not self._is_proven(incident, left):
            return over, self._notification("closed", key, incident, left)
        waits = incident.about != "endpoint" and self._lingering(incident)
        if waits or (self._is_flapping(incident) and not self._is_stable(incident, left)):
            return incident, None
        return over, self._notification("resolved", key, incident, left)

    def _is_proven(self, incident: Incident, left: list[Record]) -> bool:
        """Whether an end that waits for nobody is a good one: an answer, a new day, all back again."""
        if incident.about == "endpoint":
            seen = (record for record in left if record.state != "failing" and not record.reported)
            return any(record.layer != "local" for record in seen)
        if incident.about == "inventory":
            return len(left) == len(incident.members)
        ends = (self._ends(incident.about, record) for record in left)
        return incident.about not in _EXPIRING or any(end is not None for end in ends)

    def _lingering(self, incident: Incident) -> list[str]:
        """Name the members in service that nothing has proven well, whatever else they suffer from now."""
        members = (self.records[conn_id] for conn_id in incident.members if conn_id in self.records)
        return [record.conn_id for record in members if not _recovered(record, incident)]

    def _is_flapping(self, incident: Incident) -> bool:
        return len(incident.changes) >= self.policy.flapping_after

    def _is_stable(self, incident: Incident, members: list[Record]) -> bool:
        of_tasks = incident.about == "operators"
        calm = max(record.heard if of_tasks else record.since for record in members)
        return self.now - calm >= self.policy.stable_for.total_seconds()

    def _notification(
        self, phase: Phase, key: str, incident: Incident, members: list[Record]
    ) -> Notification:
        goes_on = phase in ("firing", "update", "reminder")
        told = Notification(
            phase=phase,
            key=key,
            kind=incident.kind,
            severity=incident.severity,
            at=self.now,
            since=incident.since,
            conn_ids=incident.members,
            about=incident.about,
            place=incident.place,
            total=self._total(incident),
            layer=incident.layer,
            client_id=incident.client_id,
            flapping=goes_on and self._is_flapping(incident),
            owners=tuple(sorted({record.owner for record in members if record.owner})),
        )
        if members and incident.about not in _OF_THE_MONITOR:
            first = min(members, key=partial(_unlike, incident))
            told = replace(told, client_id=first.client_id, api=first.api, region=first.region)
        return self._reasoned(told, incident, members) if goes_on else told

    def _total(self, incident: Incident) -> int:
        if incident.client_id:
            return len(self._of(incident.client_id))
        return len(self.records) if incident.about in _OF_THE_MONITOR else len(incident.members)

    def _reasoned(self, told: Notification, incident: Incident, members: list[Record]) -> Notification:
        """Add why, how far it reaches and what to do."""
        first = min(members, key=partial(_unlike, incident))
        working = self._working(incident.client_id, members) if told.of_application else []
        good = [record.good for record in members if record.good]
        told = replace(
            told,
            remedy=ADVICE.get(incident.kind, ""),
            good=max(good, default=None),
            next_at=self._next_reminder(replace(incident, told=self.now)),
            working=len(working),
            outdated=any(record.standing.client_print for record in working)
            and all(record.standing.client_print for record in members),
            days=incident.days,
            ends=self._ends(incident.about, first),
            failures=sum(record.failures for record in members),
            dag_ids=tuple(sorted({dag_id for record in members for dag_id in record.dag_ids})),
        )
        if incident.about not in OF_TROUBLE:
            return told
        return replace(
            told,
            remedy=first.remedy,
            good=first.good,
            code=first.code,
            description=first.description,
            status=first.status,
            request_id=first.request_id,
        )


def _unlike(incident: Incident, record: Record) -> tuple[bool, str]:
    return (record.verdict.name != incident.kind, record.conn_id)


def _recovered(record: Record, incident: Incident) -> bool:
    """Whether a member is well again, as far as its incident is concerned."""
    if incident.about == "operators":
        return not record.disputed
    if incident.about == "endpoint":
        return record.state != "failing"
    if incident.about == "stale":
        return record.checked > incident.since
    if incident.about not in OF_TROUBLE or record.state == "healthy":
        return True
    accepted = record.state == "broken" and record.verdict.name in _CLIENT_ACCEPTED
    return incident.kind == "client_rejected" and incident.client_id is not None and accepted
