"""Tokens 2021-03-01: restricted data tokens, which open what contains personal data."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.emulator.accounts import new_access_token
from airflow_provider_lwa.emulator.exchange import json_answer
from airflow_provider_lwa.emulator.report_types import RESTRICTED
from airflow_provider_lwa.emulator.reports_api import DOCUMENTS
from airflow_provider_lwa.emulator.request import invalid, json_body

if TYPE_CHECKING:
    from airflow_provider_lwa.emulator.exchange import Answer
    from airflow_provider_lwa.emulator.request import Request
    from airflow_provider_lwa.emulator.world import World

_LIFETIME = 3600
_MAX_RESOURCES = 50
_DATA_ELEMENTS = frozenset({"buyerInfo", "shippingAddress", "buyerTaxInformation"})
_WITH_DATA_ELEMENTS = re.compile(r"/orders/v0/orders(/[^/]+(/orderItems)?)?")


def create_restricted_data_token(request: Request) -> Answer:
    """
    Issue a restricted data token.

    :param request: the request
    :return: the token
    :raises Refused: if a resource is wrong
    """
    resources = json_body(request.call).get("restrictedResources")
    if not isinstance(resources, list) or not 1 <= len(resources) <= _MAX_RESOURCES:
        raise invalid(f"The number of restrictedResources must be between 1 and {_MAX_RESOURCES}")
    allowed = tuple(_checked_resource(request.world, each) for each in resources)
    value = new_access_token("Atz.sprdt")
    request.world.tokens[value] = replace(
        request.token,
        resources=allowed,
        expires_at=request.world.clock.now() + _LIFETIME,
    )
    return json_answer(200, {"restrictedDataToken": value, "expiresIn": _LIFETIME})


def _checked_resource(world: World, resource: Any) -> tuple[str, str]:
    if not isinstance(resource, dict):
        raise invalid("Invalid request body: restrictedResources must be a list of objects")
    method, path, elements = resource.get("method"), resource.get("path"), resource.get("dataElements")
    if method not in {"GET", "PUT", "POST", "DELETE"}:
        raise invalid("Invalid Input", "restrictedResources.method must be GET, PUT, POST or DELETE")
    if not isinstance(path, str) or not path.startswith("/"):
        raise invalid("Invalid Input", "restrictedResources.path must be a path")
    if elements is not None:
        _check_data_elements(path, elements)
    if path.startswith(f"{DOCUMENTS}/"):
        _check_restricted_document(world, path.removeprefix(f"{DOCUMENTS}/"))
    return method, path


def _check_data_elements(path: str, elements: Any) -> None:
    if not isinstance(elements, list) or not set(map(str, elements)) <= _DATA_ELEMENTS:
        raise invalid("Invalid Input", f"dataElements must be among {', '.join(sorted(_DATA_ELEMENTS))}")
    if not _WITH_DATA_ELEMENTS.fullmatch(path):
        raise invalid("Invalid Input", "dataElements are only for getOrders, getOrder and getOrderItems")


def _check_restricted_document(world: World, document_id: str) -> None:
    if "{" in document_id:
        raise invalid("Invalid Input", "A report document needs a specific path, not a generic one")
    document = world.documents.get(document_id)
    if document is None or document.report_type not in RESTRICTED:
        raise invalid("Invalid Input", "The path is not a restricted resource")
