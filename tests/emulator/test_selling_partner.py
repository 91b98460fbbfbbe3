"""The gate of the Selling Partner API: tokens, roles, regions, limits, and what needs no seller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Caller

    from airflow_provider_lwa.emulator import Emulator

SELLERS = "/sellers/v1/marketplaceParticipations"
REPORTS = "/reports/2021-06-30/reports"
DESTINATIONS = "/notifications/v1/destinations"
NOTIFICATIONS = "sellingpartnerapi::notifications"
GERMANY = "A1PA6795UKMFR9"


def denied(answer: requests.Response) -> str:
    """Read the details of a 403, of which everything else is always the same."""
    (error,) = answer.json()["errors"]
    assert answer.status_code == 403
    assert (error["code"], error["message"]) == ("Unauthorized", "Access to requested resource is denied.")
    assert answer.headers["x-amzn-ErrorType"] == "AccessDeniedException"
    assert answer.headers["x-amzn-RequestId"]
    assert "x-amzn-RateLimit-Limit" not in answer.headers
    return str(error["details"])


def test_a_sellers_marketplaces(amazon: Emulator, caller: Caller) -> None:
    """The cheap call that shows whether a token works names marketplaces and the store, not the seller."""
    grant = amazon.add_seller(
        caller.application, region="europe", marketplace_ids=[GERMANY, "A1F83G8C2ARO7P"], store_name="Laden"
    )
    token = caller.login(refresh_token=grant.refresh_token).json()["access_token"]

    answer = caller.api("GET", SELLERS, token=token)

    assert answer.json()["payload"][0] == {
        "marketplace": {
            "id": GERMANY,
            "countryCode": "DE",
            "name": "Amazon.de",
            "defaultCurrencyCode": "EUR",
            "defaultLanguageCode": "de_DE",
            "domainName": "www.amazon.de",
        },
        "participation": {"isParticipating": True, "hasSuspendedListings": False},
        "storeName": "Laden",
    }
    assert [each["marketplace"]["countryCode"] for each in answer.json()["payload"]] == ["DE", "GB"]
    assert answer.headers["x-amzn-RateLimit-Limit"] == "0.016"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer Atza|x"}], ids=["none", "bearer"])
def test_without_a_token(amazon: Emulator, headers: dict[str, str]) -> None:
    """The token goes into x-amz-access-token; anywhere else it is missing."""
    answer = requests.get(f"{amazon.url}{SELLERS}", headers=headers, timeout=5)

    assert denied(answer) == "Access token is missing in the request header."


def test_an_expired_token(amazon: Emulator, caller: Caller) -> None:
    """A token works for an hour of the emulator's clock."""
    token = caller.access_token()
    amazon.clock.advance(3590)
    in_time = caller.api("GET", SELLERS, token=token)
    amazon.clock.advance(10)

    assert in_time.status_code == 200
    assert denied(caller.api("GET", SELLERS, token=token)) == "The access token you provided has expired."


def test_an_unknown_token(caller: Caller) -> None:
    """A token that was never issued is refused in words of its own."""
    answer = caller.api("GET", SELLERS, token="Atza|invented")

    assert denied(answer) == "The access token you provided is revoked, malformed or invalid."


@pytest.mark.parametrize("kill", [False, True])
def test_tokens_of_a_revoked_grant(amazon: Emulator, caller: Caller, kill: bool) -> None:  # noqa: FBT001 - because pytest passes it by name
    """Access tokens outlive the grant until they expire, unless the test decides otherwise."""
    token = caller.access_token()
    amazon.revoke(caller.grant.refresh_token, kill_access_tokens=kill)

    answer = caller.api("GET", SELLERS, token=token)

    if kill:
        assert denied(answer) == "The access token you provided is revoked, malformed or invalid."
    else:
        assert answer.status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_an_unknown_path(caller: Caller, method: str) -> None:
    """What does not exist is denied without a reason; there is no 404 for it."""
    assert denied(caller.api(method, "/sellers/v1/nothing")) == ""


def test_a_missing_role(amazon: Emulator, caller: Caller) -> None:
    """An operation outside the application's roles is denied without a reason."""
    narrow = amazon.add_application(roles=["sellers"])
    grant = amazon.add_seller(narrow)
    token = caller.login(
        client_id=narrow.client_id, client_secret=narrow.client_secret, refresh_token=grant.refresh_token
    ).json()["access_token"]

    assert caller.api("GET", SELLERS, token=token).status_code == 200
    assert denied(caller.api("GET", f"{REPORTS}?reportTypes=x", token=token)) == ""


def test_operations_without_a_seller_need_their_scope(caller: Caller) -> None:
    """Neither a seller's token nor one of another scope opens them, and theirs opens no seller's data."""
    token = caller.grantless(NOTIFICATIONS).json()["access_token"]
    other = caller.grantless("appstore::apps:readwrite").json()["access_token"]

    assert caller.api("GET", DESTINATIONS, token=token).json() == {"payload": []}
    assert denied(caller.api("GET", DESTINATIONS, token=other)) == ""
    assert denied(caller.api("GET", DESTINATIONS)) == ""
    assert denied(caller.api("GET", SELLERS, token=token)) == ""


