"""The check: what a look at a credential shows, layer by layer, and what costs nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import BaseHook

from airflow_provider_lwa.hooks.lwa import LwaHook
from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook

if TYPE_CHECKING:
    from tests.conftest import Seller


def kinds(seller: Seller) -> list[str]:
    """:return: What Amazon was asked for, in order."""
    return [entry.operation or entry.kind for entry in seller.amazon.journal]


def test_a_healthy_credential_is_proven_at_the_api(seller: Seller) -> None:
    """A token from Login with Amazon, and one cheap call that the API accepts."""
    seen = LwaHook().check()

    assert (seen.is_healthy, seen.layer, seen.permanent) == (True, "api", False)
    assert (seen.conn_id, seen.client_id) == ("lwa_default", seller.application.client_id)
    assert (seen.api, seen.region, seen.owner) == ("selling_partner", "north_america", None)
    assert kinds(seller) == ["token", "getMarketplaceParticipations"]


def test_the_owner_is_told_to_those_who_alert(seller: Seller) -> None:
    """As the connection names them."""
    seller.connect(owner="growth")

    assert LwaHook().check().owner == "growth"


def test_a_check_asks_amazon_past_the_shared_token(seller: Seller) -> None:
    """A good token in memory says nothing about the credential behind it."""
    hook = LwaHook()
    hook.get_access_token()
    seller.amazon.revoke(seller.grant.refresh_token)

    seen = hook.check()

    assert (seen.kind, seen.layer, seen.permanent) == ("revoked", "token", True)
    assert seller.amazon.count(kind="token") == 2


def test_the_token_of_a_check_is_shared(seller: Seller) -> None:
    """What the check got serves the tasks that follow."""
    hook = LwaHook()
    hook.check()

    hook.get_access_token()
    LwaHook().get_access_token()

    assert seller.amazon.count(kind="token") == 1


def test_a_check_reads_the_connection_anew(seller: Seller) -> None:
    """A connection that was mended is healthy at once, for a hook that knew the old one."""
    seller.connect(password="amzn1.oa2-cs.v1.wrong")
    hook = LwaHook()
    assert hook.check().kind == "client_rejected"

    seller.connect()

    assert hook.check().is_healthy


def test_a_check_may_stop_at_the_token(seller: Seller) -> None:
    """To leave the API's small quota to others."""
    seen = LwaHook().check(api=False)

    assert (seen.is_healthy, seen.layer) == (True, "token")
    assert kinds(seller) == ["token"]


@pytest.mark.parametrize(
    "fields",
    [
        {"api": "selling_partner_vendor"},
        {"api": "amazon_ads"},
        {"api": "custom"},
        {"refresh_token": None, "scopes": "sellingpartnerapi::notifications"},
        {"refresh_token": None, "api": "appstore_submission"},
    ],
    ids=["vendor", "ads", "custom", "grantless", "appstore"],
)
def test_where_there_is_no_probe_the_check_stops_at_the_token(seller: Seller, fields: dict[str, Any]) -> None:
    """Where no cheap call fits every account, or without one, the token is all that is proven."""
    seller.connect(**fields)

    seen = LwaHook().check()

    assert (seen.is_healthy, seen.layer) == (True, "token")
    assert kinds(seller) == ["token"]


def test_a_connection_that_cannot_be_used_is_seen_locally(seller: Seller) -> None:
    """All problems, and no request."""
    seller.connect(password="***", region="mars")

    seen = LwaHook().check()

    assert (seen.kind, seen.layer, seen.permanent) == ("misconfigured", "local", True)
    assert "mars" in (seen.description or "")
    assert "***" in (seen.description or "")
    assert seller.amazon.journal == []


def test_a_configuration_that_cannot_be_used_is_seen_locally(seller: Seller) -> None:
    """Also the ``[lwa]`` section."""
    seller.configure(negative_ttl="soon")

    seen = LwaHook().check()

    assert (seen.kind, seen.layer) == ("misconfigured", "local")


def test_the_wrong_api_is_seen_locally(seller: Seller) -> None:
    """A hook for the Selling Partner API wants a connection for it."""
    seller.connect(api="amazon_ads")

    seen = SellingPartnerHook().check()

    assert (seen.kind, seen.layer) == ("misconfigured", "local")
    assert "api is amazon_ads" in (seen.description or "")


