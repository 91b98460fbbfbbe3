"""What is wrong with a connection is said at once, in full, and before any request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.amazon.profiles import PROFILES

if TYPE_CHECKING:
    from tests.conftest import Seller
    from tests.connection.conftest import Complaints

TOKEN = "Atzr|IwEBI" + "x" * 340
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "no client id": ({"login": ""}, "The client ID (login) is missing."),
    "no client secret": ({"password": ""}, "The client secret (password) is missing."),
    "no refresh token": (
        {"refresh_token": None},
        "Neither refresh_token nor scopes is set; fill in the one the calls need.",
    ),
    "no refresh token for an API that needs one": (
        {"refresh_token": None, "api": "amazon_ads"},
        "Amazon Ads API needs a refresh_token.",
    ),
    "application id pasted as client id": (
        {"login": "amzn1.sp.solution.0c1d"},
        "The client ID does not begin with amzn1.application-oa2-client.; an application id is no client ID.",
    ),
    "access token pasted as refresh token": (
        {"refresh_token": "Atza|IwEBI"},
        "The refresh token does not begin with Atzr|; this looks like an access token.",
    ),
    "anything else pasted as refresh token": (
        {"refresh_token": "IwEBI"},
        "The refresh token does not begin with Atzr|; this looks like something else.",
    ),
    "URL-encoded refresh token": (
        {"refresh_token": "Atzr%7CIwEBI"},
        "The refresh token is URL-encoded; paste it as Amazon shows it: Atzr, then a bar.",
    ),
    "URL-encoded in small letters": (
        {"refresh_token": "Atzr%7cIwEBI"},
        "The refresh token is URL-encoded; paste it as Amazon shows it: Atzr, then a bar.",
    ),
    "line break after the refresh token": (
        {"refresh_token": TOKEN + "\n"},
        "The refresh token begins or ends with a blank or line break; paste it again without.",
    ),
    "line break inside the refresh token": (
        {"refresh_token": TOKEN[:200] + "\n" + TOKEN[200:]},
        "The refresh token has a blank or line break inside; paste it again in one piece.",
    ),
    "invisible character in the refresh token": (
        {"refresh_token": TOKEN + "\u200b"},
        "The refresh token has a blank or line break inside; paste it again in one piece.",
    ),
    "refresh token that is no text": ({"refresh_token": 5}, "refresh_token must be a text."),
    "blank after the client secret": (
        {"password": "amzn1.oa2-cs.v1.0c1d "},
        "The client secret (password) begins or ends with a blank or line break; paste it again without.",
    ),
    "blank in the client id": (
        {"login": "amzn1.application-oa2-client.0c 1d"},
        "The client ID has a blank or line break inside; paste it again in one piece.",
    ),
    "masked client secret": (
        {"password": "***"},
        "The client secret (password) holds ***, the mask shown instead of it; enter the real one again.",
    ),
    "masked refresh token": (
        {"refresh_token": "***"},
        "The refresh token holds ***, the mask shown instead of it; enter the real one again.",
    ),
    "unknown api": (
        {"api": "selling-partner"},
        f"api is 'selling-partner'; known are {', '.join(PROFILES)}.",
    ),
    "unknown region": (
        {"region": "na", "marketplace_ids": None},
        "region is 'na'; known are north_america, europe, far_east.",
    ),
    "marketplace of another region": (
        {"marketplace_ids": ["ATVPDKIKX0DER", "A1PA6795UKMFR9"]},
        "Marketplace A1PA6795UKMFR9 (DE) belongs to europe, not to north_america.",
    ),
    "refresh token for an API that takes none": (
        {"api": "appstore_reporting", "marketplace_ids": None},
        "Appstore Reporting API takes scopes, no refresh token; empty refresh_token or choose another api.",
    ),
    "sandbox where there is none": (
        {"api": "amazon_ads", "sandbox": True},
        "Amazon Ads API has no sandbox; switch sandbox off.",
    ),
    "date that is none": ({"authorized_on": "31.1.2026"}, "authorized_on must be a date such as 2026-11-21."),
    "date that cannot be": (
        {"alerts_muted_until": "2026-02-30"},
        "alerts_muted_until must be a date such as 2026-11-21.",
    ),
    "switch that is none": ({"sandbox": "perhaps"}, "sandbox must be true or false."),
    "list that is none": ({"scopes": {"a": 1}}, "scopes must be a list of texts."),
    "list of other things": ({"scopes": [1]}, "scopes must be a list of texts."),
    "text that is none": ({"owner": ["me"]}, "owner must be a text."),
    "application connection that is no text": ({"app_conn_id": ["a"]}, "app_conn_id must be a text."),
}


@pytest.mark.parametrize(("fields", "problem"), CASES.values(), ids=CASES.keys())
def test_a_problem_and_its_remedy_are_named(
    complaints: Complaints, fields: dict[str, Any], problem: str
) -> None:
    """Each mistake that people make has a sentence of its own, and is the only one named."""
    assert complaints(**fields) == [problem]


def test_all_problems_are_named_at_once(complaints: Complaints) -> None:
    """Nobody has to mend a connection one error at a time."""
    named = complaints(
        login="amzn1.sp.solution.0c1d",
        password="***",
        refresh_token="Atzr%7CIwEBI",
        region="mars",
        marketplace_ids=["A1PA6795UKMFR9"],
        authorized_on="yesterday",
        retired="maybe",
    )

    assert [problem.split(" ")[:3] for problem in named] == [
        ["region", "is", "'mars';"],
        ["The", "client", "ID"],
        ["The", "client", "secret"],
        ["The", "refresh", "token"],
        ["Marketplace", "A1PA6795UKMFR9", "(DE)"],
        ["authorized_on", "must", "be"],
        ["retired", "must", "be"],
    ]


def test_a_connection_of_another_type_is_refused(complaints: Complaints) -> None:
    """Its fields mean something else, so nothing more is said about them."""
    assert complaints(conn_type="http", login="") == ["It is of type http, not lwa."]


def test_a_connection_without_a_type_is_refused(complaints: Complaints) -> None:
    """A connection made by other means may have none."""
    assert complaints(conn_type="") == ["It is of type none, not lwa."]


def test_an_unknown_marketplace_is_left_to_amazon(seller: Seller, complaints: Complaints) -> None:
    """Amazon opens new ones; only what is known to be elsewhere is refused."""
    assert complaints(marketplace_ids=["A0NEWNEWNEWNEW"], password="") == [
        "The client secret (password) is missing."
    ]


def test_a_secret_pasted_into_another_field_is_not_repeated(complaints: Complaints) -> None:
    """What has the shape of a secret is hidden even where its field was not secret."""
    named = complaints(api=TOKEN, region="amzn1.oa2-cs.v1.0c1d9f", marketplace_ids=None)

    assert named[0].startswith("api is '***")
    assert named[1].startswith("region is '***")


def test_a_lost_application_connection_is_not_a_verdict(seller: Seller) -> None:
    """What cannot be found may be a secrets backend that does not answer: it may be tried again.

    The error is Airflow's own; it names what is missing, who asked for it, and what to do.
    """
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException

    from airflow_provider_lwa.hooks.lwa import LwaHook

    seller.connect(app_conn_id="lwa_nowhere")

    with pytest.raises(AirflowNotFoundException) as caught:
        _ = LwaHook().connection

    said = str(caught.value)
    assert said.startswith("Airflow has no connection lwa_nowhere")
    assert "create it, or correct app_conn_id in lwa_default" in said
    assert not isinstance(caught.value, AirflowFailException)
    assert seller.amazon.journal == []


def test_a_lost_connection_is_named(seller: Seller) -> None:
    """With what to do, as everywhere; and it may be tried again."""
    from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException

    from airflow_provider_lwa.hooks.lwa import LwaHook

    with pytest.raises(AirflowNotFoundException) as caught:
        LwaHook("lwa_nowhere").get_access_token()

    said = str(caught.value)
    assert said.startswith("Airflow has no connection lwa_nowhere")
    assert "create it, or correct lwa_conn_id" in said
    assert not isinstance(caught.value, AirflowFailException)
    assert seller.amazon.journal == []
