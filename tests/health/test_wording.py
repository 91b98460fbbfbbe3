"""Messages answer five questions and fit every channel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from airflow_provider_lwa.amazon.errors import ClientRejected, RefreshTokenRevoked
from airflow_provider_lwa.health.incidents import Notification
from airflow_provider_lwa.health.wording import duration, message

if TYPE_CHECKING:
    from tests.health.conftest import Watch

HOUR, DAY = 3600.0, 86400.0

FIRING = Notification(
    phase="firing",
    key="lwa/prod/cred/lwa_acme",
    kind="revoked",
    severity="error",
    at=1_763_700_000.0,
    since=1_763_700_000.0,
    conn_ids=("lwa_acme",),
)


def test_a_firing_message_answers_five_questions(watch: Watch) -> None:
    """What, since when, what it means, who does what, what comes next."""
    watch.look({"lwa_acme": None})
    (firing,) = watch.look({"lwa_acme": watch.REVOKED}, owner="growth-team")

    assert message(firing)["text"] == (
        "[FIRING] Amazon credential lwa_acme: authorization revoked (selling_partner, europe)\n"
        "What: authorization revoked: The request has an invalid grant parameter : refresh_token. User may "
        "have revoked or didn't grant the permission (HTTP 400, code invalid_grant, request id "
        "bef0c2f8-9e0b-4f4c-8f0c-1d2e3f4a5b6c).\n"
        "Since: 2025-11-21 06:40 UTC; last good 2025-11-21 05:40 UTC\n"
        "Impact: No access token can be had; tasks that need a new one fail at once, without retries.\n"
        f"Do: For growth-team: {RefreshTokenRevoked.default_advice}\n"
        "Next: Reminder 2025-11-22 06:40 UTC. A message when it is over.\n"
        "Incident: lwa/prod/cred/lwa_acme"
    )


def test_an_end_says_how_long_it_lasted(watch: Watch) -> None:
    """The message of recovery says what was proven and what is left to do."""
    watch.look({"lwa_acme": watch.REVOKED})
    (resolved,) = watch.look({"lwa_acme": None}, after=9 * HOUR + 720)

    assert message(resolved)["text"] == (
        "[RESOLVED] Amazon credential lwa_acme: healthy again (selling_partner, europe)\n"
        "What: Healthy again: Login with Amazon gives access tokens.\n"
        "Since: It was authorization revoked from 2025-11-21 05:40 UTC, for 9 h 12 min.\n"
        "Incident: lwa/prod/cred/lwa_acme\n"
        "Do: Clear the task runs that failed meanwhile."
    )


def test_one_no_longer_watched_is_not_called_healthy(watch: Watch) -> None:
    """Closed is not resolved."""
    watch.look({"a": watch.REVOKED}, inventory=["a"])
    (closed,) = watch.look({}, inventory=["b"])

    assert "it was not seen healthy" in message(closed)["text"]
    assert "healthy again" not in message(closed)["title"]


def test_an_outdated_secret_is_told_from_a_rejected_one(watch: Watch) -> None:
    """If others of the application work, it says so, and which do not."""
    (firing,) = watch.look({"a": watch.REJECTED, "b": None, "c": None})
    words = message(firing)

    assert words["title"] == "[FIRING] Amazon application …89abcdef: client secret rejected (1 connection)"
    assert "Connections: a\n" in words["text"]
    assert "2 connections of the same application work" in words["text"]
    assert ClientRejected.default_advice in words["text"]


def test_a_critical_one_says_so_in_the_title(watch: Watch) -> None:
    """Two hundred accounts without a token are louder than one."""
    (firing,) = watch.look({f"s{n}": watch.REJECTED for n in range(200)})
    words = message(firing)

    assert words["title"].startswith("[FIRING critical] Amazon application")
    assert "and 180 more" in words["text"]


def test_an_update_names_what_it_was(watch: Watch) -> None:
    """The reader of an update sees what changed; the reader of a reminder, that it lasts."""
    watch.look({"a": watch.REVOKED})
    (update,) = watch.look({"a": watch.UNAUTHORIZED})
    (reminder,) = watch.look({"a": watch.UNAUTHORIZED}, after=DAY)

    assert "application not authorized (before: authorization revoked)" in message(update)["text"]
    assert "What: still application not authorized" in message(reminder)["text"]


def test_without_an_owner_it_says_only_what_to_do(watch: Watch) -> None:
    """Where no connection names an owner, nobody is addressed; routes can look at who could mend it."""
    (firing,) = watch.look({"a": watch.REVOKED})
    words = message(firing)

    assert f"\nDo: {RefreshTokenRevoked.default_advice}\n" in words["text"]
    assert (words["owner"], words["addressee"]) == (None, "account owner")


def test_a_warning_promises_no_reminder(watch: Watch) -> None:
    """What comes next is said as it will be."""
    for _ in range(2):
        watch.look({"a": watch.DOWN})
    (firing,) = watch.look({"a": watch.DOWN})
    words = message(firing)

    assert "Next: No reminder. A message when it is over." in words["text"]
    assert "It may pass by itself" in words["text"]
    assert words["severity"] == "warning"


@pytest.mark.parametrize(
    ("phase", "action"),
    [
        ("firing", "trigger"),
        ("update", "trigger"),
        ("reminder", "trigger"),
        ("resolved", "resolve"),
        ("closed", "resolve"),
    ],
)
def test_pagers_open_and_close_one_incident(phase: str, action: str) -> None:
    """One template serves the whole life of an incident: action, key, severity."""
    words = message(replace(FIRING, phase=phase))  # type: ignore[arg-type]  # because parameters are plain texts

    assert (words["pd_action"], words["dedup_key"]) == (action, "lwa/prod/cred/lwa_acme")
    assert words["severity"] in {"info", "warning", "error", "critical"}


@pytest.mark.parametrize("length", [1, 40, 41, 200])
def test_titles_are_short(length: int) -> None:
    """A title is one line of less than 110 characters, whatever the connection is called."""
    for api in (None, "appstore_submission"):
        title = message(replace(FIRING, conn_ids=("x" * length,), api=api, region="north_america"))["title"]

        assert len(title) < 110
        assert "\n" not in title


def test_foreign_words_are_no_markup() -> None:
    """Amazon's text cannot mention a channel, make a link or change how the message looks."""
    words = message(replace(FIRING, description="<!channel> [click](https://evil.example) **now** `x`"))

    assert not set("<>[]`") & set(words["markdown"].replace("[FIRING]", ""))
    assert "**now**" not in words["markdown"]
    assert words["markdown"].startswith("**[FIRING] Amazon credential lwa_acme")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (-5, "less than a minute"),
        (61, "1 min"),
        (33120, "9 h 12 min"),
        (90061, "1 d 1 h"),
    ],
)
def test_durations_read_like_speech(seconds: float, words: str) -> None:
    """The two largest units are enough."""
    assert duration(seconds) == words


@pytest.mark.parametrize("secret", ["Atz.sprdt|IwEB0aBcDeFgHiJk", "amzn1.oa2-cs.v1.0c9dfeedbeef"])
def test_not_even_the_end_of_a_secret_is_said(secret: str) -> None:
    """Where only the end of a name is shown, it is no end of a secret."""
    words = message(replace(FIRING, about="application", client_id=secret, conn_ids=(secret,), key=secret))

    assert secret[-8:] not in str(words)
