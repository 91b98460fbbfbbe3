"""The processes of one Airflow: started from a single import, ended together.

Run as ``python -m airflow_provider_lwa.demo.components`` by :mod:`airflow_provider_lwa.demo.launcher`,
which prepares the environment. Importing Airflow costs seconds, and its own ``airflow standalone`` pays
them six times; here one process imports it, creates the database, and forks the four components, which
share its memory.

The process leads a session of its own, and everything Airflow starts stays in that session (tasks change
their process group, not their session). So "end everything" means: everything in this session. It does so
when its standard input ends, which also happens when the launcher is killed without a chance to clean up;
when a signal tells it to; and when a component ends by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TextIO

import psutil

COMPONENTS = {
    # The log servers are left out: they would listen on every interface, and the API server reads the log
    # files of its own machine without them.
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
    "api-server": (),
}

_LOADED_BEFORE_FORKING = (
    "airflow.api_fastapi.core_api.app",
    "airflow.api_fastapi.execution_api.app",
    "airflow.dag_processing.manager",
    "airflow.executors.local_executor",
    "airflow.jobs.scheduler_job_runner",
    "airflow.jobs.triggerer_job_runner",
    "airflow.sdk.execution_time.task_runner",
)


def logs_folder(home: Path) -> Path:
    """
    Say where the components write what they print.

    :param home: the ``AIRFLOW_HOME``
    :return: the folder, with one file per component
    """
    return home / "logs" / "components"


def session_members(session: int) -> list[int]:
    """
    Say which living processes belong to a session, the calling process left out.

    :param session: the process id of the session's leader
    :return: their process ids
    """
    return [
        pid for pid in psutil.pids() if pid != os.getpid() and _session_of(pid) == session and _is_alive(pid)
    ]


def end_session(session: int, *, grace: float = 3.0) -> None:
    """
    End every process of a session but the calling one: first politely, then for certain.

    :param session: the process id of the session's leader
    :param grace: seconds between the request to end and the kill
    """
    _signal_all(session_members(session), signal.SIGTERM)
    deadline = time.monotonic() + grace
    while members := session_members(session):
        if time.monotonic() > deadline:
            _signal_all(members, signal.SIGKILL)
        _ended_children()
        time.sleep(0.05)


def main() -> None:
    """Start Airflow's components, and stay until they are to end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _told_to_end)
    home = Path(os.environ["AIRFLOW_HOME"])
    with os.fdopen(os.dup(1), "w", buffering=1) as launcher:
        os.dup2(2, 1)  # so that nothing which Airflow prints is taken for a report
        try:
            _tell(launcher, "importing Airflow")
            for module in _LOADED_BEFORE_FORKING:
                import_module(module)
            _tell(launcher, "creating the database")
            _create_database()
            _tell(launcher, "starting the components")
            _stay(launcher, _start_components(launcher, logs_folder(home)))
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            end_session(os.getpid())


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _ended_children() -> dict[int, int]:
    """Collect the children that have ended, lest they stay as zombies: exit status by process id."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
    return ended


def _told_to_end(_number: int, _frame: object) -> NoReturn:
    raise SystemExit(0)


def _tell(launcher: TextIO, doing: str, **details: object) -> None:
    """Report to the launcher. That it is gone is noticed on standard input, not here."""
    with contextlib.suppress(BrokenPipeError):
        launcher.write(json.dumps({"doing": doing, **details}) + "\n")


def _print_into(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _create_database() -> None:
    from airflow import settings  # noqa: PLC0415 - because Airflow is imported here or not at all
    from airflow.utils import db  # noqa: PLC0415 - because Airflow is imported here or not at all

    db.initdb()
    if settings.engine is not None:
        settings.engine.dispose()  # a connection must not be shared across a fork


def _start_components(launcher: TextIO, logs: Path) -> dict[int, str]:
    started = {}
    for name, arguments in COMPONENTS.items():
        pid = os.fork()
        if pid == 0:
            os.close(launcher.fileno())
            _become(name, arguments, logs / f"{name}.log")
        started[pid] = name
    return started


def _become(name: str, arguments: tuple[str, ...], log: Path) -> NoReturn:
    """Turn this forked process into one component of Airflow."""
    status = 1
    try:
        _print_into(log)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        from airflow.cli.cli_parser import get_parser  # noqa: PLC0415 - because it is for children only

        parsed = get_parser().parse_args([name, *arguments])
        parsed.func(parsed)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0
    except BaseException:  # noqa: BLE001 - because a forked child must never run on into its parent's code
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _stay(launcher: TextIO, components: dict[int, str]) -> None:
    """Return when the launcher has ended or a component has; a signal interrupts by an exception."""
    while True:
        asked, _, _ = select.select([0], [], [], 0.5)
        if asked:
            return
        for pid, status in _ended_children().items():
            if pid in components:
                _tell(launcher, "ended by itself", component=components[pid], status=status)
                return


if __name__ == "__main__":
    main()
