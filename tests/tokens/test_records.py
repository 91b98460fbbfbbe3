"""What time makes of tokens and failures: pure rules, on a clock of the test's own."""

from __future__ import annotations

import copy
import pickle
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lwa.amazon.errors import (
    ClientRejected,
    CredentialError,
    LwaError,
    RefreshTokenRevoked,
    Throttled,
    TransientError,
    Unavailable,
)
from airflow_provider_lwa.tokens import Clock, Settings, Token
from airflow_provider_lwa.tokens.records import Freshness, Grant, Held, Instant, Setback

if TYPE_CHECKING:
    from pathlib import Path

    from tests.tokens.conftest import FakeClock, Household

HOUR = 3600.0


@pytest.fixture
def clock(house: Household) -> FakeClock:
    """A clock of the test's own."""
    return house.clock


def held(clock: FakeClock, lifetime: float, *, jitter: float = 1.0, settings: Settings | None = None) -> Held:
    """:return: a token granted now"""
    grant = Grant(Token("Atza|t", "g"), clock.instant(), lifetime)
    return Held(grant, grant.left(clock), clock, settings or Settings(), jitter)


class TestFreshness:
    """Fresh, stale, expired."""

    def test_an_hours_token(self, clock: FakeClock) -> None:
        """A token of an hour is stale in its last ten minutes and expired in its last one."""
        token = held(clock, HOUR)
        seen = {}
        for left in (3600, 601, 600, 61, 60, 0, -1):
            seen[left] = token.freshness(token.expires - left)

        fresh, stale, expired = Freshness.FRESH, Freshness.STALE, Freshness.EXPIRED
        assert seen == {3600: fresh, 601: fresh, 600: stale, 61: stale, 60: expired, 0: expired, -1: expired}

    def test_a_short_tokens_windows_shrink_with_it(self, clock: FakeClock) -> None:
        """Of a token of 30 seconds, the last quarter is stale and the last tenth expired."""
        token = held(clock, 30)

        assert (token.expires - token.soft, token.expires - token.hard) == pytest.approx((7.5, 3.0))

    def test_whoever_needs_longer_may_say_so(self, clock: FakeClock) -> None:
        """A token that lives shorter than the caller needs counts as expired for that caller."""
        token = held(clock, HOUR)
        now = token.expires - 900

        assert [token.freshness(now, need) for need in (None, 900, 901)] == [
            Freshness.FRESH,
            Freshness.FRESH,
            Freshness.EXPIRED,
        ]

    def test_processes_wake_at_different_times(self, clock: FakeClock) -> None:
        """The jitter spreads the moment of renewal by a fifth to both sides."""
        early, late = held(clock, HOUR, jitter=1.2), held(clock, HOUR, jitter=0.8)

        assert (early.expires - early.soft, late.expires - late.soft) == pytest.approx((720, 480))

    def test_a_margin_wider_than_the_window(self, clock: FakeClock) -> None:
        """However the numbers are set, a token is never stale after it has expired."""
        token = held(clock, HOUR, settings=Settings(expiry_margin=300, refresh_ahead=60))

        assert token.soft == token.hard

    @given(
        lifetime=st.floats(1e-3, 86_400),
        jitter=st.floats(0.8, 1.2),
        left=st.floats(-10, 86_400),
        need=st.none() | st.floats(0, 86_400),
        margin=st.floats(0, 1e6),
        ahead=st.floats(0, 1e6),
    )
    def test_nothing_expired_is_ever_called_usable(
        self, lifetime: float, jitter: float, left: float, need: float | None, margin: float, ahead: float
    ) -> None:
        """Whatever the numbers, what is not expired has time left, and as much as was asked for."""
        grant = Grant(Token("Atza|t", "g"), Instant(0, 0, None), lifetime)
        token = Held(grant, left, Clock(), Settings(expiry_margin=margin, refresh_ahead=ahead), jitter)
        now = token.expires - left

        assert token.soft <= token.hard <= token.expires
        if token.freshness(now, need) is not Freshness.EXPIRED:
            assert left > 0
            assert need is None or token.expires - now >= need


