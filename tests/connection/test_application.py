"""An application connection: one client id and secret for many accounts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.amazon.errors import ConfigurationError

if TYPE_CHECKING:
    from tests.conftest import Seller
    from tests.connection.conftest import Complaints, Read

NOTHING: dict[str, Any] = {"refresh_token": None, "marketplace_ids": None}


def test_client_id_and_secret_come_from_the_application(seller: Seller, read: Read) -> None:
    """A rotated secret is entered once, however many sellers share the application."""
    seller.connect("lwa_app", **NOTHING)

    connection = read(login="", password="", app_conn_id="lwa_app")

    assert connection.conn_id == "lwa_default"
    assert connection.credential.client_id == seller.application.client_id
    assert connection.credential.client_secret == seller.application.client_secret
    assert connection.credential.refresh_token == seller.grant.refresh_token


def test_the_same_client_may_stand_in_both(seller: Seller, read: Read) -> None:
    """Repeating it is superfluous but not contradictory."""
    seller.connect("lwa_app", **NOTHING)

    assert read(app_conn_id="lwa_app") == read(login="", password="", app_conn_id="lwa_app")


def test_a_different_client_in_both_is_a_contradiction(seller: Seller, complaints: Complaints) -> None:
    """Nothing is guessed about which was meant, and neither secret is shown."""
    seller.connect("lwa_app", **NOTHING)

    named = complaints(
        login="amzn1.application-oa2-client.other", password="other-secret", app_conn_id="lwa_app"
    )

    assert named == [
        "The client ID stands here and, differently, in lwa_app; leave it empty here.",
        "The client secret stands here and, differently, in lwa_app; leave it empty here.",
    ]


def test_the_application_connection_has_the_same_type(seller: Seller, complaints: Complaints) -> None:
    """Login and password of another service must not be sent to Amazon."""
    seller.connect("lwa_app", conn_type="http", **NOTHING)

    assert complaints(login="", password="", app_conn_id="lwa_app") == [
        "app_conn_id names lwa_app, which is not of type lwa."
    ]


def test_an_application_connection_names_no_other(seller: Seller, complaints: Complaints) -> None:
    """One step is the limit, so there are no circles."""
    seller.connect("lwa_app", app_conn_id="lwa_default", **NOTHING)

    assert complaints(login="", password="", app_conn_id="lwa_app") == [
        "app_conn_id names lwa_app, which itself names another; one step is the limit."
    ]


def test_what_the_application_lacks_is_named_with_its_id(seller: Seller, complaints: Complaints) -> None:
    """The one who mends it learns where."""
    seller.connect("lwa_app", login="", password="***", **NOTHING)

    assert complaints(login="", password="", app_conn_id="lwa_app") == [
        "The client ID (login) of the application connection lwa_app is missing.",
        (
            "The client secret (password) of the application connection lwa_app holds ***, the mask shown "
            "instead of it; enter the real one again."
        ),
    ]


def test_an_application_connection_whose_extra_cannot_be_read_is_named(
    seller: Seller, complaints: Complaints
) -> None:
    """Its problems count too, with its id: who mends it learns where."""
    stored = {"conn_type": "lwa", "login": seller.application.client_id, "extra": "{broken"}
    stored["password"] = seller.application.client_secret
    seller.environment.setenv("AIRFLOW_CONN_LWA_APP", json.dumps(stored))

    assert complaints(login="", password="", app_conn_id="lwa_app") == [
        "In lwa_app: The extra is not a JSON object."
    ]


def test_two_sellers_of_one_application_have_tokens_of_their_own(seller: Seller) -> None:
    """The client is shared, what it stands for is not."""
    from airflow_provider_lwa.hooks.lwa import LwaHook

    other = seller.amazon.add_seller(seller.application)
    seller.connect("lwa_app", **NOTHING)
    seller.connect("lwa_one", login="", password="", app_conn_id="lwa_app")
    token = other.refresh_token
    seller.connect("lwa_two", login="", password="", app_conn_id="lwa_app", refresh_token=token)

    tokens = {LwaHook(conn_id).get_access_token() for conn_id in ("lwa_one", "lwa_two", "lwa_one")}

    assert len(tokens) == 2
    assert seller.amazon.count(kind="token", client_id=seller.application.client_id) == 2


def test_an_application_connection_is_not_a_credential(seller: Seller) -> None:
    """Asked for by itself it says what it lacks, and no request is made."""
    from airflow_provider_lwa.hooks.lwa import LwaHook

    seller.connect("lwa_app", **NOTHING)

    with pytest.raises(ConfigurationError, match="Neither refresh_token nor scopes is set"):
        LwaHook("lwa_app").get_access_token()
    assert seller.amazon.journal == []
