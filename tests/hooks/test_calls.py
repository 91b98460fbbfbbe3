"""Calls to the API: what a refusal becomes, what is asked once more, what fails a task for good."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.hooks.lwa import LwaHook

if TYPE_CHECKING:
    from tests.conftest import Seller

PATH = "/sellers/v1/marketplaceParticipations"
OPERATION = "getMarketplaceParticipations"


def denied(details: str) -> dict[str, Any]:
    """:return: Amazon's 403; only the details differ."""
    return {
        "errors": [
            {"code": "Unauthorized", "message": "Access to requested resource is denied.", "details": details}
        ]
    }


def failure(**call: Any) -> errors.LwaError:
    """:return: How a call ends that must not succeed."""
    with pytest.raises(errors.LwaError) as caught:
        LwaHook().call("GET", PATH, budget=0, **call)
    return caught.value


def test_a_call_gives_the_answer(seller: Seller) -> None:
    """Parameters, body and headers are as ``requests`` has them."""
    hook = LwaHook()

    listed = hook.call("GET", PATH, params={"unused": "1"}, headers={"x-mine": "1"})
    made = hook.call(
        "POST",
        "/reports/2021-06-30/reports",
        json={"reportType": "GET_MERCHANT_LISTINGS_ALL_DATA", "marketplaceIds": ["ATVPDKIKX0DER"]},
    )
    data = json.dumps({"reportType": "GET_MERCHANT_LISTINGS_ALL_DATA", "marketplaceIds": ["ATVPDKIKX0DER"]})
    again = hook.call("POST", "/reports/2021-06-30/reports", data=data)

    assert listed.json()["payload"][0]["storeName"] == "Demo store"
    assert made.status_code == again.status_code == 202
    assert seller.amazon.count(kind="token") == 1


def test_a_session_is_one_of_requests(seller: Seller) -> None:
    """A user's own code or library rides on it."""
    import requests

    session = LwaHook().session()

    assert isinstance(session, requests.Session)
    assert session.get(PATH).json()["payload"]
    assert LwaHook().get_conn().get(PATH).status_code == 200


def test_calls_name_the_users_application(seller: Seller) -> None:
    """As Amazon asks, from the configuration."""
    seller.configure(user_agent_application="MyReports/2.0")

    LwaHook().call("GET", PATH)

    assert seller.amazon.journal[-1].user_agent.startswith("MyReports/2.0 (Language=Python/")


def test_an_application_name_that_cannot_be_sent_is_named(seller: Seller) -> None:
    """Before anything is sent."""
    seller.configure(user_agent_application="Grüße/1")

    error = failure()

    assert isinstance(error, errors.ConfigurationError)
    assert seller.amazon.journal == []


def test_an_api_without_an_address_gives_tokens_only(seller: Seller) -> None:
    """For ``custom`` the user brings the address; the hook says so instead of guessing."""
    seller.configure(endpoint_overrides=json.dumps({"login": seller.amazon.url}))
    seller.connect(api="custom")
    hook = LwaHook()

    assert hook.get_access_token()
    assert hook.api_url == ""
    with pytest.raises(errors.ConfigurationError, match="has no address of its own") as caught:
        hook.session()
    assert isinstance(caught.value, AirflowFailException)
    assert caught.value.conn_id == "lwa_default"


def test_other_apis_use_the_common_rules(seller: Seller) -> None:
    """Their token goes into ``Authorization``, and a refusal is read by its status."""
    seller.connect(api="amazon_ads")

    error = failure()

    assert type(error).__mro__[1] is errors.AccessDenied
    assert seller.amazon.journal[-1].api_headers_sent


# --- the token


def test_an_expired_token_is_renewed_for_everybody(seller: Seller) -> None:
    """The API refuses the token before its time: one more request, and all hooks have the new one."""
    hook, other = LwaHook(), LwaHook()
    old = other.get_access_token()
    seller.amazon.clock.advance(3601)

    assert hook.call("GET", PATH).status_code == 200
    assert other.get_access_token() != old
    assert seller.amazon.count(kind="token") == 2


def test_a_token_that_is_always_refused_is_renewed_once_a_minute(seller: Seller) -> None:
    """Whatever the API says, Login with Amazon is not stormed."""
    body = denied("The access token you provided is revoked, malformed or invalid.")
    seller.amazon.fail_next(None, target=OPERATION, status=403, body=body)

    kinds = {type(failure()) for _ in range(5)}

    assert kinds == {errors.AccessTokenRejected}
    assert seller.amazon.count(kind="token") == 2