def test_a_connection_that_is_not_there_is_no_verdict(seller: Seller) -> None:
    """The secrets backend may be out of order: nothing is known about the credential."""
    seen = LwaHook(lwa_conn_id="lwa_nowhere").check()

    assert (seen.kind, seen.layer, seen.permanent) == ("source_error", "local", False)
    assert (seen.conn_id, seen.client_id) == ("lwa_nowhere", None)
    assert "lwa_nowhere" in (seen.description or "")
    assert "create it" in (seen.description or "")


def test_a_secrets_backend_that_fails_is_no_verdict(seller: Seller) -> None:
    """Nothing of its text is told: it may quote an address with a password."""

    def fail(_conn_id: str) -> Any:
        raise OSError("Cannot reach postgresql://airflow:hunter2pw@db/airflow (password hunter2pw).")

    seller.environment.setattr(BaseHook, "get_connection", fail)

    seen = LwaHook().check()

    assert (seen.kind, seen.layer, seen.permanent) == ("source_error", "local", False)
    assert seen.description == "OSError"
    assert "hunter2pw" not in f"{seen.to_json()} {LwaHook().test_connection()}"


def test_a_connection_that_cannot_be_parsed_is_no_verdict(seller: Seller) -> None:
    """Nor one that is stored damaged."""
    seller.environment.setenv("AIRFLOW_CONN_LWA_DEFAULT", '{"conn_type": "lwa", ')

    assert LwaHook().check().kind == "source_error"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"status": 503}, "unavailable"),
        ({"kind": "throttle", "retry_after": 60}, "throttled"),
        ({"kind": "html200"}, "bad_response"),
        ({"kind": "reset"}, "unavailable"),
    ],
    ids=str,
)
def test_login_with_amazon_may_be_out_of_order(seller: Seller, fault: dict[str, Any], kind: str) -> None:
    """Which passes, and is no verdict on the credential."""
    seller.configure(request_budget="0.1")
    seller.amazon.fail_next(None, target="token", **fault)

    seen = LwaHook().check()

    assert (seen.kind, seen.layer, seen.permanent) == (kind, "token", False)


def test_the_api_may_refuse_a_good_token(seller: Seller) -> None:
    """The client secret is past its time: only the API says so."""
    seller.amazon.expire_secret(seller.application.client_id)

    seen = LwaHook().check()

    assert (seen.kind, seen.layer, seen.permanent) == ("client_secret_expired", "api", True)


def test_a_missing_role_is_seen_at_the_api(seller: Seller) -> None:
    """Access denied, not revoked."""
    seller.application.roles = frozenset({"reports"})

    seen = LwaHook().check()

    assert (seen.kind, seen.layer) == ("access_denied", "api")


def test_the_api_may_be_out_of_order(seller: Seller) -> None:
    """Which is waited out for as long as a check may take, and then said."""
    seller.configure(request_budget="0.1")
    seller.amazon.fail_next(None, target="api", status=503)

    seen = LwaHook().check()

    assert (seen.kind, seen.layer, seen.permanent) == ("api_unavailable", "api", False)


def test_an_observation_is_json_without_secrets(seller: Seller) -> None:
    """It passes through XCom, triggers and alerts."""
    seller.amazon.revoke(seller.grant.refresh_token)

    told = json.dumps(LwaHook().check().to_json())

    assert "invalid_grant" in told
    assert seller.grant.refresh_token.partition("|")[2] not in told
    assert seller.application.client_secret not in told


def test_the_button_answers_in_one_line(seller: Seller) -> None:
    """Airflow shows it as a note on the page: what is, and what to do, without secrets."""
    healthy = LwaHook().test_connection()
    seller.amazon.revoke(seller.grant.refresh_token)
    revoked = LwaHook().test_connection()

    assert healthy == (True, "Healthy: Login with Amazon gave an access token and the API accepted it.")
    assert revoked[0] is False
    assert revoked[1].startswith("Authorization revoked: ")
    assert "Ask the account's owner to authorize the application again" in revoked[1]
    assert "\n" not in revoked[1]
    assert seller.grant.refresh_token.partition("|")[2] not in revoked[1]
