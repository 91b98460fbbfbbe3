"""Waiting for a report in the triggerer: patient with Amazon, honest about how it ended, blocking nobody."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook, redact

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook
from airflow_provider_lwa.triggers.reports import ReportEvent, ReportTrigger, spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_lwa.emulator.world import Report
    from tests.conftest import Seller

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
DATABASE = "postgresql://airflow:hunter2pw@db/airflow"
EXPIRED = {"errors": [{"code": "Unauthorized", "details": "The access token you provided has expired."}]}


def trigger(report_id: str, *, patience: float = 30, poll_interval: float = 0.01) -> ReportTrigger:
    """Make what waits for a report."""
    return ReportTrigger(
        lwa_conn_id="lwa_default",
        report_id=report_id,
        poll_interval=poll_interval,
        deadline=time.time() + patience,
    )


async def first(waiting: ReportTrigger) -> dict[str, Any]:
    """:return: The payload of the one event that a trigger yields."""
    events = [event async for event in waiting.run()]
    assert len(events) == 1
    payload: dict[str, Any] = events[0].payload
    return payload


def wait(report_id: str, **options: float) -> ReportEvent:
    """Wait for a report as the triggerer does."""
    return ReportEvent.from_json(asyncio.run(first(trigger(report_id, **options))))


@pytest.fixture
def report(seller: Seller) -> Callable[..., Report]:
    """:return: What adds a report that turns out as planned."""

    def add(**plan: Any) -> Report:
        seller.amazon.plan_report(TYPE, **plan)
        return seller.amazon.add_report(seller.grant, TYPE)

    return add


# --- what travels


def test_a_trigger_is_made_again_from_what_is_stored(seller: Seller) -> None:
    """Airflow stores a path and arguments: ids and numbers, nothing secret."""
    path, arguments = trigger("4711").serialize()
    module, _, name = path.rpartition(".")

    again = getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))

    assert again.serialize() == (path, arguments)
    assert path == "airflow_provider_lwa.triggers.reports.ReportTrigger"
    assert set(arguments) == {"lwa_conn_id", "report_id", "poll_interval", "deadline"}


@pytest.mark.parametrize(
    "event",
    [
        ReportEvent("ready", "1", "d"),
        ReportEvent("timeout", "1"),
        ReportEvent("failed", "1", error={"class": "NotFound"}),
    ],
)
def test_an_event_comes_back_as_it_was(event: ReportEvent) -> None:
    """Through JSON."""
    assert ReportEvent.from_json(json.loads(json.dumps(event.to_json()))) == event


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        "ready",
        ["ready"],
        {"outcome": "done", "report_id": "1"},
        {"outcome": None, "report_id": "1"},
        {"outcome": ["ready"], "report_id": "1"},
        {"outcome": "ready"},
        {"outcome": "ready", "report_id": ""},
    ],
    ids=str,
)
def test_what_is_not_an_event_is_refused(payload: object) -> None:
    """A task that was woken by something else must not go on as if a report were there."""
    with pytest.raises(ValueError, match="not the event of a report"):
        ReportEvent.from_json(payload)


# --- how it ends


def test_a_report_that_is_ready_ends_the_waiting(report: Callable[..., Report], seller: Seller) -> None:
    """Asked until it is done; the event names the report and its document."""
    made = report(polls=3)
    assert made.document

    event = wait(made.report_id)

    assert event == ReportEvent("ready", made.report_id, made.document.document_id)
    assert seller.amazon.count(operation="getReport") == 4
    assert seller.amazon.count(kind="token") == 1


def test_a_report_that_was_cancelled_ends_the_waiting(report: Callable[..., Report]) -> None:
    """Which is what Amazon does where there is no data."""
    assert wait(report(status="CANCELLED").report_id).outcome == "cancelled"


def test_a_report_that_failed_ends_the_waiting(report: Callable[..., Report]) -> None:
    """Its document, which explains why, is named too."""
    made = report(status="FATAL", fatal_reason="No such option.")
    assert made.document

    assert wait(made.report_id) == ReportEvent("fatal", made.report_id, made.document.document_id)


def test_waiting_ends_at_the_deadline(report: Callable[..., Report], seller: Seller) -> None:
    """However long the pauses are; Amazon was asked at the end once more."""
    made = report(polls=10**6)

    event = wait(made.report_id, patience=0.3, poll_interval=30)

    assert event == ReportEvent("timeout", made.report_id)
    assert seller.amazon.count(operation="getReport") == 2


def test_a_report_that_is_ready_at_the_deadline_is_ready(report: Callable[..., Report]) -> None:
    """Also when the triggerer was down meanwhile: it asks before it gives up."""
    assert wait(report(polls=0).report_id, patience=-60).outcome == "ready"


# --- what is waited out


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503, "body": "<html>busy</html>"},
        {"kind": "throttle"},
        {"kind": "throttle", "retry_after": 3600},
        {"kind": "reset"},
        {"kind": "truncated"},
        {"kind": "html200"},
        {"kind": "json", "status": 200, "body": {"reportId": "1", "processingStatus": "NEW"}},
    ],
    ids=str,
)
def test_what_passes_by_itself_is_waited_out(
    report: Callable[..., Report], seller: Seller, fault: dict[str, Any]
) -> None:
    """The next question comes after the usual pause; no thread sleeps meanwhile."""
    made = report(polls=1)
    seller.amazon.fail_next(3, target="getReport", **fault)
    began = time.monotonic()

    assert wait(made.report_id).outcome == "ready"
    assert seller.amazon.count(operation="getReport", fault=fault.get("kind", "status")) == 3
    assert time.monotonic() - began < 3


def test_login_with_amazon_may_be_out_of_order(report: Callable[..., Report], seller: Seller) -> None:
    """No token for now is no reason to give up on a report."""
    made = report(polls=0)
    seller.configure(request_budget="0.2")
    seller.amazon.fail_next(1, target="token", status=503)

    assert wait(made.report_id, poll_interval=0.5).outcome == "ready"


def test_a_refusal_of_a_good_token_is_overcome(report: Callable[..., Report], seller: Seller) -> None:
    """A 403 that blames the token costs one more token, and the waiting goes on."""
    made = report(polls=3)
    seller.amazon.fail_next(1, target="getReport", status=403, body=EXPIRED)

    assert wait(made.report_id).outcome == "ready"
    assert seller.amazon.count(kind="token") == 2


def test_a_token_does_not_last_for_the_whole_waiting(report: Callable[..., Report], seller: Seller) -> None:
    """Reports may take longer than the hour that a token lives."""
    made = report(polls=6)

    async def play() -> dict[str, Any]:
        waiting = asyncio.create_task(first(trigger(made.report_id, poll_interval=0.05)))
        while not made.polls:  # noqa: ASYNC110 - because the emulator tells nobody
            await asyncio.sleep(0.005)
        seller.amazon.clock.advance(3601)
        return await waiting

    assert asyncio.run(play())["outcome"] == "ready"
    assert seller.amazon.count(kind="token") == 2
    assert seller.amazon.count(operation="getReport", status=403) == 1


def test_a_connection_that_is_not_there_for_now_is_waited_for(
    report: Callable[..., Report], seller: Seller
) -> None:
    """A secrets backend that does not answer looks the same: no report is lost over it."""
    made = report(polls=0)
    seller.environment.delenv("AIRFLOW_CONN_LWA_DEFAULT")

    async def play() -> dict[str, Any]:
        waiting = asyncio.create_task(first(trigger(made.report_id, poll_interval=0.02)))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        seller.connect()
        return await waiting

    assert asyncio.run(play())["outcome"] == "ready"
    assert seller.amazon.count(operation="getReport") == 1


def test_a_secrets_backend_that_fails_is_waited_out(
    report: Callable[..., Report],
    seller: Seller,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever it raises; only its class is logged, for its text may quote an address with a password."""
    made = report(polls=0)
    reading = BaseHook.get_connection
    failures = iter([RuntimeError(f"cannot reach {DATABASE}"), OSError(DATABASE)])

    def read(conn_id: str) -> Any:
        for failure in failures:
            raise failure
        return reading(conn_id)

    seller.environment.setattr(BaseHook, "get_connection", read)

    assert wait(made.report_id).outcome == "ready"
    logged = caplog.text + capsys.readouterr().out  # Airflow 3 prints
    assert [name in logged for name in ("RuntimeError", "OSError", "hunter2pw")] == [True, True, False]


