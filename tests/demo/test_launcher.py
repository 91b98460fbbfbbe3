"""The one-machine Airflow: it starts, it keeps to itself, and it is gone afterwards, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from airflow_provider_lwa.demo.components import COMPONENTS, logs_folder, session_members
from airflow_provider_lwa.demo.folder import FolderInUseError
from airflow_provider_lwa.demo.launcher import (
    AirflowEndedError,
    LauncherError,
    LocalAirflow,
    PortTakenError,
    settings,
)
from airflow_provider_lwa.demo.rest import AirflowRestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTS_AND_WAITS = """
import pathlib, sys, time
from airflow_provider_lwa.demo.folder import FolderInUseError
from airflow_provider_lwa.demo.launcher import LocalAirflow

home, dags = map(pathlib.Path, sys.argv[1:])
with LocalAirflow(home, dags, progress=lambda at: print(at, flush=True)) as airflow:
    print("up", airflow.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def launch(dags_folder: Path) -> Iterator[Callable[[Path, str], subprocess.Popen[str]]]:
    """Start an Airflow from a process of its own, and return that process when it has come to a point."""
    launched = []

    def start(home: Path, until: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", STARTS_AND_WAITS, str(home), str(dags_folder)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        launched.append(process)
        assert process.stdout is not None
        assert any(line.startswith(until) for line in process.stdout)
        return process

    yield start
    for process in launched:
        process.kill()
        process.communicate()


def processes_of(home: Path) -> list[psutil.Process]:
    """Find the living processes of an Airflow by the folder they work in, whatever session they are in."""
    return [process for process in psutil.process_iter() if _folder_of(process) == str(home)]


def _folder_of(process: psutil.Process) -> str | None:
    try:
        return process.cwd() if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def wait_until(happened: Callable[[], bool], seconds: float) -> bool:
    """Wait for what another process is to do."""
    deadline = time.monotonic() + seconds
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.1)
    return happened()


@pytest.mark.airflow(since="3.3")
class TestRunning:
    """While it runs."""

    def test_all_components_are_healthy(self, running: LocalAirflow) -> None:
        """Entering the block waits until every component says that it is well."""
        assert running.rest.health() == dict.fromkeys(
            ("metadatabase", "scheduler", "dag_processor", "triggerer"), "healthy"
        )

    def test_runs_a_dag(self, running: LocalAirflow) -> None:
        """A DAG runs with its parameters, in the launcher's environment; result and log can be read."""
        run = running.rest.trigger("answers", {"of": "everything"})

        assert running.rest.wait("answers", run) == "success"
        assert running.rest.xcom("answers", run, "ask") == {
            "answer": 42,
            "of": "everything",
            "mine": "passed on",
        }
        assert "asked" in running.rest.task_log("answers", run, "ask").splitlines()

    def test_tells_a_failed_run_from_a_good_one(self, running: LocalAirflow) -> None:
        """A run whose task raises ends as failed, and its log has the reason."""
        run = running.rest.trigger("refuses")

        assert running.rest.wait("refuses", run) == "failed"
        assert "on purpose" in running.rest.task_log("refuses", run, "refuse")

    def test_says_which_tasks_a_late_run_waits_for(self, running: LocalAirflow) -> None:
        """Waiting in vain for a run names its tasks and their states."""
        run = running.rest.trigger("answers")

        with pytest.raises(AirflowRestError, match=r"its tasks: \{'ask': "):
            running.rest.wait("answers", run, timeout=0)

    def test_does_not_wait_for_a_retry(self, running: LocalAirflow) -> None:
        """A task that has failed and will be tried again later ends the waiting, and its log can be shown."""
        run = running.rest.trigger("tries_again")

        assert running.rest.wait("tries_again", run) == "up_for_retry"
        assert "not yet" in running.rest.failure_logs("tries_again", run)

    def test_says_why_a_dag_is_missing(self, running: LocalAirflow) -> None:
        """Waiting in vain for a DAG ends with a sentence."""
        with pytest.raises(AirflowRestError, match=r"has not found the DAG absent in 0\.1 s"):
            running.rest.wait_for_dag("absent", timeout=0.1)

    def test_shows_what_airflow_answers_to_a_wrong_call(self, running: LocalAirflow) -> None:
        """An error of the API comes with its status and text."""
        with pytest.raises(AirflowRestError, match=r"404 to GET dags/absent: .*absent"):
            running.rest.call("GET", "dags/absent")

    def test_stores_a_connection_and_replaces_it(self, running: LocalAirflow) -> None:
        """A connection goes into the database sealed; storing it again replaces it."""
        for password in ("first-S3cret-value", "second-S3cret-value"):
            running.rest.add_connection("kept", conn_type="http", host="127.0.0.1", password=password)

        kept = running.rest.call("GET", "connections/kept")
        database = b"".join(path.read_bytes() for path in running.home.glob("airflow.db*"))
        assert kept["host"] == "127.0.0.1"
        assert b"first-S3cret-value" not in database
        assert b"second-S3cret-value" not in database

    def test_says_why_a_connection_is_not_stored(self, running: LocalAirflow) -> None:
        """A connection that Airflow refuses is an error, not silence."""
        with pytest.raises(AirflowRestError, match="connection_id"):
            running.rest.add_connection("not a name", conn_type="http")

    def test_listens_on_loopback_only(self, running: LocalAirflow) -> None:
        """One port, on 127.0.0.1, is all that all its processes listen on together."""
        listening = {
            (connection.laddr.ip, connection.laddr.port)
            for process in processes_of(running.home)
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }

        assert listening == {("127.0.0.1", running.port)}

    def test_stays_in_its_folder(self, running: LocalAirflow, user_home: Path) -> None:
        """Nothing is written to the user's home folder."""
        run = running.rest.trigger("answers")
        running.rest.wait("answers", run)

        assert list(user_home.iterdir()) == []

    def test_keeps_all_its_processes_in_one_session(self, running: LocalAirflow) -> None:
        """What ending relies on: there is no process of this Airflow outside the session."""
        family = {process.pid for process in processes_of(running.home)}

        assert len(family) > len(COMPONENTS)
        assert family <= {running.pid, *session_members(running.pid)}

    def test_keeps_a_log_of_each_component(self, running: LocalAirflow) -> None:
        """Each component has its own file, and the launcher can show their ends."""
        names = {path.stem for path in logs_folder(running.home).iterdir()}

        assert names == {*COMPONENTS, "start"}
        assert f"{logs_folder(running.home) / 'scheduler.log'}\n" in running.log_tails(lines=1)

    def test_refuses_a_folder_in_use(self, running: LocalAirflow, dags_folder: Path) -> None:
        """A second Airflow in the same folder is refused by a sentence that says where the first answers."""
        second = LocalAirflow(running.home, dags_folder, patience=0)

        with pytest.raises(FolderInUseError, match=f"in use .*{running.url}"), second:
            pytest.fail("must not start")
        running.check()

    def test_refuses_a_port_in_use(self, running: LocalAirflow, dags_folder: Path, tmp_path: Path) -> None:
        """A taken port is refused before anything is written."""
        second = LocalAirflow(tmp_path / "home", dags_folder, port=running.port)

        with pytest.raises(PortTakenError, match=f"Port {running.port} on 127.0.0.1 is taken"), second:
            pytest.fail("must not start")
        assert not (tmp_path / "home").exists()


@pytest.mark.airflow(since="3.3")
class TestEnding:
    """However it ends, nothing is left running."""

    def test_leaves_nothing_running(self, dags_folder: Path, tmp_path: Path) -> None:
        """After the block no process is left, and nobody answers; a second stop does no harm."""
        airflow = LocalAirflow(tmp_path / "home", dags_folder)
        with airflow:
            assert processes_of(airflow.home)

        airflow.stop()
        assert processes_of(airflow.home) == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", airflow.port), timeout=5)
        with pytest.raises(LauncherError, match="not running"):
            _ = airflow.pid

    @pytest.mark.parametrize("until", ["importing Airflow", "creating the database", "up"])
    def test_survives_nobody(
        self, until: str, launch: Callable[[Path, str], subprocess.Popen[str]], tmp_path: Path
    ) -> None:
        """When the launcher is killed, all that it started ends by itself."""
        launch(tmp_path / "home", until).kill()

        assert wait_until(lambda: processes_of(tmp_path / "home") == [], 30)

    def test_starts_again_after_an_interruption(
        self, launch: Callable[[Path, str], subprocess.Popen[str]], dags_folder: Path, tmp_path: Path
    ) -> None:
        """A killed one leaves a folder that the next one empties and uses, without being told to wait."""
        launch(tmp_path / "home", "up").kill()
        (tmp_path / "home" / "logs" / "old").write_text("of the interrupted one")

        with LocalAirflow(tmp_path / "home", dags_folder) as airflow:
            assert airflow.folder.interrupted
            assert airflow.rest.health()["scheduler"] == "healthy"
            assert not (tmp_path / "home" / "logs" / "old").exists()

    def test_notices_that_a_component_has_ended(self, dags_folder: Path, tmp_path: Path) -> None:
        """One component that ends takes the others with it, and the error says which it was."""
        with LocalAirflow(tmp_path / "home", dags_folder) as airflow:
            triggerer = _oldest_with_log(airflow, "triggerer")
            triggerer.kill()
            assert wait_until(lambda: processes_of(airflow.home) == [], 20)

            with pytest.raises(AirflowEndedError, match=r"triggerer ended by itself, with status -9\."):
                airflow.check()

    def test_notices_that_the_holder_has_been_killed(self, dags_folder: Path, tmp_path: Path) -> None:
        """When the process that holds the components is killed, the launcher ends the components."""
        airflow = LocalAirflow(tmp_path / "home", dags_folder)
        with airflow:
            os.kill(airflow.pid, signal.SIGKILL)
            assert wait_until(lambda: airflow.pid not in psutil.pids() or _ended(airflow), 5)
            with pytest.raises(AirflowEndedError, match="Airflow ended by itself"):
                airflow.check()

        assert processes_of(airflow.home) == []

    def test_shows_why_it_did_not_start(self, dags_folder: Path, tmp_path: Path) -> None:
        """An Airflow that cannot start says so with the end of its log, and leaves nothing running."""
        broken = {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nowhere/at/all.db"}
        airflow = LocalAirflow(tmp_path / "home", dags_folder, environment=broken)

        with pytest.raises(AirflowEndedError, match="unable to open database file"), airflow:
            pytest.fail("must not start")
        assert processes_of(airflow.home) == []

    def test_does_not_wait_for_ever(self, dags_folder: Path, tmp_path: Path) -> None:
        """A start that takes too long is given up."""
        airflow = LocalAirflow(tmp_path / "home", dags_folder)

        with pytest.raises(AirflowEndedError, match="not ready in time"):
            airflow.start(timeout=0.5)
        airflow.stop()
        assert processes_of(airflow.home) == []


class TestBeforeStarting:
    """What needs no Airflow to be seen."""

    def test_leaves_a_strangers_folder_alone(self, tmp_path: Path) -> None:
        """A folder with files of somebody else is refused, and they are still there."""
        (tmp_path / "thesis.txt").write_text("years of work")

        with pytest.raises(FolderInUseError, match="files of somebody else"):
            LocalAirflow(tmp_path, tmp_path).start()
        assert (tmp_path / "thesis.txt").read_text() == "years of work"

    def test_makes_up_new_keys_each_time(self, tmp_path: Path) -> None:
        """No two have a signing key or an encryption key in common."""
        first, second = (settings(tmp_path, tmp_path, 8080) for _ in range(2))

        changing = {name for name in first if first[name] != second[name]}
        assert changing == {
            "AIRFLOW__API__SECRET_KEY",
            "AIRFLOW__API_AUTH__JWT_SECRET",
            "AIRFLOW__CORE__FERNET_KEY",
        }

    def test_does_not_import_airflow(self) -> None:
        """The launcher's own process stays light: Airflow is imported by the process that it starts."""
        check = "import sys, airflow_provider_lwa.demo.launcher; sys.exit('airflow' in sys.modules)"

        assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def _oldest_with_log(airflow: LocalAirflow, component: str) -> psutil.Process:
    """Find a component by the log file that it writes to; its children write there too, but are younger."""
    log = logs_folder(airflow.home) / f"{component}.log"
    writers = [p for p in processes_of(airflow.home) if Path(f"/proc/{p.pid}/fd/1").readlink() == log]
    return min(writers, key=lambda process: process.create_time())


def _ended(airflow: LocalAirflow) -> bool:
    return psutil.Process(airflow.pid).status() == psutil.STATUS_ZOMBIE
