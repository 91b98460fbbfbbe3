"""One token for all who ask: single flight, renewal ahead of time, remembered failure, refused tokens.

Time is the test's own here; real processes, real deaths and the wire are in ``test_processes.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import itertools
import logging
import pickle
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from airflow_provider_lwa.amazon.errors import (
    ClientRejected,
    CredentialError,
    LwaError,
    RefreshTokenRevoked,
    Throttled,
    TransientError,
    TransportError,
    Unavailable,
)
from airflow_provider_lwa.tokens import (
    Clock,
    Configuration,
    FileStore,
    MemoryStore,
    Role,
    Settings,
    Token,
    TokenSource,
    registry,
    shared,
)
from airflow_provider_lwa.tokens import source as module

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from airflow_provider_lwa.amazon.login import TokenAnswer
    from tests.tokens.conftest import Household

HOUR = 3600.0


def values(results: list[Any]) -> set[str]:
    """:return: the different tokens among results"""
    return {result.value if isinstance(result, Token) else repr(result) for result in results}


class TestSharing:
    """Who shares a token with whom."""

    def test_a_token_is_asked_for_once(self, house: Household) -> None:
        """The first caller asks Amazon, the next ones of this process do not."""
        source = house.process()

        assert {source.get(house.request()).value for _ in range(5)} == {"Atza|token-1"}
        assert house.amazon.count == 1

    def test_a_dozen_tasks_in_turn(self, house: Household) -> None:
        """Twelve processes, one after the other, ask once."""
        assert {house.process().get(house.request()).value for _ in range(12)} == {"Atza|token-1"}
        assert house.amazon.count == 1

    def test_sixty_four_threads_ask_once(self, house: Household) -> None:
        """However many threads need a token at once, one asks and all get its answer."""
        source = house.process()
        request = house.request()

        assert values(house.together(64, lambda: source.get(request))) == {"Atza|token-1"}
        assert house.amazon.count == 1

    def test_a_hosts_own_memory_only(self, house: Household, tmp_path: Path) -> None:
        """Two hosts, each with files of its own, ask once each, and both tokens are good."""
        hosts = [house.process(FileStore(tmp_path / name)) for name in ("a", "b")]
        for source in hosts * 2:
            source.get(house.request())

        assert house.amazon.count == 2
        assert values([source.get(house.request()) for source in hosts]) == {"Atza|token-1", "Atza|token-2"}

    @pytest.mark.parametrize(
        "change",
        [
            {"client_id": "amzn1.application-oa2-client.other"},
            {"refresh_token": "Atzr|other"},
            {"token_url": "https://api.amazon.co.uk/auth/o2/token"},
            {"token_url": "https://api.amazon.co.jp/auth/o2/token"},
        ],
    )
    def test_what_makes_a_token_another_one(self, house: Household, change: dict[str, str]) -> None:
        """Another client, grant or endpoint never gets the same token, in this process or another."""
        here = house.process()
        mine = here.get(house.request()).value

        assert here.get(house.request(**change)).value != mine
        assert house.process().get(house.request(**change)).value != mine
        assert house.process().get(house.request()).value == mine

    def test_grantless_scopes_keep_apart(self, house: Household) -> None:
        """Two applications, and two scopes of one, each have their own token, and none drives out another."""
        from airflow_provider_lwa.amazon.login import Credential, client_credentials_request

        source = house.process()
        requests = [
            client_credentials_request(Credential(client, "secret"), [scope])
            for client in ("one", "two")
            for scope in ("sellingpartnerapi::notifications", "sellingpartnerapi::client_credential:rotation")
        ]
        first = [source.get(request).value for request in requests]

        assert len(set(first)) == 4
        assert [source.get(request).value for request in requests] == first
        assert house.amazon.count == 4

    def test_a_rotated_client_secret_keeps_the_token(self, house: Household) -> None:
        """The token belongs to the grant: it is used on, and the next request sends the new secret."""
        source = house.process()
        mine = source.get(house.request("old")).value
        seen = source.get(house.request("new")).value
        house.clock.advance(HOUR)
        source.get(house.request("new"))

        assert seen == mine
        assert [request.client_secret for request in house.amazon.asked] == ["old", "new"]

    def test_equal_requests_are_the_same(self, house: Household) -> None:
        """A request made anew for each call is found as well as one that is kept."""
        source = house.process()

        assert values([source.get(house.request()) for _ in range(5)]) == {"Atza|token-1"}

    def test_a_fast_path_worth_its_name(self, house: Household) -> None:
        """With a kept request, a token at hand costs a few dictionary look-ups."""
        source, request, clock = house.process(clock=None), house.request(), Clock()
        source = TokenSource(source._safe, house.amazon, clock=clock)
        source.get(request)
        plain = {id(request): clock}

        def measure(call: Callable[[], object]) -> float:
            return min(_timed(call) for _ in range(20))

        floor = measure(lambda: plain.get(id(request)).boot())
        assert measure(lambda: source.get(request)) < 6 * floor


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    for _ in range(2000):
        call()
    return time.perf_counter() - began


class TestAhead:
    """A stale token is replaced ahead of time while everybody uses it."""

    def test_nobody_waits(self, house: Household, settled: Callable[[], None]) -> None:
        """While one request is under way, sixteen threads get the token that is still good."""
        source, request = house.process(), house.request()
        old = source.get(request).value
        house.clock.advance(HOUR - 300)
        house.amazon.open.clear()

        assert values(house.together(16, lambda: source.get(request))) == {old}
        assert house.amazon.called.acquire(timeout=10)
        house.amazon.open.set()
        settled()
        assert source.get(request).value == "Atza|token-2"
        assert house.amazon.count == 2

    def test_one_process_replaces_for_all(self, house: Household, settled: Callable[[], None]) -> None:
        """Processes that find somebody at it leave it to that one, and find the new token later."""
        first, second = house.process(), house.process()
        old = [source.get(house.request()).value for source in (first, second)]
        house.clock.advance(HOUR - 300)
        house.amazon.open.clear()
        seen = [first.get(house.request()).value]
        assert house.amazon.called.acquire(timeout=10)
        assert house.amazon.called.acquire(timeout=10)
        seen += [second.get(house.request()).value for _ in range(3)]
        house.amazon.open.set()
        settled()
        house.clock.advance(41)
        second.get(house.request())
        settled()

        assert seen == [old[0]] * 4
        assert second.get(house.request()).value == first.get(house.request()).value == "Atza|token-2"
        assert house.amazon.count == 2

    def test_a_task_that_only_reads_the_store_replaces_it_too(
        self, house: Household, settled: Callable[[], None]
    ) -> None:
        """A short task finds a stale token in the store, uses it, and has it replaced."""
        house.process().get(house.request())
        house.clock.advance(HOUR - 300)

        assert house.process().get(house.request()).value == "Atza|token-1"
        settled()
        assert house.process().get(house.request()).value == "Atza|token-2"

    def test_while_amazon_is_down_the_token_serves_to_its_end(
        self, house: Household, settled: Callable[[], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The old token is used to its end, attempts are half a minute apart; then there is an error."""
        source, request = house.process(), house.request()
        source.get(request)
        house.amazon.script = [house.amazon.DOWN] * 100
        house.clock.advance(HOUR - 900)
        attempts, last_served = [], 0.0
        for second in range(900):
            house.clock.advance(1)
            try:
                source.get(request)
                last_served = second
            except TransientError:
                break
            settled()
            if house.amazon.count > len(attempts) + 1:
                attempts.append(second)

        assert 838 <= last_served <= 840
        assert len(attempts) >= 9
        assert min(after - before for before, after in itertools.pairwise(attempts)) >= 30
        assert {name for name, _ in house.events[1:]} == {"token_unavailable"}
        assert 0 < float(str(house.events[1][1]["valid_for"])) < 720
        assert caplog.messages[0].startswith("Not renewed, but good for ")

    def test_processes_together_keep_half_a_minute(
        self, house: Household, settled: Callable[[], None]
    ) -> None:
        """After one process failed to renew, the others do not try before half a minute has passed."""
        house.process().get(house.request())
        house.clock.advance(HOUR - 300)
        house.amazon.script = [house.amazon.DOWN] * 10
        seen = []
        for _ in range(5):
            house.process().get(house.request())
            settled()
            house.clock.advance(10)
            seen.append(house.amazon.count)

        assert seen == [2, 2, 2, 3, 3]

    def test_a_refusal_ahead_of_time_is_the_alert_window(
        self, house: Household, settled: Callable[[], None]
    ) -> None:
        """A revoked credential is known minutes before tasks fail: the old token serves on."""
        source, request = house.process(), house.request()
        old = source.get(request).value
        house.clock.advance(HOUR - 300)
        house.amazon.script = [house.amazon.REVOKED] * 10
        served = []
        for _ in range(4):
            served.append(source.get(request).value)
            settled()
            house.clock.advance(45)

        assert served == [old] * 4
        assert [name for name, _ in house.events] == ["token_granted", "token_refused"]
        house.clock.advance(60)
        with pytest.raises(RefreshTokenRevoked) as caught:
            source.get(request)
        assert caught.value.remembered
        assert house.amazon.count == 2

    def test_no_thread_to_be_had(self, house: Household, monkeypatch: pytest.MonkeyPatch) -> None:
        """When no thread can be started, as at the end of the interpreter, the token is handed out anyway."""

        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread at interpreter shutdown")

        source, request = house.process(), house.request()
        old = source.get(request).value
        house.clock.advance(HOUR - 300)
        monkeypatch.setattr(threading.Thread, "start", refuse)

        assert source.get(request).value == old

    def test_somebody_else_who_hangs(self, house: Household, settled: Callable[[], None]) -> None:
        """If the leader does not get done, nobody asks beside it as long as the old token is good."""
        source, request = house.process(), house.request()
        source.get(request)
        house.clock.advance(HOUR - 300)
        with _elsewhere(house).election(request.identity):
            source.get(request)
            settled()

        assert house.amazon.count == 1

    def test_two_threads_that_find_it_stale_at_once(
        self, house: Household, settled: Callable[[], None]
    ) -> None:
        """Only one of them begins."""
        source, request = house.process(), house.request()
        source.get(request)
        slot = source._slot(request)
        held = slot.held
        house.clock.advance(HOUR - 300)
        for _ in range(2):
            source._replace_ahead(request, slot, held)
        settled()

        assert house.amazon.count == 2
        assert 30 <= held.soft - house.clock.seconds <= 40

    def test_a_flight_that_nobody_asked_for_is_left_alone(self, house: Household) -> None:
        """While a caller is getting a token anyway, none is replaced ahead of time."""
        source, request = house.process(), house.request()
        slot = source._slot(request)
        source._flights[slot, request.client_secret] = module.Future()

        assert source._share(request, slot, module._Wish(ahead=True)) is None


