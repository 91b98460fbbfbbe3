"""A real Airflow on this machine alone, started for one purpose and gone without a trace.

:class:`LocalAirflow` runs scheduler, DAG processor, triggerer and API server with the LocalExecutor and
SQLite, all in one folder, listening on loopback only. It serves the demo and the end-to-end tests, and
nothing else: everybody who reaches its port is an administrator.

The user's own Airflow stays out of it: ``AIRFLOW*`` variables are not passed on, and the calling process
never imports Airflow. See :mod:`airflow_provider_lwa.demo.components` for how the processes start and end.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Any, Self, cast

import requests

from airflow_provider_lwa.demo.components import end_session, logs_folder
from airflow_provider_lwa.demo.folder import Folder
from airflow_provider_lwa.demo.rest import AirflowRest, AirflowRestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType

_COMPONENTS_IN_HEALTH = frozenset({"metadatabase", "scheduler", "dag_processor", "triggerer"})


class LauncherError(Exception):
    """Airflow could not be started here. The message says why, and what to do."""


class PortTakenError(LauncherError):
    """Another program listens on the wanted port."""


class AirflowEndedError(LauncherError):
    """Airflow did not start, or did not stay."""


def settings(home: Path, dags_folder: Path, port: int) -> dict[str, str]:
    """
    Say what makes an Airflow small, quick, and confined to one folder and to loopback.

    :param home: the ``AIRFLOW_HOME``
    :param dags_folder: the folder with the DAG files
    :param port: where the API server is to listen
    :return: environment variables; its keys are made up anew at each call
    """
    url = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW_HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        # Unless given, every process makes up its own, and a token signed by one is refused by the next.
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__MP_START_METHOD": "fork",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(home / "bundles"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    }


class LocalAirflow:
    """
    An Airflow of its own, from ``with`` to the end of the block.

    :param home: the folder for all it writes; made when missing, emptied when it is an earlier one's
    :param dags_folder: the folder with the DAG files
    :param port: where its UI and API are to answer; 0 for any free port
    :param environment: more variables for its processes, such as ``AIRFLOW__LWA__ENDPOINT_OVERRIDES``
    :param progress: told what is being done, as it goes
    :param patience: seconds to wait for an earlier one in the same folder that is just ending
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        port: int = 0,
        environment: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = lambda _doing: None,
        patience: float = 15,
    ) -> None:
        self.folder = Folder(home)
        self.dags_folder = dags_folder.resolve()
        self.port = port
        self.environment = dict(environment or {})
        self.progress = progress
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start, and wait until all components are healthy."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """Stop all processes."""
        self.stop()

    @property
    def home(self) -> Path:
        """The ``AIRFLOW_HOME``."""
        return self.folder.path

    @property
    def url(self) -> str:
        """Where the UI and the API answer."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process that holds the components; also the id of the session they are in."""
        if self._process is None:
            raise LauncherError("Airflow is not running.")
        return self._process.pid

    @property
    def database(self) -> Path:
        """The file of Airflow's database."""
        return self.home / "airflow.db"

    def start(self, *, timeout: float = 120) -> None:
        """
        Start all components, and wait until they are healthy.

        :param timeout: seconds
        :raises FolderInUseError: when the folder is not free
        :raises PortTakenError: when the port is not free
        :raises AirflowEndedError: when Airflow does not come up in time; with the end of its logs
        """
        deadline = time.monotonic() + timeout
        self.port = free_port(self.port)
        self.folder.claim(patience=self._patience)
        (self.home / "tmp").mkdir()
        logs_folder(self.home).mkdir(parents=True)
        self._process = self._open_process()
        self.folder.note_owner(f"process {os.getpid()}, {self.url}")
        self.rest = AirflowRest(self.url)
        self._follow_start(self._process, deadline)
        self.progress("waiting for the components")
        while not self._is_healthy():
            self.check(deadline)
            time.sleep(0.1)

    def stop(self) -> None:
        """End every process that was started. Safe to call twice."""
        if self._process is not None:
            self.rest.close()
            _end(self._process)
            self._process = None
        self.folder.release()

    def check(self, deadline: float | None = None) -> None:
        """
        Make sure that Airflow still runs.

        :param deadline: when it was to be ready, on the monotonic clock
        :raises AirflowEndedError: when it has ended, or the deadline has passed; with the ends of its logs
        """
        if self._process is None or self._process.poll() is not None:
            raise AirflowEndedError(f"{self._last_words()} The ends of its logs:\n{self.log_tails()}")
        if deadline is not None and time.monotonic() > deadline:
            raise AirflowEndedError(
                f"Airflow was not ready in time. The ends of its logs:\n{self.log_tails()}"
            )

    def log_tails(self, lines: int = 15) -> str:
        """
        Show the end of each component's log.

        :param lines: how many lines of each
        :return: the text, the name of each file above its lines
        """
        files = sorted(logs_folder(self.home).glob("*.log"))
        tails = {file: file.read_text(errors="replace").splitlines()[-lines:] for file in files}
        return "\n".join(f"--- {file}\n" + "\n".join(tail) for file, tail in tails.items() if tail)

    def _open_process(self) -> subprocess.Popen[bytes]:
        with (logs_folder(self.home) / "start.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "airflow_provider_lwa.demo.components"],
                env=self._environment(),
                cwd=self.home,
                bufsize=0,  # select must see what has not been read yet
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=[self.folder.lock],
            )

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")
        }
        return inherited | settings(self.home, self.dags_folder, self.port) | self.environment

    def _follow_start(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        """Pass on what the starting process reports, until the components are there."""
        doing = None
        while doing != "starting the components":
            if not select.select([_reports(process)], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self.check(deadline)
            report = _report(process)
            if report is None:
                _wait_for_end(process)
                self.check()
            else:
                doing = report["doing"]
                self.progress(doing)

    def _last_words(self) -> str:
        """Say which component took the others with it, as far as that is known."""
        while self._process is not None and (report := _report(self._process)) is not None:
            if "component" in report:
                return f"Airflow's {report['component']} ended by itself, with status {report['status']}."
        return "Airflow ended by itself."

    def _is_healthy(self) -> bool:
        try:
            health = self.rest.health()
        except (requests.RequestException, AirflowRestError):
            return False
        return all(health.get(component) == "healthy" for component in _COMPONENTS_IN_HEALTH)


def _reports(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None, "because it was made with stdout=PIPE"
    return process.stdout


def _report(process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
    """Read one report of the process that holds the components; ``None`` after its last."""
    line = _reports(process).readline()
    return cast("dict[str, Any]", json.loads(line)) if line else None


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process that holds the components, and whatever it should have failed to end."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    process.terminate()  # while Airflow is imported, nobody watches the pipe
    _wait_for_end(process)
    end_session(process.pid, grace=0)


def free_port(wanted: int) -> int:
    """
    Find a free port on loopback, or make sure that the wanted one is free.

    :param wanted: the port; 0 for any
    :return: the port
    :raises PortTakenError: when it is not free
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise PortTakenError(
                f"Port {wanted} on 127.0.0.1 is taken ({error.strerror}). Choose another one, or 0 for any."
            ) from error
        return int(probe.getsockname()[1])
