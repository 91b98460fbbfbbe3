"""What holds for every history: no storm, no lost breakage, no false end, no secret."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.health.incidents import Notification, cycle, read
from airflow_provider_lwa.health.memory import OF_TROUBLE
from airflow_provider_lwa.health.record import AlertPolicy
from airflow_provider_lwa.health.reports import Report
from airflow_provider_lwa.health.standing import Standing
from airflow_provider_lwa.health.verdict import LAYERS, Layer, Observation, line
from airflow_provider_lwa.health.wording import message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_lwa.health.incidents import Cycle

DAY = 86400.0
NAMES = ("a", "b", "c")
CLIENT_IDS = {"a": "amzn1.application-oa2-client.one", "b": "amzn1.application-oa2-client.one", "c": None}
SIGHTS: dict[str, errors.LwaError] = {
    "revoked": errors.RefreshTokenRevoked("x"),
    "rejected": errors.ClientRejected("x"),
    "unauthorized": errors.ClientUnauthorized("x"),
    "denied": errors.AccessDenied("x"),
    "incomplete": errors.ConfigurationError("x"),
    "down": errors.Unavailable("x"),
    "throttled": errors.Throttled("x"),
    "portal": errors.BadResponse("x"),
}
#: Messages of one incident within 24 hours, whatever happens: it opens and changes at most four times before
#: it flaps, then opens once in six hours at most; each opening has an end; it gets louder at most twice; one
#: reminder. The end of each silence may add one.
STORM = 4 + 4 + 4 + 4 + 2 + 1
HOSTS = ("token.host", "api.host")
#: So that three credentials are enough for every kind of incident.
POLICY = AlertPolicy(mass_of=2, shrunk_by=2)


class Histories(RuleBasedStateMachine):
    """A monitor and three credentials, two of one application, in any order of events."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_763_700_000.0
        self.state: Any = None
        self.watched: tuple[str, ...] = NAMES
        self.heard: list[Notification] = []
        self.open: dict[str, Notification] = {}
        self.proven: dict[str, tuple[float, Layer]] = {}
        self.answered: dict[str, float] = {}
        self.looked: dict[str, float] = {}
        self.refused: dict[str, Layer] = {}
        self.muted: dict[str, float] = {}
        self.silences: list[float] = []
        self.reported: dict[str, float] = {}
        self.accepted: dict[str, float] = {}

    @rule(minutes=st.sampled_from([1, 15, 15, 60, 400, 1500]))
    def time_passes(self, minutes: int) -> None:
        """Nothing is looked at, but a cycle runs."""
        self.now += 60 * minutes
        self.step([])

    @rule(
        sights=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(SIGHTS)), min_size=1),
        outage=st.sampled_from(["token", "api"]),
        told=st.booleans(),
    )
    def trouble(self, sights: dict[str, str], outage: Layer, *, told: bool) -> None:
        """Some credentials fail, each in its way; a task may have met it first."""
        self.now += 900
        seen = [
            Observation.of_error(
                SIGHTS[sight],
                at=self.now,
                layer=outage if SIGHTS[sight].retryable else None,
                conn_id=name,
                client_id=CLIENT_IDS[name],
                standing=self.standing(name),
            )
            for name, sight in sights.items()
        ]
        for one in seen:
            if one.permanent and one.conn_id in self.watched:
                before = self.refused.get(one.conn_id, one.layer)
                self.refused[one.conn_id] = max(before, one.layer, key=LAYERS.index)
            if one.permanent and one.layer != "local":
                self.answered[one.conn_id] = self.now
        reports = [
            Report.of_error(SIGHTS[sight], conn_id=name, at=self.now - 60) for name, sight in sights.items()
        ]
        self.step(seen, reports if told else [])

    @rule(name=st.sampled_from(NAMES))
    def outage(self, name: str) -> None:
        """Nobody gets an answer for an hour, which is announced."""
        for _ in range(4):
            self.trouble(dict.fromkeys(NAMES, "down"), "token", told=False)
        self.health({name}, "token")

    @rule(
        name=st.sampled_from(NAMES),
        sight=st.sampled_from([None, "revoked", "denied", "down"]),
        times=st.sampled_from([1, 3]),
    )
    def tasks_say(self, name: str, sight: str | None, times: int) -> None:
        """Tasks fail or succeed, and nobody looks."""
        reports = []
        for _ in range(times):
            self.now += 300
            if sight is None:
                self.accepted[name] = self.now
                reports.append(Report(conn_id=name, at=self.now, kind="healthy", layer="operation"))
            else:
                self.reported[name] = self.now
                reports.append(Report.of_error(SIGHTS[sight], conn_id=name, at=self.now, dag_id="d"))
        self.step([], reports)

    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1), layer=st.sampled_from(LAYERS))
    def health(self, names: set[str], layer: Layer) -> None:
        """Some credentials work, as far as the look goes."""
        self.now += 900
        for name in names:
            self.proven[name] = (self.now, layer)
            if layer != "local":
                self.answered[name] = self.now
            if LAYERS.index(layer) >= LAYERS.index(self.refused.get(name, "local")):
                self.refused.pop(name, None)
        self.step(
            [
                Observation.healthy(
                    name, at=self.now, layer=layer, client_id=CLIENT_IDS[name], standing=self.standing(name)
                )
                for name in sorted(names)
            ]
        )

    @rule(name=st.sampled_from(NAMES), hours=st.sampled_from([0.5, 7, 30]))
    def silence(self, name: str, hours: float) -> None:
        """Somebody mutes a credential; the next look knows."""
        self.muted[name] = self.now + 3600 * hours
        self.silences.append(self.muted[name])
        self.health({name}, "local")

    @rule(names=st.sets(st.sampled_from(NAMES)))
    def edit(self, names: set[str]) -> None:
        """Somebody changes the list of connections."""
        self.now += 900
        self.watched = tuple(sorted(names))
        self.step([])

    @rule(
        part=st.sampled_from(["records", "incidents"]), junk=st.sampled_from([None, [], {"state": "healthy"}])
    )
    def damage(self, part: str, junk: Any) -> None:
        """Something foreign gets into a part of the state."""
        if self.state and self.state[part] and (name := min(self.state[part])):
            self.state[part][name] = junk
            if part == "incidents":
                self.open.pop(name, None)
                self.heard = [one for one in self.heard if one.key != name]
            elif self.muted.pop(name, None):  # the silence is forgotten with the rest, and so over
                self.silences.append(self.now)
            self.step([])

    def standing(self, name: str) -> Standing:
        """What the connection says."""
        return Standing(hosts=HOSTS, muted_until=self.muted.get(name))

    def step(self, seen: list[Observation], reports: Sequence[Report] = ()) -> None:
        """Run a cycle, and the same one again: the second must be silent."""
        for one in seen:
            self.looked[one.conn_id] = self.now
        before = read(self.state)
        outcome = self.cycle(seen, reports)
        assert outcome.lost == before.lost
        assert self.cycle(seen, reports).notifications == ()
        for notification in outcome.notifications:
            self.hear(notification)
        known = read(self.state).records
        self.refused = {name: layer for name, layer in self.refused.items() if name in known}

    def cycle(self, seen: list[Observation], reports: Sequence[Report]) -> Cycle:
        """Run one cycle; the state goes through JSON."""
        outcome = cycle(
            self.now, seen, self.state, POLICY, deployment="d", inventory=self.watched, reports=reports
        )
        self.state = json.loads(json.dumps(outcome.state))
        return outcome

    def hear(self, one: Notification) -> None:
        """Hold one notification against what was heard before."""
        self.heard.append(one)
        if one.phase == "firing":
            assert one.key not in self.open, "fired twice"
            self.open[one.key] = one
            return
        assert one.key in self.open, f"{one.phase} of what never fired"
        if one.phase in ("firing", "update", "reminder"):
            self.open[one.key] = one
            return
        last = self.open.pop(one.key)
        if one.phase == "resolved":
            assert self.has_proof(last, one), f"{end_of(one)} ended without proof"
        elif one.about not in ("endpoint", "inventory"):
            assert not set(one.conn_ids) & set(self.watched), f"{end_of(one)} closed in service"

    def has_proof(self, last: Notification, end: Notification) -> bool:
        """An end needs proof of the kind that its incident is about."""
        if end.about == "endpoint":
            return any(self.answered.get(name, 0.0) > last.at for name in end.conn_ids)
        if end.about == "inventory":
            return set(end.conn_ids) <= set(self.watched)
        if end.about == "stale":
            return all(self.looked.get(name, 0.0) > last.at for name in end.conn_ids)
        served = [name for name in end.conn_ids if name in read(self.state).records]
        return all(self.is_well(name, last) for name in served)

    def is_well(self, name: str, last: Notification) -> bool:
        """Health at the layer that failed, an answer behind the application's door, or the tasks' word."""
        at, layer = self.proven.get(name, (0.0, "local"))
        quiet = self.now - self.reported.get(name, 0.0) >= DAY
        if last.about == "operators":
            return quiet or self.accepted.get(name, 0.0) > last.at
        if last.of_application and read(self.state).records[name].kind in {"revoked", "access_denied"}:
            return True
        if at > last.at and LAYERS.index(layer) >= LAYERS.index(last.layer):
            return True
        return (last.layer == "operation" and at > last.at and quiet) or self.accepted.get(
            name, 0.0
        ) > last.at

    @invariant()
    def no_breakage_is_lost(self) -> None:
        """Who is in trouble is spoken for by an open incident that was told, or is silenced."""
        memory = read(self.state)
        open_ones = {key: one for key, one in memory.incidents.items() if one.open}
        members = {name for one in open_ones.values() if one.about in OF_TROUBLE for name in one.members}
        ailing = {name for name, record in memory.records.items() if record.is_ailing}
        silenced = {name for name, until in self.muted.items() if self.now < until}
        assert (set(self.refused) | ailing) - silenced <= members
        assert set(open_ones) == set(self.open)

    @invariant()
    def no_storm(self) -> None:
        """No incident is told more often than people can bear."""
        recent = Counter(one.key for one in self.heard if one.at > self.now - DAY)
        silences = sum(1 for until in self.silences if until > self.now - DAY)
        assert all(count <= STORM + silences for count in recent.values()), recent

    @invariant()
    def a_reminder_a_day(self) -> None:
        """Two messages about the same standing breakage are a day apart, or a silence is."""
        by_key: dict[str, list[Notification]] = defaultdict(list)
        for one in self.heard:
            by_key[one.key].append(one)
        for told in by_key.values():
            for earlier, later in pairwise(told):
                silenced = any(earlier.at < until <= later.at for until in self.silences)
                assert later.phase != "reminder" or later.at - earlier.at >= DAY or silenced


