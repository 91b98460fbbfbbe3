"""Where requests may go, for each API and region."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from airflow_provider_lwa.amazon.errors import ConfigurationError
from airflow_provider_lwa.amazon.profiles import (
    PROFILES,
    REGIONS,
    Profile,
    endpoints,
    is_amazon,
    is_loopback,
    require_trusted,
)

SELLING = PROFILES["selling_partner"]


@pytest.mark.parametrize(
    ("api", "region", "login", "host"),
    [
        ("selling_partner", "north_america", "api.amazon.com", "sellingpartnerapi-na.amazon.com"),
        ("selling_partner", "europe", "api.amazon.com", "sellingpartnerapi-eu.amazon.com"),
        ("selling_partner", "far_east", "api.amazon.com", "sellingpartnerapi-fe.amazon.com"),
        ("amazon_ads", "north_america", "api.amazon.com", "advertising-api.amazon.com"),
        ("amazon_ads", "europe", "api.amazon.co.uk", "advertising-api-eu.amazon.com"),
        ("amazon_ads", "far_east", "api.amazon.co.jp", "advertising-api-fe.amazon.com"),
        ("appstore_submission", "europe", "api.amazon.com", "developer.amazon.com"),
        ("appstore_reporting", "north_america", "api.amazon.com", "developer.amazon.com"),
        ("custom", "europe", "api.amazon.co.uk", ""),
    ],
)
def test_amazons_hosts(api: str, region: str, login: str, host: str) -> None:
    """Token and API addresses are those of Amazon's documents."""
    found = endpoints(PROFILES[api], region)

    assert found.token_url == f"https://{login}/auth/o2/token"
    assert found.api_url == (f"https://{host}" if host else "")


def test_the_sandbox() -> None:
    """The Selling Partner API has a sandbox; Login with Amazon is the same for it."""
    found = endpoints(SELLING, "europe", sandbox=True)

    assert found.api_url == "https://sandbox.sellingpartnerapi-eu.amazon.com"
    assert found.token_url == "https://api.amazon.com/auth/o2/token"


def test_an_api_without_a_sandbox() -> None:
    """Where there is no sandbox, that is said."""
    with pytest.raises(ConfigurationError, match="has no sandbox"):
        endpoints(PROFILES["appstore_submission"], "europe", sandbox=True)


def test_an_unknown_region() -> None:
    """It is refused, and the known ones are named."""
    with pytest.raises(ConfigurationError, match="north_america, europe, far_east"):
        endpoints(SELLING, "eu")


@pytest.mark.parametrize(
    ("overrides", "login", "api"),
    [
        ({"*": "http://127.0.0.1:8/"}, "http://127.0.0.1:8/auth/o2/token", "http://127.0.0.1:8"),
        (
            {"login": "http://localhost:9"},
            "http://localhost:9/auth/o2/token",
            "https://sellingpartnerapi-eu.amazon.com",
        ),
        ({"selling_partner": "http://[::1]:7"}, "https://api.amazon.com/auth/o2/token", "http://[::1]:7"),
        (
            {"login/europe": "http://127.0.0.1:1", "login": "http://127.0.0.1:2", "*": "http://127.0.0.1:3"},
            "http://127.0.0.1:1/auth/o2/token",
            "http://127.0.0.1:3",
        ),
        (
            {"selling_partner/far_east": "http://127.0.0.1:1"},
            "https://api.amazon.com/auth/o2/token",
            "https://sellingpartnerapi-eu.amazon.com",
        ),
        ({"selling_partner/europe": "https://proxy.corp.example"}, None, "https://proxy.corp.example"),
    ],
)
def test_the_configuration_may_move_them(overrides: dict[str, str], login: str | None, api: str) -> None:
    """The most exact override wins; a host that is neither Amazon's nor loopback must be listed."""
    found = endpoints(SELLING, "europe", overrides=overrides, allowed_hosts=["proxy.corp.example"])

    assert found.token_url == (login or "https://api.amazon.com/auth/o2/token")
    assert found.api_url == api


def test_an_override_to_a_host_that_is_not_listed() -> None:
    """An override alone does not make a host trusted."""
    with pytest.raises(ConfigurationError, match=r"evil\.example' is not a host of Amazon's"):
        endpoints(SELLING, "europe", overrides={"*": "https://evil.example"})


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_every_profile_is_whole(profile: Profile) -> None:
    """Every API works in every region, goes to Amazon only, and has a grant to begin with."""
    assert PROFILES[profile.name] is profile
    for region in REGIONS:
        places = endpoints(profile, region)
        for address in filter(None, (places.token_url, places.api_url)):
            require_trusted(address)
            assert is_amazon(urlsplit(address).hostname or "")
    assert set(profile.grants) <= {"refresh_token", "client_credentials", "authorization_code"}
    assert profile.token_header in {"Authorization", "x-amz-access-token"}
    assert bool(profile.token_prefix) == (profile.token_header == "Authorization")
    assert all(scope == scope.strip() for scope in profile.scopes)
    if profile.grants[0] == "client_credentials":
        assert profile.scopes


@pytest.mark.parametrize(
    "url",
    [
        "https://api.amazon.com/auth/o2/token",
        "https://API.AMAZON.COM/",
        "https://api.amazon.co.uk/",
        "https://api.amazon.co.jp/",
        "http://127.0.0.1:8080/",
        "http://127.8.9.10/",
        "http://localhost/",
        "https://[::1]:1/",
        "https://proxy.corp.example/",
    ],
)
def test_trusted(url: str) -> None:
    """Amazon's hosts by https, this machine, and what the configuration lists."""
    require_trusted(url, ["proxy.corp.example"])


@pytest.mark.parametrize(
    "url",
    [
        "http://api.amazon.com/",
        "http://proxy.corp.example/",
        "ftp://127.0.0.1/",
        "https://amazon.com.evil.example/",
        "https://evilamazon.com/",
        "https://api.amazon.com@evil.example/",
        "https://evil.example\\@api.amazon.com/",
        "https://evil.example\t.amazon.com/",
        "https://evil.example\u3002amazon.com/",
        "https://user:password@api.amazon.com/",
        "https://evil.example/api.amazon.com",
        "https://127.0.0.1.evil.example/",
        "https://localhost.evil.example/",
        "https://10.0.0.1/",
        "https://169.254.169.254/",
        "//api.amazon.com/",
        "api.amazon.com",
        "https://",
        "https://[::1/",
        "",
    ],
)
def test_not_trusted(url: str) -> None:
    """Everything else is refused, and nothing is sent."""
    with pytest.raises(ConfigurationError):
        require_trusted(url, ["proxy.corp.example"])


@given(
    st.lists(
        st.sampled_from([*"abx.:/@[]#?%127.0\\ \t", ".amazon.com", "127.0.0.1", "evil.example"]), max_size=8
    ).map("".join)
)
def test_whatever_is_trusted_leads_to_amazon_or_stays_here(text: str) -> None:
    """No trick with an address makes another host trusted, as the library that connects there reads it."""
    try:
        require_trusted(f"https://{text}")
    except ConfigurationError:
        return
    try:
        host = (parse_url(f"https://{text}").host or "").strip("[]")
    except LocationParseError:
        return  # nobody connects there
    assert is_amazon(host) or is_loopback(host)