def test_rotating_the_client_secret_by_the_api(amazon: Emulator, caller: Caller) -> None:
    """The rotation answers 204 without the secret; the new one works beside the old one."""
    token = caller.grantless("sellingpartnerapi::client_credential:rotation").json()["access_token"]
    old = caller.application.client_secret

    answer = caller.api("POST", "/applications/2023-11-30/clientSecret", token=token)

    new = amazon.applications[caller.application.client_id].client_secret
    assert (answer.status_code, answer.content) == (204, b"")
    assert new != old
    assert [caller.login(client_secret=secret).status_code for secret in (old, new)] == [200, 200]


def test_sandbox_secrets_are_not_rotated(caller: Caller) -> None:
    """Applications of the sandbox keep their secret."""
    token = caller.grantless("sellingpartnerapi::client_credential:rotation").json()["access_token"]

    answer = caller.api("POST", "/sandbox/north_america/applications/2023-11-30/clientSecret", token=token)

    assert answer.status_code == 400


@pytest.mark.parametrize("arguments", [{"data": b"{}"}, {"headers": {"Content-Length": "0"}}], ids=str)
def test_get_with_a_body(caller: Caller, arguments: dict[str, Any]) -> None:
    """A GET with a body, or that only announces one, is a mistake."""
    answer = caller.api("GET", SELLERS, **arguments)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == "InvalidInput"
    assert "x-amzn-RateLimit-Limit" in answer.headers


@pytest.mark.parametrize(("length", "status"), [(500, 200), (501, 400)])
def test_the_length_of_the_user_agent(caller: Caller, length: int, status: int) -> None:
    """A user agent of more than 500 characters is rejected."""
    assert caller.api("GET", SELLERS, headers={"User-Agent": "x" * length}).status_code == status


@pytest.mark.parametrize(
    ("prefix", "marketplace", "details"),
    [
        ("/north_america", "ATVPDKIKX0DER", None),
        ("/sandbox/north_america", "ATVPDKIKX0DER", None),
        ("", GERMANY, None),
        ("/north_america", GERMANY, "The marketplaces you provided are not valid for region."),
        ("/europe", "ATVPDKIKX0DER", "The marketplaces you provided are not valid for region."),
        ("/europe", GERMANY, ""),
        ("/far_east", None, ""),
    ],
)
def test_regions(caller: Caller, prefix: str, marketplace: str | None, details: str | None) -> None:
    """
    Under a region's prefix, marketplaces of another region are denied with a reason, and grants of another
    region without one; without a prefix nothing is checked.
    """
    query = f"?reportTypes=GET_MERCHANT_LISTINGS_ALL_DATA&marketplaceIds={marketplace}" if marketplace else ""
    caller.prefix = prefix

    answer = caller.api("GET", f"{REPORTS}{query}" if marketplace else SELLERS)

    if details is None:
        assert answer.status_code == 200
    else:
        assert denied(answer) == details


def test_regions_of_a_request_body(caller: Caller) -> None:
    """Marketplaces in a body are checked as those in a query are."""
    caller.prefix = "/north_america"

    answer = caller.create(marketplaceIds=[GERMANY])

    assert denied(answer) == "The marketplaces you provided are not valid for region."


def test_a_regions_token_endpoint(caller: Caller) -> None:
    """Each region's prefix has a token endpoint."""
    answer = requests.post(
        f"{caller.amazon.url}/europe/auth/o2/token",
        json={
            "grant_type": "refresh_token",
            "refresh_token": caller.grant.refresh_token,
            "client_id": caller.application.client_id,
            "client_secret": caller.application.client_secret,
        },
        timeout=5,
    )

    assert answer.status_code == 200


def test_the_sandbox_has_limits_of_its_own(caller: Caller) -> None:
    """The sandbox says 5.0 whatever the operation."""
    caller.prefix = "/sandbox/north_america"

    assert caller.api("GET", SELLERS).headers["x-amzn-RateLimit-Limit"] == "5.0"


def test_usage_plans(amazon: Emulator, caller: Caller) -> None:
    """Fifteen reports may be asked for at once, then one a minute; each seller has a bucket of his own."""
    amazon.rate_limits = True
    other = amazon.add_seller(caller.application)
    at_once = [caller.create().status_code for _ in range(16)]
    throttled = caller.create()
    amazon.clock.advance(60)
    a_minute_later = [caller.create().status_code for _ in range(2)]
    caller.grant = other

    assert at_once == [202] * 15 + [429]
    assert throttled.json()["errors"][0] == {
        "code": "QuotaExceeded",
        "message": "You exceeded your quota for the requested resource.",
        "details": "",
    }
    assert "x-amzn-RateLimit-Limit" not in throttled.headers
    assert a_minute_later == [202, 429]
    assert caller.create().status_code == 202


def test_quiet_times_are_not_saved_up(amazon: Emulator, caller: Caller) -> None:
    """After a day without requests the burst is what it was."""
    amazon.rate_limits = True
    caller.create()
    amazon.clock.advance(86400)

    assert [caller.create().status_code for _ in range(16)] == [202] * 15 + [429]


def test_usage_plans_are_off_by_default(caller: Caller) -> None:
    """A test that does not ask for limits is not slowed by them."""
    token = caller.access_token()

    assert {caller.api("GET", SELLERS, token=token).status_code for _ in range(30)} == {200}
