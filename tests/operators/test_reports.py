"""A report in a file: asked for once however often the task runs, waited for, whole."""

from __future__ import annotations

import hashlib
import json
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    Asset,
    ObjectStoragePath,
)

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.triggers.reports import ReportEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Seller
    from tests.operators.conftest import Task

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
BODY = "sku\tprice\nA-1\t9.99\nA-2\t19.99\n"


# --- a report


def test_a_report_becomes_a_file(seller: Seller, task: Task) -> None:
    """Asked for once, waited for, decompressed, whole; described in a few words."""
    described = task.run()

    assert task.target.read_text() == BODY
    (report,) = seller.amazon.reports.values()
    assert report.document
    assert described == {
        "path": str(task.target),
        "bytes": len(BODY),
        "rows": 2,
        "sha256": hashlib.sha256(BODY.encode()).hexdigest(),
        "report_type": TYPE,
        "report_id": report.report_id,
        "document_id": report.document.document_id,
    }
    assert task.asked == 1
    assert seller.amazon.count(kind="token") == 1
    assert seller.amazon.count(kind="download") == 1


def test_what_the_task_returns_is_small_and_holds_no_key(seller: Seller, task: Task) -> None:
    """It goes into Airflow's database: neither an address nor a token."""
    told = json.dumps(task.run())

    assert len(told) < 500
    assert "X-Amz" not in told
    assert "http" not in told


def test_the_question_is_the_operators(seller: Seller, task: Task) -> None:
    """Marketplaces, range and options reach Amazon."""
    task.run(
        marketplace_ids="ATVPDKIKX0DER, A2EUQ1WTGCTBG2",
        data_start_time="2026-11-01",
        data_end_time="2026-11-02T00:00:00+00:00",
        report_options={"custom": True},
    )

    (report,) = seller.amazon.reports.values()
    assert report.marketplace_ids == ("ATVPDKIKX0DER", "A2EUQ1WTGCTBG2")
    assert (report.data_start_time, report.data_end_time) == (
        "2026-11-01T00:00:00+00:00",
        "2026-11-02T00:00:00+00:00",
    )


@pytest.mark.parametrize(
    "kind", [str, Path, lambda path: f"file://{path}", lambda path: ObjectStoragePath(f"file://{path}")]
)
def test_a_target_is_text_a_path_or_a_storage_of_airflows(task: Task, kind: Callable[[Path], Any]) -> None:
    """An address names any storage that Airflow knows."""
    task.run(target=kind(task.target))

    assert task.target.read_text() == BODY


@pytest.mark.parametrize("encoding", ["auto", "cp1252", None])
def test_text_is_written_as_utf_8(seller: Seller, task: Task, encoding: str | None) -> None:
    """Unless the bytes are wanted as they are."""
    raw = "sku\tname\nA-1\tGröße\n".encode("cp1252")
    seller.amazon.plan_report(TYPE, body=raw, content_type="text/plain")

    task.run(encoding=encoding)

    assert task.target.read_bytes() == (raw if encoding is None else raw.decode("cp1252").encode())


def test_the_marketplaces_decide_about_the_encoding(seller: Seller, task: Task) -> None:
    """Japan's flat files are Shift_JIS."""
    grant = seller.amazon.add_seller(seller.application, region="far_east")
    seller.connect(refresh_token=grant.refresh_token, region="far_east", marketplace_ids="A1VC38T7YXB528")
    text = "sku\tname\nA-1\t日本①\n"
    seller.amazon.plan_report(TYPE, body=text.encode("cp932"), content_type="text/plain")

    task.run()

    assert task.target.read_text() == text


def test_an_asset_is_told_what_was_written(seller: Seller, task: Task) -> None:
    """DAGs that wait for it learn path and size from the event."""
    asset = Asset("lwa-listings", uri="file:///listings") if hasattr(Asset, "name") else Asset("lwa-listings")
    task.events = {asset: SimpleNamespace(extra=None)}

    described = task.run(outlets=[asset])

    assert task.events[asset].extra == described


# --- asked for once


def test_a_report_that_answers_the_question_is_taken(seller: Seller, task: Task) -> None:
    """Another task asked the same a moment ago: Amazon's small quota is not spent twice."""
    first = task.run()

    second = task.another().run()

    assert second["report_id"] == first["report_id"]
    assert second["sha256"] == first["sha256"]
    assert task.asked == 1


def test_a_report_that_another_still_waits_for_is_taken(seller: Seller, task: Task) -> None:
    """It need not be ready."""
    task.defer()

    other = task.another().defer()

    assert task.asked == 1
    assert other.trigger.report_id == next(iter(seller.amazon.reports.values())).report_id