def test_waiting_for_a_connection_ends_at_the_deadline(seller: Seller) -> None:
    """It goes on no longer than for the report itself."""
    seller.environment.delenv("AIRFLOW_CONN_LWA_DEFAULT")

    assert wait("4711", patience=0.1) == ReportEvent("timeout", "4711")


# --- what is not


def test_a_revoked_credential_ends_the_waiting(report: Callable[..., Report], seller: Seller) -> None:
    """The event carries the error, so that the task fails with its class; no secret is in it."""
    made = report(polls=10**6)
    SellingPartnerHook().report_status(made.report_id)
    seller.amazon.revoke(seller.grant.refresh_token, kill_access_tokens=True)

    event = wait(made.report_id)
    error = errors.from_json(event.error)

    assert (event.outcome, event.report_id) == ("failed", made.report_id)
    assert isinstance(error, errors.RefreshTokenRevoked)
    assert error.conn_id == "lwa_default"
    assert error.first_seen
    assert seller.grant.refresh_token.partition("|")[2] not in json.dumps(event.to_json())


def test_a_credential_that_was_corrected_meanwhile_is_used(
    report: Callable[..., Report], seller: Seller
) -> None:
    """Before giving up, the connection is read once more: nobody loses a report over a rotated secret."""
    made = report(polls=3)
    renewed = seller.amazon.add_seller(seller.application, selling_partner_id=seller.grant.selling_partner_id)

    async def play() -> dict[str, Any]:
        waiting = asyncio.create_task(first(trigger(made.report_id, poll_interval=0.05)))
        while not made.polls:  # noqa: ASYNC110 - because the emulator tells nobody
            await asyncio.sleep(0.005)
        seller.connect(refresh_token=renewed.refresh_token)
        seller.amazon.revoke(seller.grant.refresh_token, kill_access_tokens=True)
        return await waiting

    assert asyncio.run(play())["outcome"] == "ready"


