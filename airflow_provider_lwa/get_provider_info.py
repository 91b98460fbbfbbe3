"""What Airflow is told about this provider: connection form, configuration, commands, modules.

Airflow runs :func:`get_provider_info` in every process that asks for providers, so this imports nothing. The
connection form for Airflow before 3.2 is generated from the same ``conn-fields`` by the hook.
"""

from __future__ import annotations

from typing import Any

_REGIONS = {"north_america": "North America", "europe": "Europe", "far_east": "Far East"}
_APIS = {
    "selling_partner": "Selling Partner API (seller)",
    "selling_partner_vendor": "Selling Partner API (vendor)",
    "amazon_ads": "Amazon Ads API",
    "appstore_submission": "Appstore App Submission API",
    "appstore_reporting": "Appstore Reporting API",
    "custom": "Another Login with Amazon API",
}


def _field(
    label: str, description: str, schema: dict[str, Any], section: str = "Account and API"
) -> dict[str, Any]:
    kind = schema.pop("type", "string")
    typed = {"type": [kind, "null"], **schema, "section": section}
    return {"label": label, "description": description, "schema": typed}


_DEFAULTS = "Defaults for operators"
_CALENDAR = "Calendar and alerts"

#: The fields kept in the connection's extra, in the order of the form.
CONNECTION_FIELDS: dict[str, dict[str, Any]] = {
    "refresh_token": _field(
        "Refresh token",
        "The grant of the seller, vendor or advertiser (Atzr|…). Leave empty for APIs that use scopes.",
        {"format": "password"},
    ),
    "api": _field(
        "API", "What this credential is for.", {"enum": list(_APIS), "values_display": dict(_APIS)}
    ),
    "region": _field(
        "Region",
        "Where the account trades. A refresh token is good for one region.",
        {"enum": list(_REGIONS), "values_display": dict(_REGIONS)},
    ),
    "scopes": _field(
        "Scopes",
        "One per line, for client-credentials and grantless calls: sellingpartnerapi::notifications.",
        {"type": "array", "items": {"type": "string"}},
    ),
    "app_conn_id": _field(
        "Application connection",
        "Another connection of this type that holds the client id and secret, which many accounts share.",
        {},
    ),
    "sandbox": _field("Sandbox", "Call the API's sandbox instead of the real one.", {"type": "boolean"}),
    "application_id": _field(
        "Application id", "amzn1.sp.solution.… for consent pages; not the client id.", {}, _DEFAULTS
    ),
    "draft": _field(
        "Draft application", "The application is not published yet.", {"type": "boolean"}, _DEFAULTS
    ),
    "marketplace_ids": _field(
        "Marketplaces",
        "One id per line, used by operators that name none (ATVPDKIKX0DER is amazon.com).",
        {"type": "array", "items": {"type": "string"}},
        _DEFAULTS,
    ),
    "selling_partner_id": _field(
        "Selling partner id", "The seller's or vendor's merchant id.", {}, _DEFAULTS
    ),
    "ads_profile_id": _field("Ads profile id", "Default profile of the Amazon Ads API.", {}, _DEFAULTS),
    "authorized_on": _field(
        "Authorized on", "When the account last authorized the application.", {"format": "date"}, _CALENDAR
    ),
    "app_credentials_rotated_on": _field(
        "Client secret made on",
        "When the client secret was last rotated; Selling Partner API secrets live 180 days.",
        {"format": "date"},
        _CALENDAR,
    ),
    "owner": _field("Owner", "Named in alerts, as the one to turn to.", {}, _CALENDAR),
    "alerts_muted_until": _field(
        "Alerts muted until", "No alerts before this day.", {"format": "date"}, _CALENDAR
    ),
    "retired": _field(
        "Retired", "Out of service: neither probed nor alerted.", {"type": "boolean"}, _CALENDAR
    ),
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["host", "port", "schema"],
    "relabeling": {"login": "Client ID", "password": "Client secret"},
    "placeholders": {"login": "amzn1.application-oa2-client.…", "password": "amzn1.oa2-cs.v1.…"},
}


