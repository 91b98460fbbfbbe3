"""The APIs behind Login with Amazon, as data: hosts, grants, scopes, token header, cheap probe.

Everything that differs from API to API and does not need code stands in :data:`PROFILES`. Sources: Amazon's
"Connect to the Selling Partner API" and "SP-API endpoints", the Amazon Ads API "Overview" and "Generate
access and refresh tokens", and the Appstore "API authentication" page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from airflow_provider_lwa.amazon.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

#: Amazon's regions as the connection spells them, with the labels people read.
REGIONS: dict[str, str] = {"north_america": "North America", "europe": "Europe", "far_east": "Far East"}

TOKEN_PATH = "/auth/o2/token"  # noqa: S105 - because it is a path, not a password
_NORTH_AMERICA_LOGIN = "https://api.amazon.com"
_REGIONAL_LOGIN = {
    "north_america": _NORTH_AMERICA_LOGIN,
    "europe": "https://api.amazon.co.uk",
    "far_east": "https://api.amazon.co.jp",
}
_ONE_LOGIN = dict.fromkeys(REGIONS, _NORTH_AMERICA_LOGIN)


@dataclass(frozen=True, slots=True)
class Probe:
    """A cheap read-only call that proves an API accepts the token.

    :param method: HTTP method
    :param path: path below the API's host
    """

    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Profile:
    """One API as far as tokens are concerned.

    :param name: value of the connection's ``api`` field
    :param family: the API whose rules apply; several profiles may share one
    :param label: what people read in the form
    :param grants: grant types the API can be called with; the first is the usual one
    :param login: Login with Amazon's host by region
    :param hosts: the API's base address by region; empty where the user brings one
    :param sandbox_hosts: the same for the sandbox
    :param token_header: header that carries the access token
    :param token_prefix: what stands before the token in it
    :param scopes: scopes asked for when the connection names none
    :param probe: cheap call for the second stage of a check; ``None`` stops at Login with Amazon
    """

    name: str
    family: str
    label: str
    grants: tuple[str, ...]
    login: Mapping[str, str] = field(default_factory=lambda: dict(_ONE_LOGIN))
    hosts: Mapping[str, str] = field(default_factory=dict)
    sandbox_hosts: Mapping[str, str] = field(default_factory=dict)
    token_header: str = "Authorization"  # noqa: S105 - because it is a header's name
    token_prefix: str = "Bearer "  # noqa: S105 - because it is the scheme's name
    scopes: tuple[str, ...] = ()
    probe: Probe | None = None


def _selling_partner_hosts(prefix: str) -> dict[str, str]:
    short = {"north_america": "na", "europe": "eu", "far_east": "fe"}
    return {region: f"https://{prefix}sellingpartnerapi-{short[region]}.amazon.com" for region in REGIONS}


def _selling_partner(name: str, who: str, probe: Probe | None) -> Profile:
    return Profile(
        name=name,
        family="selling_partner",
        label=f"Selling Partner API ({who})",
        grants=("refresh_token", "client_credentials"),
        hosts=_selling_partner_hosts(""),
        sandbox_hosts=_selling_partner_hosts("sandbox."),
        token_header="x-amz-access-token",  # noqa: S106 - because it is a header's name
        token_prefix="",
        probe=probe,
    )


PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        _selling_partner("selling_partner", "seller", Probe("GET", "/sellers/v1/marketplaceParticipations")),
        _selling_partner("selling_partner_vendor", "vendor", None),  # the Sellers API refuses vendors
        Profile(
            name="amazon_ads",
            family="amazon_ads",
            label="Amazon Ads API",
            grants=("refresh_token",),
            login=_REGIONAL_LOGIN,
            hosts={
                "north_america": "https://advertising-api.amazon.com",
                "europe": "https://advertising-api-eu.amazon.com",
                "far_east": "https://advertising-api-fe.amazon.com",
            },
        ),
        Profile(
            name="appstore_submission",
            family="appstore",
            label="Appstore App Submission API",
            grants=("client_credentials",),
            hosts=dict.fromkeys(REGIONS, "https://developer.amazon.com"),
            scopes=("appstore::apps:readwrite",),
        ),
        Profile(
            name="appstore_reporting",
            family="appstore",
            label="Appstore Reporting API",
            grants=("client_credentials",),
            hosts=dict.fromkeys(REGIONS, "https://developer.amazon.com"),
            scopes=("adx_reporting::appstore:marketer",),
        ),
        Profile(
            name="custom",
            family="custom",
            label="Another Login with Amazon API",
            grants=("refresh_token", "client_credentials", "authorization_code"),
            login=_REGIONAL_LOGIN,
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where one connection's requests go.

    :param token_url: Login with Amazon's token endpoint
    :param api_url: base address of the API, or ``""`` for an API without one of its own
    """

    token_url: str
    api_url: str