def test_a_connection_that_was_broken_meanwhile_ends_the_waiting(
    report: Callable[..., Report], seller: Seller
) -> None:
    """All its problems reach the task."""
    made = report()
    seller.connect(password="***", region="mars")

    error = errors.from_json(wait(made.report_id).error)

    assert isinstance(error, errors.ConfigurationError)
    assert len(error.problems) == 2


def test_a_report_that_does_not_exist_ends_the_waiting(seller: Seller) -> None:
    """Amazon keeps reports for 90 days."""
    error = errors.from_json(wait("4711").error)

    assert isinstance(error, errors.NotFound)
    assert error.description == "Report 4711 was not found."


def test_a_missing_role_ends_the_waiting(report: Callable[..., Report], seller: Seller) -> None:
    """It will not come back by itself."""
    seller.application.roles = frozenset({"sellers"})

    assert isinstance(errors.from_json(wait(report().report_id).error), errors.AccessDenied)


# --- what it leaves behind


def test_the_triggerer_collects_no_masks(report: Callable[..., Report], seller: Seller) -> None:
    """It lives for weeks: a mask for every token would slow down each line of its log."""
    wait(report(polls=0).report_id)

    (token,) = seller.amazon.tokens
    assert redact(token) == token


# --- a task that is ended


def test_a_waiting_report_is_withdrawn_with_its_task(report: Callable[..., Report]) -> None:
    """Somebody marks the task as failed: Amazon need not make the report."""
    made = report()

    asyncio.run(trigger(made.report_id).on_kill())

    assert made.cancelled


def test_a_report_that_has_begun_goes_on(report: Callable[..., Report], seller: Seller) -> None:
    """Amazon refuses to withdraw it, which is no error of the task's."""
    made = report()
    SellingPartnerHook().report_status(made.report_id)

    asyncio.run(trigger(made.report_id).on_kill())

    assert not made.cancelled
    assert seller.amazon.count(operation="cancelReport", status=400) == 1


# --- many of them


def test_five_hundred_wait_on_one_loop(seller: Seller) -> None:
    """They share a token and threads; the triggerer's loop, on which all triggers live, is never held up."""
    made = [seller.amazon.add_report(seller.grant, TYPE) for _ in range(500)]
    seller.amazon.latency["token"] = 0.3
    lags: list[float] = []

    async def watch() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            lags.append(time.monotonic() - began - 0.01)

    async def play() -> list[dict[str, Any]]:
        watching = asyncio.create_task(watch())
        waiting = [first(trigger(report.report_id, patience=300, poll_interval=0.5)) for report in made]
        ended = await asyncio.gather(*waiting)
        watching.cancel()
        return ended

    ended = asyncio.run(play())

    assert {event["outcome"] for event in ended} == {"ready"}
    assert seller.amazon.count(kind="token") == 1
    assert seller.amazon.count(operation="getReport") == 1500
    # On a quiet machine the loop is late by milliseconds; with requests on it, it would be by seconds.
    assert sorted(lags)[len(lags) * 95 // 100] < 0.2
    assert max(lags) < 2


def test_pauses_differ_so_that_not_all_ask_at_once() -> None:
    """By a fifth up or down."""
    pauses = [spread(10) for _ in range(200)]

    assert 8 <= min(pauses) < 9
    assert 11 < max(pauses) <= 12
