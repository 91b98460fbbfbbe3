"""What an import brings along: Airflow reads every DAG file again and again, in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_provider_lwa"
AIRFLOW = """
import airflow, airflow.triggers.base
from airflow.providers.common.compat.sdk import (
    AirflowPlugin, BaseHook, BaseNotifier, BaseOperator, BaseSensorOperator, DAG, Stats, conf, dag,
    mask_secret, task,
)
"""
HEAVY = {
    "aiohttp",
    "boto3",
    "cryptography",
    "fastapi",
    "flask",
    "httpx",
    "pandas",
    "redis",
    "requests",
    "sqlalchemy",
    "starlette",
    "uvicorn",
}  # fmt: skip - because one to a line would hide that it is a list of words
PARSED = ("hooks", "operators", "sensors", "triggers", "notifications")


def loaded_by(statement: str, after: str = "") -> set[str]:
    """Import something in a new process.

    :param statement: The import.
    :param after: What is imported before, and not counted.
    :return: The packages and modules that it loaded.
    """
    program = f"import json, sys\n{after}\nbefore = set(sys.modules)\n{statement}\n"
    program += "print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def parsed_modules() -> list[str]:
    """:return: All modules that a DAG file may import, by their dotted names."""
    files = [
        PACKAGE / "monitoring.py",
        *(path for folder in PARSED for path in (PACKAGE / folder).rglob("*.py")),
    ]
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in files if path.exists()
    ]
    return sorted(name.removesuffix(".__init__") for name in names)


@pytest.mark.parametrize(
    "statement",
    [
        "import airflow_provider_lwa",
        "from airflow_provider_lwa.get_provider_info import get_provider_info; get_provider_info()",
        "import airflow_provider_lwa.emulator.pytest_plugin",
    ],
)
def test_what_other_programs_load_uninvited_is_light(statement: str) -> None:
    """The package, what Airflow asks of every provider, what pytest loads: none of it imports Airflow."""
    roots = {name.partition(".")[0] for name in loaded_by(statement, after="import pytest")}

    assert roots & {"airflow", *HEAVY} == set()


def test_a_dag_file_loads_no_web_client_and_no_web_server() -> None:
    """Hooks, operators, sensors, triggers, notifiers and the monitor add nothing heavy to Airflow."""
    names = parsed_modules()
    assert len(names) > len(PARSED)

    loaded = loaded_by(f"import {', '.join(names)}", after=AIRFLOW)

    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_the_plugin_loads_no_web_framework() -> None:
    """Every Airflow process loads every plugin; only the API server needs its pages."""
    loaded = loaded_by("import airflow_provider_lwa.plugins.credentials", after=AIRFLOW)

    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_the_commands_load_nothing_before_one_is_chosen() -> None:
    """`airflow --help` builds the commands of every provider."""
    loaded = loaded_by(
        "from airflow_provider_lwa.cli import airflow_commands; airflow_commands()", after=AIRFLOW
    )

    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_the_measure_sees_what_is_loaded() -> None:
    """The measure is not blind: it reports a package that was imported, and not what was there before."""
    loaded = loaded_by("import colorsys, json.tool", after="import json.tool")

    assert "colorsys" in loaded
    assert "json.tool" not in loaded
