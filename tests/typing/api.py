"""One use of each public signature: type-checked as a user's code would be, and never run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath

from airflow_provider_lwa import __version__
from airflow_provider_lwa.emulator import Emulator
from airflow_provider_lwa.get_provider_info import get_provider_info
from airflow_provider_lwa.health.verdict import Observation
from airflow_provider_lwa.hooks.lwa import LwaHook
from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook
from airflow_provider_lwa.monitoring import Route, lwa_credential_monitor
from airflow_provider_lwa.operators.reports import SellingPartnerReportOperator
from airflow_provider_lwa.sensors.credentials import LwaCredentialSensor

if TYPE_CHECKING:
    import requests
    from airflow.providers.common.compat.sdk import BaseNotifier

    from airflow_provider_lwa.amazon import errors
    from airflow_provider_lwa.amazon.selling_partner import ReportRequest, ReportStatus

assert_type(__version__, str)
assert_type(get_provider_info(), dict[str, Any])


def hooks() -> None:
    """Tokens, calls, sessions and checks of any API."""
    hook = LwaHook()
    assert_type(hook.get_access_token(), str)
    assert_type(hook.get_access_token(["sellingpartnerapi::notifications"], min_ttl=600), str)
    assert_type(hook.check(), Observation)
    assert_type(hook.test_connection(), tuple[bool, str])
    answer: requests.Response = hook.call("GET", "/path", params={"page": 2}, headers={"accept": "text/csv"})
    session: requests.Session = hook.session(budget=30)
    assert_type(answer.status_code, int)
    assert_type(session.get("/path").ok, bool)
    hook.call("POST", "/path", json={"name": "value"})
    hook.call("PUT", "/path", data=b"bytes", budget=10)
    hook.invalidate()


def selling_partner() -> None:
    """Reports, step by step."""
    hook = SellingPartnerHook(lwa_conn_id="seller_de")
    asked: ReportRequest = hook.report_request("GET_MERCHANT_LISTINGS_ALL_DATA", ["A1PA6795UKMFR9"])
    report_id = hook.create_report(asked)
    status: ReportStatus = hook.report_status(report_id)
    found: ReportStatus | None = hook.find_report(asked, created_since=datetime(2026, 1, 1, tzinfo=UTC))
    assert_type(report_id, str)
    assert_type(hook.marketplace_participations(), list[dict[str, Any]])
    assert status == found
    hook.cancel_report(report_id)


def operators() -> None:
    """A target may be text, a path or any storage that Airflow knows; what is not given has a default."""
    SellingPartnerReportOperator(
        task_id="a", report_type="GET_MERCHANT_LISTINGS_ALL_DATA", target="s3://bucket/a.tsv"
    )
    SellingPartnerReportOperator(
        task_id="b", report_type="{{ params.type }}", target=Path("b.tsv"), deferrable=True
    )
    SellingPartnerReportOperator(
        task_id="c",
        report_type="GET_FLAT_FILE_ALL_ORDERS_DATA_BY_LAST_UPDATE_GENERAL",
        target=ObjectStoragePath("file:///c.tsv"),
        marketplace_ids=["ATVPDKIKX0DER"],
        data_start_time="{{ data_interval_start }}",
        data_end_time=datetime(2026, 1, 1, tzinfo=UTC),
        report_options={"custom": True},
        on_no_data="empty",
        encoding=None,
        reuse_within=timedelta(0),
        poll_interval=5,
        wait_timeout=timedelta(hours=1),
        lwa_conn_id="seller_us",
        retries=2,
    )
    SellingPartnerReportOperator(
        task_id="d",
        report_type="GET_MERCHANT_LISTINGS_ALL_DATA",
        target="d.tsv",
        on_no_data="ignore",  # type: ignore[arg-type]  # because a misspelt policy must be an error
    )


def sensors() -> None:
    """A credential is waited for on a worker or in the triggerer."""
    LwaCredentialSensor(task_id="a")
    LwaCredentialSensor(
        task_id="b", lwa_conn_id="seller_de", api_probe=False, deferrable=True, soft_fail=True
    )


def monitoring(mail: BaseNotifier, pager: BaseNotifier) -> None:
    """One call makes the DAG; what Airflow's DAG takes is passed on."""
    routes = [Route(notifiers=[mail]), Route(notifiers=[pager], min_severity="critical")]
    assert_type(lwa_credential_monitor(notifiers=[mail]), DAG)
    lwa_credential_monitor(
        "night", schedule=timedelta(hours=1), conn_ids=["seller_de"], routes=routes, tags=["a"]
    )


def failures(error: errors.LwaError) -> None:
    """Every error says whether to try again and what to do."""
    assert_type(error.retryable, bool)
    assert_type(error.advice, str)
    assert_type(error.request_id, str | None)


def emulator() -> None:
    """Amazon for a user's own tests."""
    with Emulator() as amazon:
        application = amazon.add_application()
        amazon.add_seller(application)
        amazon.fail_next(2, target="token", status=503)
        assert_type(amazon.url, str)
        assert_type(amazon.endpoint_overrides, dict[str, str])
        assert_type(amazon.count(kind="token"), int)
