"""Every channel hears everything it wants once, also when it or its neighbour fails."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_lwa.health.incidents import Notification
from airflow_provider_lwa.health.outbox import Owed, cross_out, owe, plain, read

if TYPE_CHECKING:
    from airflow_provider_lwa.health.verdict import Severity

FIRING = Notification(
    phase="firing", key="k", kind="revoked", severity="error", at=1.0, since=1.0, conn_ids=("a",)
)
CHANNELS: dict[str, Severity] = {"chat": "warning", "pager": "error"}


def debts(outbox: tuple[Owed, ...]) -> list[tuple[str, str, tuple[str, ...]]]:
    """:return: Key, phase and creditors of each."""
    return [(owed.notification.key, owed.notification.phase, owed.channels) for owed in outbox]


def test_a_notification_is_owed_to_all_who_want_it() -> None:
    """A channel hears what is as loud as it asked for."""
    quiet = replace(FIRING, key="q", severity="warning")

    assert debts(owe((), [FIRING, quiet], CHANNELS)) == [
        ("k", "firing", ("chat", "pager")),
        ("q", "firing", ("chat",)),
    ]


def test_one_that_failed_is_tried_again_and_the_other_is_left_alone() -> None:
    """What the chat took is owed to the pager only."""
    outbox = cross_out(owe((), [FIRING], CHANNELS), {("k", "chat")})

    assert debts(owe(outbox, [], CHANNELS)) == [("k", "firing", ("pager",))]
    assert cross_out(outbox, {("k", "pager")}) == ()


def test_what_is_overtaken_is_not_sent_late() -> None:
    """A channel that missed the alarm hears of the end, not of both."""
    outbox = cross_out(owe((), [FIRING], CHANNELS), {("k", "chat")})

    assert debts(owe(outbox, [replace(FIRING, phase="resolved")], CHANNELS)) == [
        ("k", "resolved", ("chat", "pager"))
    ]


def test_a_channel_that_is_gone_is_owed_nothing() -> None:
    """Whoever takes a channel out of the routes is not asked to deliver to it."""
    outbox = owe((), [FIRING], CHANNELS)

    assert debts(owe(outbox, [], {"chat": "warning"})) == [("k", "firing", ("chat",))]
    assert owe(outbox, [], {}) == ()


def test_it_travels_as_json() -> None:
    """The outbox survives its Variable."""
    outbox = owe((), [FIRING, replace(FIRING, key="q", owners=("x", "y"))], CHANNELS)

    assert read(json.loads(json.dumps(plain(outbox)))) == (outbox, False)
    assert read(None) == ((), False)


@pytest.mark.parametrize(
    "damage", [None, "?", {"channels": "chat"}, {"notification": {}, "channels": ["chat"]}]
)
def test_damage_costs_one_entry_and_is_said(damage: object) -> None:
    """The rest is still owed."""
    outbox = owe((), [FIRING], CHANNELS)

    assert read([*plain(outbox), damage]) == (outbox, True)
    assert read({"not": "a list"}) == ((), True)
