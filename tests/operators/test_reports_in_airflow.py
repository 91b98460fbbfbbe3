"""The operator in a DAG that Airflow runs: its retries, its deferral, its templates, its XCom."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Seller

# The warnings are those of Airflow and what it brings along.
pytestmark = [pytest.mark.airflow, pytest.mark.filterwarnings("default")]
TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
BODY = "sku\tprice\nA-1\t9.99\n"


DAG_FILE = """
import json, os
from datetime import datetime, timedelta
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_lwa.operators.reports import SellingPartnerReportOperator

with DAG(dag_id="pull", schedule=None, start_date=datetime(2026, 1, 1), catchup=False) as dag:
    SellingPartnerReportOperator(
        task_id="listings", retries=1, retry_delay=timedelta(0), **json.loads(os.environ["PULL"])
    )
"""


@pytest.fixture(scope="module", autouse=True)
def dag_file() -> Iterator[Path]:
    """A DAG where Airflow looks for them, and Airflow's own database; both in this run's home."""
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    folder.mkdir(exist_ok=True)
    path = folder / "pull.py"
    path.write_text(DAG_FILE)
    command = [sys.executable, "-m", "airflow", "db", "migrate"]
    subprocess.run(command, check=True, capture_output=True, env=os.environ, timeout=300)
    yield path
    path.unlink()


@dataclass
class Pull:
    """Runs the DAG, as ``dag.test()`` does.

    :param dag_file: where it is
    :param folder: where the report goes
    :param environment: how it learns its parameters
    """

    dag_file: Path
    folder: Path
    environment: pytest.MonkeyPatch

    def __call__(self, **changes: Any) -> Any:
        """:return: the task instance, when its run has ended"""
        arguments = {
            "report_type": TYPE,
            "target": f"{self.folder}/{{{{ dag.dag_id }}}}.tsv",
            "marketplace_ids": "{{ 'ATVPDKIKX0DER' }}",
            "data_start_time": "2026-10-01",
            "data_end_time": "{{ '2026-11-01' }}",
            "poll_interval": 0.05,
            **changes,
        }
        self.environment.setenv("PULL", json.dumps(arguments))
        dag = runpy.run_path(str(self.dag_file))["dag"]
        (instance,) = dag.test().get_task_instances()
        return instance


@pytest.fixture
def pull(dag_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pull:
    """:return: what runs the DAG"""
    return Pull(dag_file, tmp_path, monkeypatch)


@pytest.mark.parametrize("deferrable", [False, True], ids=["waiting", "deferred"])
def test_a_report_becomes_a_file(seller: Seller, pull: Pull, *, deferrable: bool) -> None:
    """On a worker or by way of the triggerer, the file and the description are the same."""
    seller.amazon.plan_report(TYPE, body=BODY)

    instance = pull(deferrable=deferrable)

    described = instance.xcom_pull(task_ids="listings")
    (report,) = seller.amazon.reports.values()
    assert instance.state == "success"
    assert (pull.folder / "pull.tsv").read_text() == BODY
    assert described["report_id"] == report.report_id
    assert described["rows"] == 1
    assert "X-Amz" not in json.dumps(described)
    assert report.marketplace_ids == ("ATVPDKIKX0DER",)
    assert report.data_end_time == "2026-11-01T00:00:00+00:00"
    assert seller.amazon.count(operation="createReport") == 1
    assert seller.amazon.count(kind="token") == 1


def test_no_data_skips_the_task(seller: Seller, pull: Pull) -> None:
    """Which is what Airflow calls it."""
    seller.amazon.plan_report(TYPE, status="CANCELLED")

    assert pull(deferrable=True).state == "skipped"


def test_a_revoked_credential_fails_without_retries(seller: Seller, pull: Pull) -> None:
    """One request for a token, though the task has a retry left."""
    seller.amazon.revoke(seller.grant.refresh_token)

    assert pull().state == "failed"
    assert seller.amazon.count(kind="token") == 1
