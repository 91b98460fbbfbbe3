"""A report of the Selling Partner API every night, in a file of its own: deferred while Amazon makes it."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_lwa.operators.reports import SellingPartnerReportOperator

REPORTS = os.environ.get("REPORTS", "amazon-reports")  # a folder, or s3://bucket/folder

with DAG(
    dag_id="selling_partner_report",
    schedule="0 4 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["amazon"],
):
    SellingPartnerReportOperator(
        task_id="listings",
        lwa_conn_id="lwa_default",
        report_type="GET_MERCHANT_LISTINGS_ALL_DATA",
        target=REPORTS + "/listings-{{ run_id | replace(':', '') }}.tsv",
        deferrable=True,
        poll_interval=15,
    )
