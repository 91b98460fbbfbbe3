"""An Airflow connection of type ``lwa`` read into what the rest works with.

The connection is untrusted configuration: only the fields of the form are read, nothing in it can move an
endpoint, and every problem is reported at once, before any request. Fields that are ``null`` or empty count
as not set, because Airflow's form stores every field it shows.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, mask_secret

from airflow_provider_lwa.amazon.errors import ConfigurationError
from airflow_provider_lwa.amazon.login import Credential
from airflow_provider_lwa.amazon.profiles import PROFILES, REGIONS, Endpoints, Profile, endpoints
from airflow_provider_lwa.amazon.selling_partner import MARKETPLACES
from airflow_provider_lwa.get_provider_info import CONNECTION_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.providers.common.compat.sdk import Connection

    from airflow_provider_lwa._airflow import Settings

logger = logging.getLogger(__name__)

CONN_TYPE = "lwa"
DEFAULT_API = "selling_partner"
DEFAULT_REGION = "north_america"
CLIENT_ID_PREFIX = "amzn1.application-oa2-client."
REFRESH_TOKEN_PREFIX = "Atzr|"  # noqa: S105 - because it is only the beginning that all of them share
_MASK = "***"
_ADVICE = (
    "Edit the connection in Airflow (Admin, Connections) or where it is stored. Nothing was sent to Amazon."
)


@dataclass(frozen=True, slots=True)
class LwaConnection:
    """One checked connection.

    :param conn_id: its id
    :param profile: the API it is for
    :param region: key of ``REGIONS``
    :param credential: what Login with Amazon is asked with
    :param endpoints: where requests go
    :param marketplace_ids: default marketplaces for operators
    :param sandbox: whether the API's sandbox is called
    :param application_id: for consent pages
    :param draft: the application is not published
    :param selling_partner_id: merchant id
    :param ads_profile_id: default profile of the Ads API, as text
    :param authorized_on: day of the last authorization
    :param app_credentials_rotated_on: day the client secret was made
    :param owner: named in alerts, as the one to turn to
    :param alerts_muted_until: no alerts before this day
    :param retired: out of service
    """

    conn_id: str
    profile: Profile
    region: str
    credential: Credential
    endpoints: Endpoints
    marketplace_ids: tuple[str, ...] = ()
    sandbox: bool = False
    application_id: str | None = None
    draft: bool = False
    selling_partner_id: str | None = None
    ads_profile_id: str | None = None
    authorized_on: date | None = None
    app_credentials_rotated_on: date | None = None
    owner: str | None = None
    alerts_muted_until: date | None = None
    retired: bool = False


def load(conn_id: str, settings: Settings) -> LwaConnection:
    """Fetch a connection, and the application connection it may name, and check both.

    :param conn_id: Airflow connection id
    :param settings: the ``[lwa]`` configuration
    :raises ConfigurationError: naming every problem at once
    :raises AirflowNotFoundException: if there is no such connection
    """
    stored = _stored(conn_id, "correct lwa_conn_id")
    app_conn_id = stored.text("app_conn_id")
    application = _stored(app_conn_id, f"correct app_conn_id in {conn_id}") if app_conn_id else None
    connection = check(stored, application, settings)
    _mask(connection.credential)
    return connection


def _stored(conn_id: str, correction: str) -> Fields:
    try:
        return Fields.of(BaseHook.get_connection(conn_id))
    except AirflowNotFoundException:
        # It may be retried: a secrets backend that does not answer looks the same to a task.
        raise AirflowNotFoundException(
            f"Airflow has no connection {conn_id}, or its secrets backend did not answer: create it, or "
            f"{correction}."
        ) from None


@dataclass(slots=True)
class Fields:
    """The raw fields of one stored connection, and the problems found while reading them.

    :param conn_id: its id
    :param conn_type: its type
    :param client_id: login
    :param client_secret: password
    :param extra: the extra object, without what is not set
    :param problems: sentences, each naming a field
    """

    conn_id: str
    conn_type: str
    client_id: str
    client_secret: str = field(repr=False)
    extra: Mapping[str, Any] = field(repr=False)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, connection: Connection) -> Fields:
        """Take the fields out of Airflow's object; reading its extra is not free, so it happens once."""
        problems: list[str] = []
        extra = _extra(connection.extra, problems)
        given = {name: value for name, value in extra.items() if value is not None and value not in ("", [])}
        fields = cls(
            conn_id=connection.conn_id or "",
            conn_type=connection.conn_type or "",
            client_id=connection.login or "",
            client_secret=connection.password or "",
            extra=given,
            problems=problems,
        )
        unknown = sorted(set(given) - set(CONNECTION_FIELDS))
        if unknown:
            names = ", ".join(unknown)
            logger.warning("Connection %s: unknown fields are ignored: %s", fields.conn_id, names)
        return fields

    def text(self, name: str) -> str | None:
        """A text field, without surrounding blanks; ``None`` if not set."""
        value = self.extra.get(name)
        if value is None:
            return None
        if isinstance(value, (dict, list, bool)):
            self.problems.append(f"{name} must be a text.")
            return None
        return str(value).strip() or None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts, also written as one text with commas or blanks between them."""
        value = self.extra.get(name)
        if value is None:
            return ()
        parts = value.replace(",", " ").split() if isinstance(value, str) else value
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            self.problems.append(f"{name} must be a list of texts.")
            return ()
        return tuple(part.strip() for part in parts if part.strip())

    def flag(self, name: str) -> bool:
        """A switch; texts as environment variables spell it are understood."""
        value = self.extra.get(name)
        spelled = str(value).strip().lower()
        if value is None or spelled in {"false", "0", "no", "off"}:
            return False
        if spelled in {"true", "1", "yes", "on"}:
            return True
        self.problems.append(f"{name} must be true or false.")
        return False

    def day(self, name: str) -> date | None:
        """A day as YYYY-MM-DD; a time after it is cut off."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return datetime.fromisoformat(value).date()
        except ValueError:
            self.problems.append(f"{name} must be a date such as 2026-11-21.")
            return None


