"""What is still owed to whom: a channel that failed is tried again, and no other hears twice.

A notification is written down before it is sent and crossed out for each channel that took it. Should the
process die in between, it is sent again with the same key: twice is better than never. What is overtaken by a
later notification of the same incident is not sent late.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.health.incidents import Notification  # noqa: TC001 - because from_plain reads the annotation
from airflow_provider_lwa.health.plain import from_plain, to_plain
from airflow_provider_lwa.health.verdict import SEVERITIES, Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A notification and the channels that have not taken it yet.

    :param notification: what to tell
    :param channels: names of channels
    """

    notification: Notification
    channels: tuple[str, ...]


def owe(
    outbox: Iterable[Owed], notifications: Sequence[Notification], channels: Mapping[str, Severity]
) -> tuple[Owed, ...]:
    """Add notifications to what is owed.

    :param outbox: what is owed already
    :param notifications: new ones, in order
    :param channels: every channel there is, with the least severity it wants to hear of
    :return: what is owed now, in the order it should be sent
    """
    overtaken = {notification.key for notification in notifications}
    kept = (
        replace(owed, channels=tuple(name for name in owed.channels if name in channels))
        for owed in outbox
        if owed.notification.key not in overtaken
    )
    added = (Owed(notification=one, channels=_wanting(one, channels)) for one in notifications)
    return tuple(owed for owed in (*kept, *added) if owed.channels)


def cross_out(outbox: Iterable[Owed], sent: Collection[tuple[str, str]]) -> tuple[Owed, ...]:
    """Take what was sent out of what is owed.

    :param outbox: what is owed
    :param sent: key of the notification and name of the channel that took it
    """
    left = (
        replace(
            owed, channels=tuple(name for name in owed.channels if (owed.notification.key, name) not in sent)
        )
        for owed in outbox
    )
    return tuple(owed for owed in left if owed.channels)


def read(stored: object) -> tuple[tuple[Owed, ...], bool]:
    """Read an outbox back, trusting nothing.

    :param stored: what :func:`plain` gave, after a journey through JSON; ``None`` if there was none
    :return: what is owed, and whether some of it could not be read
    """
    entries = [] if stored is None else stored if isinstance(stored, list) else [None]
    outbox = []
    for data in entries:
        try:
            outbox.append(from_plain(Owed, data))
        except ValueError:
            continue
    return tuple(outbox), len(outbox) < len(entries)


def plain(outbox: Iterable[Owed]) -> list[dict[str, Any]]:
    """Give the outbox as plain JSON.

    :param outbox: what is owed
    """
    return [to_plain(owed) for owed in outbox]


def _wanting(notification: Notification, channels: Mapping[str, Severity]) -> tuple[str, ...]:
    loudness = SEVERITIES.index(notification.severity)
    return tuple(name for name, least in channels.items() if loudness >= SEVERITIES.index(least))