def _elsewhere(house: Household) -> Any:
    return house.process()._safe


class TestExpired:
    """An expired token is never handed out."""

    def test_with_amazon_down(self, house: Household) -> None:
        """Past its time a token is gone, in memory as in the store, whatever Amazon does."""
        source, request = house.process(), house.request()
        source.get(request)
        house.clock.advance(HOUR - 60)
        house.amazon.script = [house.amazon.DOWN] * 3

        with pytest.raises(Unavailable):
            source.get(request)
        with pytest.raises(Unavailable):
            house.process().get(request)

    def test_a_suspended_machine(self, house: Household) -> None:
        """The boot clock counts sleep: after two hours of it, a new token is asked for."""
        source, request = house.process(), house.request()
        source.get(request)
        house.clock.advance(2 * HOUR)

        assert source.get(request).value == "Atza|token-2"

    @pytest.mark.parametrize("by", [7200, -7200, -400 * 86_400])
    def test_a_wall_clock_that_is_set(self, house: Household, by: float) -> None:
        """Setting the clock costs no request, in this process or another, and makes nothing live longer."""
        source, request = house.process(), house.request()
        source.get(request)
        house.clock.set_wall(by)
        seen = [source.get(request).value, house.process().get(request).value]
        house.clock.advance(HOUR)
        seen += [source.get(request).value, house.process().get(request).value]

        assert seen == ["Atza|token-1", "Atza|token-1", "Atza|token-2", "Atza|token-2"]

    def test_a_record_from_a_clock_far_ahead(self, house: Household) -> None:
        """After a boot with the clock set back, what claims to come from the future is not believed."""
        house.process().get(house.request())
        house.clock.reboot()
        house.clock.set_wall(-HOUR)

        assert house.process().get(house.request()).value == "Atza|token-2"
        assert house.process().get(house.request()).value == "Atza|token-2"

    def test_a_very_short_token_is_used_once(self, house: Household) -> None:
        """A token that is past its margin when it arrives is still handed out, but not a second time."""
        house.amazon.lifetime = 1.0
        house.amazon.script = [lambda: house.clock.advance(5)] * 2
        source, request = house.process(), house.request()

        assert [source.get(request).value, source.get(request).value] == ["Atza|token-1", "Atza|token-2"]

    def test_a_short_token(self, house: Household) -> None:
        """Of a token of 30 seconds, windows are short and one request is made."""
        house.amazon.lifetime = 30.0
        source, request = house.process(), house.request()
        for _ in range(20):
            source.get(request)
            house.clock.advance(1)

        assert house.amazon.count == 1

    def test_a_stores_clock_may_shorten_it(self, house: Household) -> None:
        """Where the store's own clock says that less is left, less is left: hosts' clocks may differ."""

        class Strict(MemoryStore):
            def load(self, name: str) -> Any:
                entry = super().load(name)
                return entry and type(entry)(entry.generation, entry.sealed, 30.0)

        store = Strict()
        house.process(store).get(house.request())
        house.process(store).get(house.request())

        assert house.amazon.count == 2