def _option(
    description: str, kind: str, default: str | None, example: str | None = None, *, sensitive: bool = False
) -> dict[str, Any]:
    option = {"description": description, "version_added": "0.1.0", "type": kind}
    return {**option, "example": example, "default": default, **({"sensitive": True} if sensitive else {})}


_CONFIG: dict[str, dict[str, Any]] = {
    "token_cache": _option(
        "Where access tokens are shared: auto (files if a key is there and the folder is writable, else "
        "memory), memory, file, or the dotted path of a TokenStore class.",
        "string",
        "auto",
    ),
    "cache_dir": _option(
        "Folder for sealed tokens, shared by the processes of one user on one host.",
        "string",
        "{AIRFLOW_HOME}/lwa-cache",
    ),
    "cache_encryption_key": _option(
        "Fernet keys, comma separated, newest first, that seal shared tokens. Without it the keys of [core] "
        "fernet_key are used; without either nothing is written.",
        "string",
        None,
        sensitive=True,
    ),
    "expiry_margin": _option(
        "A token is not used in its last seconds; this many, or a tenth of its life.", "float", "60"
    ),
    "refresh_ahead": _option(
        "A token is renewed by one caller in its last seconds, while the others go on using it; so many, or "
        "a quarter of its life.",
        "float",
        "600",
    ),
    "negative_ttl": _option(
        "Seconds a permanent refusal is remembered, doubling to an hour, so that many tasks ask Amazon once.",
        "float",
        "300",
    ),
    "lock_wait": _option(
        "Seconds to wait for another process that is asking for the same token.", "float", "12"
    ),
    "request_budget": _option("Seconds for one token request with all its attempts.", "float", "25"),
    "endpoint_overrides": _option(
        "JSON of base addresses by login/<region>, login, <api>/<region>, <api> or *, for tests against an "
        "emulator. A connection cannot set these.",
        "string",
        None,
        '{"*": "http://127.0.0.1:8085"}',
    ),
    "allowed_hosts": _option(
        "Hosts outside Amazon, comma separated, that endpoint_overrides may name besides loopback.",
        "string",
        None,
    ),
    "user_agent_application": _option(
        "Name and version of your application, as Amazon asks for it in the user agent.",
        "string",
        None,
        "MyReports/2.0",
    ),
}


def _modules(kind: str, *names: str) -> list[dict[str, Any]]:
    modules = [f"airflow_provider_lwa.{kind}.{name}" for name in names]
    return [{"integration-name": "Login with Amazon", "python-modules": modules}]


def get_provider_info() -> dict[str, Any]:
    """Describe the provider to Airflow.

    :return: the mapping Airflow's ``provider_info.schema.json`` describes
    """
    return {
        "package-name": "airflow-provider-lwa",
        "name": "Login with Amazon",
        "description": "Login with Amazon for Apache Airflow: shared tokens, reports, credential health.",
        "versions": ["0.1.0"],
        "integrations": [
            {
                "integration-name": "Login with Amazon",
                "external-doc-url": "https://developer.amazon.com/docs/login-with-amazon/documentation-overview.html",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "lwa",
                "hook-name": "Login with Amazon",
                "hook-class-name": "airflow_provider_lwa.hooks.lwa.LwaHook",
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": CONNECTION_FIELDS,
            }
        ],
        "hooks": _modules("hooks", "lwa", "selling_partner"),
        "operators": _modules("operators", "reports"),
        "sensors": _modules("sensors", "credentials"),
        "triggers": _modules("triggers", "credentials", "reports"),
        "config": {
            "lwa": {
                "description": "Login with Amazon: how access tokens are shared and how Amazon is reached.",
                "options": _CONFIG,
            }
        },
        "cli": ["airflow_provider_lwa.cli.airflow_commands"],
    }
