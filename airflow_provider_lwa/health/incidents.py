"""From looks at credentials to what has to be told, each breakage once.

:func:`cycle` is one step of a single writer: observations in, notifications out, and the state that the next
step starts from. The state is plain JSON, so it fits a Variable. Records say how each credential is
(:mod:`~airflow_provider_lwa.health.record`); incidents say what people have been told. Both are kept apart,
because one incident can speak for many credentials: a rejected client secret is one breakage of the
application, not two hundred of its accounts.

========  =======================================================================================
phase     when
========  =======================================================================================
firing    a permanent failure was seen, or an outage has lasted
update    the same incident is now of another class, louder, or twice as wide
reminder  it is still open a day later (errors only)
resolved  every credential in it was seen healthy at the layer that had failed
closed    its credentials are no longer watched; nothing was proven
========  =======================================================================================

What does not fit its class when the state is read back is lost, and said to be: never taken for health. A
lost record of an open incident is put back from the incident, a lost incident fires again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_lwa.health.plain import from_plain, to_plain
from airflow_provider_lwa.health.record import Record, observe
from airflow_provider_lwa.health.verdict import LAYERS, SEVERITIES, Layer, Severity, verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from airflow_provider_lwa.health.record import AlertPolicy
    from airflow_provider_lwa.health.verdict import Observation

T = TypeVar("T")
Phase = Literal["firing", "update", "reminder", "resolved", "closed"]

VERSION = 1
#: Stands among what was lost for the state as a whole.
EVERYTHING = "*"

#: Failures of the application's own credential: every connection with this client id shares them.
_OF_THE_APPLICATION = frozenset({"client_rejected", "client_secret_expired"})
#: Answers that Login with Amazon gives only to a client it has accepted, or that come from behind it.
_CLIENT_ACCEPTED = frozenset({"revoked", "scope_denied", "access_denied", "token_rejected"})
_KEY_LENGTH = 255  # what PagerDuty takes as a deduplication key
_DAY = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What people have been told of one breakage.

    :param kind: name of the verdict told last
    :param severity: the loudest so far, so that whoever heard of the breakage also hears of its end
    :param layer: the last layer that failed
    :param since: when the trouble it speaks of began
    :param told: when the last notification was made
    :param members: the connections it speaks for
    :param wide: how many they were when last told
    :param client_id: the application, if the incident is the application's
    :param changes: when it was opened or updated, within the last day
    :param open: whether it goes on
    """

    kind: str
    severity: Severity
    layer: Layer
    since: float
    told: float
    members: tuple[str, ...]
    wide: int
    client_id: str | None = None
    changes: tuple[float, ...] = ()
    open: bool = True


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
    :param of_application: one incident for the application, not for a single connection
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
    of_application: bool = False
    code: str | None = None
    description: str | None = None
    status: int | None = None
    request_id: str | None = None
    client_id: str | None = None
    api: str | None = None
    region: str | None = None
    owners: tuple[str, ...] = ()


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
) -> Cycle:
    """Take one step.

    :param now: the present, in Unix seconds
    :param observations: what was seen since the last step, of any of the connections
    :param state: what the last step returned; ``None`` at the first
    :param policy: when something is worth a message
    :param deployment: names this Airflow in the keys, so that two of them can share one pager
    :param inventory: the connections in service; records of others are closed. ``None`` closes none
    :return: the new state, what to tell, and what could not be read of the old state
    """
    past = read(state)
    records = dict(past.records)
    for seen in sorted(observations, key=lambda one: one.at):
        before = records.get(seen.conn_id, Record(conn_id=seen.conn_id))
        records[seen.conn_id] = observe(before, seen, now, policy)
    if inventory is not None:
        records = {conn_id: record for conn_id, record in records.items() if conn_id in inventory}
    desk = _Desk(now, policy, records, frozenset(past.lost))
    ailing = _grouped(records.values(), deployment)
    incidents: dict[str, Incident] = {}
    notifications: list[Notification] = []
    for key in sorted(ailing.keys() | past.incidents.keys()):
        incident, notification = desk.settle(key, past.incidents.get(key), ailing.get(key, []))
        if incident.open or incident.changes:
            incidents[key] = incident
        if notification is not None:
            notifications.append(notification)
    return Cycle(_plain(now, records, incidents), tuple(notifications), past.lost)


@dataclass(frozen=True, slots=True)
class Memory:
    """The state, read back.

    :param at: when it was written
    :param records: by connection
    :param incidents: by key
    :param lost: what could not be read
    """

    at: float
    records: Mapping[str, Record]
    incidents: Mapping[str, Incident]
    lost: tuple[str, ...] = ()


