"""The controls over HTTP: a program in another process can do what a test in this one can."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Caller

    from airflow_provider_lwa.emulator import Emulator

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"


@pytest.fixture
def control(amazon: Emulator) -> Callable[..., Any]:
    """A control that must succeed."""

    def act(action: str, **arguments: Any) -> Any:
        answer = requests.post(f"{amazon.url}/_emulator/{action}", json=arguments, timeout=5)
        assert answer.status_code == 200, answer.text
        return answer.json()

    return act


def test_a_seller_made_by_http_can_log_in(amazon: Emulator, control: Callable[..., Any]) -> None:
    """Applications and sellers are made, and their credentials given, by HTTP."""
    application = control("add_application", roles=["sellers"])
    seller = control(
        "add_seller",
        application=application["client_id"],
        region="europe",
        marketplace_ids=["A1PA6795UKMFR9"],
    )

    answer = requests.post(
        f"{amazon.url}/auth/o2/token",
        data={
            "grant_type": "refresh_token",
            "refresh_token": seller["refresh_token"],
            "client_id": application["client_id"],
            "client_secret": application["client_secret"],
        },
        timeout=5,
    )

    assert answer.status_code == 200
    assert application["roles"] == ["sellers"]
    assert amazon.grants[seller["refresh_token"]].region == "europe"


def test_grants_codes_and_secrets(caller: Caller, control: Callable[..., Any]) -> None:
    """Grants are revoked and restored, codes made, secrets rotated and ended, scopes taken and given."""
    client_id, old = caller.application.client_id, caller.application.client_secret
    control("revoke", refresh_token=caller.grant.refresh_token)
    revoked = caller.login().status_code
    control("restore", refresh_token=caller.grant.refresh_token)
    restored = caller.login().status_code
    code = control("add_code", application=client_id)["code"]
    coded = caller.login(grant_type="authorization_code", refresh_token=None, code=code).status_code
    new = control("rotate_secret", client_id=client_id, overlap=3600)["client_secret"]
    both = [caller.login(client_secret=secret).status_code for secret in (old, new)]
    control("advance_clock", seconds=3600)
    after = [caller.login(client_secret=secret).status_code for secret in (old, new)]
    control("detach", client_id=client_id, scope="appstore::apps:readwrite")
    detached = caller.grantless("appstore::apps:readwrite").status_code
    control("attach", client_id=client_id, scope="appstore::apps:readwrite")
    attached = caller.grantless("appstore::apps:readwrite").status_code
    control("expire_secret", client_id=client_id, mode="lwa_refuses")

    assert (revoked, restored, coded) == (400, 200, 200)
    assert (both, after) == ([200, 200], [401, 200])
    assert (detached, attached) == (400, 200)
    assert caller.login().status_code == 401


def test_reports_faults_and_settings(amazon: Emulator, caller: Caller, control: Callable[..., Any]) -> None:
    """Reports are planned, faults set and cleared, lifetimes, latency and limits chosen."""
    control("plan_report", report_type=TYPE, body="planned", polls=0)
    body = gzip.decompress(requests.get(caller.download_url(), timeout=5).content)
    control("fail_next", n=None, target="token", kind="throttle", retry_after=7)
    throttled = caller.login()
    control("clear_faults")
    control("configure", token_lifetime=60, latency={"api": 0.01}, rate_limits=True)

    assert body == b"planned"
    assert (throttled.status_code, throttled.headers["Retry-After"]) == (429, "7")
    assert caller.login().json()["expires_in"] == 60
    assert (amazon.latency, amazon.rate_limits) == ({"api": 0.01}, True)


def test_reset(amazon: Emulator, caller: Caller, control: Callable[..., Any]) -> None:
    """Afterwards nothing is left, not even in the journal."""
    caller.login()
    control("reset")

    assert caller.login().status_code == 401
    assert amazon.count() == 1


def test_the_journal_by_http(amazon: Emulator, caller: Caller, control: Callable[..., Any]) -> None:
    """The journal comes as JSON, filtered by its fields; reading it leaves no trace, controls do."""
    caller.login()
    caller.login(client_secret="wrong")
    control("clear_faults")
    journal = f"{amazon.url}/_emulator/journal"

    everything = requests.get(journal, timeout=5).json()
    refused = requests.get(journal, params={"kind": "token", "status": "401"}, timeout=5).json()

    assert [entry["kind"] for entry in everything] == ["token", "token", "control"]
    assert everything[2]["operation"] == "clear_faults"
    assert [entry["client_id"] for entry in refused] == [caller.application.client_id]


def test_the_world_by_http(amazon: Emulator, caller: Caller) -> None:
    """What there is comes as JSON; credentials only on request."""
    report_id = caller.create().json()["reportId"]
    address = f"{amazon.url}/_emulator/world"

    plain = requests.get(address, timeout=5)
    frank = requests.get(address, params={"secrets": "1"}, timeout=5)

    for secret in (caller.application.client_secret, caller.grant.refresh_token):
        assert secret not in plain.text
        assert secret in frank.text
    world = plain.json()
    assert world["applications"][0]["client_id"] == caller.application.client_id
    assert world["sellers"][0]["credential"] == caller.grant.credential
    assert world["reports"][0] == {
        "reportId": report_id,
        "sellingPartnerId": caller.grant.selling_partner_id,
        "reportType": TYPE,
        "processingStatus": "IN_QUEUE",
    }


@pytest.mark.parametrize(
    ("action", "arguments", "status", "text"),
    [
        ("explode", {}, 404, "POST add_application"),
        ("world", {}, 404, "There is no POST world"),
        ("__init__", {}, 404, "There is no POST __init__"),
        ("add_seller", {"application": "unknown"}, 400, "Unknown application: unknown"),
        ("add_seller", {"colour": "red"}, 400, "colour"),
        ("fail_next", {"kind": "explode"}, 400, "Unknown kind of fault: explode"),
        ("plan_report", {"report_type": TYPE, "path": "/etc/passwd"}, 400, "the emulator's own process"),
        ("configure", {"signing_key": "x"}, 400, "there is no setting signing_key"),
        ("rotate_secret", {"client_id": "unknown"}, 404, "there is no such"),
        ("revoke", {"refresh_token": "unknown"}, 404, "there is no such credential"),
        ("reset", [], 400, "must be a JSON object"),
    ],
)
def test_mistakes_are_explained(
    amazon: Emulator, action: str, arguments: Any, status: int, text: str
) -> None:
    """A wrong action or argument is refused with a sentence, and no file of this machine is served."""
    answer = requests.post(f"{amazon.url}/_emulator/{action}", json=arguments, timeout=5)

    assert answer.status_code == status
    assert text in answer.json()["error"]


def test_bodies_that_are_not_json(amazon: Emulator) -> None:
    """They are refused as well."""
    assert requests.post(f"{amazon.url}/_emulator/reset", data=b"{", timeout=5).status_code == 400


@pytest.mark.parametrize(
    "path", ["/_emulator/world?secrets=1", "/auth/o2/token", "/sellers/v1/marketplaceParticipations"]
)
@pytest.mark.parametrize(
    "host", ["attacker.invalid", "attacker.invalid:80", "10.0.0.1", "", "localhost.attacker.invalid"]
)
def test_other_host_names_are_refused(amazon: Emulator, caller: Caller, path: str, host: str) -> None:
    """A web page that makes its own name point to loopback learns nothing."""
    answer = requests.get(f"{amazon.url}{path}", headers={"Host": host}, timeout=5)

    assert answer.status_code in {400, 421}
    assert caller.application.client_secret not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:80", "127.0.0.1", "127.1.2.3:99", "[::1]", "[::1]:8080"]
)
def test_loopback_host_names_are_answered(amazon: Emulator, host: str) -> None:
    """Every name of loopback will do."""
    assert requests.get(f"{amazon.url}/_emulator/world", headers={"Host": host}, timeout=5).status_code == 200
