"""One token per credential, however many threads, tasks, triggers, processes and hosts ask for it.

The way of a token: this process's memory, without a lock; the shared store; then Amazon, asked by one elected
caller while the others wait for the *value*. A stale token is replaced ahead of time in the background, an
expired one is never handed out. A refusal is remembered, in the store too, so that a revoked credential costs
one request and not one per task.

Waiting is bounded everywhere: whoever has waited long enough asks Amazon itself. Two requests are better than
an outage, and Amazon's refresh tokens bear it.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import os
import random
import threading
import uuid
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, Self, TypeVar

from airflow_provider_lwa.amazon.errors import CredentialError, LwaError, RefreshTokenRevoked, TransientError
from airflow_provider_lwa.tokens.records import (
    Clock,
    Freshness,
    Grant,
    Held,
    Instant,
    Setback,
    Settings,
    Token,
)
from airflow_provider_lwa.tokens.stores import CAPACITY, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_lwa.amazon.login import TokenAnswer
    from airflow_provider_lwa.tokens.safe import Document, Safe

log = logging.getLogger(__name__)

FORCED_PAUSE = 60.0
AHEAD_PAUSE = 30.0
_SHORTEST_NAP, _LONGEST_NAP = 0.002, 0.05
_THREADS = 64
_DAY = 86_400.0


class TokenRequest(Protocol):
    """What can be asked for. Its ``repr`` must hold no secret."""

    @property
    def identity(self) -> tuple[str, ...]:
        """Everything that decides which token comes back, the client secret excepted."""
        ...

    @property
    def client_secret(self) -> str:
        """What decides, with the identity, whether Amazon refuses."""
        ...

    @property
    def refresh_token(self) -> str | None:
        """The refresh token it sends, if it sends one."""
        ...

    def with_refresh_token(self, refresh_token: str) -> Self:
        """The same request with another refresh token.

        :param refresh_token: the other one
        """
        ...


R = TypeVar("R", bound=TokenRequest)


class _Slot:
    """What this process knows about one identity."""

    __slots__ = ("held", "identity")

    def __init__(self, identity: tuple[str, ...]) -> None:
        self.identity = identity
        self.held = Held.nothing()


@dataclass(frozen=True, slots=True)
class _Landing:
    """How a call for a token ended, for all who waited for it.

    :param token: the token, or
    :param error: why there is none
    :param asked: whether Amazon was asked
    """

    token: Token | None = None
    error: Exception | None = None
    asked: bool = False

    def unpack(self) -> Token:
        """The token, or an error of the caller's own: a traceback must not be shared."""
        if self.token is not None:
            return self.token
        assert self.error is not None
        raise copy.copy(self.error) if isinstance(self.error, LwaError) else self.error


@dataclass(frozen=True, slots=True)
class _Wish:
    """What a caller would be content with.

    :param min_ttl: seconds the token must live
    :param past: a token of this generation will not do
    :param past_setback: a failure of this generation does not count
    :param ahead: nobody waits for the token
    :param probe: Amazon itself must have answered
    """

    min_ttl: float | None = None
    past: str | None = None
    past_setback: str | None = None
    ahead: bool = False
    probe: bool = False