class TestLongEnough:
    """A caller may need a token that lives for a while."""

    def test_a_token_that_lives_too_short_is_replaced(self, house: Household) -> None:
        """For whoever needs half an hour, a token of twenty minutes is replaced; for others it serves."""
        source, request = house.process(), house.request()
        source.get(request)
        house.clock.advance(HOUR - 1200)

        assert source.get(request).value == "Atza|token-1"
        assert source.get(request, min_ttl=1100).value == "Atza|token-1"
        assert source.get(request, min_ttl=1800).value == "Atza|token-2"
        assert source.get(request).value == "Atza|token-2"

    def test_amazon_is_not_asked_again_and_again(self, house: Household) -> None:
        """More than Amazon grants can not be had: a token of the last minute will do."""
        source, request = house.process(), house.request()
        for _ in range(5):
            source.get(request, min_ttl=7200)
        seen = house.amazon.count
        house.clock.advance(61)
        source.get(request, min_ttl=7200)

        assert (seen, house.amazon.count) == (1, 2)

    def test_a_shorter_one_is_better_than_none(
        self, house: Household, caplog: pytest.LogCaptureFixture
    ) -> None:
        """If no longer-lived token can be had, the one at hand serves, with a warning."""
        source, request = house.process(), house.request()
        source.get(request)
        house.clock.advance(HOUR - 1200)
        house.amazon.script = [house.amazon.REVOKED]

        assert source.get(request, min_ttl=1800).value == "Atza|token-1"
        assert "the present one is used" in caplog.text

    def test_a_token_from_the_store_that_lives_long_enough(self, house: Household) -> None:
        """Another process may have one that will do."""
        first, second = house.process(), house.process()
        first.get(house.request())
        second.get(house.request())
        house.clock.advance(HOUR - 1200)
        first.get(house.request(), min_ttl=1800)

        assert second.get(house.request(), min_ttl=1800).value == "Atza|token-2"
        assert house.amazon.count == 2


class TestWaiting:
    """Single flight, and what ends it."""

    @pytest.mark.parametrize("error", [RefreshTokenRevoked("No."), TransportError("Cannot connect safely.")])
    def test_all_who_wait_learn_of_the_error(self, house: Household, error: LwaError) -> None:
        """One request fails, all threads raise its error, each one of its own."""
        source, request = house.process(), house.request()
        house.amazon.script = [error]
        house.amazon.open.clear()
        done: list[Any] = []
        asking = threading.Thread(target=lambda: done.extend(house.together(16, lambda: source.get(request))))
        asking.start()
        house.amazon.called.acquire(timeout=10)
        while asking.is_alive() and _waiting(source) < 15:
            time.sleep(0.001)
        house.amazon.open.set()
        asking.join()

        assert {type(found) for found in done} == {type(error)}
        assert len({id(found) for found in done}) == 16
        assert len({getattr(found, "first_seen", None) for found in done}) == 1
        assert house.amazon.count == 1

    def test_what_another_thread_found_in_the_store(self, house: Household) -> None:
        """A thread that waited for another takes a token that one found, if it lives long enough."""
        source, request = house.process(), house.request()
        house.process().get(request)
        slot = source._slot(request)
        for need, count in ((None, 1), (7200, 2)):
            flight: Any = module.Future()
            source._flights[slot, request.client_secret], slot.held = flight, type(slot.held).nothing()
            landing = threading.Timer(0.05, _land, (source, slot, flight, request))
            landing.start()
            source.get(request, min_ttl=need)
            landing.join()

            assert house.amazon.count == count
            house.clock.advance(61)

    def test_trouble_of_this_machine_is_not_remembered(self, house: Household) -> None:
        """A certificate that is not accepted says nothing about the credential: next time Amazon is asked."""
        source, request = house.process(), house.request()
        house.amazon.script = [TransportError("Cannot connect safely.")]

        with pytest.raises(TransportError):
            source.get(request)
        assert source.get(request).value == "Atza|token-2"

    def test_an_error_nobody_thought_of(self, house: Household) -> None:
        """A bug is raised as it is, and the next caller is not held up."""
        source, request = house.process(), house.request()
        house.amazon.script = [ZeroDivisionError("a bug")]

        with pytest.raises(ZeroDivisionError):
            source.get(request)
        assert source.get(request).value == "Atza|token-2"

    def test_a_leader_that_is_interrupted(self, house: Household) -> None:
        """When a time-out of Airflow's breaks into the thread that asks, those who wait ask themselves."""

        class TaskTimeout(BaseException):
            """What Airflow raises into a task."""

        source, request = house.process(), house.request()
        house.amazon.script = [TaskTimeout()]
        house.amazon.open.clear()
        results: list[Any] = []

        def interrupted() -> None:
            try:
                source.get(request)
            except TaskTimeout:
                results.append("interrupted")

        first = threading.Thread(target=interrupted)
        first.start()
        house.amazon.called.acquire(timeout=10)
        second = threading.Thread(target=lambda: results.append(source.get(request).value))
        second.start()
        while not source._flights:
            time.sleep(0.001)
        house.amazon.open.set()
        first.join()
        second.join()

        assert sorted(results) == ["Atza|token-2", "interrupted"]

    def test_a_thread_does_not_wait_for_ever(self, house: Household) -> None:
        """Whoever has waited long enough for another thread asks itself."""
        source = house.alone(settings=Settings(lock_wait=0.0, request_budget=0.05), clock=_Running())
        request = house.request()
        source._flights[source._slot(request), request.client_secret] = module.Future()

        assert source.get(request).value == "Atza|token-1"

    def test_a_process_does_not_wait_for_ever(self, house: Household) -> None:
        """Whoever has watched for long enough asks without the lock."""
        request = house.request()
        began = house.clock.seconds
        with _elsewhere(house).election(request.identity) as role:
            assert role is Role.LEADER
            token = house.process().get(request)

        assert token.value == "Atza|token-1"
        assert 12 <= house.clock.seconds - began < 12.2

    def test_those_who_watch_see_the_value(self, house: Household) -> None:
        """Followers take the token as soon as it is in the store, before the lock is free."""
        request = house.request()
        leader, follower = house.process(), house.process()
        nap = house.clock.sleep
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            nap(seconds)
            if len(naps) == 3:
                leader._ask(request, leader._slot(request), None)

        house.clock.sleep = sleep
        with leader._safe.election(request.identity):
            assert follower.get(request).value == "Atza|token-1"
        assert len(naps) == 3
        assert house.amazon.count == 1

    def test_those_who_watch_see_the_refusal(self, house: Household) -> None:
        """Followers learn of a refusal as soon as it is in the store."""
        request = house.request()
        leader, follower = house.process(), house.process()
        house.amazon.script = [house.amazon.REVOKED]
        nap = house.clock.sleep

        def sleep(seconds: float) -> None:
            nap(seconds)
            leader._ask(request, leader._slot(request), None)

        house.clock.sleep = sleep
        with leader._safe.election(request.identity), pytest.raises(RefreshTokenRevoked) as caught:
            follower.get(request)
        assert caught.value.remembered
        assert house.amazon.count == 1

    def test_whoever_is_elected_looks_again(self, house: Household) -> None:
        """Between looking and being elected somebody else may have got a token: then none is asked for."""
        request = house.request()

        class Busy(MemoryStore):
            def election(self, name: str) -> AbstractContextManager[Role]:
                other._ask(request, other._slot(request), None)
                return super().election(name)

        store = Busy()
        here, other = house.process(store), house.process(store)

        assert here.get(request).value == "Atza|token-1"
        assert house.amazon.count == 1

    def test_a_latecomer_does_not_undo_newer_work(self, house: Household) -> None:
        """A process held up while it asked keeps its token to itself if a newer one stands in the store."""
        request = house.request()
        late, other = house.process(), house.process()
        house.amazon.script = [lambda: other._ask(request, other._slot(request), None)]

        assert late.get(request).value == "Atza|token-1"
        assert house.process().get(request).value == "Atza|token-2"

    def test_a_store_that_cannot_elect(self, house: Household) -> None:
        """Without elections everybody asks, and everybody gets a token."""

        class Anarchy(MemoryStore):
            def election(self, _: str) -> AbstractContextManager[Role]:
                return contextlib.nullcontext(Role.UNLOCKED)

        assert house.process(Anarchy()).get(house.request()).value == "Atza|token-1"


