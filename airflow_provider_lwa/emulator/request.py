"""A request to the Selling Partner API that may be carried out, and the errors with which it can end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.emulator.exchange import Refused, json_answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_lwa.emulator.accounts import AccessToken, Grant
    from airflow_provider_lwa.emulator.exchange import Call
    from airflow_provider_lwa.emulator.world import World

_DENIED = "Access to requested resource is denied."


@dataclass(frozen=True)
class Request:
    """
    A request that may be carried out.

    :param world: the world
    :param call: the request as it came
    :param token: what it is allowed
    :param parameters: the parts of the path that vary
    """

    world: World
    call: Call
    token: AccessToken
    parameters: Mapping[str, str]

    @property
    def grant(self) -> Grant:
        """The selling partner whose token this is."""
        assert self.token.grant is not None
        return self.token.grant


def json_body(call: Call) -> dict[str, Any]:
    """
    Read a body that must be a JSON object.

    :param call: the request
    :return: the object
    :raises Refused: if it is not one
    """
    try:
        body = json.loads(call.body)
    except ValueError:
        raise invalid("Invalid request body") from None
    if not isinstance(body, dict):
        raise invalid("Invalid request body")
    return body


def denied(details: str = "") -> Refused:
    """
    Refuse: the caller may not do this.

    :param details: Amazon's hint; often it gives none
    :return: 403 Unauthorized, to raise
    """
    return error(403, "Unauthorized", _DENIED, details, {"x-amzn-errortype": "AccessDeniedException"})


def invalid(message: str, details: str = "") -> Refused:
    """
    Refuse: the request is wrong.

    :param message: what is wrong
    :param details: where
    :return: 400 InvalidInput, to raise
    """
    return error(400, "InvalidInput", message, details)


def error(
    status: int, code: str, message: str, details: str = "", headers: Mapping[str, str] | None = None
) -> Refused:
    """
    Refuse, in the form that all errors of the Selling Partner API have.

    :param status: the HTTP status
    :param code: the word for it
    :param message: what it means
    :param details: more
    :param headers: further headers
    :return: the error, to raise
    """
    first = {"code": code, "message": message, "details": details}
    return Refused(json_answer(status, {"errors": [first]}, headers))