class TokenSource(Generic[R]):
    """Hands out tokens. Safe to use from any thread and event loop, and after a fork.

    :param safe: where tokens are shared
    :param exchange: asks Amazon within so many seconds
    :param settings: the numbers
    :param clock: the clock
    :param on_event: is told what happened, for metrics and health; gets no secrets
    """

    def __init__(
        self,
        safe: Safe,
        exchange: Callable[[R, float], TokenAnswer],
        *,
        settings: Settings | None = None,
        clock: Clock | None = None,
        on_event: Callable[[str, Mapping[str, object]], None] | None = None,
    ) -> None:
        self._safe = safe
        self._exchange = exchange
        self._settings = settings or Settings()
        self._clock = clock or Clock()
        self._now = self._clock.boot
        self._on_event = on_event
        self._known: dict[int, tuple[R, _Slot]] = {}  # holds the request, so that its id stays its own
        self._slots: dict[tuple[str, ...], _Slot] = {}
        self._warned: set[str] = set()
        self._begin()
        _sources.add(self)

    def _begin(self) -> None:
        """What belongs to one process alone."""
        self._lock = threading.Lock()
        self._flights: dict[tuple[_Slot, str], Future[_Landing | None]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._calls: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[object, ...], asyncio.Future[_Landing]]
        ] = weakref.WeakKeyDictionary()
        self._jitter = _between(0.8, 1.2)

    def _after_fork(self) -> None:
        self._begin()
        self._safe.after_fork()
        for slot in self._slots.values():
            slot.held.wake(self._jitter)

    # What callers use

    def get(self, request: R, *, min_ttl: float | None = None) -> Token:
        """A token that is good now.

        :param request: what to ask Amazon if need be; keep it and this takes a fraction of a microsecond
        :param min_ttl: seconds the token should live; if none can be had, one that lives shorter will do
        :raises CredentialError: Amazon refuses, or has refused a short while ago
        :raises TransientError: there is no token for now
        :raises TransportError: this machine cannot connect safely
        """
        known = self._known.get(id(request))
        if known is not None and min_ttl is None:
            held = known[1].held
            if self._now() < held.soft:
                return held.token
        return self._at_hand(request, min_ttl) or self._fetch(request, min_ttl).unpack()

    async def aget(self, request: R, *, min_ttl: float | None = None) -> Token:
        """:meth:`get` for event loops, which it never blocks; many tasks of a loop wait for one thread.

        :param request: what to ask Amazon if need be
        :param min_ttl: seconds the token should live
        """
        token = self._at_hand(request, min_ttl)
        if token is not None:
            return token
        loop = asyncio.get_running_loop()
        with self._lock:
            calls = self._calls.setdefault(loop, {})
            self._threads = self._threads or ThreadPoolExecutor(_THREADS, "lwa-token")
        key = (request.identity, request.client_secret, min_ttl)
        if key not in calls:
            calls[key] = loop.run_in_executor(self._threads, self._fetch, request, min_ttl)
            calls[key].add_done_callback(lambda _: calls.pop(key))
        return (await asyncio.shield(calls[key])).unpack()

    def refresh(self, request: R) -> Token:
        """Ask Amazon now, past every memory, and remember the answer: it shows what a credential is worth.

        Callers at the same moment share one request. Only Amazon's own wish to be left alone is heeded.

        :param request: what to ask
        :raises CredentialError: Amazon refuses
        :raises TransientError: Amazon cannot be asked for now
        :raises TransportError: this machine cannot connect safely
        """
        slot = self._slot(request)
        token = self._safe.load("token", slot.identity)
        setback = self._safe.load("setback", _secretly(request, slot))
        wish = _Wish(
            past=token.generation if token else None,
            past_setback=setback.generation if setback else None,
            probe=True,
        )
        landing = self._share(request, slot, wish)
        assert landing is not None
        return landing.unpack()

    def invalidate(self, request: R, generation: str) -> bool:
        """Drop a token that an API has refused although its time was not over.

        Of many callers that were refused with the same token, only the first causes a request. Two tokens in
        a minute that are both refused mean that it is not the token.

        :param request: what the token was asked for with
        :param generation: the token's
        :return: whether another token may be had from :meth:`get`, so that one more attempt makes sense
        """
        slot = self._slot(request)
        current = self._safe.load("token", slot.identity)
        if current and current.generation == generation:
            forced = self._safe.load("forced", slot.identity)
            if forced and forced.generation != generation and self._is_recent(forced):
                return False
            self._safe.save(
                "forced",
                slot.identity,
                {"at": self._clock.instant().to_json()},
                generation=generation,  # so that others who were refused with it are not turned away
                replaces=forced.generation if forced else None,
                ttl=FORCED_PAUSE,
            )
            self._safe.delete("token", slot.identity, generation)
            self._tell("token_invalidated", request, generation=generation)
        if slot.held.token.generation == generation:
            slot.held = Held.nothing()
        return True

    def _is_recent(self, forced: Document) -> bool:
        at = forced.content["at"] if forced.content else (0.0, 0.0, None)
        return Instant(*at).within(FORCED_PAUSE, self._clock)

    def forget(self, request: R) -> None:
        """Drop everything known about what *request* asks for.

        :param request: as given to :meth:`get`
        """
        slot = self._slot(request)
        for what in ("token", "successor", "forced"):
            self._safe.delete(what, slot.identity)
        self._safe.delete("setback", _secretly(request, slot))
        slot.held = Held.nothing()

    def clear(self) -> int:
        """Drop everything known, for all processes that share the store.

        :return: how many entries the store held
        """
        with self._lock:
            self._known.clear()
            self._slots.clear()
        return self._safe.clear()

    def info(self) -> dict[str, object]:
        """Where tokens are shared, whether that works, and if not, why; no secrets."""
        return self._safe.info()

    # Within this process: memory, threads

    def _slot(self, request: R) -> _Slot:
        identity = request.identity
        with self._lock:
            slot = self._slots.pop(identity, None) or _Slot(identity)
            self._slots[identity] = slot  # at the end: the first is the one unused for longest
            if len(self._slots) > CAPACITY:
                del self._slots[next(iter(self._slots))]
                self._known.clear()
            if len(self._known) >= CAPACITY:
                self._known.clear()
            self._known[id(request)] = (request, slot)
        return slot

    def _at_hand(self, request: R, min_ttl: float | None) -> Token | None:
        slot = self._slot(request)
        held = slot.held
        freshness = held.freshness(self._now(), min_ttl)
        if freshness is Freshness.STALE:
            self._replace_ahead(request, slot, held)
        return None if freshness is Freshness.EXPIRED else held.token

    def _fetch(self, request: R, min_ttl: float | None) -> _Landing:
        slot = self._slot(request)
        landing = self._share(request, slot, _Wish(min_ttl=min_ttl))
        assert landing is not None
        held = slot.held
        freshness = held.freshness(self._now())
        if landing.error and freshness is not Freshness.EXPIRED:
            log.warning("No longer-lived token for %r, the present one is used: %s", request, landing.error)
            return _Landing(held.token)
        if freshness is Freshness.STALE:
            self._replace_ahead(request, slot, held)
        return landing

    def _share(self, request: R, slot: _Slot, wish: _Wish) -> _Landing | None:
        """One thread goes, the others wait for how it lands; ``None`` only where nobody waits for a token."""
        patience = self._settings.lock_wait + self._settings.request_budget
        until = self._now() + patience
        while self._now() < until:
            mine: Future[_Landing | None] = Future()
            flight = self._flights.setdefault((slot, request.client_secret), mine)
            if flight is mine:
                return self._lead(request, slot, wish, mine)
            if wish.ahead:
                return None
            landing = _landing_of(flight, patience)
            if landing and self._contents(wish, landing, slot):
                return landing
        return self._settle(request, slot, wish)

    def _lead(self, request: R, slot: _Slot, wish: _Wish, flight: Future[_Landing | None]) -> _Landing | None:
        landing = None
        try:
            landing = self._settle(request, slot, wish)
        except Exception as error:  # noqa: BLE001 - because it is raised by all who wait
            landing = _Landing(error=error, asked=True)
        finally:  # also when a time-out of Airflow's breaks in: then the others go on without us
            self._flights.pop((slot, request.client_secret), None)
            flight.set_result(landing)
        return landing

    def _contents(self, wish: _Wish, landing: _Landing, slot: _Slot) -> bool:
        if landing.asked or wish.probe:
            return landing.asked
        return landing.error is not None or self._lives_long_enough(slot.held, wish)

    def _lives_long_enough(self, held: Held, wish: _Wish) -> bool:
        return held.freshness(self._now(), wish.min_ttl) is not Freshness.EXPIRED

    def _replace_ahead(self, request: R, slot: _Slot, held: Held) -> None:
        """Have the token replaced in the background, unless another thread has just begun to."""
        with self._lock:
            if self._now() < held.soft:
                return
            pause = AHEAD_PAUSE * _between(1, 4 / 3)
            held.soft = min(self._now() + pause, held.hard)
        thread = threading.Thread(
            target=self._go_ahead, args=(request, slot, held), name="lwa-refresh-ahead", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:
            log.debug("No thread to replace a token ahead of time; the interpreter may be shutting down.")

    def _go_ahead(self, request: R, slot: _Slot, held: Held) -> None:
        landing = self._share(request, slot, _Wish(past=held.token.generation, ahead=True))
        if landing and landing.error and landing.asked:
            left = held.hard - self._now()
            log.warning("Not renewed, but good for %.0f s more: %r: %s", left, request, landing.error)

    # Across processes: the store, then Amazon

    def _settle(self, request: R, slot: _Slot, wish: _Wish) -> _Landing | None:
        """Look, get elected, look again, ask. Those not elected watch for the value, for so long at most."""
        until = self._now() + self._settings.lock_wait
        nap = _SHORTEST_NAP
        while True:
            landing, _ = self._look(request, slot, wish)
            if landing:
                return landing
            late = self._now() >= until
            if late and wish.ahead:
                return None
            with self._safe.election(slot.identity) as role:
                if late or role is not Role.FOLLOWER:
                    landing, seen = self._look(request, slot, wish)
                    return landing or self._ask(request, slot, seen)
            self._clock.sleep(nap * _between(0.5, 1.5))
            nap = min(nap * 2, _LONGEST_NAP)

    def _look(self, request: R, slot: _Slot, wish: _Wish) -> tuple[_Landing | None, str | None]:
        """What the store has for *wish*, and the generation of the token it holds."""
        seen = self._safe.load("token", slot.identity)
        if seen and seen.content and seen.generation != wish.past:
            grant = Grant.from_json(seen.generation, seen.content)
            held = self._held(grant, seen.left)
            young = grant.issued.within(FORCED_PAUSE, self._clock) and self._lives_long_enough(held, _Wish())
            if young or self._lives_long_enough(held, wish):
                slot.held = held
                return _Landing(held.token), seen.generation
        return self._remembered(request, slot, wish), seen.generation if seen else None

    def _held(self, grant: Grant, left_by_store: float | None = None) -> Held:
        left = grant.left(self._clock)
        left = left if left_by_store is None else min(left, left_by_store)
        return Held(grant, left, self._clock, self._settings, self._jitter)

    def _remembered(self, request: R, slot: _Slot, wish: _Wish) -> _Landing | None:
        seen = self._safe.load("setback", _secretly(request, slot))
        if not (seen and seen.content):
            return None
        setback = Setback.from_json(seen.content)
        if seen.generation == wish.past_setback and not setback.throttled:
            return None
        recent = wish.ahead and setback.at.within(AHEAD_PAUSE, self._clock)
        return _Landing(error=setback.error(self._clock)) if recent or setback.blocks(self._clock) else None

    def _ask(self, request: R, slot: _Slot, seen: str | None) -> _Landing:
        issued = self._clock.instant()
        try:
            answer, sent = self._send(request, slot)
        except (CredentialError, TransientError) as error:
            self._remember(request, slot, error)
            return _Landing(error=error, asked=True)
        grant = Grant(Token(answer.access_token, uuid.uuid4().hex), issued, answer.lifetime)
        slot.held = self._held(grant)
        self._safe.save(
            "token",
            slot.identity,
            grant.to_json(),
            generation=grant.token.generation,
            replaces=seen,
            ttl=answer.lifetime,
        )
        self._safe.delete("setback", _secretly(request, slot))
        if answer.refresh_token and sent and answer.refresh_token != sent:
            self._keep_successor(request, slot, answer.refresh_token)
        for warning in answer.warnings:
            self._warn_once(f"Unusual answer to {request!r}: {warning}")
        self._tell("token_granted", request, generation=grant.token.generation, lifetime=answer.lifetime)
        return _Landing(grant.token, asked=True)

    def _send(self, request: R, slot: _Slot) -> tuple[TokenAnswer, str | None]:
        """Ask with the refresh token Amazon gave last; if that one is dead, with the connection's own."""
        budget = self._settings.request_budget
        kept = self._safe.load("successor", slot.identity)
        if kept and kept.content:
            successor = kept.content["refresh_token"]
            self._warn_of_rotation(request)
            try:
                return self._exchange(request.with_refresh_token(successor), budget), successor
            except RefreshTokenRevoked:
                self._safe.delete("successor", slot.identity)
        return self._exchange(request, budget), request.refresh_token

    def _keep_successor(self, request: R, slot: _Slot, refresh_token: str) -> None:
        kept = self._safe.load("successor", slot.identity)
        self._safe.save(
            "successor",
            slot.identity,
            {"refresh_token": refresh_token},
            generation=uuid.uuid4().hex,
            replaces=kept.generation if kept else None,
            ttl=365 * _DAY,
        )
        self._warn_of_rotation(request)
        self._tell("refresh_token_rotated", request)

    def _warn_of_rotation(self, request: R) -> None:
        self._warn_once(
            f"Amazon gave {request!r} another refresh token than the connection's. The token store keeps it "
            "sealed: authorize again and update the connection before it is lost."
        )

    def _remember(self, request: R, slot: _Slot, error: CredentialError | TransientError) -> None:
        seen = self._safe.load("setback", _secretly(request, slot))
        previous = Setback.from_json(seen.content) if seen and seen.content else None
        setback = Setback.after(error, previous, self._settings, self._clock)
        self._safe.save(
            "setback",
            _secretly(request, slot),
            setback.to_json(),
            generation=uuid.uuid4().hex,
            replaces=seen.generation if seen else None,
            ttl=_DAY,
        )
        if isinstance(error, CredentialError):
            error.first_seen = setback.first_seen
        name = "token_refused" if isinstance(error, CredentialError) else "token_unavailable"
        valid_for = max(0.0, slot.held.hard - self._now())
        self._tell(
            name,
            request,
            kind=error.kind,
            code=error.code,
            status=error.status,
            request_id=error.request_id,
            first_seen=setback.first_seen,
            count=setback.count,
            retry_in=setback.ttl,
            valid_for=valid_for,
        )

    # Telling people

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning("%s", text)

    def _tell(self, name: str, request: R, **facts: object) -> None:
        log.debug("%s: %r %s", name, request, facts)
        if self._on_event:
            try:
                self._on_event(name, {"request": repr(request), **facts})
            except Exception:
                log.exception("The listener to token events failed.")

    def __reduce__(self) -> NoReturn:
        """Refuse to leave the process."""
        raise TypeError("A token source does not leave its process; ask for the shared one there.")

    def __deepcopy__(self, memo: object) -> Self:
        """There is one, also when Airflow copies what refers to it."""
        return self


def _between(low: float, high: float) -> float:
    return random.uniform(low, high)  # noqa: S311 - because it spreads work and protects nothing


def _secretly(request: TokenRequest, slot: _Slot) -> tuple[str, ...]:
    return (*slot.identity, request.client_secret)


def _landing_of(flight: Future[_Landing | None], patience: float) -> _Landing | None:
    try:
        return flight.result(patience)
    except TimeoutError:
        return None


_sources: weakref.WeakSet[TokenSource[Any]] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for source in list(_sources):
        source._after_fork()  # noqa: SLF001 - because forks are this module's own business


os.register_at_fork(after_in_child=_after_fork_in_child)