def _waiting(source: TokenSource[Any]) -> int:
    """How many threads wait for the one that asks: a future knows, but does not tell."""
    return sum(len(flight._condition._waiters) for flight in source._flights.values())


def _land(source: TokenSource[Any], slot: Any, flight: Any, request: Any) -> None:
    landing, _ = source._look(request, slot, module._Wish())
    source._flights.clear()
    flight.set_result(landing)


class _Running(Clock):
    """The machine's own clock."""


class TestRefusals:
    """A refusal is remembered by all, and not a moment too long."""

    def test_a_thousand_tasks_ask_once(self, house: Household) -> None:
        """A revoked credential costs one request; every task fails with the same first sight of it."""
        house.amazon.script = [house.amazon.REVOKED] * 10
        seen: list[CredentialError] = []
        for _ in range(1000):
            with pytest.raises(RefreshTokenRevoked) as caught:
                house.process().get(house.request())
            seen.append(caught.value)
            house.clock.advance(0.25)

        assert house.amazon.count == 1
        assert {error.first_seen for error in seen} == {seen[0].first_seen}
        assert [error.remembered for error in seen] == [False] + [True] * 999
        assert [name for name, _ in house.events] == ["token_refused"]
        assert (seen[-1].code, seen[-1].status, seen[-1].request_id) == ("invalid_grant", 400, "bef0c2f8")

    def test_it_is_fast(self, house: Household) -> None:
        """A remembered refusal is raised within a millisecond or so."""
        source, request = house.process(), house.request()
        house.amazon.script = [house.amazon.REVOKED]
        times = []
        for _ in range(50):
            began = time.perf_counter()
            with pytest.raises(RefreshTokenRevoked):
                source.get(request)
            times.append(time.perf_counter() - began)

        assert sorted(times)[25] < 0.005

    def test_one_probe_when_its_time_is_over(self, house: Household) -> None:
        """After five minutes Amazon is asked once again, then the refusal stands for ten."""
        house.amazon.script = [house.amazon.REVOKED] * 10
        counts = []
        for _ in range(40):
            with pytest.raises(RefreshTokenRevoked):
                house.process().get(house.request())
            house.clock.advance(30)
            counts.append(house.amazon.count)

        assert [counts.index(number) * 30 for number in (1, 2, 3)] == [0, 300, 900]
        assert [facts["count"] for _, facts in house.events] == [1, 2, 3]

    def test_authorized_again_with_the_same_refresh_token(self, house: Household) -> None:
        """When Amazon accepts the credential again, the probe finds out, and nothing of the refusal stays."""
        house.amazon.script = [house.amazon.REVOKED]
        with pytest.raises(RefreshTokenRevoked):
            house.process().get(house.request())
        house.clock.advance(301)
        seen = house.process().get(house.request()).value
        house.clock.advance(HOUR)
        house.amazon.script = [house.amazon.REVOKED]
        with pytest.raises(RefreshTokenRevoked):
            house.process().get(house.request())

        assert seen == "Atza|token-2"
        assert house.events[-1][1]["count"] == 1

    def test_a_success_elsewhere_counts_here(self, house: Household) -> None:
        """A refusal does not outlive another process's success."""
        here, there = house.process(), house.process()
        house.amazon.script = [house.amazon.REVOKED]
        with pytest.raises(RefreshTokenRevoked):
            here.get(house.request())

        assert there.refresh(house.request()).value == here.get(house.request()).value == "Atza|token-2"

    def test_a_corrected_secret_is_tried_at_once(self, house: Household) -> None:
        """A refusal is of this secret: with another one Amazon is asked, and the token then serves all."""
        house.amazon.script = [house.amazon.REJECTED]
        with pytest.raises(ClientRejected):
            house.process().get(house.request("wrong"))

        assert house.process().get(house.request("right")).value == "Atza|token-2"
        assert house.process().get(house.request("wrong")).value == "Atza|token-2"

    def test_a_wrong_secret_does_not_speak_for_a_right_one(self, house: Household) -> None:
        """Of two connections with the same grant, one has a wrong secret: the other gets its token."""
        source = house.process()
        requests = {secret: house.request(secret) for secret in ("wrong", "right")}
        house.amazon.refused = {"wrong"}
        house.amazon.open.clear()
        results: dict[str, Any] = {}

        def ask(secret: str) -> None:
            results[secret] = house.together(1, lambda: source.get(requests[secret]))[0]

        threads = [threading.Thread(target=ask, args=(secret,)) for secret in requests]
        for thread in threads:
            thread.start()
            house.amazon.called.acquire(timeout=10)
        house.amazon.open.set()
        for thread in threads:
            thread.join()

        assert results["right"].value == "Atza|token-2"
        assert type(results["wrong"]) is ClientRejected or results["wrong"] is results["right"]

    def test_a_new_refresh_token_is_tried_at_once(self, house: Household) -> None:
        """A refusal is of this refresh token."""
        house.amazon.script = [house.amazon.REVOKED]
        with pytest.raises(RefreshTokenRevoked):
            house.process().get(house.request())

        assert house.process().get(house.request(refresh_token="Atzr|new")).value == "Atza|token-2"

    def test_a_replaced_refresh_token_has_a_token_of_its_own(self, house: Household) -> None:
        """When the connection's refresh token is replaced, the old access token is not used any more."""
        house.process().get(house.request())

        assert house.process().get(house.request(refresh_token="Atzr|new")).value == "Atza|token-2"
        assert len(house.files()) == 2

    def test_without_negative_ttl_nothing_is_remembered(self, house: Household) -> None:
        """A negative_ttl of 0 switches the memory of refusals off."""
        house.settings = Settings(negative_ttl=0)
        house.amazon.script = [house.amazon.REVOKED] * 3
        for _ in range(3):
            with pytest.raises(RefreshTokenRevoked):
                house.process().get(house.request())

        assert house.amazon.count == 3

    def test_forget(self, house: Household) -> None:
        """Whoever knows better has everything forgotten that is known of a credential."""
        source, request = house.process(), house.request()
        house.amazon.script = [house.amazon.REVOKED]
        with pytest.raises(RefreshTokenRevoked):
            source.get(request)
        source.forget(request)
        first = source.get(request).value
        source.forget(request)

        assert (first, source.get(request).value) == ("Atza|token-2", "Atza|token-3")


