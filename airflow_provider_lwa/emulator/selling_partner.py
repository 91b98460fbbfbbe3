"""The Selling Partner API: sellers, reports, tokens and the operations that need no seller.

Paths are Amazon's, at the root. Under ``/north_america``, ``/europe`` or ``/far_east`` the region is checked,
as on Amazon's regional hosts; ``/sandbox`` may stand before that. Follows the OpenAPI models (Sellers v1,
Reports 2021-06-30, Tokens 2021-03-01, Notifications v1, Application Management 2023-11-30), "Usage plans and
rate limits" and "Authorization errors".
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_provider_lwa.emulator import reports_api, tokens_api
from airflow_provider_lwa.emulator.clock import Bucket
from airflow_provider_lwa.emulator.exchange import Answer, Facts, Refused, json_answer
from airflow_provider_lwa.emulator.marketplaces import MARKETPLACES
from airflow_provider_lwa.emulator.request import Request, denied, error, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from airflow_provider_lwa.emulator.accounts import AccessToken, Grant
    from airflow_provider_lwa.emulator.exchange import Call
    from airflow_provider_lwa.emulator.world import World

_WRONG_REGION = "The marketplaces you provided are not valid for region."
_NOTIFICATIONS_SCOPE = "sellingpartnerapi::notifications"
_ROTATION_SCOPE = "sellingpartnerapi::client_credential:rotation"

_MAX_USER_AGENT = 500
_SANDBOX_RATE = 5.0


@dataclass(frozen=True)
class Operation:
    """
    One operation.

    :param name: Amazon's name of it
    :param method: its HTTP method
    :param path: its path, with the parts that vary in braces
    :param role: the part of the API to which it belongs; see
        :data:`airflow_provider_lwa.emulator.accounts.ROLES`
    :param rate: requests per second
    :param burst: requests at once
    :param handle: what it does
    :param scope: the scope of an operation that needs no seller
    """

    name: str
    method: str
    path: str
    role: str
    rate: float
    burst: int
    handle: Callable[[Request], Answer]
    scope: str | None = None

    def match(self, method: str, path: str) -> Mapping[str, str] | None:
        """
        Say whether a request is for this operation.

        :param method: the HTTP method
        :param path: the path
        :return: the parts of the path that vary; ``None`` if it is for another operation
        """
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path) if method == self.method else None
        return found.groupdict() if found else None


def describe(world: World, call: Call) -> Facts:
    """
    Say what the journal may know of a request.

    :param world: the world
    :param call: the request
    :return: the operation, the application, the fingerprint of the refresh token and the report
    """
    operation, parameters = _route(call)
    token = world.tokens.get(call.headers.get("x-amz-access-token", ""))
    document = world.documents.get(parameters.get("reportDocumentId", ""))
    return Facts(
        operation=operation.name if operation else None,
        client_id=token.application.client_id if token else None,
        credential=token.grant.credential if token and token.grant else None,
        report_id=document.report_id if document else parameters.get("reportId"),
    )


def answer(world: World, call: Call) -> Answer:
    """
    Answer a request to the Selling Partner API.

    :param world: the world
    :param call: the request
    :return: the answer, a refusal included
    """
    operation, parameters = _route(call)
    try:
        token = _access_token(world, call)
        _check_form(call)
        allowed = _allowed(world, call, operation, token)
        result = allowed.handle(Request(world, call, token, parameters))
    except Refused as refused:
        result = refused.answer
    headers = {**result.headers, "x-amzn-requestid": str(uuid.uuid4())}
    if operation and (result.status < 300 or result.status in {400, 404}):  # noqa: PLR2004 - because 20x is Amazon's word for it
        headers["x-amzn-ratelimit-limit"] = str(_SANDBOX_RATE if call.sandbox else operation.rate)
    return replace(result, headers=headers)


def _route(call: Call) -> tuple[Operation | None, Mapping[str, str]]:
    for operation in _OPERATIONS:
        parameters = operation.match(call.method, call.path)
        if parameters is not None:
            return operation, parameters
    return None, {}


def _access_token(world: World, call: Call) -> AccessToken:
    value = call.headers.get("x-amz-access-token")
    if not value:
        raise denied("Access token is missing in the request header.")
    token = world.tokens.get(value)
    if token is None or token.killed:
        raise denied("The access token you provided is revoked, malformed or invalid.")
    if world.clock.now() >= token.expires_at:
        raise denied("The access token you provided has expired.")
    if token.secret.expired(world.clock.now()) and token.secret.afterwards == "api_refuses":
        raise denied("The LWA secret token you provided has expired.")
    return token


def _check_form(call: Call) -> None:
    if len(call.headers.get("user-agent", "")) > _MAX_USER_AGENT:
        raise invalid("The user-agent header is longer than 500 characters.")
    if call.method == "GET" and (call.body or {"content-length", "transfer-encoding"} & call.headers.keys()):
        raise invalid("A GET request has no body and no Content-Length.")


def _allowed(world: World, call: Call, operation: Operation | None, token: AccessToken) -> Operation:
    if operation is None or operation.role not in token.application.roles:
        raise denied()
    if (operation.scope is None) == (token.grant is None) or not {operation.scope} - {None} <= token.scopes:
        raise denied()
    if token.resources is not None and not _covered(call, token.resources):
        raise denied()
    _check_region(call, token.grant)
    _spend(world, operation, token)
    return operation


def _covered(call: Call, resources: Iterable[tuple[str, str]]) -> bool:
    return any(
        call.method == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), call.path)
        for method, path in resources
    )


def _check_region(call: Call, grant: Grant | None) -> None:
    if call.region is None or grant is None:
        return
    named = [MARKETPLACES[each] for each in _marketplaces_named(call) if each in MARKETPLACES]
    if any(marketplace.region != call.region for marketplace in named):
        raise denied(_WRONG_REGION)
    if grant.region != call.region:
        raise denied()


def _marketplaces_named(call: Call) -> Iterable[str]:
    try:
        body = json.loads(call.body or b"{}")
    except ValueError:
        body = {}
    named = body.get("marketplaceIds") if isinstance(body, dict) else None
    in_body = [each for each in named if isinstance(each, str)] if isinstance(named, list) else []
    return [*in_body, *reports_api.values(call.query.get("marketplaceIds", ""))]


def _spend(world: World, operation: Operation, token: AccessToken) -> None:
    if not world.rate_limits:
        return
    seller = token.grant.selling_partner_id if token.grant else ""
    now = world.clock.now()
    bucket = world.buckets.setdefault(
        (token.application.client_id, seller, operation.name), Bucket(operation.burst, now)
    )
    if not bucket.take(now, operation.rate, operation.burst):
        raise error(429, "QuotaExceeded", "You exceeded your quota for the requested resource.")


# Sellers v1


def _get_marketplace_participations(request: Request) -> Answer:
    grant = request.grant
    marketplaces = [MARKETPLACES[each] for each in grant.marketplace_ids]
    payload = [
        {
            "marketplace": {
                "id": marketplace.id,
                "countryCode": marketplace.country_code,
                "name": marketplace.name,
                "defaultCurrencyCode": marketplace.currency,
                "defaultLanguageCode": marketplace.language,
                "domainName": marketplace.domain,
            },
            "participation": {"isParticipating": True, "hasSuspendedListings": False},
            "storeName": grant.store_name,
        }
        for marketplace in marketplaces
    ]
    return json_answer(200, {"payload": payload})


# Without a selling partner: Notifications v1, Application Management 2023-11-30


def _get_destinations(_request: Request) -> Answer:
    return json_answer(200, {"payload": []})


def _rotate_application_client_secret(request: Request) -> Answer:
    if request.call.sandbox:
        raise invalid("Client secrets of sandbox applications are not rotated.")
    request.world.rotate_secret(request.token.application.client_id)
    return Answer(204)


_OPERATIONS = (
    Operation(
        "getMarketplaceParticipations",
        "GET",
        "/sellers/v1/marketplaceParticipations",
        "sellers",
        0.016,
        15,
        _get_marketplace_participations,
    ),
    Operation("createReport", "POST", reports_api.REPORTS, "reports", 0.0167, 15, reports_api.create_report),
    Operation("getReports", "GET", reports_api.REPORTS, "reports", 0.0222, 10, reports_api.get_reports),
    Operation(
        "getReport", "GET", f"{reports_api.REPORTS}/{{reportId}}", "reports", 2.0, 15, reports_api.get_report
    ),
    Operation(
        "cancelReport",
        "DELETE",
        f"{reports_api.REPORTS}/{{reportId}}",
        "reports",
        0.0222,
        10,
        reports_api.cancel_report,
    ),
    Operation(
        "getReportDocument",
        "GET",
        f"{reports_api.DOCUMENTS}/{{reportDocumentId}}",
        "reports",
        0.0167,
        15,
        reports_api.get_report_document,
    ),
    Operation(
        "createRestrictedDataToken",
        "POST",
        "/tokens/2021-03-01/restrictedDataToken",
        "tokens",
        1.0,
        10,
        tokens_api.create_restricted_data_token,
    ),
    Operation(
        "getDestinations",
        "GET",
        "/notifications/v1/destinations",
        "notifications",
        1.0,
        5,
        _get_destinations,
        _NOTIFICATIONS_SCOPE,
    ),
    Operation(
        "rotateApplicationClientSecret",
        "POST",
        "/applications/2023-11-30/clientSecret",
        "applications",
        0.0167,
        1,
        _rotate_application_client_secret,
        _ROTATION_SCOPE,
    ),
)
