"""Which incident speaks for which credential: one root cause, one alert.

=============  ==================================================================================
incident       speaks for
=============  ==================================================================================
application    all connections whose client secret Login with Amazon rejects
endpoint       the announced outages of one host, if it is that of half of its credentials
revocations    a large part of one application's authorizations, withdrawn in one cycle
credential     any other announced trouble, one connection each
operators      a connection that tasks complain about although looks see health
authorization  a connection whose authorization runs out soon
client_secret  the connections of an application whose client secret runs out soon
inventory      the connections that are suddenly not there
stale          the connections that nobody has looked at for long
=============  ==================================================================================

A credential in trouble is spoken for once, by the first of the upper four that fits. An incident of its own
that was told before goes on, unsaid, and is over when the credential has proven itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from airflow_provider_lwa.health import expiry
from airflow_provider_lwa.health.verdict import SOURCE_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_lwa.health.memory import About, Incident
    from airflow_provider_lwa.health.record import AlertPolicy, Record

#: Failures of the application's own credential: every connection with this client id shares them.
_OF_THE_APPLICATION = frozenset({"client_rejected", "client_secret_expired"})
#: Where connections are kept, as a place that may not answer.
CONNECTIONS = "airflow-connections"
_KEY_LENGTH = 255  # what PagerDuty takes as a deduplication key
_LOOKS_MISSED = 3


@dataclass(frozen=True, slots=True)
class Topic:
    """What an incident is about.

    :param about: its kind
    :param path: the end of its key
    :param client_id: the application, if it is the application's
    :param place: the host, if it is an endpoint's
    """

    about: About
    path: str
    client_id: str | None = None
    place: str | None = None


@dataclass(frozen=True)
class Grouping:
    """Sorts credentials under the keys of the incidents that speak for them now.

    :param now: the present, in Unix seconds
    :param policy: when one cause is assumed
    :param deployment: begins the keys
    :param records: the credentials, by connection
    :param before: the same before this cycle
    :param incidents: what was told, by key
    :param missing: connections that are suddenly not there
    """

    now: float
    policy: AlertPolicy
    deployment: str
    records: Mapping[str, Record]
    before: Mapping[str, Record]
    incidents: Mapping[str, Incident]
    missing: frozenset[str] = frozenset()

    def groups(self) -> dict[str, tuple[Topic, list[Record]]]:
        """Sort them."""
        found: dict[str, tuple[Topic, list[Record]]] = {}
        for record in self.records.values():
            for topic in self._topics(record):
                found.setdefault(self.key(topic.path), (topic, []))[1].append(record)
        return found

    def key(self, path: str) -> str:
        """Write a key; a long one is cut and made unmistakable again.

        :param path: its end
        """
        key = f"lwa/{self.deployment}/{path}"
        if len(key) <= _KEY_LENGTH:
            return key
        return f"{key[: _KEY_LENGTH - 65]}~{hashlib.sha256(key.encode()).hexdigest()}"

    def _topics(self, record: Record) -> Iterator[Topic]:
        if record.is_ailing:
            yield self._trouble(record)
        elif record.disputed:
            yield Topic("operators", f"cred/{record.conn_id}/operators")
        if expiry.step(expiry.authorization_ends(record, self.policy), self.now, self.policy) is not None:
            yield Topic("authorization", f"cred/{record.conn_id}/expiry")
        client_id = record.client_id
        if client_id and expiry.step(self.secrets_end.get(client_id), self.now, self.policy) is not None:
            yield Topic("client_secret", f"app/{client_id}/expiry", client_id)
        if record.conn_id in self.missing:
            yield Topic("inventory", INVENTORY)
        elif self._is_stale(record):
            yield Topic("stale", "monitor/stale")

    def _trouble(self, record: Record) -> Topic:
        """Say which incident speaks for a credential in announced trouble."""
        application = application_of(record)
        if application:
            return Topic("application", f"app/{application}", application)
        place = place_of(record)
        if place in self._outages:
            return Topic("endpoint", f"endpoint/{place}", place=place)
        if record.conn_id in self._withdrawn:
            return Topic("revocations", f"app/{record.client_id}/revoked", record.client_id)
        return Topic("credential", f"cred/{record.conn_id}")

    @cached_property
    def secrets_end(self) -> dict[str, float]:
        """When the client secrets of the applications end."""
        return expiry.client_secrets_end(self.records.values(), self.policy)

    @cached_property
    def _outages(self) -> set[str]:
        """Name the hosts that are out of order; once told, until nearly all of their credentials are well."""
        failing = Counter(filter(None, map(place_of, self.records.values())))
        using = Counter(place for record in self.records.values() for place in _places(record))
        share = self.policy.outage_share
        return {
            place
            for place, count in failing.items()
            if count >= self.policy.outage_of
            and (count >= share * using[place] or self._is_open(f"endpoint/{place}"))
        }

    @cached_property
    def _withdrawn(self) -> set[str]:
        """Name the connections whose authorizations ended together."""
        revoked: dict[str, list[Record]] = {}
        for record in self.records.values():
            if record.client_id and _is_revoked(record) and not self._is_open(f"cred/{record.conn_id}"):
                revoked.setdefault(record.client_id, []).append(record)
        sizes = Counter(record.client_id for record in self.records.values())
        names: set[str] = set()
        for client_id, records in revoked.items():
            new = sum(1 for record in records if not _is_revoked(self.before.get(record.conn_id)))
            many = new >= max(self.policy.mass_of, self.policy.mass_share * sizes[client_id])
            if many or self._is_open(f"app/{client_id}/revoked"):
                names.update(record.conn_id for record in records)
        return names

    def _is_open(self, path: str) -> bool:
        incident = self.incidents.get(self.key(path))
        return incident is not None and incident.open

    def _is_stale(self, record: Record) -> bool:
        missed = self.now - record.checked > _LOOKS_MISSED * self.policy.look_every.total_seconds()
        return missed and record.checked > 0


#: The end of the key of the incident of missing connections.
INVENTORY = "monitor/inventory"


def application_of(record: Record) -> str | None:
    """Name the application whose breakage this is, if it is one of the application.

    :param record: a credential in trouble
    """
    return record.client_id if record.verdict.name in _OF_THE_APPLICATION else None


def place_of(record: Record) -> str | None:
    """Name the host that does not answer, if that is the credential's announced trouble.

    :param record: any credential
    """
    if record.state != "failing" or record.verdict.permanent:
        return None
    if record.kind == SOURCE_ERROR:
        return CONNECTIONS
    hosts = record.standing.hosts
    at_the_api = record.layer in ("api", "operation")
    return (hosts[-1] if at_the_api else hosts[0]) if hosts else None


def _places(record: Record) -> Iterable[str]:
    """Name what a credential depends on; one that is broken says nothing about it."""
    return () if record.state == "broken" else {CONNECTIONS, *record.standing.hosts}


def _is_revoked(record: Record | None) -> bool:
    return record is not None and record.state == "broken" and record.verdict.name == "revoked"