class TestOutages:
    """Trouble that passes closes the gate for a while, for everybody."""

    def test_one_at_a_time_finds_out_whether_it_has_passed(self, house: Household) -> None:
        """Two seconds, then four, then eight: in between everybody is told at once, and for how long."""
        house.amazon.script = [house.amazon.DOWN] * 20
        counts = []
        for second in range(60):
            with pytest.raises(Unavailable) as caught:
                house.process().get(house.request())
            counts.append(house.amazon.count)
            assert caught.value.retry_after is None or caught.value.retry_after <= 60, second
            house.clock.advance(1)

        assert [counts.index(number) for number in (1, 2, 3, 4, 5)] == [0, 2, 6, 14, 30]

    def test_it_recovers(self, house: Household) -> None:
        """When Amazon answers again, the next one through the gate gets a token for all."""
        house.amazon.script = [house.amazon.DOWN]
        with pytest.raises(Unavailable):
            house.process().get(house.request())
        house.clock.advance(2)

        assert house.process().get(house.request()).value == house.process().get(house.request()).value

    def test_amazons_wish_is_shared(self, house: Household) -> None:
        """When Amazon asks to wait an hour, no process asks before."""
        house.amazon.script = [Throttled("Slower.", retry_after=3600.0)]
        with pytest.raises(Throttled):
            house.process().get(house.request())
        house.clock.advance(3000)
        with pytest.raises(Throttled) as caught:
            house.process().get(house.request())
        house.clock.advance(600)

        assert caught.value.retry_after == pytest.approx(600)
        assert house.process().get(house.request()).value == "Atza|token-2"


class TestProbing:
    """refresh() asks Amazon itself."""

    def test_it_goes_past_the_cache(self, house: Household) -> None:
        """A token at hand is not enough, and the new one is everybody's."""
        source, request = house.process(), house.request()
        source.get(request)

        assert source.refresh(request).value == "Atza|token-2"
        assert source.get(request).value == house.process().get(request).value == "Atza|token-2"

    def test_it_goes_past_a_remembered_refusal(self, house: Household) -> None:
        """What Amazon refused a moment ago is tried again, and counted on."""
        source, request = house.process(), house.request()
        house.amazon.script = [house.amazon.REVOKED] * 3
        for _ in range(3):
            with pytest.raises(RefreshTokenRevoked) as caught:
                source.refresh(request)
            assert not caught.value.remembered

        assert house.amazon.count == 3
        assert [facts["count"] for _, facts in house.events] == [1, 2, 3]

    def test_a_refusal_is_raised_although_the_token_is_good(self, house: Household) -> None:
        """A credential that will break is found while its last token still works; that token serves on."""
        source, request = house.process(), house.request()
        old = source.get(request).value
        house.amazon.script = [house.amazon.REVOKED]

        with pytest.raises(RefreshTokenRevoked):
            source.refresh(request)
        assert source.get(request).value == house.process().get(request).value == old

    def test_callers_at_the_same_moment_share_a_request(self, house: Household) -> None:
        """Sixteen probes at once are one request."""
        source, request = house.process(), house.request()
        source.get(request)
        house.amazon.open.clear()
        done: list[Any] = []
        probing = threading.Thread(
            target=lambda: done.extend(house.together(16, lambda: source.refresh(request)))
        )
        probing.start()
        house.amazon.called.acquire(timeout=10)
        house.amazon.called.acquire(timeout=10)
        time.sleep(0.1)
        house.amazon.open.set()
        probing.join()

        assert values(done) <= {"Atza|token-2", "Atza|token-3"}
        assert house.amazon.count <= 3

    def test_processes_at_the_same_moment_share_a_request(self, house: Household) -> None:
        """A probe that finds another process at it takes that one's answer."""
        here, there = house.process(), house.process()
        request = house.request()
        here.get(request)
        nap = house.clock.sleep

        def sleep(seconds: float) -> None:
            nap(seconds)
            there._ask(
                request,
                there._slot(request),
                house.process()._safe.load("token", request.identity).generation,
            )

        house.clock.sleep = sleep
        with there._safe.election(request.identity):
            assert here.refresh(request).value == "Atza|token-2"
        assert house.amazon.count == 2

    def test_it_does_not_take_what_was_only_found(self, house: Household) -> None:
        """A probe that meets a caller who finds a token in the store asks Amazon itself."""
        source, request = house.process(), house.request()
        source.get(request)
        slot = source._slot(request)
        flight: Any = module.Future()
        source._flights[slot, request.client_secret] = flight

        def land() -> None:
            time.sleep(0.05)
            source._flights.clear()
            flight.set_result(module._Landing(slot.held.token, asked=False))

        landing = threading.Thread(target=land)
        landing.start()
        assert source.refresh(request).value == "Atza|token-2"
        landing.join()

    def test_amazons_wish_is_heeded(self, house: Household) -> None:
        """When Amazon asked to wait, even a probe waits."""
        source, request = house.process(), house.request()
        house.amazon.script = [Throttled("Slower.", retry_after=60.0)]
        with pytest.raises(Throttled):
            source.get(request)
        with pytest.raises(Throttled):
            source.refresh(request)

        assert house.amazon.count == 1