def test_a_missing_role_is_no_matter_of_the_token(seller: Seller) -> None:
    """It is called by its name, and no other token is asked for."""
    seller.application.roles = frozenset({"reports"})

    error = failure()

    assert isinstance(error, errors.AccessDenied)
    assert "Not a revoked credential" in str(error)
    assert seller.amazon.count(kind="token") == 1
    assert seller.amazon.count(kind="api") == 1


def test_an_expired_client_secret_is_found_behind_a_good_token(seller: Seller) -> None:
    """Login with Amazon answers 200, the API refuses every call; the message says what to do."""
    seller.amazon.expire_secret(seller.application.client_id)

    error = failure()

    assert isinstance(error, errors.ClientSecretExpired)
    assert "Rotate the application's client secret" in str(error)


# --- each refusal has its class


@pytest.mark.parametrize(
    ("details", "kind", "fails_for_good", "advice"),
    [
        (
            "The access token you provided has expired.",
            errors.AccessTokenRejected,
            False,
            "Run the connection's check",
        ),
        (
            "The access token you provided is revoked, malformed or invalid.",
            errors.AccessTokenRejected,
            False,
            "Run the connection's check",
        ),
        ("Access token is missing in the request header.", errors.AccessTokenRejected, False, "Run the"),
        ("The LWA secret token you provided has expired.", errors.ClientSecretExpired, True, "Rotate"),
        ("The marketplaces you provided are not valid for region.", errors.InvalidInput, True, "Correct"),
        ("", errors.AccessDenied, True, "Not a revoked credential"),
    ],
)  # fmt: skip - because one line for each case reads best
def test_the_details_of_a_403_decide(
    seller: Seller, details: str, kind: type[errors.LwaError], advice: str, *, fails_for_good: bool
) -> None:
    """Class, advice, connection and request id: all that is needed to act on it."""
    seller.amazon.fail_next(
        None, target=OPERATION, status=403, body=denied(details), headers={"x-amzn-RequestId": "4711"}
    )

    error = failure()

    assert isinstance(error, kind)
    assert isinstance(error, AirflowFailException) is fails_for_good
    assert advice in error.advice
    assert str(error).startswith("Connection lwa_default: ")
    assert "request id 4711" in str(error)
    assert details in str(error)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 503, "body": "<html><h1>503</h1></html>"}, errors.ApiUnavailable),
        ({"status": 502, "body": ""}, errors.ApiUnavailable),
        ({"status": 500}, errors.ApiUnavailable),
        ({"kind": "throttle"}, errors.QuotaExceeded),
        ({"status": 403, "body": "<html><h1>403</h1></html>"}, errors.BadResponse),
        ({"kind": "redirect"}, errors.BadResponse),
        ({"kind": "reset"}, errors.Unavailable),
        ({"kind": "truncated"}, errors.BadResponse),
        ({"kind": "hang", "seconds": 0.1}, errors.Unavailable),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else value.__name__,
)
def test_what_may_pass_leaves_the_tasks_retries_alone(
    seller: Seller, fault: dict[str, Any], kind: type[errors.LwaError]
) -> None:
    """Never a success, and never a verdict: Airflow retries the task as it is told to."""
    seller.amazon.fail_next(None, target=OPERATION, **fault)

    error = failure()

    assert type(error) is kind
    assert error.retryable
    assert not isinstance(error, AirflowFailException)
    assert error.conn_id == "lwa_default"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_may_be_one_spell(seller: Seller, status: int) -> None:
    """One refusal of a good token is not seen by the caller at all."""
    seller.amazon.fail_next(
        1, target=OPERATION, status=status, body=denied("The access token you provided has expired.")
    )

    assert LwaHook().call("GET", PATH).status_code == 200
    assert seller.amazon.count(kind="token") == 2


def test_the_credentials_refusals_pass_through_a_call(seller: Seller) -> None:
    """A call with a revoked credential fails as a request for a token does."""
    seller.amazon.revoke(seller.grant.refresh_token)

    error = failure()

    assert isinstance(error, errors.RefreshTokenRevoked)
    assert isinstance(error, AirflowFailException)
    assert seller.amazon.count(kind="api") == 0


def test_a_permanent_error_is_both_and_travels(seller: Seller) -> None:
    """Of its own class and one that fails the task without retries; pickled, it keeps all it knows."""
    seller.amazon.revoke(seller.grant.refresh_token)
    error = failure()

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - because it is our own

    assert type(again) is type(error)
    assert isinstance(again, AirflowFailException)
    assert isinstance(again, errors.RefreshTokenRevoked)
    assert (str(again), vars(again)) == (str(error), vars(error))
    assert type(error).__name__ == "RefreshTokenRevoked"
    assert errors.from_json(error.to_json()).to_json() == error.to_json()