def read(state: object) -> Memory:
    """Read a state back, trusting nothing.

    :param state: what :func:`cycle` returned, after a journey through JSON
    :return: what of it is whole
    """
    if state is None:
        return Memory(0.0, {}, {})
    parts = _parts(state)
    if parts is None:
        return Memory(0.0, {}, {}, (EVERYTHING,))
    at, stored_records, stored_incidents = parts
    lost: list[str] = []
    records = dict(_whole(Record, stored_records, lost))
    for conn_id in [conn_id for conn_id, record in records.items() if record.conn_id != conn_id]:
        del records[conn_id]
        lost.append(conn_id)
    incidents = dict(_whole(Incident, stored_incidents, lost))
    for incident in incidents.values():
        for conn_id in incident.members if incident.open else ():
            records.setdefault(conn_id, _put_back(conn_id, incident))
    return Memory(at, records, incidents, tuple(lost))


def _parts(state: object) -> tuple[float, dict[str, Any], dict[str, Any]] | None:
    if not isinstance(state, dict) or state.get("version") != VERSION:
        return None
    at, records, incidents = state.get("at"), state.get("records"), state.get("incidents")
    if not isinstance(at, (int, float)) or not isinstance(records, dict) or not isinstance(incidents, dict):
        return None
    return float(at), records, incidents


def _whole(kind: type[T], stored: Mapping[str, Any], lost: list[str]) -> Iterator[tuple[str, T]]:
    for name, data in stored.items():
        try:
            yield name, from_plain(kind, data)
        except ValueError:
            lost.append(name)


def _put_back(conn_id: str, incident: Incident) -> Record:
    return Record(
        conn_id=conn_id,
        state="broken" if verdict(incident.kind).permanent else "failing",
        kind=incident.kind,
        layer=incident.layer,
        since=incident.since,
    )


def _plain(now: float, records: Mapping[str, Record], incidents: Mapping[str, Incident]) -> dict[str, Any]:
    return {
        "version": VERSION,
        "at": now,
        "records": {conn_id: to_plain(record) for conn_id, record in sorted(records.items())},
        "incidents": {key: to_plain(incident) for key, incident in sorted(incidents.items())},
    }


