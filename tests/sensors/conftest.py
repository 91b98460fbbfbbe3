"""A connection to an Amazon on loopback, for tasks that run without a scheduler."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_lwa.emulator import Emulator
    from airflow_provider_lwa.emulator.world import Application, Grant


@dataclass(frozen=True)
class Account:
    """A seller whose credential is in the connection ``lwa_acme``."""

    amazon: Emulator
    application: Application
    grant: Grant
    conn_id: str = "lwa_acme"

    @property
    def secrets(self) -> list[str]:
        """What must not be seen anywhere, in the parts that no encoding changes."""
        return [self.application.client_secret, self.grant.refresh_token.partition("|")[2]]

    def withdraw(self) -> None:
        """The seller withdraws the authorization."""
        self.amazon.revoke(self.grant.refresh_token)

    def authorize(self) -> None:
        """The seller authorizes again."""
        self.amazon.restore(self.grant.refresh_token)


@pytest.fixture
def account(lwa_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Account:
    """A healthy credential."""
    application = lwa_emulator.add_application()
    grant = lwa_emulator.add_seller(application)
    extra = {"refresh_token": grant.refresh_token, "api": "selling_partner", "region": "north_america"}
    stored = {
        "conn_type": "lwa",
        "login": application.client_id,
        "password": application.client_secret,
        "extra": extra,
    }
    monkeypatch.setenv("AIRFLOW_CONN_LWA_ACME", json.dumps(stored))
    monkeypatch.setenv("AIRFLOW__LWA__ENDPOINT_OVERRIDES", json.dumps(lwa_emulator.endpoint_overrides))
    monkeypatch.setenv("AIRFLOW__LWA__TOKEN_CACHE", "memory")
    monkeypatch.setenv("AIRFLOW__LWA__REQUEST_BUDGET", "10")
    return Account(lwa_emulator, application, grant)


@pytest.fixture
def impatient(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt for each look: there is no time for the pause before a second."""
    monkeypatch.setenv("AIRFLOW__LWA__REQUEST_BUDGET", "0.45")
