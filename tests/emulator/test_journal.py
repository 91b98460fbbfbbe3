"""The journal: what is written of each request, and what never is."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Caller

    from airflow_provider_lwa.emulator import Emulator


def test_one_pull_is_told_in_order(amazon: Emulator, caller: Caller) -> None:
    """Each request is there with its kind, operation, status, application, credential and report."""
    token = caller.access_token()
    report_id = caller.api(
        "POST",
        "/reports/2021-06-30/reports",
        token=token,
        json={"reportType": "GET_MERCHANT_LISTINGS_ALL_DATA", "marketplaceIds": ["ATVPDKIKX0DER"]},
    ).json()["reportId"]
    views = [caller.api("GET", f"/reports/2021-06-30/reports/{report_id}", token=token) for _ in range(3)]
    document_id = views[-1].json()["reportDocumentId"]
    url = caller.api("GET", f"/reports/2021-06-30/documents/{document_id}", token=token).json()["url"]
    requests.get(url, headers={"User-Agent": "reader/1"}, timeout=5)

    entries = amazon.journal
    told = [(entry.kind, entry.operation, entry.status, entry.report_id) for entry in entries]
    assert told == [
        ("token", None, 200, None),
        ("api", "createReport", 202, report_id),
        *[("api", "getReport", 200, report_id)] * 3,
        ("api", "getReportDocument", 200, report_id),
        ("download", "download", 200, report_id),
    ]
    assert entries[0].grant_type == "refresh_token"
    assert {entry.client_id for entry in entries[:-1]} == {caller.application.client_id}
    fingerprint = hashlib.sha256(caller.grant.refresh_token.encode()).hexdigest()[:12]
    assert {entry.credential for entry in entries[:-1]} == {fingerprint}
    assert [entry.api_headers_sent for entry in entries] == [False, *[True] * 5, False]
    assert entries[-1].user_agent == "reader/1"


def test_counting(amazon: Emulator, caller: Caller) -> None:
    """Requests are counted by any field; a field that does not exist is an error."""
    caller.login()
    caller.login(client_secret="wrong")
    caller.grantless("sellingpartnerapi::notifications")

    assert amazon.count() == 3
    assert amazon.count(kind="token", status=200) == 2
    assert amazon.count(grant_type="client_credentials") == 1
    with pytest.raises(AttributeError):
        amazon.count(colour="red")


def test_entries_cannot_be_changed(amazon: Emulator, caller: Caller) -> None:
    """What happened, happened."""
    caller.login()

    with pytest.raises(dataclasses.FrozenInstanceError):
        amazon.journal[0].status = 500  # type: ignore[misc] # because that is the mistake


def test_paths_stand_without_their_region(amazon: Emulator, caller: Caller) -> None:
    """The region that a path names is a field of its own."""
    caller.prefix = "/north_america"
    caller.api("GET", "/sellers/v1/marketplaceParticipations")

    entry = amazon.journal[-1]
    assert (entry.path, entry.region) == ("/sellers/v1/marketplaceParticipations", "north_america")


def test_time_is_the_emulators(amazon: Emulator, caller: Caller) -> None:
    """Entries carry the emulator's clock, advanced or not."""
    caller.login()
    amazon.clock.advance(3600)
    caller.login()

    first, second = amazon.journal
    assert 3600 <= second.at - first.at < 3700


def test_no_secret_is_written(amazon: Emulator, caller: Caller) -> None:
    """Neither tokens nor secrets, codes or signatures are in the journal or in what the objects print."""
    code = amazon.add_code(caller.application)
    caller.login(grant_type="authorization_code", refresh_token=None, code=code)
    caller.login(client_secret="a-wrong-secret")
    tokens = [caller.access_token()]
    document_id = caller.finished()["reportDocumentId"]
    url = caller.document(document_id).json()["url"]
    requests.get(url, timeout=5)
    requests.get(url, headers={"Authorization": f"Bearer {tokens[0]}"}, timeout=5)
    caller.api("GET", f"/reports/2021-06-30/reports?nextToken={tokens[0]}", token=tokens[0])
    secrets = [
        caller.application.client_secret,
        caller.grant.refresh_token,
        code,
        "a-wrong-secret",
        url.rpartition("=")[2],
        *tokens,
        *amazon.tokens,
    ]

    written = repr(
        [amazon.journal, caller.application, caller.grant, amazon.reports, list(amazon.tokens.values())]
    )

    assert amazon.count() > 8
    assert [secret for secret in secrets if secret in written] == []
