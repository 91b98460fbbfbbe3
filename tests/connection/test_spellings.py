"""A secret reaches Amazon as it is, however the connection is written down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from airflow_provider_lwa.amazon.errors import ConfigurationError
from airflow_provider_lwa.hooks.lwa import LwaHook

if TYPE_CHECKING:
    from tests.conftest import Seller

AWKWARD = {
    "percent": "50%2F50%",
    "looks encoded twice": "%257C%7C",
    "form characters": "a&b=c+d;e",
    "address characters": "a:b@c/d?e#f",
    "quotes and braces": '"{\'\\}"',
    "beyond ASCII": "schlüssel-鍵-🔑",
    "bar": "a|b|c",
}


def uri(seller: Seller, **query: str) -> str:
    """Write the seller's connection as an address, each part encoded once."""
    application = seller.application
    pairs = {"refresh_token": seller.grant.refresh_token, **query}
    encoded = "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs.items())
    login, password = (quote(part, safe="") for part in (application.client_id, application.client_secret))
    return f"lwa://{login}:{password}@/?{encoded}"


@pytest.fixture(params=AWKWARD.values(), ids=AWKWARD.keys())
def awkward(request: pytest.FixtureRequest, seller: Seller) -> Seller:
    """A seller whose secrets hold characters that mean something somewhere on their way."""
    application = seller.amazon.add_application(client_secret=f"amzn1.oa2-cs.v1.{request.param}")
    seller.application = application
    seller.grant = seller.amazon.add_seller(application, f"Atzr|IwEBI{request.param}")
    return seller


def test_json_reaches_amazon_unchanged(awkward: Seller) -> None:
    """Written as JSON, in an environment variable or by the form."""
    awkward.connect()

    assert LwaHook().get_access_token().startswith("Atza|")
    assert awkward.amazon.count(kind="token", credential=awkward.grant.credential, status=200) == 1


def test_an_address_reaches_amazon_unchanged(awkward: Seller) -> None:
    """Written as ``lwa://…``, where every part is encoded once."""
    awkward.environment.setenv("AIRFLOW_CONN_LWA_DEFAULT", uri(awkward))

    assert LwaHook().get_access_token().startswith("Atza|")
    assert awkward.amazon.count(kind="token", credential=awkward.grant.credential, status=200) == 1


def test_an_extra_inside_an_address_reaches_amazon_unchanged(awkward: Seller) -> None:
    """Airflow itself writes addresses with the whole extra as JSON in ``__extra__``."""
    application = awkward.application
    extra = json.dumps({"refresh_token": awkward.grant.refresh_token, "region": None, "retired": False})
    login, password, encoded = (
        quote(part, safe="") for part in (application.client_id, application.client_secret, extra)
    )
    awkward.environment.setenv("AIRFLOW_CONN_LWA_DEFAULT", f"lwa://{login}:{password}@/?__extra__={encoded}")

    assert LwaHook().get_access_token().startswith("Atza|")
    assert awkward.amazon.count(kind="token", credential=awkward.grant.credential, status=200) == 1


def test_what_airflow_writes_airflow_reads(awkward: Seller) -> None:
    """``Connection.get_uri()``, which secrets caches use, brings everything back."""
    from airflow.providers.common.compat.sdk import Connection

    stored = Connection(
        conn_id="lwa_default",
        conn_type="lwa",
        login=awkward.application.client_id,
        password=awkward.application.client_secret,
        extra=json.dumps({"refresh_token": awkward.grant.refresh_token}),
    )
    awkward.environment.setenv("AIRFLOW_CONN_LWA_DEFAULT", stored.get_uri())

    assert LwaHook().get_access_token().startswith("Atza|")


def test_an_address_holds_lists_and_switches_as_text(seller: Seller) -> None:
    """In an address everything is text; it is read as what it stands for."""
    address = uri(
        seller,
        region="europe",
        marketplace_ids="A1PA6795UKMFR9,A13V1IB3VIYZZH",
        sandbox="true",
        draft="false",
    )
    seller.environment.setenv("AIRFLOW_CONN_LWA_DEFAULT", address)

    connection = LwaHook().connection

    assert connection.region == "europe"
    assert connection.marketplace_ids == ("A1PA6795UKMFR9", "A13V1IB3VIYZZH")
    assert (connection.sandbox, connection.draft) == (True, False)


def test_a_token_encoded_twice_is_refused(seller: Seller) -> None:
    """Encoding ``Atzr%7C…`` again gives ``Atzr%257C…``; what then arrives is named, and not sent."""
    token = seller.grant.refresh_token
    address = uri(seller).replace(quote(token, safe=""), quote(quote(token, safe=""), safe=""))
    seller.environment.setenv("AIRFLOW_CONN_LWA_DEFAULT", address)

    with pytest.raises(ConfigurationError, match="The refresh token is URL-encoded"):
        LwaHook().get_access_token()
    assert seller.amazon.journal == []


def test_a_bar_that_was_not_encoded_is_taken_as_it_is(seller: Seller) -> None:
    """The bar need not be encoded in an address, although it should."""
    address = uri(seller).replace("%7C", "|")
    seller.environment.setenv("AIRFLOW_CONN_LWA_DEFAULT", address)

    assert LwaHook().get_access_token().startswith("Atza|")
