"""Every example DAG, unchanged, on a real Airflow with scheduler, triggerer and workers, and an Amazon."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_lwa.demo.story import EXAMPLES, REPORT_TYPE, listings, readable

if TYPE_CHECKING:
    from tests.airflow.conftest import Stage

pytestmark = pytest.mark.airflow(since="3.3")

PLAYED = {"quickstart_token", "selling_partner_report", "credential_monitor"}


def test_none_is_left_out(stage: Stage) -> None:
    """Each example is read by Airflow without an error, and played below."""
    stage.airflow.rest.wait_for_dag(max(PLAYED))

    assert stage.airflow.rest.import_errors() == {}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == PLAYED


def test_quickstart_token(stage: Stage) -> None:
    """A task calls the API with a token from the hook."""
    run = stage.run("quickstart_token")

    assert run.state == "success", stage.logs(run)
    assert stage.airflow.rest.xcom(run.dag_id, run.run_id, "marketplaces") == ["ATVPDKIKX0DER"]


def test_selling_partner_report(stage: Stage) -> None:
    """The task waits in the triggerer, then writes the whole report; ids alone are kept in between."""
    stage.amazon.plan_report(REPORT_TYPE, body=listings(500), polls=1, times=1)

    run = stage.run("selling_partner_report")

    assert run.state == "success", stage.logs(run)
    described = stage.airflow.rest.xcom(run.dag_id, run.run_id, "listings")
    content = Path(described["path"]).read_bytes()
    assert content.decode() == listings(500)
    assert described["sha256"] == hashlib.sha256(content).hexdigest()
    assert (described["bytes"], described["rows"]) == (len(content), 500)
    assert any(described["report_id"] in kept for kept in run.kept)


def test_credential_monitor(stage: Stage) -> None:
    """A withdrawn authorization is told once, and its return once; a healthy credential is not news."""
    healthy = stage.run("credential_monitor")
    assert healthy.state == "success", stage.logs(healthy)
    assert stage.told.next() is None

    stage.amazon.revoke(stage.seller.refresh_token)
    for _ in range(2):
        stage.run("credential_monitor")
    alert = stage.told.next(timeout=10)
    assert alert is not None
    assert readable(alert).startswith("[FIRING]")
    assert "lwa_default" in alert
    assert stage.told.next() is None

    stage.amazon.restore(stage.seller.refresh_token)
    stage.run("credential_monitor")
    recovery = stage.told.next(timeout=10)
    assert recovery is not None
    assert readable(recovery).startswith("[RESOLVED]")
    assert stage.hunt().in_text(json.dumps([alert, recovery]), "messages") == []


def test_tasks_share_one_token(stage: Stage) -> None:
    """Tasks of different DAGs, each in a process of its own, cost one token request together."""
    before = stage.amazon.count(kind="token")

    for dag_id in ("quickstart_token", "selling_partner_report", "quickstart_token"):
        run = stage.run(dag_id)
        assert run.state == "success", stage.logs(run)

    assert stage.amazon.count(kind="token") - before <= 1


def test_no_secret_is_written_anywhere(stage: Stage) -> None:
    """At the most talkative level, well or broken, no secret gets into a file, a row or a log."""
    stage.amazon.reports.clear()
    stage.amazon.plan_report(REPORT_TYPE, polls=1, times=1)
    runs = [stage.run(dag_id) for dag_id in sorted(PLAYED)]
    stage.amazon.revoke(stage.seller.refresh_token, kill_access_tokens=True)
    broken = [stage.run(dag_id) for dag_id in sorted(PLAYED)]

    hunt = stage.hunt()
    stage.authorize_anew()
    assert [run.state for run in runs] == ["success"] * 3
    assert [run.state for run in broken] == ["success", "failed", "failed"]
    assert any('"poll_interval"' in kept for run in runs for kept in run.kept)
    assert hunt.in_files(stage.airflow.home) == []
    assert hunt.in_database(stage.airflow.database) == []
    assert [find for run in runs + broken for find in hunt.in_text(stage.logs(run), run.dag_id)] == []
    assert [find for run in runs for kept in run.kept for find in hunt.in_text(kept, run.dag_id)] == []
    assert "User may have revoked" in stage.airflow.rest.failure_logs(broken[2].dag_id, broken[2].run_id)
