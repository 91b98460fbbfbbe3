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
from airflow_provider_lwa.health.record import AlertPolicy
from airflow_provider_lwa.health.verdict import LAYERS, Layer, Observation, line
from airflow_provider_lwa.health.wording import message

if TYPE_CHECKING:
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
#: reminder.
STORM = 4 + 4 + 4 + 4 + 2 + 1


class Histories(RuleBasedStateMachine):
    """A monitor and three credentials, two of one application, in any order of events."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = AlertPolicy()
        self.now = 1_763_700_000.0
        self.state: Any = None
        self.heard: list[Notification] = []
        self.open: dict[str, Notification] = {}
        self.proven: dict[str, tuple[float, Layer]] = {}
        self.refused: dict[str, Layer] = {}

    @rule(minutes=st.sampled_from([1, 15, 15, 60, 400, 1500]))
    def time_passes(self, minutes: int) -> None:
        """Nothing is looked at, but a cycle runs."""
        self.now += 60 * minutes
        self.step([])

    @rule(
        sights=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(SIGHTS)), min_size=1),
        outage=st.sampled_from(["token", "api"]),
    )
    def trouble(self, sights: dict[str, str], outage: Layer) -> None:
        """Some credentials fail, each in its way; Amazon may be down before the token or behind it."""
        self.now += 900
        seen = [
            Observation.of_error(
                SIGHTS[sight],
                at=self.now,
                layer=outage if SIGHTS[sight].retryable else None,
                conn_id=name,
                client_id=CLIENT_IDS[name],
            )
            for name, sight in sights.items()
        ]
        for one in seen:
            if one.permanent:
                before = self.refused.get(one.conn_id, one.layer)
                self.refused[one.conn_id] = max(before, one.layer, key=LAYERS.index)
        self.step(seen)

    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1), layer=st.sampled_from(LAYERS))
    def health(self, names: set[str], layer: Layer) -> None:
        """Some credentials work, as far as the look goes."""
        self.now += 900
        for name in names:
            self.proven[name] = (self.now, layer)
            if LAYERS.index(layer) >= LAYERS.index(self.refused.get(name, "local")):
                self.refused.pop(name, None)
        self.step(
            [
                Observation.healthy(name, at=self.now, layer=layer, client_id=CLIENT_IDS[name])
                for name in sorted(names)
            ]
        )

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
            self.step([])

    def step(self, seen: list[Observation]) -> None:
        """Run a cycle, and the same one again: the second must be silent."""
        before = read(self.state)
        outcome = self.cycle(seen)
        assert outcome.lost == before.lost
        assert self.cycle(seen).notifications == ()
        for one in outcome.notifications:
            self.hear(one)

    def cycle(self, seen: list[Observation]) -> Cycle:
        """Run one cycle; the state goes through JSON."""
        outcome = cycle(self.now, seen, self.state, self.policy, deployment="d", inventory=NAMES)
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
        if one.phase in ("resolved", "closed"):
            last = self.open.pop(one.key)
            assert one.phase == "resolved", "all credentials are in service"
            self.has_proof(last, one)
        else:
            self.open[one.key] = one

    def has_proof(self, last: Notification, end: Notification) -> None:
        """An end needs health at the layer that failed, or, for an application, an answer behind its door."""
        for name in end.conn_ids:
            at, layer = self.proven.get(name, (0.0, "local"))
            healthy = at > last.at and LAYERS.index(layer) >= LAYERS.index(last.layer)
            accepted = last.of_application and read(self.state).records[name].kind in {
                "revoked",
                "access_denied",
            }
            assert healthy or accepted, f"{end.key} ended without proof"

    @invariant()
    def no_breakage_is_lost(self) -> None:
        """Who was refused and not proven healthy since is spoken for by an open incident."""
        speaking = {name for one in self.open.values() for name in one.conn_ids}
        incidents = read(self.state).incidents.values()
        members = {name for one in incidents if one.open for name in one.members}
        assert set(self.refused) <= members
        assert members == set() or speaking

    @invariant()
    def no_storm(self) -> None:
        """No incident is told more often than people can bear."""
        recent = Counter(one.key for one in self.heard if one.at > self.now - DAY)
        assert all(count <= STORM for count in recent.values()), recent

    @invariant()
    def a_reminder_a_day(self) -> None:
        """Two messages about the same standing breakage are at least a day apart."""
        by_key: dict[str, list[Notification]] = defaultdict(list)
        for one in self.heard:
            by_key[one.key].append(one)
        for told in by_key.values():
            for earlier, later in pairwise(told):
                assert later.phase != "reminder" or later.at - earlier.at >= DAY


TestHistories = Histories.TestCase
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