def endpoints(
    profile: Profile,
    region: str,
    *,
    sandbox: bool = False,
    overrides: Mapping[str, str] | None = None,
    allowed_hosts: Collection[str] = (),
) -> Endpoints:
    """Work out where requests go: Amazon's hosts, or those that the configuration puts in their place.

    A connection cannot move an endpoint, only the configuration can: whoever may edit a connection could
    otherwise have its stored secrets sent elsewhere.

    :param profile: the API
    :param region: key of :data:`REGIONS`
    :param sandbox: use the API's sandbox hosts
    :param overrides: base addresses by ``login/<region>``, ``login``, ``<api>/<region>``, ``<api>`` or ``*``
    :param allowed_hosts: hosts outside Amazon that the configuration permits
    :raises ConfigurationError: for an unknown region, an API without sandbox, an override to a forbidden host
    """
    if region not in REGIONS:
        raise ConfigurationError(f"Unknown region {region!r}; known are {', '.join(REGIONS)}.")
    if sandbox and not profile.sandbox_hosts:
        raise ConfigurationError(f"{profile.label} has no sandbox; switch sandbox off.")
    chosen = overrides or {}
    hosts = profile.sandbox_hosts if sandbox else profile.hosts
    login = _override(chosen, "login", region) or profile.login[region]
    api = _override(chosen, profile.name, region) or hosts.get(region, "")
    for address in filter(None, (login, api)):
        require_trusted(address, allowed_hosts)
    return Endpoints(token_url=login.rstrip("/") + TOKEN_PATH, api_url=api.rstrip("/"))


def _override(overrides: Mapping[str, str], name: str, region: str) -> str | None:
    return overrides.get(f"{name}/{region}") or overrides.get(name) or overrides.get("*")


def is_loopback(host: str) -> bool:
    """Tell whether *host* is this machine itself."""
    return host in {"localhost", "::1"} or (host.startswith("127.") and host.replace(".", "").isdigit())


def is_amazon(host: str) -> bool:
    """Tell whether *host* is one of Amazon's own API hosts."""
    roots = (".amazon.com", ".amazon.co.uk", ".amazon.co.jp")
    return any(host.endswith(root) for root in roots)


def require_trusted(url: str, allowed_hosts: Collection[str] = ()) -> None:
    """Refuse to send a credential to a host not Amazon's, loopback, or expressly allowed; or in clear.

    :param url: absolute address
    :param allowed_hosts: hosts the ``[lwa] allowed_hosts`` configuration lists
    :raises ConfigurationError: naming the host and the setting, before anything is sent
    """
    parts = _split(url)
    host = parts.hostname or ""
    if is_loopback(host) and parts.scheme in {"http", "https"}:
        return
    if not (is_amazon(host) or host in allowed_hosts):
        raise ConfigurationError(
            f"{host or url!r} is not a host of Amazon's; add it to [lwa] allowed_hosts if credentials may go "
            "there."
        )
    if parts.scheme != "https":
        scheme = parts.scheme or "without a scheme"
        raise ConfigurationError(f"Credentials go to {host} by https only, not {scheme}.")


def _split(url: str) -> SplitResult:
    """Take an address apart, unless it has something in it that programs read differently."""
    try:
        parts = urlsplit(url)
        plain = url.isascii() and url.isprintable() and not set(url) & set("\\ ") and "@" not in parts.netloc
    except ValueError:
        plain = False
    if not plain:
        raise ConfigurationError(
            "Refused: an address with a user name, blank, backslash or other odd character in it."
        )
    return parts
