"""A real Airflow on an Amazon of its own, and a search for secrets in all that it has written."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest
from cryptography.fernet import Fernet

from airflow_provider_lwa.demo.launcher import LocalAirflow
from airflow_provider_lwa.demo.receiver import Receiver
from airflow_provider_lwa.demo.rest import OVER
from airflow_provider_lwa.demo.story import EXAMPLES, RECIPIENT_CONNECTION, lwa_connection
from airflow_provider_lwa.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from airflow_provider_lwa.emulator.world import Grant


@dataclass(frozen=True)
class Find:
    """A secret where none may be: which, and where."""

    secret: str
    place: str


class SecretHunt:
    """
    Looks for secrets in every shape in which they could have been written.

    :param needles: the secrets by what they are
    """

    def __init__(self, needles: dict[str, str]) -> None:
        self._shapes = {shape: name for name, secret in needles.items() for shape in shapes(secret)}

    def in_text(self, text: str, place: str) -> list[Find]:
        """Search one text."""
        return sorted({Find(name, place) for shape, name in self._shapes.items() if shape in text}, key=str)

    def in_files(self, folder: Path) -> list[Find]:
        """Search every file of a folder, whatever its kind."""
        files = [path for path in folder.rglob("*") if path.is_file()]
        return [
            find for path in files for find in self.in_text(path.read_bytes().decode("latin-1"), str(path))
        ]

    def in_database(self, database: Path) -> list[Find]:
        """Search every value of every table: a long one does not stand in the file in one piece."""
        return [find for place, text in values(database) for find in self.in_text(text, place)]


def shapes(secret: str) -> set[str]:
    """Say how a secret can look: what is behind its bar, as it is and in a URL. The whole contains it."""
    part = secret.partition("|")[2] or secret
    return {part, quote(part), quote_plus(part)}


def values(database: Path) -> Iterator[tuple[str, str]]:
    """List every value of a database as text, with its table and column."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        ]
        for table in tables:
            rows = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - because the names are the database's own
            columns = [column[0] for column in rows.description]
            for row in rows:
                for column, value in zip(columns, row, strict=True):
                    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    yield f"{table}.{column}", text


@dataclass
class Stage:
    """What the end-to-end tests play on."""

    amazon: Emulator
    airflow: LocalAirflow
    told: Receiver
    seller: Grant
    fernet: Fernet

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, *, timeout: float = 120) -> Run:
        """Run a DAG to its end, looking all the while at what is kept for the time in between."""
        rest = self.airflow.rest
        run_id = rest.trigger(dag_id, conf)
        deadline = time.monotonic() + timeout
        deferred: set[str] = set()
        while (state := rest.state(dag_id, run_id)) not in OVER:
            assert time.monotonic() < deadline, f"{dag_id} is {state}: {rest.task_instances(dag_id, run_id)}"
            deferred |= set(self._kept_in_between())
            time.sleep(0.2)
        return Run(dag_id, run_id, state, tuple(sorted(deferred)))

    def logs(self, run: Run) -> str:
        """The log of every attempt of every task of a run, as the pages show it."""
        rest = self.airflow.rest
        return "\n".join(
            rest.task_log(
                run.dag_id, run.run_id, task["task_id"], map_index=task["map_index"], attempt=attempt
            )
            for task in rest.task_instances(run.dag_id, run.run_id)
            for attempt in range(1, task["try_number"] + 1)
        )

    def authorize_anew(self) -> None:
        """Give lwa_default the authorization of another seller, of whom nothing is remembered."""
        self.seller = _authorize(self.amazon)
        self.airflow.rest.add_connection("lwa_default", **lwa_connection(self.amazon, self.seller))

    def hunt(self) -> SecretHunt:
        """Begin a search for all secrets that exist on this Amazon by now."""
        applications = self.amazon.applications.values()
        clients = {f"secret of {app.client_id}": s.value for app in applications for s in app.secrets}
        grants = {
            f"refresh token of {g.selling_partner_id}": g.refresh_token for g in self.amazon.grants.values()
        }
        tokens = {f"access token {number}": token for number, token in enumerate(self.amazon.tokens)}
        return SecretHunt({"pre-signed URL": "X-Amz-Signature=", **clients, **grants, **tokens})

    def _kept_in_between(self) -> Iterator[str]:
        """What a deferred task leaves behind: its trigger, and what it will be resumed with."""
        query = (
            "SELECT kwargs FROM trigger",
            "SELECT next_kwargs FROM task_instance WHERE next_kwargs IS NOT NULL",
        )
        with closing(sqlite3.connect(f"file:{self.airflow.database}?mode=ro", uri=True)) as connection:
            for (kwargs,) in connection.execute(query[0]):
                yield self._unsealed(kwargs)
            for (plain,) in connection.execute(query[1]):
                yield str(plain)

    def _unsealed(self, kwargs: str) -> str:
        """Read a trigger's arguments, which Airflow seals or not, depending on who starts the trigger."""
        return kwargs if kwargs.startswith("{") else self.fernet.decrypt(kwargs.encode()).decode()


@dataclass(frozen=True)
class Run:
    """A run that has ended, and what was kept while its tasks were deferred."""

    dag_id: str
    run_id: str
    state: str
    kept: tuple[str, ...]


def _examples(folder: Path) -> Path:
    for path in sorted(EXAMPLES.glob("*.py")):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An Amazon, one who is told, and an Airflow with the example DAGs, logging all it can."""
    key = Fernet.generate_key()
    with Emulator() as amazon, Receiver() as told:
        environment = {
            "AIRFLOW__CORE__FERNET_KEY": key.decode(),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "REPORTS": str(tmp_path_factory.mktemp("reports")),
            "AIRFLOW__LWA__ENDPOINT_OVERRIDES": json.dumps(amazon.endpoint_overrides),
        }
        dags = _examples(tmp_path_factory.mktemp("dags"))
        with LocalAirflow(tmp_path_factory.mktemp("home"), dags, environment=environment) as airflow:
            airflow.rest.add_connection(
                RECIPIENT_CONNECTION, conn_type="http", host="http://127.0.0.1", port=told.port
            )
            stage = Stage(amazon, airflow, told, _authorize(amazon), Fernet(key))
            stage.authorize_anew()
            yield stage


def _authorize(amazon: Emulator) -> Grant:
    """Add a seller whose refresh token looks different in a URL."""
    awkward = f"Atzr|IwEBI/{secrets.token_hex(60)}+{secrets.token_hex(60)}=="
    return amazon.add_seller(amazon.add_application(), awkward, marketplace_ids=["ATVPDKIKX0DER"])


@pytest.fixture
def hunt_for() -> type[SecretHunt]:
    """The search itself, for the tests that show that it finds."""
    return SecretHunt
