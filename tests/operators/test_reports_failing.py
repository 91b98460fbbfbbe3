"""A report that does not come: skipped, explained, or refused before anything is asked; nothing half done."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.triggers.reports import ReportEvent

if TYPE_CHECKING:
    from tests.conftest import Seller
    from tests.operators.conftest import Task

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
BODY = "sku\tprice\nA-1\t9.99\nA-2\t19.99\n"


# --- no data, no report


@pytest.mark.parametrize("deferred", [False, True], ids=["waiting", "deferred"])
def test_no_data_skips_the_task(seller: Seller, task: Task, *, deferred: bool) -> None:
    """By default: Amazon cancels a report for which there is nothing."""
    seller.amazon.plan_report(TYPE, status="CANCELLED")

    with pytest.raises(AirflowSkipException, match=r"Amazon cancelled report \d+"):
        task.resume(ReportEvent("cancelled", "4711")) if deferred else task.run()
    assert not task.target.exists()


def test_no_data_may_be_an_empty_file(seller: Seller, task: Task) -> None:
    """For those who come after and expect one."""
    seller.amazon.plan_report(TYPE, status="CANCELLED")

    described = task.run(on_no_data="empty")

    assert task.target.read_bytes() == b""
    assert (described["bytes"], described["rows"], described["document_id"]) == (0, 0, None)
    assert described["sha256"] == hashlib.sha256(b"").hexdigest()


def test_no_data_may_be_a_failure(seller: Seller, task: Task) -> None:
    """Where there must be data."""
    seller.amazon.plan_report(TYPE, status="CANCELLED")

    with pytest.raises(errors.ReportCancelled) as caught:
        task.run(on_no_data="fail")
    assert caught.value.report_type == TYPE
    assert caught.value.conn_id == "lwa_default"
    assert not task.target.exists()


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("The report options are invalid.", "Error: The report options are invalid."),
        ("", None),
    ],
    ids=["explained", "unexplained"],
)
def test_a_failed_report_comes_with_amazons_explanation(
    seller: Seller, task: Task, reason: str, told: str | None
) -> None:
    """Its document says why, where there is one; nothing is written."""
    seller.amazon.plan_report(TYPE, status="FATAL", fatal_reason=reason)

    with pytest.raises(errors.ReportFatal) as caught:
        task.run()
    assert caught.value.description == told
    assert caught.value.report_id
    assert not task.target.exists()
    assert not isinstance(caught.value, AirflowFailException)


def test_an_explanation_that_cannot_be_read_is_left_out(seller: Seller, task: Task) -> None:
    """The report failed all the same."""
    seller.amazon.plan_report(TYPE, status="FATAL")
    seller.amazon.fail_next(None, target="download", status=404)

    with pytest.raises(errors.ReportFatal) as caught:
        task.run()
    assert caught.value.description is None


def test_an_address_that_expired_is_replaced(seller: Seller, task: Task) -> None:
    """Amazon's addresses live five minutes; a fresh one is asked for."""
    seller.amazon.fail_next(1, target="download", status=403, body="<Error><Code>AccessDenied</Code></Error>")

    task.run()

    assert seller.amazon.count(operation="getReportDocument") == 2
    assert task.target.read_text() == BODY


def test_a_document_goes_to_nobody_with_our_token(seller: Seller, task: Task) -> None:
    """The address is its own key; a token beside it would be refused, and given away."""
    task.run()

    assert seller.amazon.count(kind="download", api_headers_sent=False) == 1


def test_a_document_that_lies_about_gzip_is_read(seller: Seller, task: Task) -> None:
    """What it is decides, not what is said of it."""
    seller.amazon.plan_report(TYPE, body=gzip.compress(BODY.encode()), gzip=False)

    task.run()

    assert task.target.read_text() == BODY


