"""Login with Amazon: the token endpoint ``POST /auth/o2/token``.

Follows "Connecting to the Selling Partner API", "Renew authorizations" (SP-API), "API authentication"
(Appstore) and "Generate access and refresh tokens" (Amazon Ads). Errors are in the words of those pages.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from airflow_provider_lwa.emulator.accounts import AccessToken, fingerprint, new_access_token
from airflow_provider_lwa.emulator.exchange import Answer, Facts, Refused, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_lwa.emulator.accounts import Application, Grant, Secret
    from airflow_provider_lwa.emulator.exchange import Call
    from airflow_provider_lwa.emulator.world import World

PATH = "/auth/o2/token"

_REVOKED = (
    "The request has an invalid grant parameter : refresh_token. "
    "User may have revoked or didn't grant the permission."
)
_ANSWER_HEADERS = {
    "content-type": "application/json;charset=UTF-8",
    "cache-control": "no-store",
    "pragma": "no-cache",
}
_APPLICATION_ID_PREFIXES = ("amzn1.sp.solution.", "amzn1.sellerapps.app.")


def describe(_world: World, call: Call) -> Facts:
    """
    Say what the journal may know of a token request.

    :param call: the request
    :return: the grant, the application and the fingerprint of the refresh token
    """
    try:
        fields = _fields(call)
    except Refused:
        return Facts()
    refresh_token = fields.get("refresh_token")
    return Facts(
        grant_type=fields.get("grant_type"),
        client_id=fields.get("client_id"),
        credential=fingerprint(refresh_token) if refresh_token else None,
    )


def answer(world: World, call: Call) -> Answer:
    """
    Answer a token request.

    :param world: the world
    :param call: the request
    :return: a token
    :raises Refused: with the error
    """
    if call.method != "POST":
        raise _refused(
            405, "invalid_request", "The request method is not supported by the authorization server"
        )
    fields = _fields(call)
    grant_type = _required(fields, "grant_type")
    if grant_type not in _GRANTS:
        raise _refused(
            400,
            "unsupported_grant_type",
            "The authorization grant type is not supported by the authorization server",
        )
    application, secret = _authenticated(world, fields)
    return _GRANTS[grant_type](world, application, secret, fields)


def _fields(call: Call) -> Mapping[str, str]:
    if call.content_type == "application/x-www-form-urlencoded":
        return _form(call.body)
    if call.content_type == "application/json":
        return _json_object(call.body)
    raise _refused(400, "invalid_request", "The Content-Type is not supported by the authorization server")


def _form(body: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise _malformed() from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise _malformed()
    return fields


def _json_object(body: bytes) -> Mapping[str, str]:
    try:
        fields = json.loads(body)
    except ValueError:
        raise _malformed() from None
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise _malformed()
    return fields


def _required(fields: Mapping[str, str], name: str) -> str:
    value = fields.get(name)
    if not value:
        raise _refused(400, "invalid_request", f"The request is missing a required parameter : {name}")
    return value


def _forbidden(fields: Mapping[str, str], name: str) -> None:
    if name in fields:
        raise _refused(400, "invalid_request", f"The request has an invalid parameter : {name}")


def _authenticated(world: World, fields: Mapping[str, str]) -> tuple[Application, Secret]:
    client_id = _required(fields, "client_id")
    client_secret = _required(fields, "client_secret")
    if client_id.startswith(_APPLICATION_ID_PREFIXES):
        raise _unauthorized_client()
    application = world.applications.get(client_id)
    for secret in application.secrets if application else ():
        usable = not secret.expired(world.clock.now()) or secret.afterwards == "api_refuses"
        if application and secret.value == client_secret and usable:
            return application, secret
    raise _refused(401, "invalid_client", "Client authentication failed")


def _refresh(world: World, application: Application, secret: Secret, fields: Mapping[str, str]) -> Answer:
    refresh_token = _required(fields, "refresh_token")
    _forbidden(fields, "scope")
    grant = world.grants.get(refresh_token)
    if grant and grant.client_id != application.client_id:
        raise _unauthorized_client()
    if grant is None or grant.revoked:
        raise _refused(400, "invalid_grant", _REVOKED)
    return _granted(world, application, secret, grant)


def _exchange_code(
    world: World, application: Application, secret: Secret, fields: Mapping[str, str]
) -> Answer:
    code = world.codes.get(_required(fields, "code"))
    if code is None or code.used or code.grant.client_id != application.client_id:
        raise _invalid_code()
    if code.redirect_uri is not None and fields.get("redirect_uri") != code.redirect_uri:
        raise _invalid_code()
    if world.clock.now() >= code.expires_at:
        raise _refused(400, "invalid_request", "The request has an invalid parameter : code")
    code.used = True
    world.grants[code.grant.refresh_token] = code.grant
    return _granted(world, application, secret, code.grant)


def _granted(world: World, application: Application, secret: Secret, grant: Grant) -> Answer:
    access_token = _issue(world, "Atza", application, secret, grant=grant)
    return _token_answer(world, {"access_token": access_token, "refresh_token": grant.refresh_token})


def _client_credentials(
    world: World, application: Application, secret: Secret, fields: Mapping[str, str]
) -> Answer:
    _forbidden(fields, "refresh_token")
    scope = _required(fields, "scope")
    scopes = frozenset(scope.split())
    if not scopes <= application.scopes:
        raise _refused(400, "invalid_scope", "The request has an invalid parameter : scope")
    access_token = _issue(world, "Atc", application, secret, scopes=scopes)
    return _token_answer(world, {"access_token": access_token, "scope": scope})


_GRANTS: dict[str, Callable[[World, Application, Secret, Mapping[str, str]], Answer]] = {
    "refresh_token": _refresh,
    "client_credentials": _client_credentials,
    "authorization_code": _exchange_code,
}


def _issue(
    world: World,
    prefix: str,
    application: Application,
    secret: Secret,
    *,
    grant: Grant | None = None,
    scopes: frozenset[str] = frozenset(),
) -> str:
    value = new_access_token(prefix)
    world.tokens[value] = AccessToken(
        application, grant, scopes, secret, world.clock.now() + world.token_lifetime
    )
    return value


def _token_answer(world: World, payload: dict[str, Any]) -> Answer:
    return json_answer(
        200, {**payload, "token_type": "bearer", "expires_in": world.token_lifetime}, _ANSWER_HEADERS
    )


def _refused(status: int, error: str, description: str) -> Refused:
    payload = {
        "error_description": description,
        "error": error,
        "error_index": uuid.uuid4().hex[:16],
        "request_id": str(uuid.uuid4()),
    }
    return Refused(json_answer(status, payload, _ANSWER_HEADERS))


def _malformed() -> Refused:
    return _refused(400, "invalid_request", "Malformed request")


def _invalid_code() -> Refused:
    return _refused(400, "invalid_grant", "The request has an invalid grant parameter : code")


def _unauthorized_client() -> Refused:
    return _refused(400, "unauthorized_client", "Not authorized for requested operation")