def _extra(text: object, problems: list[str]) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        value = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        value = None
    if not isinstance(value, dict):
        problems.append("The extra is not a JSON object.")
        return {}
    return value


def check(stored: Fields, application: Fields | None, settings: Settings) -> LwaConnection:
    """Check what a connection says; pure.

    :param stored: the connection
    :param application: the connection its ``app_conn_id`` names
    :param settings: the ``[lwa]`` configuration
    :raises ConfigurationError: naming every problem at once
    """
    problems = stored.problems
    if stored.conn_type != CONN_TYPE:
        sentence = f"It is of type {stored.conn_type or 'none'}, not {CONN_TYPE}."
        advice = "Name a connection of the right type."
        raise ConfigurationError(sentence, conn_id=stored.conn_id, advice=advice)
    profile = _profile(stored, problems)
    region = _region(stored, problems)
    client_id, client_secret = _client(stored, application, profile, problems)
    refresh_token = _refresh_token(stored, profile, problems)
    scopes = stored.texts("scopes")
    _grant_fits(profile, refresh_token, scopes, problems)
    marketplace_ids = stored.texts("marketplace_ids")
    _marketplaces_fit(profile, region, marketplace_ids, problems)
    sandbox = stored.flag("sandbox")
    places = _endpoints(profile, region, settings, problems, sandbox=sandbox)
    connection = LwaConnection(
        conn_id=stored.conn_id,
        profile=profile,
        region=region,
        credential=Credential(
            client_id=client_id,
            client_secret=client_secret,
            refresh_token=refresh_token,
            scopes=scopes or profile.scopes,
            token_url=places.token_url,
        ),
        endpoints=places,
        marketplace_ids=marketplace_ids,
        sandbox=sandbox,
        application_id=stored.text("application_id"),
        draft=stored.flag("draft"),
        selling_partner_id=stored.text("selling_partner_id"),
        ads_profile_id=stored.text("ads_profile_id"),
        authorized_on=stored.day("authorized_on"),
        app_credentials_rotated_on=stored.day("app_credentials_rotated_on"),
        owner=stored.text("owner"),
        alerts_muted_until=stored.day("alerts_muted_until"),
        retired=stored.flag("retired"),
    )
    if problems:
        raise ConfigurationError(problems, conn_id=stored.conn_id, advice=_ADVICE)
    return connection


def _profile(stored: Fields, problems: list[str]) -> Profile:
    name = stored.text("api") or DEFAULT_API
    if name not in PROFILES:
        problems.append(f"api is {name!r}; known are {', '.join(PROFILES)}.")
    return PROFILES.get(name, PROFILES["custom"])


def _region(stored: Fields, problems: list[str]) -> str:
    region = stored.text("region") or DEFAULT_REGION
    if region not in REGIONS:
        problems.append(f"region is {region!r}; known are {', '.join(REGIONS)}.")
        return DEFAULT_REGION
    return region