# --- what cannot be


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"report_type": "listings"}, "report_type is 'listings'"),
        ({"marketplace_ids": []}, "marketplace_ids has 0 entries"),
        ({"marketplace_ids": ["A1PA6795UKMFR9"]}, "belongs to europe"),
        ({"data_start_time": "soon"}, "data_start_time is 'soon'"),
        ({"data_end_time": "2099-01-01"}, "lies in the future"),
        ({"report_options": "a=b"}, "report_options must be a mapping"),
        ({"on_no_data": "ignore"}, "on_no_data is 'ignore'; it must be skip, empty or fail."),
        ({"encoding": "klingon"}, "no text encoding 'klingon'"),
        ({"poll_interval": 0}, "poll_interval must be"),
        ({"poll_interval": -1.5}, "poll_interval must be"),
        ({"poll_interval": "30"}, "poll_interval must be"),
        ({"poll_interval": True}, "poll_interval must be"),
        ({"poll_interval": timedelta(seconds=30)}, "poll_interval must be"),
        ({"wait_timeout": 3600}, "wait_timeout must be"),
        ({"wait_timeout": timedelta(seconds=-1)}, "wait_timeout must be"),
        ({"reuse_within": None}, "reuse_within must be"),
        ({"reuse_within": 0}, "reuse_within must be"),
        ({"reuse_within": timedelta(minutes=-1)}, "reuse_within must be"),
        ({"target": ""}, "target is empty"),
        ({"target": "{here}"}, "is a folder; name the file to write"),
        ({"target": "{here}/file/below"}, "Cannot write to"),
        ({"target": "nowhere://bucket/key"}, "target is not usable: "),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_said_before_any_request(
    seller: Seller, task: Task, parameters: dict[str, Any], named: str
) -> None:
    """Also of the target: nobody waits for a report that cannot be written. Nothing is left behind."""
    (task.folder / "file").write_text("in the way")
    given = {
        name: value.format(here=task.folder) if name == "target" else value
        for name, value in parameters.items()
    }

    with pytest.raises(errors.ConfigurationError, match=re.escape(named)) as caught:
        task.run(**given)

    assert isinstance(caught.value, AirflowFailException)
    assert seller.amazon.journal == []
    assert [path.name for path in task.folder.iterdir()] == ["file"]


def test_a_folder_that_may_not_be_written_is_found_first(seller: Seller, task: Task) -> None:
    """Root may write everywhere, so the folder is one of the kernel's."""
    with pytest.raises(errors.ConfigurationError, match=r"Cannot write to /proc/listings\.tsv"):
        task.run(target="/proc/listings.tsv")

    assert seller.amazon.journal == []


def test_an_unknown_report_type_fails_at_once(seller: Seller, task: Task) -> None:
    """Named, with Amazon's words, without retries, without a file or a folder."""
    with pytest.raises(errors.InvalidInput, match="GET_MERCHANT_LISTING") as caught:
        task.run(report_type="GET_MERCHANT_LISTING")

    assert isinstance(caught.value, AirflowFailException)
    assert "Invalid Report Type GET_MERCHANT_LISTING" in str(caught.value)
    assert list(task.folder.iterdir()) == []


def test_a_revoked_credential_fails_at_once(seller: Seller, task: Task) -> None:
    """Without retries, and with what to do."""
    seller.amazon.revoke(seller.grant.refresh_token)

    with pytest.raises(errors.RefreshTokenRevoked, match="Ask the account's owner") as caught:
        task.run()

    assert isinstance(caught.value, AirflowFailException)


def test_a_connection_of_the_wrong_api_fails_at_once(seller: Seller, task: Task) -> None:
    """No report of Amazon Ads by this operator."""
    seller.connect(api="amazon_ads")

    with pytest.raises(errors.ConfigurationError, match="api is amazon_ads"):
        task.run()
    assert seller.amazon.journal == []


# --- ended from outside


def test_a_killed_task_withdraws_what_it_waits_for(seller: Seller, task: Task) -> None:
    """Whether Amazon still can is Amazon's to say; the end of the task is not held up."""
    seller.amazon.plan_report(TYPE, polls=10**6)
    operator = task.operator(poll_interval=0.05, wait_timeout=timedelta(seconds=0.5))
    task.attempt = 1

    def kill() -> None:
        while not seller.amazon.count(operation="getReport"):
            time.sleep(0.01)
        operator.on_kill()

    killing = threading.Thread(target=kill, daemon=True)
    killing.start()
    with pytest.raises(errors.ReportTimeout):
        operator.execute(task.context)
    killing.join(10)

    assert seller.amazon.count(operation="cancelReport") == 1


def test_a_task_that_waits_for_nothing_withdraws_nothing(seller: Seller, task: Task) -> None:
    """Killed before or after."""
    operator = task.operator()

    operator.on_kill()
    operator.execute(task.context)
    operator.on_kill()

    assert seller.amazon.count(operation="cancelReport") == 0