class TestRefusedTokens:
    """An API refuses a token although its time is not over."""

    def test_sixty_four_threads_cause_one_request(self, house: Household) -> None:
        """All were refused with the same token: one request, and every one of them may try once more."""
        source, request = house.process(), house.request()
        old = source.get(request)

        def call() -> tuple[bool, str]:
            again = source.invalidate(request, old.generation)
            return again, source.get(request).value

        assert set(house.together(64, call)) == {(True, "Atza|token-2")}
        assert house.amazon.count == 2

    def test_it_counts_for_all_processes(self, house: Household) -> None:
        """A process that still holds the refused token learns that it was replaced already."""
        here, there = house.process(), house.process()
        request = house.request()
        old = here.get(request)
        there.get(request)

        assert here.invalidate(request, old.generation)
        assert here.get(request).value == "Atza|token-2"
        assert there.invalidate(request, old.generation)
        assert there.get(request).value == "Atza|token-2"
        assert house.amazon.count == 2

    def test_a_second_token_refused_is_not_a_matter_of_the_token(self, house: Household) -> None:
        """If the new token is refused as well, it stays, and so does every token for a minute."""
        source, request = house.process(), house.request()
        seen = [source.invalidate(request, source.get(request).generation) for _ in range(5)]
        house.clock.advance(61)
        seen.append(house.process().invalidate(request, source.get(request).generation))

        assert seen == [True, False, False, False, False, True]
        assert source.get(request).value == "Atza|token-2"
        assert house.process().get(request).value == "Atza|token-3"
        assert [name for name, _ in house.events].count("token_invalidated") == 2

    def test_a_token_nobody_knows(self, house: Household) -> None:
        """A generation from long ago costs nothing."""
        source, request = house.process(), house.request()
        source.get(request)

        assert source.invalidate(request, "0" * 32)
        assert source.get(request).value == "Atza|token-1"


class TestRotation:
    """Amazon answers with another refresh token than the one it was sent."""

    @pytest.fixture
    def rotated(self, house: Household) -> Household:
        """A household whose first answer brought a new refresh token."""
        house.amazon.script = [house.amazon.grant("Atza|token-1", "Atzr|successor")]
        house.process().get(house.request())
        house.clock.advance(HOUR)
        return house

    def test_the_new_one_is_used_from_then_on(self, rotated: Household) -> None:
        """It is kept, sealed, and sent next time, by whichever process."""
        rotated.process().get(rotated.request())
        rotated.clock.advance(HOUR)
        rotated.process().get(rotated.request())

        sent = [request.refresh_token for request in rotated.amazon.asked]
        assert sent == ["Atzr|seller", "Atzr|successor", "Atzr|successor"]
        assert b"successor" not in b"".join(path.read_bytes() for path in rotated.files())

    def test_people_are_told(self, rotated: Household, caplog: pytest.LogCaptureFixture) -> None:
        """A warning says what to do, once per process; an event tells of the change."""
        source = rotated.process()
        for _ in range(3):
            source.get(rotated.request())
            rotated.clock.advance(HOUR)

        assert [name for name, _ in rotated.events].count("refresh_token_rotated") == 1
        assert len(caplog.messages) == 1
        assert "update the connection" in caplog.messages[0]
        assert "Atzr" not in caplog.text

    def test_if_the_new_one_is_dead_the_connections_own_is_tried(self, rotated: Household) -> None:
        """Somebody authorized again with the old refresh token: that one works, the other is forgotten."""
        rotated.amazon.script = [rotated.amazon.REVOKED]
        token = rotated.process().get(rotated.request())
        rotated.clock.advance(HOUR)
        rotated.process().get(rotated.request())

        sent = [request.refresh_token for request in rotated.amazon.asked]
        assert token.value == "Atza|token-3"
        assert sent == ["Atzr|seller", "Atzr|successor", "Atzr|seller", "Atzr|seller"]

    def test_it_may_change_again(self, rotated: Household) -> None:
        """The last refresh token Amazon gave is the one that is sent."""
        rotated.amazon.script = [rotated.amazon.grant("Atza|token-2", "Atzr|third")]
        for _ in range(2):
            rotated.process().get(rotated.request())
            rotated.clock.advance(HOUR)

        assert [request.refresh_token for request in rotated.amazon.asked][-1] == "Atzr|third"

    def test_a_refused_token_does_not_lose_it(self, rotated: Household) -> None:
        """Dropping an access token keeps the refresh token that came with it."""
        source, request = rotated.process(), rotated.request()
        source.invalidate(request, source.get(request).generation)
        source.get(request)

        assert rotated.amazon.asked[-1].refresh_token == "Atzr|successor"

    def test_forgetting_forgets_it(self, rotated: Household) -> None:
        """After forget() the connection's own refresh token is sent."""
        source = rotated.process()
        source.forget(rotated.request())
        source.get(rotated.request())

        assert rotated.amazon.asked[-1].refresh_token == "Atzr|seller"


