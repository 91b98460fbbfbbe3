"""Callers of the emulator: plain HTTP, never a client of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_lwa.emulator.pytest_plugin import lwa_emulator, lwa_emulator_server

if TYPE_CHECKING:
    from airflow_provider_lwa.emulator import Emulator
    from airflow_provider_lwa.emulator.world import Application, Grant

__all__ = ["lwa_emulator", "lwa_emulator_server"]

REPORT_TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"


@dataclass
class Caller:
    """One application and one seller, and what they send."""

    amazon: Emulator
    application: Application
    grant: Grant
    prefix: str = ""
    timeout: float = 5

    def login(self, **fields: str | None) -> requests.Response:
        """Send a token request: a refresh, unless the fields say otherwise; None leaves a field out."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self.grant.refresh_token,
            "client_id": self.application.client_id,
            "client_secret": self.application.client_secret,
            **fields,
        }
        present = {name: value for name, value in form.items() if value is not None}
        return requests.post(f"{self.amazon.url}/auth/o2/token", data=present, timeout=self.timeout)

    def grantless(self, scope: str) -> requests.Response:
        """Send a token request with client credentials."""
        return self.login(grant_type="client_credentials", refresh_token=None, scope=scope)

    def access_token(self) -> str:
        """:return: a fresh access token"""
        token: str = self.login().json()["access_token"]
        return token

    def api(self, method: str, path: str, *, token: str | None = None, **arguments: Any) -> requests.Response:
        """Call the Selling Partner API, with a fresh access token unless one is given."""
        headers = {"x-amz-access-token": token or self.access_token(), **arguments.pop("headers", {})}
        url = f"{self.amazon.url}{self.prefix}{path}"
        return requests.request(method, url, headers=headers, timeout=self.timeout, **arguments)

    def create(self, **specification: Any) -> requests.Response:
        """Ask for a report."""
        wanted = {"reportType": REPORT_TYPE, "marketplaceIds": ["ATVPDKIKX0DER"], **specification}
        return self.api("POST", "/reports/2021-06-30/reports", json=wanted)

    def report(self, report_id: str) -> dict[str, Any]:
        """Ask how far a report is."""
        view: dict[str, Any] = self.api("GET", f"/reports/2021-06-30/reports/{report_id}").json()
        return view

    def finished(self, **specification: Any) -> dict[str, Any]:
        """Ask for a report and poll until it is final."""
        report_id = self.create(**specification).json()["reportId"]
        while True:
            view = self.report(report_id)
            if view["processingStatus"] not in {"IN_QUEUE", "IN_PROGRESS"}:
                return view

    def document(self, document_id: str, **arguments: Any) -> requests.Response:
        """Ask for the URL of a document."""
        return self.api("GET", f"/reports/2021-06-30/documents/{document_id}", **arguments)

    def download_url(self, **specification: Any) -> str:
        """:return: a pre-signed URL of a new report's document"""
        url: str = self.document(self.finished(**specification)["reportDocumentId"]).json()["url"]
        return url


@pytest.fixture
def amazon(lwa_emulator: Emulator) -> Emulator:
    """A fresh Amazon."""
    return lwa_emulator


@pytest.fixture
def caller(amazon: Emulator) -> Caller:
    """An application with one seller in North America."""
    application = amazon.add_application()
    return Caller(amazon, application, amazon.add_seller(application))
