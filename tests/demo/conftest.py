"""An Airflow that runs, for the tests that only look at it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from airflow_provider_lwa.demo.launcher import LocalAirflow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAGS = {
    "answers.py": """
from airflow.sdk import dag, task

@dag(schedule=None)
def answers():
    @task
    def ask(dag_run=None) -> dict:
        import os
        print("asked")
        return {"answer": 42, "of": dag_run.conf.get("of"), "mine": os.environ.get("MINE")}
    ask()

answers()
""",
    "refuses.py": """
from airflow.sdk import dag, task

@dag(schedule=None)
def refuses():
    @task
    def refuse():
        raise RuntimeError("on purpose")
    refuse()

refuses()
""",
    "tries_again.py": """
from datetime import timedelta
from airflow.sdk import dag, task

@dag(schedule=None)
def tries_again():
    @task(retries=1, retry_delay=timedelta(hours=1))
    def attempt():
        raise RuntimeError("not yet")
    attempt()

tries_again()
""",
}


@pytest.fixture(scope="session")
def dags_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three DAGs: one succeeds, one fails, one fails and is to be retried."""
    folder = tmp_path_factory.mktemp("dags")
    for name, text in DAGS.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def user_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of the user who starts Airflow; nothing is to be written there."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="session")
def running(
    dags_folder: Path, user_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalAirflow]:
    """An Airflow started by a user who has settings of an Airflow of their own."""
    airflow = LocalAirflow(
        tmp_path_factory.mktemp("home"), dags_folder, environment={"MINE": "passed on"}, patience=1
    )
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as user:
            user.setenv("HOME", str(user_home))
            user.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
            user.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(user_home / "plugins"))
            user.setenv("HTTP_PROXY", "http://127.0.0.1:9")
            stack.enter_context(airflow)
        yield airflow