class TestLoops:
    """Event loops are never blocked."""

    def test_five_hundred_triggers_ask_once(self, house: Household) -> None:
        """Five hundred tasks of a loop need a token at once: one request, and a loop that turns."""
        lags = []
        for seller in range(6):
            source, request = house.process(), house.request(refresh_token=f"Atzr|{seller}")
            house.amazon.open.clear()
            tokens, lag = asyncio.run(_five_hundred(house, source, request))
            lags.append(lag)
            assert values(tokens) == {f"Atza|token-{seller + 1}"}
            if lag < 0.05:
                break
        assert house.amazon.count == len(lags)
        assert min(lags) < 0.05  # a busy machine may hold a loop up by itself, but hardly six times
        assert len(
            [thread for thread in threading.enumerate() if thread.name.startswith("lwa-token")]
        ) <= len(lags)

    def test_a_token_at_hand_needs_no_thread(self, house: Household) -> None:
        """What is in memory is handed out at once."""
        source, request = house.process(), house.request()
        source.get(request)

        assert asyncio.run(source.aget(request)).value == "Atza|token-1"
        assert source._threads is None

    def test_the_same_results_as_without_a_loop(self, house: Household) -> None:
        """Errors are those that get() raises, an error of its own for each task."""
        source, request = house.process(), house.request()
        house.amazon.script = [house.amazon.REVOKED]

        async def run() -> list[Any]:
            return await asyncio.gather(*(source.aget(request) for _ in range(5)), return_exceptions=True)

        errors = asyncio.run(run())

        assert {type(error) for error in errors} == {RefreshTokenRevoked}
        assert len({id(error) for error in errors}) == 5
        with pytest.raises(RefreshTokenRevoked) as caught:
            source.get(request)
        assert str(caught.value) == str(errors[0])

    def test_a_task_that_gives_up(self, house: Household) -> None:
        """Cancelling one task leaves the others their token, and no complaint behind if all give up."""
        source, request = house.process(), house.request()
        house.amazon.open.clear()
        house.amazon.script = [house.amazon.REVOKED]

        async def run() -> list[Any]:
            tasks = [asyncio.create_task(source.aget(request, min_ttl=60)) for _ in range(3)]
            await asyncio.sleep(0.05)
            tasks[0].cancel()
            house.amazon.open.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

        kinds = [type(result) for result in asyncio.run(run())]

        assert kinds == [asyncio.CancelledError, RefreshTokenRevoked, RefreshTokenRevoked]

    def test_a_loop_that_closes_early(self, house: Household, recwarn: pytest.WarningsRecorder) -> None:
        """A loop may end while its request is under way; the next loop is served."""
        source, request = house.process(), house.request()
        house.amazon.open.clear()

        async def give_up() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(source.aget(request), 0.05)

        asyncio.run(give_up())
        house.amazon.open.set()

        assert asyncio.run(source.aget(request)).value == "Atza|token-1"
        gc.collect()
        assert not recwarn.list


async def _five_hundred(
    house: Household, source: TokenSource[Any], request: Any
) -> tuple[list[Token], float]:
    lag = asyncio.create_task(_worst_lag(0.2))
    tasks = [asyncio.create_task(source.aget(request)) for _ in range(500)]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in tasks)
    house.amazon.open.set()
    return await asyncio.gather(*tasks), await lag


async def _worst_lag(seconds: float) -> float:
    worst, end = 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        await asyncio.sleep(0.001)
        worst = max(worst, time.monotonic() - began)
    return worst


