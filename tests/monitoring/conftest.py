"""An Amazon, two who are told, and an Airflow that runs the monitor in this process."""

from __future__ import annotations

import json
import logging
import os
import shutil
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.demo.launcher import free_port
from airflow_provider_lwa.demo.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_lwa.emulator import Emulator
    from airflow_provider_lwa.emulator.world import Application, Grant

DAGS = Path(__file__).parent / "dags"
DAG_ID = "watching"


@dataclass
class Scene:
    """The seller's connections, the monitor that watches them, and what its channels got."""

    amazon: Emulator
    chat: Receiver
    pager: Receiver
    environment: pytest.MonkeyPatch
    records: pytest.LogCaptureFixture
    output: pytest.CaptureFixture[str]
    printed: str = ""
    application: Application = field(init=False)
    sellers: dict[str, Grant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with one application, both channels, and nothing to watch."""
        self.application = self.amazon.add_application()
        self.environment.setenv(
            "AIRFLOW__LWA__ENDPOINT_OVERRIDES", json.dumps(self.amazon.endpoint_overrides)
        )
        self.environment.setenv("AIRFLOW__LWA__TOKEN_CACHE", "memory")
        self.environment.setenv("AIRFLOW__LWA__REQUEST_BUDGET", "5")
        self.reach("chat", self.chat.port)
        self.reach("pager", self.pager.port)

    def watch(self, *conn_ids: str) -> None:
        """Put these connections, and no others, into service; add those that do not exist yet."""
        self.environment.setenv("WATCHED", " ".join(conn_ids))
        for conn_id in conn_ids:
            if conn_id not in self.sellers:
                self.sellers[conn_id] = self.amazon.add_seller(self.application)
                self.store(conn_id)

    def store(self, conn_id: str, **changes: Any) -> None:
        """Write a seller's connection, with changes."""
        stored = {
            "conn_type": "lwa",
            "login": self.application.client_id,
            "password": self.application.client_secret,
            "extra": {"refresh_token": self.sellers[conn_id].refresh_token},
            **changes,
        }
        self.environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(stored))

    def withdraw(self, conn_id: str) -> None:
        """The seller withdraws the authorization."""
        self.amazon.revoke(self.sellers[conn_id].refresh_token)

    def authorize(self, conn_id: str) -> None:
        """The seller authorizes again."""
        self.amazon.restore(self.sellers[conn_id].refresh_token)

    def reach(self, channel: str, port: int | None) -> None:
        """Say where a channel is; ``None`` where nobody listens."""
        stored = {"conn_type": "http", "host": "http://127.0.0.1", "port": port or free_port(0)}
        self.environment.setenv(f"AIRFLOW_CONN_{channel.upper()}", json.dumps(stored))

    def run(self, **options: Any) -> str:
        """Run the monitor once.

        :return: the state in which the run ended
        """
        return str(dag_in(DAGS).test(**options).state)

    def told(self, channel: str = "chat") -> list[dict[str, str]]:
        """Take what a channel has got."""
        receiver: Receiver = getattr(self, channel)
        return [json.loads(message) for message in iter(receiver.next, None)]

    @property
    def titles(self) -> list[str]:
        """Take the titles that the chat has got."""
        return [message["text"] for message in self.told()]

    @property
    def log(self) -> str:
        """All that was logged; Airflow 3 prints the logs of tasks."""
        self.printed += self.output.readouterr().out
        return self.records.text + self.printed

    @property
    def memory(self) -> Any:
        """What the monitor keeps in its Variable."""
        from airflow.models.variable import Variable

        return json.loads(Variable.get(f"lwa_health.{DAG_ID}"))

    def overwrite(self, value: str) -> None:
        """Put something else into the Variable."""
        from airflow.models.variable import Variable

        Variable.set(f"lwa_health.{DAG_ID}", value)

    def secrets(self) -> list[str]:
        """What must not stand anywhere, in the parts that no encoding changes."""
        tokens = [grant.refresh_token.partition("|")[2] for grant in self.sellers.values()]
        return [self.application.client_secret, *tokens]


def dag_in(folder: Path) -> Any:
    """Put the DAG files where Airflow looks for them, and read them as it does."""
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.1
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef]  # because only one of them exists

    home = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    home.mkdir(exist_ok=True)
    for path in folder.glob("*.py"):
        shutil.copy(path, home)
    bag = DagBag(home)
    assert bag.import_errors == {}
    return bag.dags[DAG_ID]


@pytest.fixture(scope="session")
def database() -> None:
    """An Airflow database, made once."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def scene(
    database: None,
    lwa_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Scene]:
    """A monitor that has seen nothing yet."""
    from airflow.models.variable import Variable

    caplog.set_level(logging.INFO)
    with ExitStack() as stack:
        chat, pager = stack.enter_context(Receiver()), stack.enter_context(Receiver())
        yield Scene(lwa_emulator, chat, pager, monkeypatch, caplog, capsys)
    Variable.delete(f"lwa_health.{DAG_ID}")