@pytest.mark.parametrize(
    "difference",
    [
        {"report_type": "GET_MERCHANT_LISTINGS_DATA"},
        {"marketplace_ids": ["ATVPDKIKX0DER", "A2EUQ1WTGCTBG2"]},
        {"data_start_time": "2026-11-01"},
        {"data_start_time": "2026-11-01", "data_end_time": "2026-11-02"},
        {"report_options": {"custom": "true"}},
        {"reuse_within": timedelta(0)},
    ],
    ids=str,
)
def test_another_question_is_asked(seller: Seller, task: Task, difference: dict[str, Any]) -> None:
    """What differs in any part is another report, and zero asks always."""
    task.run()

    task.another().run(**difference)

    assert task.asked == 2


def test_with_options_not_even_the_same_question_is_taken(seller: Seller, task: Task) -> None:
    """Amazon does not tell a report's options, so nothing is presumed."""
    task.run(report_options={"custom": "true"})

    task.another().run(report_options={"custom": "true"})

    assert task.asked == 2


@pytest.mark.parametrize("status", ["CANCELLED", "FATAL"])
def test_a_report_that_came_to_nothing_is_not_taken(seller: Seller, task: Task, status: Any) -> None:
    """It answers nothing."""
    seller.amazon.plan_report(TYPE, status=status, times=1)
    with pytest.raises((AirflowSkipException, errors.ReportFatal)):
        task.run()

    task.another().run()

    assert task.asked == 2


def test_an_older_report_is_not_taken(seller: Seller, task: Task) -> None:
    """How old is too old is the operator's to say."""
    task.run()
    next(iter(seller.amazon.reports.values())).created_at -= 3600

    task.another().run(reuse_within=timedelta(minutes=50))
    task.another("third").run(reuse_within=timedelta(minutes=70))

    assert task.asked == 2


@pytest.mark.parametrize(
    "fault",
    [{"status": 500, "carried_out": True}, {"kind": "reset"}, {"kind": "html200", "carried_out": True}],
    ids=str,
)
def test_a_report_whose_answer_was_lost_is_found(seller: Seller, task: Task, fault: dict[str, Any]) -> None:
    """Amazon made it although the answer did not arrive: there is no second."""
    seller.amazon.fail_next(target="createReport", **fault)

    task.run()

    assert task.asked == 1
    assert task.target.exists()


# --- retried


@pytest.mark.parametrize("remembering", [True, False], ids=["with a state store", "without"])
def test_a_retry_goes_on_with_the_same_report(seller: Seller, task: Task, *, remembering: bool) -> None:
    """The first attempt has asked already; without Airflow's state store it is found in Amazon's list."""
    task.store = task.store if remembering else None
    seller.amazon.plan_report(TYPE, body=BODY, polls=4)
    with pytest.raises(errors.ReportTimeout) as caught:
        task.run(reuse_within=timedelta(0), wait_timeout=timedelta(0))

    described = task.run(reuse_within=timedelta(0))

    assert task.asked == 1
    assert described["report_id"] == caught.value.report_id
    assert "a retry" in str(caught.value).lower() or "Retry the task" in str(caught.value)


def test_a_retry_after_a_broken_download_fetches_the_same_report(seller: Seller, task: Task) -> None:
    """The report is ready; only the document is fetched again."""
    seller.amazon.fail_next(1, target="download", status=404)
    with pytest.raises(errors.DocumentError):
        task.run(reuse_within=timedelta(0))
    assert not task.target.exists()

    task.run(reuse_within=timedelta(0))

    assert task.asked == 1
    assert task.target.read_text() == BODY


def test_what_is_remembered_of_another_question_does_not_count(seller: Seller, task: Task) -> None:
    """A task whose parameters were changed between attempts asks anew."""
    with pytest.raises(errors.ReportTimeout):
        task.run(wait_timeout=timedelta(0))

    task.run(data_start_time="2026-11-01")

    assert task.asked == 2


@pytest.mark.parametrize("status", ["CANCELLED", "FATAL"])
def test_a_remembered_report_that_came_to_nothing_does_not_count(
    seller: Seller, task: Task, status: Any
) -> None:
    """The retry asks for another."""
    seller.amazon.plan_report(TYPE, status=status, times=1)
    with pytest.raises(errors.ReportError):
        task.run(on_no_data="fail")

    task.run(on_no_data="fail")

    assert task.asked == 2


def test_a_remembered_report_that_is_gone_does_not_count(seller: Seller, task: Task) -> None:
    """Amazon keeps reports for 90 days."""
    with pytest.raises(errors.ReportTimeout):
        task.run(wait_timeout=timedelta(0))
    seller.amazon.reports.clear()

    task.run()

    assert task.asked == 2


