"""What is remembered about a credential, and what time makes of it. Pure rules; the clock is an argument.

Amazon grants a token for so many seconds from the request on, so elapsed time decides, not dates. It is
measured on the boot clock, which no one sets and which counts a suspended machine's sleep; only where that is
impossible (another host, a reboot in between) on the wall clock.

A token passes through three states: *fresh*; *stale*, still good but to be replaced ahead of time by whoever
is elected; and *expired*, which is never handed out.
"""

from __future__ import annotations

import copy
import enum
import time
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self

from airflow_provider_lwa.amazon.errors import CredentialError, LwaError, Throttled, from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS counts sleep in the latter
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

CLOCK_TOLERANCE = 300.0
SHORTEST_GATE = 2.0
LONGEST_GATE = 60.0
LONGEST_REFUSAL = 3600.0
LULL = 600.0


class Clock:
    """The machine's clocks. Tests put their own in its place."""

    #: Seconds since boot, sleep included; a plain attribute because it stands on the fast path.
    boot = staticmethod(partial(time.clock_gettime, _BOOT_CLOCK))
    #: Unix time, which people and programs may set.
    wall = staticmethod(time.time)
    #: How to wait.
    sleep = staticmethod(time.sleep)

    @cached_property
    def boot_id(self) -> str | None:
        """What tells this boot of this machine from every other; ``None`` where the system does not say."""
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return None

    def instant(self) -> Instant:
        """Now, in a form other processes can compare with."""
        return Instant(self.wall(), self.boot(), self.boot_id)


@dataclass(frozen=True, slots=True)
class Settings:
    """The numbers behind freshness, all in seconds.

    :param expiry_margin: a token is not handed out in its last seconds; a tenth of its life at most
    :param refresh_ahead: a token is replaced so long before it expires; a quarter of its life at most
    :param negative_ttl: how long Amazon's refusal is believed before it is asked again
    :param lock_wait: how long to wait for another process that is asking already
    :param request_budget: bound of one exchange with Amazon, retries included
    """

    expiry_margin: float = 60.0
    refresh_ahead: float = 600.0
    negative_ttl: float = 300.0
    lock_wait: float = 12.0
    request_budget: float = 25.0


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment that can be compared across processes, hosts and changes of the wall clock.

    :param wall: Unix time
    :param boot: seconds since boot
    :param boot_id: which boot
    """

    wall: float
    boot: float
    boot_id: str | None

    def elapsed(self, clock: Clock) -> float:
        """Seconds since then; negative if the moment seems to lie ahead."""
        if self.boot_id is not None and self.boot_id == clock.boot_id:
            return clock.boot() - self.boot
        return clock.wall() - self.wall

    def within(self, seconds: float, clock: Clock) -> bool:
        """Tell whether fewer than *seconds* have passed; not so for a moment far ahead, of a clock set back.

        :param seconds: how many
        :param clock: the clock
        """
        return -CLOCK_TOLERANCE <= self.elapsed(clock) < seconds

    def to_json(self) -> list[float | str | None]:
        """As a JSON array."""
        return [self.wall, self.boot, self.boot_id]


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that keeps to its process: its value shows only where asked for, and never pickles.

    :param value: what the API's header carries
    :param generation: names this token in logs and to :meth:`TokenSource.invalidate`; not secret
    """

    value: str = field(repr=False)
    generation: str

    def __reduce__(self) -> NoReturn:
        """Refuse to leave the process."""
        raise TypeError("An access token does not leave its process; pass the connection id and ask there.")

    def __copy__(self) -> Self:
        """It is immutable."""
        return self

    def __deepcopy__(self, memo: object) -> Self:
        """It is immutable."""
        return self


@dataclass(frozen=True, slots=True)
class Grant:
    """A token and how long it is good for: what processes share.

    :param token: the token
    :param issued: when it was asked for
    :param lifetime: seconds it lives from then on
    """

    token: Token
    issued: Instant
    lifetime: float

    def left(self, clock: Clock) -> float:
        """Seconds it is still good for; 0 for one that claims to come from the future."""
        elapsed = self.issued.elapsed(clock)
        return 0.0 if elapsed < -CLOCK_TOLERANCE else min(self.lifetime, self.lifetime - elapsed)

    def to_json(self) -> dict[str, Any]:
        """For sealing; holds the token in clear."""
        return {"token": self.token.value, "issued": self.issued.to_json(), "lifetime": self.lifetime}

    @classmethod
    def from_json(cls, generation: str, document: Mapping[str, Any]) -> Grant:
        """The counterpart of :meth:`to_json`."""
        token = Token(document["token"], generation)
        return cls(token, Instant(*document["issued"]), document["lifetime"])


class Freshness(enum.Enum):
    """What to do with a token."""

    FRESH = enum.auto()
    STALE = enum.auto()
    EXPIRED = enum.auto()


