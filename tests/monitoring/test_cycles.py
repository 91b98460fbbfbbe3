"""The DAG at work: a real Airflow runs it, a real server is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.monitoring.conftest import Scene

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("default"),  # Airflow's own; they are not ours to mend
]


def test_a_breakage_is_told_once_and_its_end_once(scene: Scene) -> None:
    """A healthy credential is no news, nor is one that is still broken."""
    scene.watch("lwa_acme")
    assert (scene.run(), scene.titles) == ("success", [])

    scene.withdraw("lwa_acme")
    assert [scene.run() for _ in range(3)] == ["success"] * 3
    assert scene.titles == [
        "[FIRING] Amazon credential lwa_acme: authorization revoked (selling_partner, north_america)"
    ]

    scene.authorize("lwa_acme")
    assert [scene.run() for _ in range(2)] == ["success"] * 2
    assert scene.titles == [
        "[RESOLVED] Amazon credential lwa_acme: healthy again (selling_partner, north_america)"
    ]


def test_a_pager_opens_and_closes_one_incident(scene: Scene) -> None:
    """The same key, first to trigger and then to resolve."""
    scene.watch("lwa_acme")
    scene.withdraw("lwa_acme")
    scene.run()
    scene.authorize("lwa_acme")
    scene.run()

    events = scene.told("pager")
    assert [(event["event_action"], event["severity"]) for event in events] == [
        ("trigger", "error"),
        ("resolve", "error"),
    ]
    assert {event["dedup_key"] for event in events} == {"lwa/test/cred/lwa_acme"}


def test_two_alerts_through_one_notifier_are_two_texts(scene: Scene) -> None:
    """A notifier's templates are rendered anew for each message, across the batches of one run."""
    names = ["lwa_a", "lwa_b", "lwa_c"]
    scene.watch(*names)
    for name in names:
        scene.withdraw(name)
    scene.run()

    assert [title.split()[3] for title in scene.titles] == [f"{name}:" for name in names]


def test_one_secret_of_many_is_one_alert(scene: Scene) -> None:
    """A client secret that was replaced breaks all connections of the application, and is one breakage."""
    scene.watch("lwa_a", "lwa_b", "lwa_c")
    scene.run()
    scene.amazon.rotate_secret(scene.application.client_id)
    for name in ("lwa_a", "lwa_b", "lwa_c"):
        scene.store(name, password="amzn1.oa2-cs.v1.outdated")
    scene.run()

    (title,) = scene.titles
    assert title.startswith("[FIRING critical] Amazon application")
    assert title.endswith("client secret rejected (3 connections)")


def test_a_channel_that_is_down_is_told_later_and_the_other_not_again(scene: Scene) -> None:
    """The run fails after everything is saved; the next one sends what is owed, and only that."""
    scene.watch("lwa_acme")
    scene.withdraw("lwa_acme")
    scene.reach("chat", None)

    assert scene.run() == "failed"
    assert (len(scene.told("chat")), len(scene.told("pager"))) == (0, 1)
    assert "0.0 HttpNotifier did not take" in scene.log

    scene.reach("chat", scene.chat.port)
    assert scene.run() == "success"
    assert (len(scene.told("chat")), len(scene.told("pager"))) == (1, 0)
    assert scene.memory["outbox"] == []


def test_a_channel_hears_only_what_is_loud_enough(scene: Scene) -> None:
    """An outage is a warning: for the chat, not for the pager."""
    scene.watch("lwa_acme")
    scene.run()
    scene.amazon.fail_next(None, target="token", status=429, retry_after=60)
    scene.run()

    assert [len(scene.told(channel)) for channel in ("chat", "pager")] == [1, 0]


def test_one_taken_out_of_service_is_closed(scene: Scene) -> None:
    """What is no longer watched is said to be, and not called healthy."""
    scene.watch("lwa_a", "lwa_b")
    scene.withdraw("lwa_a")
    scene.run()
    scene.watch("lwa_b")
    scene.run()

    assert [title.split(" ")[0] for title in scene.titles] == ["[FIRING]", "[CLOSED]"]


def test_what_was_not_looked_at_is_an_error_and_keeps_its_state(scene: Scene) -> None:
    """A probe that gives nothing proves nothing: the run fails, nobody is told that all is well."""
    scene.watch("lwa_acme")
    scene.withdraw("lwa_acme")
    scene.run()
    before = scene.memory["records"]
    scene.authorize("lwa_acme")

    assert scene.run(mark_success_pattern="probe") == "failed"
    assert "Not looked at, state unchanged: lwa_acme" in scene.log
    assert scene.memory["records"] == before
    assert len(scene.titles) == 1


def test_nothing_to_watch_fails_the_run(scene: Scene) -> None:
    """An empty list is a mistake, not perfect health; what is known is kept."""
    scene.watch("lwa_acme")
    scene.withdraw("lwa_acme")
    scene.run()
    scene.watch()

    assert scene.run() == "failed"
    assert "lwa_acme" in scene.memory["records"]


@pytest.mark.parametrize("junk", ["{broken", "[]", "null", json.dumps({"version": 99})])
def test_a_damaged_memory_is_begun_anew(scene: Scene, junk: str) -> None:
    """What stands in the Variable cannot stop the monitor; what is broken is told again."""
    scene.watch("lwa_acme")
    scene.withdraw("lwa_acme")
    scene.run()
    scene.overwrite(junk)

    assert scene.run() == "success"
    assert len(scene.titles) == 2


def test_no_secret_is_written_anywhere(scene: Scene) -> None:
    """Not in the Variable, the XComs, the logs or the messages."""
    from airflow.models import xcom
    from airflow.utils.session import create_session

    scene.watch("lwa_a", "lwa_b")
    scene.run()
    scene.withdraw("lwa_b")
    scene.run()

    with create_session() as session:
        rows = session.query(getattr(xcom, "XComModel", None) or xcom.XCom)
        kept = [str(row.value) for row in rows]
    assert any("revoked" in value for value in kept)
    everything = [
        *kept,
        json.dumps(scene.memory),
        scene.log,
        *scene.titles,
        json.dumps(scene.told("pager")),
    ]
    assert [secret for secret in scene.secrets() if any(secret in text for text in everything)] == []