class TestLimits:
    """Ten thousand credentials and more."""

    def test_memory(self, house: Household) -> None:
        """Ten thousand tokens in memory take a few megabytes, in files nothing more."""
        source = house.process(_Sink())
        requests = [house.request(refresh_token=f"Atzr|{number:0300}") for number in range(2000)]
        gc.collect()
        tracemalloc.start()
        for number, request in enumerate(requests):
            house.amazon.script = [house.amazon.grant(f"Atza|{number:0350}")]
            source.get(request)
        house.amazon.asked.clear()
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / len(requests)
        tracemalloc.stop()

        assert each < 1600

    def test_the_least_recently_used_go(self, house: Household, monkeypatch: pytest.MonkeyPatch) -> None:
        """Beyond the capacity the credential unused for longest leaves memory; the store still has it."""
        monkeypatch.setattr(module, "CAPACITY", 3)
        source = house.process()
        for number in (1, 2, 3, 1, 4):
            source.get(house.request(refresh_token=f"Atzr|{number}"))

        kept = [identity[-1] for identity in source._slots]
        assert kept == ["Atzr|3", "Atzr|1", "Atzr|4"]
        assert source.get(house.request(refresh_token="Atzr|2")).value == "Atza|token-2"
        assert house.amazon.count == 4

    def test_requests_made_anew_do_not_pile_up(
        self, house: Household, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Callers who make a new request for each call cost no memory."""
        monkeypatch.setattr(module, "CAPACITY", 50)
        source = house.process()
        kept = [house.request() for _ in range(500)]
        for request in kept:
            source.get(request)

        assert len(source._known) <= 50

    def test_clear(self, house: Household) -> None:
        """Clearing removes what is known, here and in the store, and tells how much it was."""
        source, request = house.process(), house.request()
        source.get(request)

        assert source.clear() == 1
        assert not house.files()
        assert house.files("*.lock")
        assert source.get(request).value == "Atza|token-2"


class _Sink(MemoryStore):
    """Keeps nothing, as files keep nothing in memory."""

    def save(self, *_: object, **__: object) -> bool:
        """Keep nothing."""
        return True


class TestTelling:
    """What is told about tokens, and what not."""

    def test_events(self, house: Household) -> None:
        """A listener hears what happened to which credential, without secrets."""
        source, request = house.process(), house.request()
        source.get(request)
        house.clock.advance(HOUR)
        house.amazon.script = [house.amazon.REVOKED]
        with pytest.raises(RefreshTokenRevoked):
            source.get(request)

        (granted, facts), (refused, more) = house.events
        assert (granted, facts["lifetime"]) == ("token_granted", 3600.0)
        assert (refused, more["kind"], more["code"], more["valid_for"]) == (
            "token_refused",
            "revoked",
            "invalid_grant",
            0.0,
        )
        assert "amzn1.application-oa2-client.ours" in str(facts["request"])
        assert "Atz" not in repr(house.events)

    def test_a_listener_that_fails(self, house: Household, caplog: pytest.LogCaptureFixture) -> None:
        """A listener's bug is logged and costs nobody a token."""
        source, request = house.process(), house.request()

        def broken(*_: object) -> None:
            raise ZeroDivisionError("a bug in the listener")

        source._on_event = broken

        assert source.get(request).value == "Atza|token-1"
        assert "The listener to token events failed." in caplog.messages

    def test_without_a_listener(self, house: Household) -> None:
        """Nobody need listen."""
        source = TokenSource(house.alone()._safe, house.amazon)

        assert source.get(house.request()).value == "Atza|token-1"

    def test_unusual_answers_are_told_once(self, house: Household, caplog: pytest.LogCaptureFixture) -> None:
        """A warning of the answer's appears once per process."""
        source, request = house.process(), house.request()
        for number in range(3):
            warnings = ("expires_in is missing; 3600 seconds assumed",)
            house.amazon.script = [house.amazon.grant(f"Atza|{number}", warnings=warnings)]
            source.get(request)
            house.clock.advance(HOUR)

        assert len(caplog.messages) == 1
        assert "expires_in is missing" in caplog.messages[0]

    def test_info(self, house: Household) -> None:
        """Where tokens are kept and whether that works."""
        assert house.process().info() == {
            "store": "file",
            "shared": True,
            "encrypted": True,
            "reason": None,
            "trouble": None,
        }


class TestOnePerProcess:
    """The source that all hooks of a process share."""

    @pytest.fixture(autouse=True)
    def none_yet(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Begin without any."""
        monkeypatch.setattr(registry, "_shared", {})

    def test_one_for_each_configuration(self, house: Household) -> None:
        """The same configuration gives the same source, another one another."""
        first = Configuration("file", house.directory, keys=tuple(house.keys))
        again = Configuration("file", house.directory, keys=tuple(house.keys))
        other = Configuration("memory", settings=Settings(expiry_margin=30))
        source: TokenSource[Any] = shared(first, house.amazon)

        assert shared(again, house.amazon) is source
        assert shared(other, house.amazon) is not source
        assert source.get(house.request()).value == "Atza|token-1"
        assert source.info()["store"] == "file"

    def test_threads_get_the_same(self, house: Household) -> None:
        """At the first call, too, there is one."""
        configuration = Configuration("memory")

        assert (
            len({id(each) for each in house.together(16, lambda: shared(configuration, house.amazon))}) == 1
        )

    def test_it_is_not_copied(self, house: Household) -> None:
        """Airflow copies operators deeply; the source stays the one of the process. It does not pickle."""
        source = shared(Configuration("memory"), house.amazon)

        assert copy.deepcopy({"hook": source})["hook"] is source
        with pytest.raises(TypeError, match="ask for the shared one there"):
            pickle.dumps(source)

    def test_a_forked_child_begins_anew(self, house: Household) -> None:
        """In a child, locks and flights are new, tokens are kept, and the time of renewal is its own."""
        source, request = house.process(), house.request()
        source.get(request)
        slot = source._slot(request)
        source._flights[slot, request.client_secret] = module.Future()
        before = {slot.held.soft}
        lock = source._lock
        lock.acquire()
        registry._lock.acquire()
        for _ in range(20):
            module._after_fork_in_child()
            registry._after_fork_in_child()
            before.add(slot.held.soft)

        assert source.get(request).value == "Atza|token-1"
        assert not source._flights
        assert len(before) > 10
        assert shared(Configuration("memory"), house.amazon)
        lock.release()


class Storm(RuleBasedStateMachine):
    """Any order of processes, time, outages, refusals, clocks that are set: the promises hold."""

    @initialize(lifetime=st.sampled_from([1.0, 30.0, 3600.0, 86_400.0]))
    def begin(self, lifetime: float) -> None:
        """A household of three processes."""
        self.house = self.new_house()
        self.house.amazon.lifetime = lifetime
        self.sources = [self.house.process(self.store) for _ in range(3)]
        self.request = self.house.request()
        self.valid_until: dict[str, float] = {}
        self.refusing = False
        self.asked_after: list[float] = []

    def new_house(self) -> Household:
        """Set by the test."""
        raise NotImplementedError

    store: MemoryStore

    @rule(which=st.integers(0, 2), need=st.none() | st.sampled_from([0.0, 60.0, 1800.0]))
    def get(self, which: int, need: float | None) -> None:
        """A token, if there is one, is good by Amazon's own clock."""
        clock, amazon = self.house.clock, self.house.amazon
        count, began = amazon.count, clock.seconds
        amazon.script = [Unavailable("down") if self.refusing else self._answer() for _ in range(4)]
        try:
            token = self.sources[which].get(self.request, min_ttl=need)
        except LwaError:
            token = None
        _join()
        for _ in range(amazon.count - count):
            self.asked_after.append(began)
        if token:
            assert clock.seconds < self.valid_until[token.value] or amazon.count > count

    def _answer(self) -> TokenAnswer:
        value = f"Atza|{len(self.valid_until)}"
        self.valid_until[value] = self.house.clock.seconds + self.house.amazon.lifetime
        return self.house.amazon.grant(value, self.request.refresh_token)

    @rule(seconds=st.sampled_from([0.1, 1.0, 29.0, 300.0, 3000.0, 90_000.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.house.clock.advance(seconds)

    @rule(by=st.sampled_from([-1e6, -200.0, 200.0, 1e6]))
    def set_the_clock(self, by: float) -> None:
        """Somebody sets the wall clock."""
        self.house.clock.set_wall(by)

    @rule(refusing=st.booleans())
    def outage(self, *, refusing: bool) -> None:
        """Amazon goes away, or comes back."""
        self.refusing = refusing

    @rule(which=st.integers(0, 2))
    def restart(self, which: int) -> None:
        """A process ends and another begins."""
        self.sources[which] = self.house.process(self.store)

    @precondition(lambda self: self.valid_until)
    @rule(which=st.integers(0, 2))
    def refused(self, which: int) -> None:
        """An API refuses the token of a process."""
        self.sources[which].invalidate(
            self.request, self.sources[which]._slot(self.request).held.token.generation
        )

    @invariant()
    def amazon_is_left_alone_in_an_outage(self) -> None:
        """No ten requests come within ten seconds, whatever happens."""
        recent = self.asked_after[-10:]
        assert len(recent) < 10 or recent[-1] - recent[0] >= 1 or self.house.amazon.lifetime <= 30


def _join() -> None:
    for thread in threading.enumerate():
        if thread.name == "lwa-refresh-ahead":
            thread.join(10)


def test_the_promises_hold_in_any_order(house: Household) -> None:
    """No expired token is handed out and Amazon is not stormed, whatever happens in whatever order."""
    from hypothesis.stateful import run_state_machine_as_test

    def new_house(machine: Storm) -> Household:
        machine.store = MemoryStore()
        return type(house)(house.directory)

    Storm.new_house = new_house
    logging.getLogger("airflow_provider_lwa").setLevel(logging.ERROR)
    try:
        run_state_machine_as_test(
            Storm,
            settings=settings(
                max_examples=40,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        logging.getLogger("airflow_provider_lwa").setLevel(logging.NOTSET)
