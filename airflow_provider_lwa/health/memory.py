"""What is kept between two steps, as plain JSON: how credentials are, and what people have been told.

What does not fit its class when it is read back is lost, and said to be: never taken for health. A lost
record of an open incident is put back from the incident, a lost incident fires again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow_provider_lwa.health.plain import from_plain, to_plain
from airflow_provider_lwa.health.record import Record
from airflow_provider_lwa.health.standing import Standing
from airflow_provider_lwa.health.verdict import Layer, Severity, verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

T = TypeVar("T")

#: What an incident speaks of.
About = Literal[
    "credential",  # one connection
    "application",  # its client secret: all connections with this client id
    "revocations",  # many authorizations of one application, withdrawn at once
    "endpoint",  # a host that answers nobody, or the place where connections are kept
    "operators",  # tasks that fail where looks succeed
    "authorization",  # its end on a known day
    "client_secret",  # its end on a known day
    "inventory",  # connections that are not there any more
    "stale",  # connections that are not looked at
]

VERSION = 1
#: Stands among what was lost for the state as a whole.
EVERYTHING = "*"
#: Incidents whose members are in announced trouble of their own.
OF_TROUBLE: frozenset[About] = frozenset({"credential", "application", "revocations", "endpoint"})


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
    :param about: what it speaks of
    :param client_id: the application, if the incident is the application's
    :param place: the host, if the incident is an endpoint's
    :param days: the threshold told last, if something runs out
    :param hushed: it is silenced; a message is due when the silence ends
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
    about: About = "credential"
    client_id: str | None = None
    place: str | None = None
    days: int | None = None
    hushed: bool = False
    changes: tuple[float, ...] = ()
    open: bool = True


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

    :param state: what :func:`plain` gave, after a journey through JSON; ``None`` at the first step
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
    whole = set(records)
    for incident in incidents.values():
        for conn_id in set(incident.members) - whole if incident.open else ():
            records[conn_id] = _put_back(records.get(conn_id, Record(conn_id=conn_id)), incident)
    return Memory(at, records, incidents, tuple(lost))


def plain(now: float, records: Mapping[str, Record], incidents: Mapping[str, Incident]) -> dict[str, Any]:
    """Give the state as plain JSON.

    :param now: the present, in Unix seconds
    :param records: by connection
    :param incidents: by key
    """
    return {
        "version": VERSION,
        "at": now,
        "records": {conn_id: to_plain(record) for conn_id, record in sorted(records.items())},
        "incidents": {key: to_plain(incident) for key, incident in sorted(incidents.items())},
    }


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


def _put_back(record: Record, incident: Incident) -> Record:
    """Give a lost record what one of its incidents knows of it."""
    if incident.about == "operators":
        return replace(record, disputed=True, heard=incident.told)
    if incident.about not in OF_TROUBLE:
        return replace(record, client_id=record.client_id or incident.client_id)
    return replace(
        record,
        state="broken" if verdict(incident.kind).permanent else "failing",
        kind=incident.kind,
        layer=incident.layer,
        seen="api" if incident.layer == "operation" else incident.layer,
        since=incident.since,
        heard=max(record.heard, incident.told),  # what only tasks met does not count as long past
        client_id=incident.client_id or record.client_id,
        standing=Standing(hosts=(incident.place, incident.place) if incident.place else ()),
    )
