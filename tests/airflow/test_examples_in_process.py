"""Every example DAG, unchanged, run to its end in this process: on each Airflow that the project supports."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.demo.receiver import Receiver
from airflow_provider_lwa.demo.story import EXAMPLES, RECIPIENT_CONNECTION, REPORT_TYPE, listings, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Seller

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("default"),  # Airflow's own; they are not ours to mend
]


@pytest.fixture(scope="module")
def database() -> None:
    """An Airflow database, made once."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def told(seller: Seller) -> Iterator[Receiver]:
    """Who is told of a credential that breaks."""
    with Receiver() as receiver:
        stored = {"conn_type": "http", "host": "http://127.0.0.1", "port": receiver.port}
        seller.environment.setenv(f"AIRFLOW_CONN_{RECIPIENT_CONNECTION.upper()}", json.dumps(stored))
        yield receiver


@pytest.fixture
def reports(seller: Seller, tmp_path: Path) -> Path:
    """Where the reports go."""
    folder = tmp_path / "reports"
    seller.environment.setenv("REPORTS", str(folder))
    return folder


def run(name: str) -> Any:
    """Run one example.

    :param name: its file and its DAG
    :return: the run, which has succeeded
    """
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]  # because only one of them exists

    home = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    home.mkdir(exist_ok=True)
    path = Path(shutil.copy(EXAMPLES / f"{name}.py", home))
    bag = DagBag(path)
    assert bag.import_errors == {}
    assert set(bag.dags) == {name}
    ended = bag.dags[name].test()
    states = {each.task_id: each.state for each in ended.get_task_instances()}
    assert (ended.state, set(states.values())) == ("success", {"success"}), states
    return ended


def result(ended: Any, task_id: str) -> Any:
    """:return: what a task of a run has returned"""
    return ended.get_task_instance(task_id).xcom_pull(task_ids=task_id)


def test_none_is_left_out() -> None:
    """Each example is played below."""
    assert {f"test_{path.stem}" for path in EXAMPLES.glob("*.py")} <= set(globals())


@pytest.mark.usefixtures("database")
def test_quickstart_token(seller: Seller) -> None:
    """A task calls the API with a token from the hook."""
    ended = run("quickstart_token")

    assert result(ended, "marketplaces") == list(seller.grant.marketplace_ids)
    assert seller.amazon.count(kind="token") == 1


@pytest.mark.usefixtures("database")
def test_selling_partner_report(seller: Seller, reports: Path) -> None:
    """The task is deferred and resumed, and the whole report is in a file of the run's own."""
    seller.amazon.plan_report(REPORT_TYPE, body=listings(500), polls=0)

    described = result(run("selling_partner_report"), "listings")

    (path,) = reports.iterdir()
    assert path.name.startswith("listings-manual__")
    assert path.read_text() == listings(500)
    assert (described["path"], described["rows"]) == (str(path), 500)
    assert seller.amazon.count(operation="createReport") == 1


@pytest.mark.usefixtures("database")
def test_credential_monitor(seller: Seller, told: Receiver) -> None:
    """A withdrawn authorization is told once, and its return once; a healthy credential is not news."""
    run("credential_monitor")
    assert told.next() is None

    seller.amazon.revoke(seller.grant.refresh_token)
    for _ in range(2):
        run("credential_monitor")
    alert = told.next(timeout=10)
    assert alert is not None
    assert readable(alert).startswith("[FIRING]")
    assert "lwa_default" in alert
    assert told.next() is None

    seller.amazon.restore(seller.grant.refresh_token)
    run("credential_monitor")
    recovery = told.next(timeout=10)
    assert recovery is not None
    assert readable(recovery).startswith("[RESOLVED]")