class TestTime:
    """Elapsed time, whatever happens to the clocks."""

    @pytest.mark.parametrize("by", [7200, -7200, -400 * 86_400, 0.5])
    def test_a_wall_clock_that_is_set(self, clock: FakeClock, by: float) -> None:
        """Setting the wall clock changes nothing as long as the machine is not booted anew."""
        grant = Grant(Token("Atza|t", "g"), clock.instant(), HOUR)
        clock.advance(600)
        clock.set_wall(by)

        assert grant.left(clock) == pytest.approx(3000)

    def test_after_a_boot_the_wall_clock_decides(self, clock: FakeClock) -> None:
        """What another boot, or another host, has kept is measured by the wall clock."""
        grant = Grant(Token("Atza|t", "g"), clock.instant(), HOUR)
        clock.advance(600)
        clock.reboot()

        assert grant.left(clock) == pytest.approx(3000)

    def test_a_host_that_does_not_tell_its_boots_apart(self, clock: FakeClock) -> None:
        """Where the system names no boot, the wall clock decides."""
        clock.boot_id = None
        grant = Grant(Token("Atza|t", "g"), clock.instant(), HOUR)
        clock.set_wall(600)

        assert grant.left(clock) == pytest.approx(3000)

    @pytest.mark.parametrize(("ahead", "left"), [(200, 3600), (300, 3600), (301, 0), (1e9, 0)])
    def test_a_token_from_the_future(self, clock: FakeClock, ahead: float, left: float) -> None:
        """A clock somewhat ahead is forgiven but makes nothing live longer; far ahead it is not believed."""
        grant = Grant(Token("Atza|t", "g"), Instant(clock.wall() + ahead, 0, "elsewhere"), HOUR)

        assert grant.left(clock) == left

    @given(
        issued=st.floats(-1e9, 1e9),
        lifetime=st.floats(1, 86_400),
        now=st.floats(-1e9, 1e9),
        same=st.booleans(),
    )
    def test_no_token_outlives_its_lifetime(
        self, issued: float, lifetime: float, now: float, *, same: bool
    ) -> None:
        """Whatever the clocks say, no more is left than Amazon granted."""
        clock = Clock()
        clock.boot_id = "here"
        clock.wall = clock.boot = lambda: now
        grant = Grant(Token("Atza|t", "g"), Instant(issued, issued, "here" if same else "there"), lifetime)

        assert grant.left(clock) <= lifetime

    def test_the_machines_own_clock(self) -> None:
        """The real clock tells seconds since boot, Unix time, and which boot it is, if the system knows."""
        clock = Clock()
        before = clock.boot()
        clock.sleep(0.001)
        instant = clock.instant()

        assert before < instant.boot
        assert instant.wall == pytest.approx(time.time(), abs=5)
        assert instant.boot_id == clock.boot_id

    def test_a_system_without_boot_ids(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Where the system names no boot, there is none."""
        monkeypatch.setattr("airflow_provider_lwa.tokens.records._BOOT_ID", tmp_path / "missing")

        assert Clock().boot_id is None


class TestToken:
    """A token keeps to its process."""

    def test_it_shows_its_value_only_where_asked_for(self) -> None:
        """Neither repr, str nor format shows the value."""
        token = Token("Atza|secret", "generation")

        assert token.value == "Atza|secret"
        assert "secret" not in f"{token!r} {token} {token:}"

    def test_it_never_pickles(self) -> None:
        """Pickling a token is refused with a word on what to do instead."""
        with pytest.raises(TypeError, match="ask there"):
            pickle.dumps(Token("Atza|secret", "generation"))

    def test_it_may_be_copied(self) -> None:
        """A copy is the token itself."""
        token = Token("Atza|secret", "generation")

        assert copy.copy(token) is copy.deepcopy([token])[0] is token

    def test_it_survives_the_store(self, clock: FakeClock) -> None:
        """What is sealed is what comes out."""
        grant = Grant(Token("Atza|secret", "g"), clock.instant(), 1234.5)

        assert Grant.from_json("g", grant.to_json()) == grant


def rows(clock: FakeClock, *steps: LwaError | float, settings: Settings | None = None) -> list[Setback]:
    """Let failures happen, and time pass between them.

    :return: what is remembered after each failure
    """
    found: list[Setback] = []
    for step in steps:
        if isinstance(step, LwaError):
            previous = found[-1] if found else None
            found.append(Setback.after(step, previous, settings or Settings(), clock))
        else:
            clock.advance(step)
    return found


REVOKED = RefreshTokenRevoked(
    "No longer accepted.", code="invalid_grant", description="d", status=400, request_id="r"
)
DOWN = Unavailable("No answer.")


class TestSetbacks:
    """How long Amazon is left alone after a failure."""

    def test_a_refusal_stands_for_minutes_doubling_to_an_hour(self, clock: FakeClock) -> None:
        """Each refusal stands twice as long as the one before, up to an hour, whatever time lies between."""
        found = rows(clock, *[REVOKED, 90_000.0] * 7)

        assert [setback.ttl for setback in found] == [300, 600, 1200, 2400, 3600, 3600, 3600]
        assert [setback.count for setback in found] == [1, 2, 3, 4, 5, 6, 7]
        assert len({setback.first_seen for setback in found}) == 1

    def test_an_outage_closes_the_gate_for_seconds_doubling_to_a_minute(self, clock: FakeClock) -> None:
        """Each outage in a row closes the gate twice as long, up to a minute."""
        found = rows(clock, *[DOWN, 61.0] * 7)

        assert [setback.ttl for setback in found] == [2, 4, 8, 16, 32, 60, 60]

    def test_after_a_lull_an_outage_is_a_new_one(self, clock: FakeClock) -> None:
        """Ten quiet minutes after the gate opened, the next outage begins with two seconds again."""
        first, second, third = rows(clock, DOWN, 601.0, DOWN, 605.0, DOWN)

        assert (second.ttl, second.first_seen) == (4, first.first_seen)
        assert (third.ttl, third.count, third.first_seen) == (2, 1, third.at.wall)

    @pytest.mark.parametrize(("asked", "closed"), [(7.5, 7.5), (0.0, 2.0), (3600.0, 3600.0), (1e9, 3600.0)])
    def test_amazons_wish_is_heeded(self, clock: FakeClock, asked: float, closed: float) -> None:
        """The gate is closed for as long as Amazon asks, two seconds at least and an hour at most."""
        (found,) = rows(clock, Throttled("Slower.", retry_after=asked))

        assert found.throttled
        assert found.ttl == closed

    def test_an_outage_does_not_lift_a_refusal(self, clock: FakeClock) -> None:
        """If Amazon cannot be asked whether it still refuses, the refusal stands a little longer."""
        first, second, third = rows(clock, REVOKED, 301.0, DOWN, 61.0, REVOKED)

        assert (second.last, second.ttl, second.first_seen) == (REVOKED, 60, first.first_seen)
        assert (third.count, third.first_seen, third.ttl) == (2, first.first_seen, 600)

    def test_a_refusal_ends_an_outage(self, clock: FakeClock) -> None:
        """A refusal after an outage begins a row of its own."""
        _, found = rows(clock, DOWN, 3.0, REVOKED)

        assert (found.count, found.ttl, found.permanent) == (1, 300, True)

    def test_a_long_negative_ttl_stays_as_long(self, clock: FakeClock) -> None:
        """Whoever configures more than an hour gets it, and never less later."""
        found = rows(clock, REVOKED, REVOKED, settings=Settings(negative_ttl=7200))

        assert [setback.ttl for setback in found] == [7200, 7200]

    def test_it_blocks_until_its_time_is_over(self, clock: FakeClock) -> None:
        """A refusal blocks for its time, on the boot clock; after a boot, by the wall clock."""
        (found,) = rows(clock, REVOKED)
        seen = [found.blocks(clock)]
        clock.advance(299)
        clock.set_wall(-7200)
        seen.append(found.blocks(clock))
        clock.advance(1)
        seen.append(found.blocks(clock))

        assert seen == [True, True, False]

    def test_a_failure_from_the_future_does_not_block(self, clock: FakeClock) -> None:
        """A clock that was far ahead does not lock a credential out until then."""
        clock.set_wall(1e6)
        (found,) = rows(clock, REVOKED)
        clock.reboot()
        clock.set_wall(-1e6)

        assert not found.blocks(clock)

    @pytest.mark.parametrize("error", [REVOKED, ClientRejected("No.", advice="Ask Joe.")])
    def test_a_refusal_is_raised_again_as_it_was(self, clock: FakeClock, error: CredentialError) -> None:
        """Class, code, words and status are those of the answer; that it is remembered is told."""
        (found,) = rows(clock, error)
        again = Setback.from_json(found.to_json()).error(clock)

        assert isinstance(again, CredentialError)
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert (again.remembered, again.first_seen) == (True, found.first_seen)
        assert (error.remembered, error.first_seen) == (False, None)

    def test_an_outage_is_raised_again_with_the_time_left(self, clock: FakeClock) -> None:
        """The error says how long to wait from now on."""
        (found,) = rows(clock, Throttled("Slower.", retry_after=30))
        clock.advance(10)
        again = found.error(clock)
        clock.advance(1000)

        assert isinstance(again, TransientError)
        assert again.retry_after == pytest.approx(20)
        assert found.error(clock).retry_after == 0

    def test_it_survives_the_store(self, clock: FakeClock) -> None:
        """What is sealed is what comes out."""
        (found,) = rows(clock, REVOKED)
        again = Setback.from_json(found.to_json())

        assert again.to_json() == found.to_json()
        assert again.last.__dict__ == found.last.__dict__
