"""The emulator's time, and what comes back with time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime


class Clock:
    """The emulator's own clock: real time, plus what it was advanced by."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        """
        Tell the time.

        :return: seconds since the epoch
        """
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """
        Let time pass at once: access tokens, codes, pre-signed URLs and old secrets expire by it.

        :param seconds: how much
        """
        self._offset += seconds


@dataclass
class Bucket:
    """
    The token bucket of one operation for one application and one selling partner.

    :param tokens: how many requests may come now
    :param at: when that was true
    """

    tokens: float
    at: float

    def take(self, now: float, rate: float, burst: int) -> bool:
        """
        Spend one request.

        :param now: the time
        :param rate: requests per second that come back
        :param burst: how many there can be at most
        :return: whether there was one
        """
        self.tokens = min(burst, self.tokens + max(0.0, now - self.at) * rate)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def iso_time(seconds: float) -> str:
    """
    Write a time as the Selling Partner API does.

    :param seconds: seconds since the epoch
    :return: ISO 8601 in UTC
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
