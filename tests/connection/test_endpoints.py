"""Where secrets go is decided by Amazon's documents and the deployment, never by who edits a connection."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.amazon.errors import ConfigurationError

if TYPE_CHECKING:
    from tests.conftest import Seller
    from tests.connection.conftest import Complaints, Read

EVIL = "https://evil.example.com"


@pytest.mark.parametrize(
    "fields",
    [
        {"token_url": f"{EVIL}/auth/o2/token"},
        {"token_endpoint": EVIL},
        {"lwa_endpoint": EVIL},
        {"endpoint": EVIL},
        {"api_url": EVIL},
        {"host": EVIL},
        {"endpoint_overrides": json.dumps({"*": EVIL})},
        {"allowed_hosts": "evil.example.com"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_nothing_in_the_extra_moves_an_endpoint(read: Read, fields: dict[str, Any]) -> None:
    """Whoever may edit a connection, or send one to Airflow's test endpoint, cannot divert its secrets."""
    assert read(**fields).endpoints == read().endpoints
    assert read(**fields).credential.token_url == read().credential.token_url


def test_the_host_of_the_connection_moves_nothing(seller: Seller) -> None:
    """The standard fields host, port and schema are hidden in the form and never read."""
    from airflow_provider_lwa.hooks.lwa import LwaHook

    stored = {
        "conn_type": "lwa",
        "host": EVIL,
        "port": 8443,
        "schema": "https",
        "login": seller.application.client_id,
        "password": seller.application.client_secret,
        "extra": {"refresh_token": seller.grant.refresh_token},
    }
    seller.environment.setenv("AIRFLOW_CONN_LWA_DEFAULT", json.dumps(stored))

    assert LwaHook().get_access_token().startswith("Atza|")
    assert LwaHook().api_url == seller.amazon.url


@pytest.mark.parametrize(
    ("region", "login", "api"),
    [
        ("north_america", "https://api.amazon.com", "https://sellingpartnerapi-na.amazon.com"),
        ("europe", "https://api.amazon.com", "https://sellingpartnerapi-eu.amazon.com"),
        ("far_east", "https://api.amazon.com", "https://sellingpartnerapi-fe.amazon.com"),
    ],
)
def test_without_configuration_amazons_hosts_are_used(
    seller: Seller, read: Read, region: str, login: str, api: str
) -> None:
    """They follow from api and region alone."""
    seller.configure(endpoint_overrides="")

    found = read(region=region, marketplace_ids=None).endpoints

    assert (found.token_url, found.api_url) == (f"{login}/auth/o2/token", api)


def test_the_sandbox_has_hosts_of_its_own(seller: Seller, read: Read) -> None:
    """The switch of the connection chooses between Amazon's hosts; the tokens come from the same place."""
    seller.configure(endpoint_overrides="")

    found = read(region="europe", sandbox=True, marketplace_ids=None).endpoints

    assert found.api_url == "https://sandbox.sellingpartnerapi-eu.amazon.com"
    assert found.token_url == "https://api.amazon.com/auth/o2/token"


def test_the_deployment_may_allow_a_host(seller: Seller, read: Read) -> None:
    """A gateway of the company, for instance: named in the configuration, reached by https."""
    overrides = {
        "login": "https://gateway.example.com/lwa",
        "selling_partner": "https://gateway.example.com/api/",
    }
    seller.configure(
        endpoint_overrides=json.dumps(overrides), allowed_hosts="other.example.com, Gateway.Example.com"
    )

    found = read().endpoints

    assert found.token_url == "https://gateway.example.com/lwa/auth/o2/token"
    assert found.api_url == "https://gateway.example.com/api"


def test_a_host_that_is_not_amazons_must_be_allowed(seller: Seller, complaints: Complaints) -> None:
    """An override alone is not enough: secrets go to strangers only if that is said twice."""
    seller.configure(endpoint_overrides=json.dumps({"login": EVIL}))

    (named,) = complaints()

    assert named == (
        "'evil.example.com' is not a host of Amazon's; add it to [lwa] allowed_hosts if credentials may go"
        " there."
    )


@pytest.mark.parametrize("host", ["api.amazon.com.evil.example.com", "evil-amazon.com"])
def test_a_host_that_only_looks_like_amazons_is_refused(
    seller: Seller, complaints: Complaints, host: str
) -> None:
    """What counts is how the name ends."""
    seller.configure(endpoint_overrides=json.dumps({"*": f"https://{host}"}))

    assert "is not a host of Amazon's" in complaints()[0]


def test_credentials_go_by_https_only(seller: Seller, complaints: Complaints) -> None:
    """Plain http is for this machine alone."""
    seller.configure(endpoint_overrides=json.dumps({"*": "http://api.amazon.com"}))

    assert complaints() == ["Credentials go to api.amazon.com by https only, not http."]


@pytest.mark.parametrize("address", ["http://127.0.0.1:8085", "http://localhost:8085", "http://[::1]:8085"])
def test_loopback_may_be_plain(seller: Seller, read: Read, address: str) -> None:
    """The emulator speaks http; what goes there does not leave the machine."""
    seller.configure(endpoint_overrides=json.dumps({"*": address}))

    assert read().endpoints.api_url == address


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        (
            "endpoint_overrides",
            "http://127.0.0.1",
            "[lwa] endpoint_overrides is not a JSON object of addresses.",
        ),
        ("endpoint_overrides", '{"*": 1}', "[lwa] endpoint_overrides is not a JSON object of addresses."),
        ("request_budget", "soon", "[lwa] request_budget is 'soon', not a number of seconds."),
        ("lock_wait", "-1", "[lwa] lock_wait is '-1', not a number of seconds."),
        ("refresh_ahead", "inf", "[lwa] refresh_ahead is 'inf', not a number of seconds."),
        ("expiry_margin", "nan", "[lwa] expiry_margin is 'nan', not a number of seconds."),
    ],
)
def test_an_option_that_cannot_be_used_is_named(seller: Seller, option: str, value: str, named: str) -> None:
    """A mistake in the configuration is said where it stands, not found by its effects."""
    from airflow_provider_lwa._airflow import Settings

    seller.configure(**{option: value})

    with pytest.raises(ConfigurationError) as caught:
        Settings.read()
    assert caught.value.problems == [named]
    assert "Correct the [lwa] section" in str(caught.value)


def test_every_wrong_option_is_named_at_once(seller: Seller) -> None:
    """Also here nobody has to mend one error at a time."""
    from airflow_provider_lwa._airflow import Settings

    seller.configure(request_budget="x", negative_ttl="y", endpoint_overrides="z")

    with pytest.raises(ConfigurationError) as caught:
        Settings.read()
    assert len(caught.value.problems) == 3