def end_of(one: Notification) -> str:
    """:return: what an end is about"""
    return f"{one.about} {one.key}"


TestHistories = Histories.TestCase
#: Not shrunk: that would take longer than a test may hang, and the history would be lost with it.
TestHistories.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)

SECRET = re.compile(r"(Atz[ar]|Atc|sprdt)(\||%7C)[A-Za-z0-9]|amzn1\.oa2-cs\.[a-z0-9]", re.IGNORECASE)
PARTS = st.sampled_from(
    [
        "Atzr|IwEBIJtHqY",
        "Atza|IwEBIAbCd",
        "Atc%7CMAEBIO1x",
        "Atz.sprdt|IwEB0a",
        "amzn1.oa2-cs.v1.0c9d",
        " ",
        "\n",
        "…",
        "code=",
        "'",
        "x" * 60,
    ]
)
TEXTS = st.lists(PARTS, max_size=6).map("".join)


@given(
    kind=st.sampled_from([*sorted(set(errors.TOKEN_ERRORS.values()), key=str), errors.ConfigurationError]),
    texts=st.lists(TEXTS, min_size=9, max_size=9),
    phase=st.sampled_from(["firing", "update", "reminder", "resolved", "closed"]),
)
def test_no_secret_comes_out(kind: type[errors.LwaError], texts: list[str], phase: Any) -> None:
    """Whatever stands where in an error or a connection, nothing in the shape of a secret is said or kept."""
    words, code, request_id, advice, conn_id, owner, client_id, api, deployment = texts
    error = kind(words, code=code, description=words, request_id=request_id, advice=advice)
    seen = Observation.of_error(
        error, at=1.0, conn_id=conn_id, owner=owner, client_id=client_id, api=api, region=api
    )
    outcome = cycle(2.0, [seen], None, AlertPolicy(transient_failures=1), deployment=deployment)
    said = [line(seen)]
    for one in outcome.notifications:
        changed = Notification(**{**{n: getattr(one, n) for n in one.__slots__}, "phase": phase})
        said += [json.dumps(message(changed), ensure_ascii=False), message(changed)["title"]]

    assert [text for text in said if SECRET.search(text)] == []
    assert all(len(message(one)["title"]) < 110 for one in outcome.notifications)
    for record in read(outcome.state).records.values():
        kept = (record.code, record.description, record.request_id, record.client_id, record.owner)
        assert not any(SECRET.search(text) for text in kept if text)


@given(
    state=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["version", "at", "records", "incidents", "a", "lwa/d/cred/a"]),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_state_stops_the_monitor(state: Any) -> None:
    """Whatever stands in the Variable, a refusal is told."""
    seen = Observation.of_error(SIGHTS["revoked"], at=1.0, conn_id="a")

    assert [one.phase for one in cycle(2.0, [seen], state, AlertPolicy(), deployment="d").notifications] == [
        "firing"
    ]