def _client(
    stored: Fields, application: Fields | None, profile: Profile, problems: list[str]
) -> tuple[str, str]:
    source, named = stored, ""
    if application is not None:
        source, named = application, f" of the application connection {application.conn_id}"
        _check_application(stored, application, problems)
    if not source.client_id:
        problems.append(f"The client ID (login){named} is missing.")
    elif profile.name != "custom" and not source.client_id.startswith(CLIENT_ID_PREFIX):
        problems.append(
            f"The client ID{named} does not begin with {CLIENT_ID_PREFIX}; an application id is no client ID."
        )
    _secret(f"The client secret (password){named}", source.client_secret, problems)
    _unbroken(f"The client ID{named}", source.client_id, problems)
    return source.client_id, source.client_secret


def _check_application(stored: Fields, application: Fields, problems: list[str]) -> None:
    problems += [f"In {application.conn_id}: {problem}" for problem in application.problems]
    if application.conn_type != CONN_TYPE:
        problems.append(f"app_conn_id names {application.conn_id}, which is not of type {CONN_TYPE}.")
    if application.text("app_conn_id"):
        problems.append(
            f"app_conn_id names {application.conn_id}, which itself names another; one step is the limit."
        )
    for name, own, shared in (
        ("client ID", stored.client_id, application.client_id),
        ("client secret", stored.client_secret, application.client_secret),
    ):
        if own and own != shared:
            problems.append(
                f"The {name} stands here and, differently, in {application.conn_id}; leave it empty here."
            )


def _refresh_token(stored: Fields, profile: Profile, problems: list[str]) -> str | None:
    value = stored.extra.get("refresh_token")
    if value is None:
        return None
    if not isinstance(value, str):
        problems.append("refresh_token must be a text.")
        return str(value)
    _secret("The refresh token", value, problems)
    if "%7C" in value[:8].upper():
        problems.append("The refresh token is URL-encoded; paste it as Amazon shows it: Atzr, then a bar.")
    elif profile.name != "custom" and not value.strip().startswith((REFRESH_TOKEN_PREFIX, _MASK)):
        kind = "an access token" if value.strip().startswith(("Atza|", "Atc|")) else "something else"
        problems.append(
            f"The refresh token does not begin with {REFRESH_TOKEN_PREFIX}; this looks like {kind}."
        )
    return value


def _secret(what: str, value: str, problems: list[str]) -> None:
    if not value:
        problems.append(f"{what} is missing.")
    elif value == _MASK:
        problems.append(f"{what} holds {_MASK}, the mask shown instead of it; enter the real one again.")
    else:
        _unbroken(what, value, problems)


def _unbroken(what: str, value: str, problems: list[str]) -> None:
    if value != value.strip():
        problems.append(f"{what} begins or ends with a blank or line break; paste it again without.")
    elif any(ch.isspace() or not ch.isprintable() for ch in value):
        problems.append(f"{what} has a blank or line break inside; paste it again in one piece.")


def _grant_fits(
    profile: Profile, refresh_token: str | None, scopes: tuple[str, ...], problems: list[str]
) -> None:
    if refresh_token and "refresh_token" not in profile.grants:
        problems.append(
            f"{profile.label} takes scopes, no refresh token; empty refresh_token or choose another api."
        )
    if not refresh_token and "client_credentials" not in profile.grants:
        problems.append(f"{profile.label} needs a refresh_token.")
    elif not refresh_token and not scopes and not profile.scopes:
        problems.append("Neither refresh_token nor scopes is set; fill in the one the calls need.")


def _marketplaces_fit(
    profile: Profile, region: str, marketplace_ids: tuple[str, ...], problems: list[str]
) -> None:
    if profile.family != "selling_partner":
        return
    for marketplace_id in marketplace_ids:
        known = MARKETPLACES.get(marketplace_id)
        if known is not None and known.region != region:
            problems.append(
                f"Marketplace {marketplace_id} ({known.country}) belongs to {known.region}, not to {region}."
            )


def _endpoints(
    profile: Profile, region: str, settings: Settings, problems: list[str], *, sandbox: bool
) -> Endpoints:
    try:
        return endpoints(
            profile,
            region,
            sandbox=sandbox,
            overrides=dict(settings.endpoint_overrides),
            allowed_hosts=settings.allowed_hosts,
        )
    except ConfigurationError as error:
        problems.extend(error.problems)
        return Endpoints(token_url="", api_url="")


def mask(secret: str) -> None:
    """Have Airflow hide a secret in its logs, in each form it may take: raw, URL-encoded, after the bar.

    :param secret: a token or client secret
    """
    for form in (secret, quote(secret, safe=""), secret.partition("|")[2]):
        if form:
            mask_secret(form)


def _mask(credential: Credential) -> None:
    for secret in (credential.client_secret, credential.refresh_token):
        if secret:
            mask(secret)
