"""The sensor deferred and resumed by a real Airflow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sensors.conftest import Account

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.filterwarnings("default"),  # Airflow's own; they are not ours to mend
]


@pytest.fixture
def dag() -> Any:
    """The DAG file, read as Airflow reads it."""
    from airflow.utils.db import initdb

    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]  # because only one of them exists

    initdb()
    folder = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parent / "dags" / "gate.py", folder)
    return DagBag(folder).dags["gate"]


@pytest.mark.usefixtures("impatient")
def test_it_resumes_when_an_outage_is_over(account: Account, dag: Any) -> None:
    """The first looks fail, the task is deferred, the trigger sees health, the task succeeds."""
    account.amazon.fail_next(3, target="token", status=503)

    assert dag.test().state == "success"
    assert account.amazon.count(kind="token") >= 4


@pytest.mark.usefixtures("impatient")
def test_it_fails_when_an_outage_ends_in_a_revocation(account: Account, dag: Any) -> None:
    """The trigger sees that no waiting will help."""
    account.amazon.fail_next(2, target="token", status=503)
    account.withdraw()

    assert dag.test().state == "failed"
