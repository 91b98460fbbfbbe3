"""The few calls of Airflow's public REST API (``/api/v2``) that the demo and the end-to-end tests make."""

from __future__ import annotations

import time
from typing import Any, cast
from urllib.parse import quote

import requests

#: The states of a run in which waiting for it makes no sense any more.
OVER = frozenset({"success", "failed", "up_for_retry"})


class AirflowRestError(Exception):
    """Airflow's REST API refused a call or did not reach an expected state."""


class AirflowRest:
    """
    A client of one Airflow that lets everybody in (``[core] simple_auth_manager_all_admins``).

    :param url: where its API server answers
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy has nothing to do with loopback

    def close(self) -> None:
        """Close the connections to the API server."""
        self._session.close()

    def health(self) -> dict[str, str]:
        """
        Ask how each component is.

        :return: the status by component
        """
        parts = self.call("GET", "monitor/health").items()
        return {name: part["status"] for name, part in parts if part["status"] is not None}

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """
        Make one call of ``/api/v2``.

        :param method: the HTTP method
        :param path: the path below ``/api/v2/``
        :param arguments: what :meth:`requests.Session.request` takes
        :return: the answer, parsed; ``None`` when it is empty
        :raises AirflowRestError: when Airflow answers with an error
        """
        answer = self._send(method, path, arguments)
        if answer.status_code == requests.codes.unauthorized:
            self._log_in()
            answer = self._send(method, path, arguments)
        if not answer.ok:
            raise AirflowRestError(
                f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:500]}"
            )
        return answer.json() if answer.content else None

    def add_connection(self, conn_id: str, **fields: Any) -> None:
        """
        Store a connection in Airflow's database, or replace the one of that name.

        :param conn_id: the connection's name
        :param fields: ``conn_type``, ``login``, ``password``, ``extra`` (JSON text) and the like
        """
        connection = {"connection_id": conn_id, **fields}
        action = {"action": "create", "entities": [connection], "action_on_existence": "overwrite"}
        outcome = self.call("PATCH", "connections", json={"actions": [action]})
        if outcome["create"]["errors"]:
            raise AirflowRestError(
                f"Airflow did not store connection {conn_id}: {outcome['create']['errors'][0]['error']}"
            )

    def wait_for_dag(self, dag_id: str, *, timeout: float = 60) -> None:
        """
        Wait until the DAG processor has read a DAG.

        :param dag_id: the DAG
        :param timeout: seconds
        :raises AirflowRestError: when it is not there in time; with Airflow's import errors, if it has any
        """
        deadline = time.monotonic() + timeout
        while dag_id not in self.dag_ids():
            if errors := self.import_errors():
                raise AirflowRestError(
                    "Airflow could not read "
                    + "; ".join(f"{file}: {error}" for file, error in errors.items())
                )
            if time.monotonic() > deadline:
                raise AirflowRestError(f"Airflow has not found the DAG {dag_id} in {timeout:g} s.")
            time.sleep(0.2)

    def dag_ids(self) -> set[str]:
        """
        List the DAGs that Airflow has read.

        :return: their names
        """
        return {dag["dag_id"] for dag in self.call("GET", "dags", params={"limit": 1000})["dags"]}

    def import_errors(self) -> dict[str, str]:
        """
        List the DAG files that Airflow could not read.

        :return: the stack trace by file name
        """
        errors = self.call("GET", "importErrors")["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in errors}

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """
        Start a run of a DAG, as the button in the UI does.

        :param dag_id: the DAG, paused or not
        :param conf: the parameters of the run
        :return: the run's id
        """
        self.wait_for_dag(dag_id)
        self.call("PATCH", f"dags/{dag_id}", json={"is_paused": False}, params={"update_mask": "is_paused"})
        run = self.call("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf or {}})
        return cast("str", run["dag_run_id"])

    def wait(self, dag_id: str, run_id: str, *, timeout: float = 120) -> str:
        """
        Wait until a run has ended, or has come to a failure that will be retried.

        :param dag_id: the DAG
        :param run_id: the run
        :param timeout: seconds
        :return: a state of :data:`OVER`
        :raises AirflowRestError: when it is not over in time; with the state of each task
        """
        deadline = time.monotonic() + timeout
        while (state := self.state(dag_id, run_id)) not in OVER:
            if time.monotonic() > deadline:
                tasks = {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}
                raise AirflowRestError(
                    f"The run {run_id} of {dag_id} is {state} after {timeout:g} s; its tasks: {tasks}"
                )
            time.sleep(0.2)
        return state

    def state(self, dag_id: str, run_id: str) -> str:
        """
        Say how a run is.

        :param dag_id: the DAG
        :param run_id: the run
        :return: its state; ``up_for_retry`` when a task has failed that is to be tried again
        """
        if any(task["state"] == "up_for_retry" for task in self.task_instances(dag_id, run_id)):
            return "up_for_retry"
        return cast("str", self.call("GET", _run(dag_id, run_id))["state"])

    def failure_logs(self, dag_id: str, run_id: str) -> str:
        """
        Fetch the logs of what has failed.

        :param dag_id: the DAG
        :param run_id: the run
        :return: the logs of the last attempts, each under the task's name
        """
        tasks = self.task_instances(dag_id, run_id)
        failed = [task for task in tasks if task["state"] in {"failed", "up_for_retry"}]
        return "\n".join(f"--- {task['task_id']}\n{self._last_log(task)}" for task in failed)

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """
        List the task instances of a run.

        :param dag_id: the DAG
        :param run_id: the run
        :return: each as Airflow describes it
        """
        instances = self.call("GET", f"{_run(dag_id, run_id)}/taskInstances", params={"limit": 1000})[
            "task_instances"
        ]
        return cast("list[dict[str, Any]]", instances)

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, attempt: int = 1
    ) -> str:
        """
        Fetch the log of one attempt of a task, as the UI shows it.

        :param dag_id: the DAG
        :param run_id: the run
        :param task_id: the task
        :param map_index: which of a mapped task's instances
        :param attempt: which attempt, counted from 1
        :return: the events and the errors with them, one a line
        """
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{attempt}"
        content = self.call("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(line if isinstance(line, str) else _log_line(line) for line in content)

    def xcom(
        self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1
    ) -> Any:
        """
        Fetch what a task has returned.

        :param dag_id: the DAG
        :param run_id: the run
        :param task_id: the task
        :param key: the XCom's key
        :param map_index: which of a mapped task's instances
        :return: the value
        """
        path = f"{_run(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}"
        return self.call(
            "GET", path, params={"map_index": map_index, "deserialize": False, "stringify": False}
        )["value"]

    def _last_log(self, task: dict[str, Any]) -> str:
        attempt = max(1, task["try_number"])
        place = task["dag_id"], task["dag_run_id"], task["task_id"]
        return self.task_log(*place, map_index=task["map_index"], attempt=attempt)

    def _send(self, method: str, path: str, arguments: dict[str, Any]) -> requests.Response:
        return self._session.request(method, f"{self.url}/api/v2/{path}", timeout=30, **arguments)

    def _log_in(self) -> None:
        answer = self._session.get(f"{self.url}/auth/token", timeout=30)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _log_line(line: dict[str, Any]) -> str:
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or []]
    return "\n".join([str(line.get("event", line)), *errors])


def _run(dag_id: str, run_id: str) -> str:
    return f"dags/{quote(dag_id)}/dagRuns/{quote(run_id)}"
