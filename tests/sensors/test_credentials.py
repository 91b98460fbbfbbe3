"""A DAG begins if its credential works, ends if it never will, and waits through everything else."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
    redact,
)

from airflow_provider_lwa.sensors.credentials import LwaCredentialSensor
from airflow_provider_lwa.triggers.credentials import LwaCredentialTrigger

if TYPE_CHECKING:
    from tests.sensors.conftest import Account

CONTEXT: Any = {}


def sensor(account: Account, **arguments: Any) -> LwaCredentialSensor:
    """:return: a sensor that does not sleep"""
    arguments = {"deferrable": False, "poke_interval": 0, "timeout": 20, **arguments}
    return LwaCredentialSensor(task_id="gate", lwa_conn_id=account.conn_id, **arguments)


def triggered(account: Account, **arguments: Any) -> Any:
    """:return: the payload with which the trigger of a deferred sensor fires"""
    trigger = LwaCredentialTrigger(**{"lwa_conn_id": account.conn_id, "poll_interval": 0.01, **arguments})

    async def first() -> Any:
        return (await anext(aiter(trigger.run()))).payload

    return asyncio.run(asyncio.wait_for(first(), timeout=20))


class TestInAWorker:
    """Without deferring."""

    def test_a_healthy_credential_lets_the_dag_begin(self, account: Account) -> None:
        """Login with Amazon and the API are asked once each."""
        sensor(account).execute(CONTEXT)

        assert (account.amazon.count(kind="token"), account.amazon.count(kind="api")) == (1, 1)

    def test_the_api_can_be_left_out(self, account: Account) -> None:
        """``api_probe=False`` spends nothing of the API's quota."""
        sensor(account, api_probe=False).execute(CONTEXT)

        assert (account.amazon.count(kind="token"), account.amazon.count(kind="api")) == (1, 0)

    def test_it_asks_past_the_shared_token(self, account: Account) -> None:
        """A withdrawn authorization is seen at once, although the last token would still do for an hour."""
        sensor(account).execute(CONTEXT)
        account.withdraw()

        with pytest.raises(AirflowFailException):
            sensor(account).execute(CONTEXT)

    def test_a_broken_credential_ends_it_at_once(self, account: Account) -> None:
        """No retries are spent, one request is made, and the message says what to do, without a secret."""
        account.withdraw()

        with pytest.raises(AirflowFailException) as caught:
            sensor(account).execute(CONTEXT)

        said = str(caught.value)
        assert said.startswith("Connection lwa_acme: Authorization revoked: ")
        assert "authorize the application again" in said
        assert account.amazon.count(kind="token") == 1
        assert not any(secret in said for secret in account.secrets)

    def test_a_broken_credential_can_skip(self, account: Account) -> None:
        """``soft_fail`` skips what follows instead of failing it."""
        account.withdraw()

        with pytest.raises(AirflowSkipException, match="Authorization revoked"):
            sensor(account, soft_fail=True).execute(CONTEXT)

    @pytest.mark.usefixtures("impatient")
    def test_an_outage_is_waited_for(self, account: Account) -> None:
        """What passes by itself does not fail the task."""
        account.amazon.fail_next(2, target="token", status=503)

        sensor(account).execute(CONTEXT)

        assert account.amazon.count(kind="token") >= 3

    @pytest.mark.usefixtures("impatient")
    def test_waiting_ends(self, account: Account) -> None:
        """After ``timeout`` the sensor gives up as sensors do."""
        account.amazon.fail_next(None, target="token", status=503)

        with pytest.raises(AirflowSensorTimeout):
            sensor(account, timeout=0).execute(CONTEXT)

    def test_a_connection_that_cannot_be_read_is_waited_for(
        self, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A secrets backend may be down for a moment; the log says what is wrong."""
        with caplog.at_level(logging.INFO), pytest.raises(AirflowSensorTimeout):
            LwaCredentialSensor(
                task_id="gate", lwa_conn_id="lwa_nowhere", deferrable=False, poke_interval=0, timeout=0
            ).execute(CONTEXT)

        assert account.amazon.count(kind="token") == 0

    def test_a_connection_that_is_incomplete_ends_it(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every problem is said at once, and Amazon is not asked."""
        monkeypatch.setenv("AIRFLOW_CONN_LWA_ACME", json.dumps({"conn_type": "lwa"}))

        with pytest.raises(AirflowFailException, match=r"client ID .* missing.*client secret .* missing"):
            sensor(account).execute(CONTEXT)

        assert account.amazon.count(kind="token") == 0


class TestInTheTriggerer:
    """Deferred."""

    def test_a_healthy_credential_needs_no_triggerer(self, account: Account) -> None:
        """The first look is made by the task itself."""
        sensor(account, deferrable=True).execute(CONTEXT)

    def test_a_broken_credential_needs_no_triggerer(self, account: Account) -> None:
        """It ends in the worker, or skips there."""
        account.withdraw()

        with pytest.raises(AirflowFailException):
            sensor(account, deferrable=True).execute(CONTEXT)
        with pytest.raises(AirflowSkipException):
            sensor(account, deferrable=True, soft_fail=True).execute(CONTEXT)

    @pytest.mark.usefixtures("impatient")
    def test_an_outage_is_waited_for_there(self, account: Account) -> None:
        """The task is deferred with its own time limit and with ids alone."""
        account.amazon.fail_next(1, target="token", status=503)

        with pytest.raises(TaskDeferred) as deferred:
            sensor(account, deferrable=True, timeout=600, poke_interval=30).execute(CONTEXT)

        assert deferred.value.timeout == timedelta(seconds=600)
        path, arguments = deferred.value.trigger.serialize()
        assert path == "airflow_provider_lwa.triggers.credentials.LwaCredentialTrigger"
        assert arguments == {"lwa_conn_id": "lwa_acme", "api_probe": True, "poll_interval": 30}

    @pytest.mark.usefixtures("impatient")
    def test_it_fires_when_the_credential_works(self, account: Account) -> None:
        """An outage passes unsaid; the event of health resumes the task, which succeeds."""
        account.amazon.fail_next(2, target="token", status=503)

        event = triggered(account)

        assert event["status"] == "healthy"
        assert account.amazon.count(kind="token") >= 3
        sensor(account, deferrable=True).execute_complete(CONTEXT, event)

    def test_it_fires_when_the_credential_is_broken(self, account: Account) -> None:
        """The event of breakage fails the resumed task, or skips it; it holds no secret."""
        account.withdraw()

        event = triggered(account)

        assert not any(secret in json.dumps(event) for secret in account.secrets)
        with pytest.raises(AirflowFailException, match="Authorization revoked"):
            sensor(account, deferrable=True).execute_complete(CONTEXT, event)
        with pytest.raises(AirflowSkipException):
            sensor(account, deferrable=True, soft_fail=True).execute_complete(CONTEXT, event)

    @pytest.mark.usefixtures("impatient")
    def test_it_sees_a_corrected_connection(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        """The connection is read anew for each look."""
        account.amazon.fail_next(1, target="token", status=503)
        grant = account.amazon.add_seller(account.application)
        account.withdraw()
        monkeypatch.setenv(
            "AIRFLOW_CONN_LWA_ACME",
            json.dumps(
                {
                    "conn_type": "lwa",
                    "login": account.application.client_id,
                    "password": account.application.client_secret,
                    "extra": {"refresh_token": grant.refresh_token},
                }
            ),
        )

        assert triggered(account)["status"] == "healthy"

    def test_the_triggerer_collects_no_masks(self, account: Account) -> None:
        """It lives for weeks: a mask for every token would slow down each line of its log."""
        assert triggered(account)["status"] == "healthy"

        assert account.amazon.tokens
        assert [redact(token) for token in account.amazon.tokens] == [*account.amazon.tokens]

    def test_many_wait_without_blocking_the_loop(self, account: Account) -> None:
        """Twenty slow looks at once take about as long as one, and the loop stays free meanwhile."""
        account.amazon.latency["token"] = 0.3
        ticks = []

        async def all_of_them() -> list[Any]:
            async def tick() -> None:
                while True:
                    ticks.append(threading.current_thread())
                    await asyncio.sleep(0.01)

            async def one() -> Any:
                trigger = LwaCredentialTrigger(lwa_conn_id=account.conn_id, poll_interval=0)
                return (await anext(aiter(trigger.run()))).payload["status"]

            ticking = asyncio.create_task(tick())
            found = await asyncio.gather(*(one() for _ in range(20)))
            ticking.cancel()
            return found

        assert asyncio.run(asyncio.wait_for(all_of_them(), timeout=20)) == ["healthy"] * 20
        assert len(ticks) > 5

    @pytest.mark.parametrize(
        "event",
        [
            None,
            {},
            "healthy",
            {"status": "healthy"},
            {
                "status": "perhaps",
                "observation": {"conn_id": "a", "at": 1.0, "layer": "api", "kind": "healthy"},
            },
            {
                "status": "healthy",
                "observation": {"conn_id": "a", "at": 1.0, "layer": "api", "kind": "revoked"},
            },
            {"status": "healthy", "observation": {"kind": "healthy"}},
            {
                "status": "broken",
                "observation": {"conn_id": "a", "at": 1.0, "layer": "api", "kind": "unavailable"},
            },
        ],
    )
    def test_a_foreign_event_fails_loudly(self, account: Account, event: Any) -> None:
        """Whatever is not an outcome of this trigger never passes for health, not even with ``soft_fail``."""
        with pytest.raises(ValueError, match=r"trigger|Observation"):
            sensor(account, deferrable=True, soft_fail=True).execute_complete(CONTEXT, event)


def test_a_dag_file_that_uses_it_loads_no_web_client() -> None:
    """DAG files are parsed again and again."""
    program = (
        "import sys, airflow_provider_lwa.sensors.credentials\n"
        "from airflow_provider_lwa.sensors.credentials import LwaCredentialSensor\n"
        "LwaCredentialSensor(task_id='gate', lwa_conn_id='nowhere')\n"
        "assert 'airflow_provider_lwa.amazon.http' not in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