class Held:
    """A token in this process's memory, with its deadlines on the boot clock.

    :param grant: the token and its life
    :param left: seconds it is still good for
    :param clock: the clock
    :param settings: margin and window
    :param jitter: this process's factor for the window, so that not all processes wake together
    """

    __slots__ = ("_window", "expires", "hard", "soft", "token")

    def __init__(self, grant: Grant, left: float, clock: Clock, settings: Settings, jitter: float) -> None:
        self.token = grant.token
        self.expires = clock.boot() + left
        self.hard = self.expires - min(settings.expiry_margin, grant.lifetime / 10)
        self._window = min(settings.refresh_ahead, grant.lifetime / 4)
        self.wake(jitter)

    @classmethod
    def nothing(cls) -> Held:
        """In place of a token where there is none: expired since ever."""
        return _NOTHING

    def wake(self, jitter: float) -> None:
        """Set when the token becomes stale.

        :param jitter: this process's factor for the window
        """
        self.soft = min(self.expires - self._window * jitter, self.hard)

    def freshness(self, now: float, min_ttl: float | None = None) -> Freshness:
        """Decide; expiry is tested first.

        :param now: the boot clock
        :param min_ttl: seconds the caller needs it to live
        """
        if now >= self.hard or (min_ttl is not None and self.expires - now < min_ttl):
            return Freshness.EXPIRED
        return Freshness.STALE if now >= self.soft else Freshness.FRESH


_NOTHING = Held(Grant(Token("", ""), Instant(0.0, 0.0, None), 0.0), float("-inf"), Clock(), Settings(), 1.0)


@dataclass(frozen=True, slots=True)
class Setback:
    """A failure to get a token, remembered so that it is not repeated at once by everybody.

    A refusal stands for minutes, doubling to an hour; trouble that may pass closes the gate for two seconds,
    doubling to a minute, or for as long as Amazon asks.

    :param last: the failure, as it was when Amazon was asked
    :param first_seen: Unix time of the first failure of this row
    :param count: failures in a row
    :param at: when the last one was met
    :param ttl: seconds from then on during which Amazon is not asked again
    """

    last: LwaError
    first_seen: float
    count: int
    at: Instant
    ttl: float

    @property
    def permanent(self) -> bool:
        """Whether Amazon refused for good."""
        return isinstance(self.last, CredentialError)

    @property
    def throttled(self) -> bool:
        """Whether Amazon itself asked to wait."""
        return isinstance(self.last, Throttled)

    @classmethod
    def after(cls, error: LwaError, previous: Setback | None, settings: Settings, clock: Clock) -> Setback:
        """What to remember of *error*.

        :param error: a :class:`CredentialError` or :class:`TransientError`, just met
        :param previous: what was remembered before
        :param settings: how long refusals stand
        :param clock: the clock
        """
        at = clock.instant()
        permanent = isinstance(error, CredentialError)
        if previous and previous.permanent and not permanent:
            # an outage does not lift a refusal
            return replace(previous, at=at, ttl=_gate(error, LONGEST_GATE))
        row = previous if previous and previous.permanent == permanent and previous.goes_on(clock) else None
        count = row.count + 1 if row else 1
        return cls(
            last=error,
            first_seen=row.first_seen if row else at.wall,
            count=count,
            at=at,
            ttl=_refusal(count, settings) if permanent else _gate(error, _doubled(SHORTEST_GATE, count)),
        )

    def goes_on(self, clock: Clock) -> bool:
        """Tell whether another failure of this sort belongs to the same row: a refusal's always does."""
        return self.permanent or self.at.within(self.ttl + LULL, clock)

    def blocks(self, clock: Clock) -> bool:
        """Tell whether Amazon need not be asked again yet."""
        return self.at.within(self.ttl, clock)

    def error(self, clock: Clock) -> LwaError:
        """The error again, for a caller who did not ask Amazon."""
        error = copy.copy(self.last)
        if isinstance(error, CredentialError):
            error.first_seen, error.remembered = self.first_seen, True
        else:
            error.retry_after = max(0.0, self.ttl - self.at.elapsed(clock))
        return error

    def to_json(self) -> dict[str, Any]:
        """For sealing."""
        rest = {"first_seen": self.first_seen, "count": self.count, "ttl": self.ttl}
        return {"last": self.last.to_json(), "at": self.at.to_json(), **rest}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Setback:
        """The counterpart of :meth:`to_json`."""
        revived = {"last": from_json(document["last"]), "at": Instant(*document["at"])}
        return cls(**{**document, **revived})


def _refusal(count: int, settings: Settings) -> float:
    return min(_doubled(settings.negative_ttl, count), max(LONGEST_REFUSAL, settings.negative_ttl))


def _gate(error: LwaError, otherwise: float) -> float:
    if error.retry_after is not None:
        return max(SHORTEST_GATE, min(error.retry_after, LONGEST_REFUSAL))
    return min(otherwise, LONGEST_GATE)


def _doubled(seconds: float, count: int) -> float:
    return seconds * 2.0 ** min(count - 1, 16)