def _grouped(records: Iterable[Record], deployment: str) -> dict[str, list[Record]]:
    """Put the credentials in announced trouble under the key of the incident that speaks for them."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.is_ailing:
            groups.setdefault(_key(record, deployment), []).append(record)
    return groups


def _key(record: Record, deployment: str) -> str:
    application = _application(record)
    path = f"app/{application}" if application else f"cred/{record.conn_id}"
    key = f"lwa/{deployment}/{path}"
    if len(key) <= _KEY_LENGTH:
        return key
    return f"{key[: _KEY_LENGTH - 65]}~{hashlib.sha256(key.encode()).hexdigest()}"


def _application(record: Record) -> str | None:
    return record.client_id if record.verdict.name in _OF_THE_APPLICATION else None


@dataclass(frozen=True, slots=True)
class _Desk:
    """Decides for one incident after the other what people hear of it now."""

    now: float
    policy: AlertPolicy
    records: Mapping[str, Record]
    lost: frozenset[str]

    def settle(
        self, key: str, incident: Incident | None, ailing: list[Record]
    ) -> tuple[Incident, Notification | None]:
        """Bring one incident up to the present.

        :param key: the incident's
        :param incident: what was told so far; ``None`` for a new one
        :param ailing: credentials it speaks for now; empty only for an incident that exists
        """
        changes = self._recent(incident)
        if incident is not None and not ailing:
            incident = replace(incident, changes=changes)
            return self._end(key, incident) if incident.open else (incident, None)
        if incident is None or not incident.open:
            return self._fire(key, replace(self._picture(ailing), changes=(*changes, self.now)), ailing)
        return self._go_on(key, replace(incident, changes=changes), ailing)

    def _recent(self, incident: Incident | None) -> tuple[float, ...]:
        return tuple(at for at in incident.changes if at > self.now - _DAY) if incident else ()

    def _picture(self, ailing: list[Record]) -> Incident:
        """Draw the incident as it would be told now."""
        application = _application(ailing[0])
        kinds = Counter(record.verdict.name for record in ailing)
        kind = min(kinds, key=lambda name: (-kinds[name], name))
        severity = verdict(kind).severity
        if application and not self._working(application):
            severity = "critical"
        return Incident(
            kind=kind,
            severity=severity,
            layer=max((record.layer for record in ailing), key=LAYERS.index),
            since=min(record.since for record in ailing),
            told=self.now,
            members=tuple(sorted(record.conn_id for record in ailing)),
            wide=len(ailing),
            client_id=application,
        )

    def _working(self, client_id: str | None) -> int:
        healthy = (record for record in self.records.values() if record.state == "healthy")
        return sum(1 for record in healthy if client_id and record.client_id == client_id)

    def _fire(self, key: str, incident: Incident, ailing: list[Record]) -> tuple[Incident, Notification]:
        lost = not self.lost.isdisjoint({EVERYTHING, key, *incident.members})
        notification = self._notification("firing", key, incident, ailing)
        return incident, replace(notification, memory_lost=lost)

    def _go_on(
        self, key: str, incident: Incident, ailing: list[Record]
    ) -> tuple[Incident, Notification | None]:
        now = self._picture(ailing)
        now = replace(
            now,
            severity=max(now.severity, incident.severity, key=SEVERITIES.index),
            since=min(now.since, incident.since),
            changes=incident.changes,
            members=tuple(sorted({*now.members, *self._lingering(incident)})),
        )
        if self._is_news(incident, now):
            now = replace(now, changes=(*now.changes, self.now))
            before = incident.kind if incident.kind != now.kind else None
            return now, replace(self._notification("update", key, now, ailing), before=before)
        if self._reminder_due(incident):
            return now, self._notification("reminder", key, now, ailing)
        return replace(incident, members=now.members, layer=now.layer), None

    def _is_news(self, told: Incident, now: Incident) -> bool:
        """Whether to tell the change: always if it got louder, else unless it flaps.

        An outage that changes its face is not told; warnings are said once.
        """
        if SEVERITIES.index(now.severity) > SEVERITIES.index(told.severity):
            return True
        other = now.kind != told.kind and verdict(now.kind).permanent
        return (other or now.wide >= 2 * told.wide) and not self._is_flapping(told)

    def _reminder_due(self, incident: Incident) -> bool:
        due = self._next_reminder(incident)
        return due is not None and self.now >= due

    def _next_reminder(self, incident: Incident) -> float | None:
        if SEVERITIES.index(incident.severity) < SEVERITIES.index("error"):
            return None
        return incident.told + self.policy.repeat.total_seconds()

    def _end(self, key: str, incident: Incident) -> tuple[Incident, Notification | None]:
        """End an incident that speaks for nobody now: by proof, for want of members, or not yet."""
        left = [self.records[conn_id] for conn_id in incident.members if conn_id in self.records]
        over = replace(incident, open=False)
        if not left:
            return over, self._notification("closed", key, incident, [])
        if self._lingering(incident) or (self._is_flapping(incident) and not self._is_stable(left)):
            return incident, None
        return over, self._notification("resolved", key, incident, left)

    def _lingering(self, incident: Incident) -> list[str]:
        """Name the members in service that nothing has proven healthy, whatever else they suffer from now."""
        return [
            conn_id
            for conn_id in incident.members
            if conn_id in self.records and not _recovered(self.records[conn_id], incident)
        ]

    def _is_flapping(self, incident: Incident) -> bool:
        return len(incident.changes) >= self.policy.flapping_after

    def _is_stable(self, members: list[Record]) -> bool:
        return self.now - max(record.since for record in members) >= self.policy.stable_for.total_seconds()

    def _notification(
        self, phase: Phase, key: str, incident: Incident, members: list[Record]
    ) -> Notification:
        goes_on = phase in ("firing", "update", "reminder")
        reason = min(
            members, key=lambda record: (record.verdict.name != incident.kind, record.conn_id), default=None
        )
        told = Notification(
            phase=phase,
            key=key,
            kind=incident.kind,
            severity=incident.severity,
            at=self.now,
            since=incident.since,
            conn_ids=incident.members,
            layer=incident.layer,
            of_application=incident.client_id is not None,
            client_id=incident.client_id,
            flapping=goes_on and self._is_flapping(incident),
            owners=tuple(sorted({record.owner for record in members if record.owner})),
        )
        if reason is None:
            return told
        told = replace(told, client_id=reason.client_id, api=reason.api, region=reason.region)
        if not goes_on:
            return told
        return replace(
            told,
            remedy=reason.remedy,
            good=reason.good,
            next_at=self._next_reminder(replace(incident, told=self.now)),
            working=self._working(incident.client_id),
            code=reason.code,
            description=reason.description,
            status=reason.status,
            request_id=reason.request_id,
        )


def _recovered(record: Record, incident: Incident) -> bool:
    if record.state == "healthy":
        return True
    accepted = record.state == "broken" and record.verdict.name in _CLIENT_ACCEPTED
    return incident.kind == "client_rejected" and incident.client_id is not None and accepted