@pytest.mark.parametrize("remembering", [True, False], ids=["with a state store", "without"])
def test_a_task_that_is_cleared_after_success_asks_anew(
    seller: Seller, task: Task, *, remembering: bool
) -> None:
    """Whoever clears it wants new data; the attempt that follows is no retry, whatever its number."""
    task.store = task.store if remembering else None
    task.run(reuse_within=timedelta(0))
    task.clear()

    task.run(reuse_within=timedelta(0))

    assert task.attempt == 2
    assert task.asked == 2


def test_a_retry_after_clearing_goes_on_with_the_same_report(seller: Seller, task: Task) -> None:
    """Only the first attempt after it asks anew."""
    task.store = None
    task.run(reuse_within=timedelta(0))
    task.clear()
    task.run(reuse_within=timedelta(0))

    task.run(reuse_within=timedelta(0))

    assert task.attempt == 3
    assert task.asked == 2


def test_what_is_remembered_is_no_secret(seller: Seller, task: Task) -> None:
    """Airflow keeps it in clear."""
    task.defer()

    assert task.store
    (kept,) = task.store.kept.values()
    assert set(json.loads(kept)) == {"report_id", "question"}
    assert len(kept) < 150


# --- deferred


def test_waiting_is_handed_to_the_triggerer(seller: Seller, task: Task) -> None:
    """With ids only, and with an end: Airflow does not limit deferred time by itself."""
    deferred = task.defer(wait_timeout=timedelta(hours=1))

    _, arguments = deferred.trigger.serialize()
    (report,) = seller.amazon.reports.values()
    assert deferred.method_name == "execute_complete"
    assert deferred.timeout == timedelta(hours=1, minutes=5)
    assert not deferred.kwargs
    assert arguments.pop("deadline") == pytest.approx(time.time() + 3600, abs=30)
    assert arguments == {"lwa_conn_id": "lwa_default", "report_id": report.report_id, "poll_interval": 0.01}


def test_a_report_that_is_ready_is_not_waited_for(seller: Seller, task: Task) -> None:
    """Taken from another task, it is fetched at once."""
    task.run()

    assert task.another().run(deferrable=True)["rows"] == 2


def test_the_woken_task_fetches_the_document(seller: Seller, task: Task) -> None:
    """On another worker perhaps; everything is read anew."""
    report_id = task.defer().trigger.report_id
    report = seller.amazon.reports[seller.grant.selling_partner_id, report_id]
    assert report.document

    described = task.resume(ReportEvent("ready", report_id, report.document.document_id))

    assert described["rows"] == 2
    assert task.target.read_text() == BODY
    assert task.store
    assert task.store.kept == {}


@pytest.mark.parametrize("event", [None, {}, "ready", {"outcome": "done", "report_id": "1"}], ids=str)
def test_a_task_woken_by_something_else_fails(task: Task, event: Any) -> None:
    """Loudly; it must not take that for a report."""
    with pytest.raises(ValueError, match="not the event of a report"):
        task.resume(event)


def test_a_ready_report_without_a_document_fails(task: Task) -> None:
    """Amazon contradicts itself."""
    with pytest.raises(errors.BadResponse, match="names no document"):
        task.resume(ReportEvent("ready", "1"))


@pytest.mark.parametrize(
    ("error", "fails_for_good"),
    [
        (errors.RefreshTokenRevoked("revoked", conn_id="lwa_default", code="invalid_grant"), True),
        (errors.ConfigurationError(["one.", "two."]), True),
        (errors.NotFound("gone", operation="GET /x"), False),
    ],
)
def test_the_woken_task_fails_with_the_triggers_error(
    task: Task, error: errors.LwaError, *, fails_for_good: bool
) -> None:
    """Its class, its facts, and whether retries make sense: as if it had happened here."""
    with pytest.raises(type(error)) as caught:
        task.resume(ReportEvent("failed", "1", error=json.loads(json.dumps(error.to_json()))))

    assert isinstance(caught.value, AirflowFailException) is fails_for_good
    assert caught.value.message == error.message
    assert caught.value.code == error.code
    assert caught.value.conn_id == "lwa_default"


def test_a_timeout_in_the_triggerer_is_one_of_the_task(task: Task) -> None:
    """Which a retry continues."""
    with pytest.raises(errors.ReportTimeout, match="is not ready after 6:00:00") as caught:
        task.resume(ReportEvent("timeout", "4711"))

    assert caught.value.retryable
    assert not isinstance(caught.value, AirflowFailException)
    assert (caught.value.report_id, caught.value.report_type) == ("4711", TYPE)
