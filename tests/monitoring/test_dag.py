"""The DAG as it is written: what it is, what it refuses, which connections it finds."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.monitoring import CredentialMonitorError, Route, lwa_credential_monitor

if TYPE_CHECKING:
    from airflow_provider_lwa.emulator import Emulator


def discovered(**arguments: Any) -> list[list[str]]:
    """:return: what the task ``discover`` gives"""
    found: list[list[str]] = function_of(lwa_credential_monitor(**arguments), "discover")()
    return found


def function_of(dag: Any, task_id: str) -> Any:
    """:return: the function that a task runs"""
    return dag.get_task(task_id).python_callable


def test_one_run_at_a_time() -> None:
    """The state has one writer; what was missed is not caught up with; the rest is the user's to say."""
    dag = lwa_credential_monitor(
        schedule="@hourly", conn_ids=["a"], tags=["mine"], max_active_runs=5, catchup=True
    )

    assert (dag.max_active_runs, dag.catchup, set(dag.tags)) == (1, False, {"mine"})
    assert dag.get_task("evaluate_and_notify").max_active_tis_per_dag == 1


def test_defaults_can_be_changed() -> None:
    """The user's task arguments add to ours."""
    dag = lwa_credential_monitor(conn_ids=["a"], default_args={"owner": "growth"})
    task = dag.get_task("discover")

    assert (task.owner, task.retries) == ("growth", 1)


def test_what_is_wrong_is_said_when_the_file_is_parsed() -> None:
    """A mistake shows as an import error, not when an alert is due."""
    with pytest.raises(TypeError, match="list of connection ids"):
        lwa_credential_monitor(conn_ids="lwa_default")
    with pytest.raises(ValueError, match="token"):
        lwa_credential_monitor("lwa_token_monitor", conn_ids=["a"])
    with pytest.raises(ValueError, match="min_severity is 'loud'"):
        Route(notifiers=[], min_severity="loud")  # type: ignore[arg-type]  # because that is the mistake


def test_many_connections_are_looked_at_in_batches() -> None:
    """At most 25 to a task, each once, in a stable order."""
    names = [f"s{n:02}" for n in range(60)]
    batches = discovered(conn_ids=[*reversed(names), "s00"])

    assert [len(batch) for batch in batches] == [25, 25, 10]
    assert [name for batch in batches for name in batch] == names


def test_a_function_can_name_them() -> None:
    """It is called when the DAG runs, not when its file is parsed."""
    calls: list[None] = []

    def ours() -> list[str]:
        calls.append(None)
        return ["x"]

    dag = lwa_credential_monitor(conn_ids=ours)

    assert calls == []
    assert function_of(dag, "discover")() == [["x"]]


def test_those_of_the_environment_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without names, all of type ``lwa`` in environment variables, written as JSON or as URI."""
    monkeypatch.setenv("AIRFLOW_CONN_LWA_JSON", json.dumps({"conn_type": "lwa", "login": "x"}))
    monkeypatch.setenv("AIRFLOW_CONN_LWA_URI", "lwa://client:s3cret@/?region=europe")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_JSON", json.dumps({"conn_type": "http"}))
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_URI", "postgres://lwa:lwa@lwa/lwa")
    monkeypatch.setenv("AIRFLOW_CONN_BROKEN", "{lwa")

    assert discovered() == [["lwa_json", "lwa_uri"]]


@pytest.mark.parametrize("junk", ["postgres://u:p[w@h/db", "{broken", "[]", "", "lwa"])
def test_what_others_store_does_not_stop_the_search(monkeypatch: pytest.MonkeyPatch, junk: str) -> None:
    """A connection that cannot be read is not one of ours to find; Airflow tells those who use it."""
    monkeypatch.setenv("AIRFLOW_CONN_THEIRS", junk)
    monkeypatch.setenv("AIRFLOW_CONN_LWA_OURS", "lwa://client:s3cret@/")

    assert discovered() == [["lwa_ours"]]


def test_nothing_to_watch_is_an_error() -> None:
    """A monitor that watches nothing never looks healthy."""
    with pytest.raises(CredentialMonitorError, match="conn_ids="):
        discovered()
    with pytest.raises(CredentialMonitorError, match="conn_ids="):
        discovered(conn_ids=[])


def test_a_probe_gives_what_was_seen(lwa_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection gives one observation, whatever its condition; none of them holds a secret."""
    application = lwa_emulator.add_application()
    good, bad = lwa_emulator.add_seller(application), lwa_emulator.add_seller(application)
    lwa_emulator.revoke(bad.refresh_token)
    monkeypatch.setenv("AIRFLOW__LWA__ENDPOINT_OVERRIDES", json.dumps(lwa_emulator.endpoint_overrides))
    monkeypatch.setenv("AIRFLOW__LWA__TOKEN_CACHE", "memory")
    for name, grant in (("good", good), ("bad", bad)):
        stored = {
            "conn_type": "lwa",
            "login": application.client_id,
            "password": application.client_secret,
            "extra": {"refresh_token": grant.refresh_token},
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(stored))
    probe = function_of(lwa_credential_monitor(conn_ids=["x"]), "probe")

    seen = probe(["good", "bad", "nowhere"])

    assert [one["kind"] for one in seen] == ["healthy", "revoked", "source_error"]
    text = json.dumps(seen)
    assert not any(part in text for part in (application.client_secret, bad.refresh_token.partition("|")[2]))


def test_parsing_looks_nothing_up() -> None:
    """Making the DAG reads no connection, loads no web client, and reaches nothing."""
    program = """
import sys
from airflow_provider_lwa.monitoring import lwa_credential_monitor
def nowhere(event, arguments):
    assert not event.startswith(("socket.", "sqlite3.")), event
sys.addaudithook(nowhere)
lwa_credential_monitor()
lwa_credential_monitor("other", conn_ids=["nowhere"])
assert not {"airflow_provider_lwa.amazon.http", "fastapi", "starlette"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
