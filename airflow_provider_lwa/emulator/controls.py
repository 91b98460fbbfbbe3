"""The controls over HTTP, for a program in another process: ``POST /_emulator/{action}`` with the arguments
as JSON.

The actions are the methods of :class:`~airflow_provider_lwa.emulator.world.World` (``add_application``,
``add_seller``, ``add_code``, ``revoke``, ``restore``, ``rotate_secret``, ``expire_secret``, ``attach``,
``detach``, ``plan_report``, ``fail_next``, ``clear_faults``, ``reset``), and ``advance_clock`` (``{"seconds":
3600}``) and ``configure`` (``{"token_lifetime": 60, "latency": {"token": 0.2}, "rate_limits": true}``).
``overlap`` of ``rotate_secret`` is in seconds. ``GET /_emulator/journal`` gives the journal; a query filters
it (``?kind=token``). ``GET /_emulator/world`` says what there is, with credentials only if asked for them
(``?secrets=1``).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.emulator.exchange import Answer, Facts, Refused, json_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_lwa.emulator.exchange import Call
    from airflow_provider_lwa.emulator.world import Application, Grant, World

PATH = "/_emulator/"


def describe(_world: World, call: Call) -> Facts:
    """
    Say what the journal may know of a control.

    :param call: the request
    :return: the action
    """
    return Facts(operation=call.path.removeprefix(PATH))


def answer(world: World, call: Call) -> Answer:
    """
    Carry out a control.

    :param world: the world
    :param call: the request
    :return: what it gave
    :raises Refused: if there is no such action, or its arguments do not fit
    """
    name = call.path.removeprefix(PATH)
    if call.method == "GET" and name in _VIEWS:
        return json_answer(200, _VIEWS[name](world, call))
    if call.method != "POST" or name not in _ACTIONS:
        known = ", ".join(
            sorted([*(f"GET {view}" for view in _VIEWS), *(f"POST {action}" for action in _ACTIONS)])
        )
        raise _refused(404, f"There is no {call.method} {name}. There is: {known}.")
    try:
        return json_answer(200, _ACTIONS[name](world, _arguments(call)))
    except KeyError as error:
        raise _refused(
            404, f"{name}: there is no such {'credential' if name in _BY_TOKEN else 'entry'}."
        ) from error
    except (TypeError, ValueError) as error:
        raise _refused(400, f"{name}: {error}") from error


def _arguments(call: Call) -> dict[str, Any]:
    arguments = json.loads(call.body or b"{}")
    if not isinstance(arguments, dict):
        raise TypeError("the arguments must be a JSON object")
    return arguments


def _refused(status: int, message: str) -> Refused:
    return Refused(json_answer(status, {"error": message}))


def _add_application(world: World, arguments: dict[str, Any]) -> Any:
    return _application_view(world.add_application(**arguments), secrets=True)


def _add_seller(world: World, arguments: dict[str, Any]) -> Any:
    return _grant_view(world.add_seller(**arguments), secrets=True)


def _add_code(world: World, arguments: dict[str, Any]) -> Any:
    return {"code": world.add_code(**arguments)}


def _rotate_secret(world: World, arguments: dict[str, Any]) -> Any:
    if "overlap" in arguments:
        arguments["overlap"] = timedelta(seconds=arguments["overlap"])
    return {"client_secret": world.rotate_secret(**arguments)}


def _plan_report(world: World, arguments: dict[str, Any]) -> None:
    if "path" in arguments:
        raise ValueError("a file can be served only by a plan made in the emulator's own process")
    world.plan_report(**arguments)


def _configure(world: World, arguments: dict[str, Any]) -> None:
    unknown = arguments.keys() - {"token_lifetime", "latency", "rate_limits"}
    if unknown:
        raise ValueError(f"there is no setting {', '.join(sorted(unknown))}")
    for name, value in arguments.items():
        setattr(world, name, value)


def _plain(name: str) -> Callable[[World, dict[str, Any]], None]:
    def act(world: World, arguments: dict[str, Any]) -> None:
        getattr(world, name)(**arguments)

    return act


_BY_TOKEN = frozenset({"revoke", "restore"})
_ACTIONS: dict[str, Callable[[World, dict[str, Any]], Any]] = {
    **{
        name: _plain(name)
        for name in ("expire_secret", "attach", "detach", "fail_next", "clear_faults", "reset", *_BY_TOKEN)
    },
    "add_application": _add_application,
    "add_seller": _add_seller,
    "add_code": _add_code,
    "rotate_secret": _rotate_secret,
    "plan_report": _plan_report,
    "configure": _configure,
    "advance_clock": lambda world, arguments: world.clock.advance(**arguments),
}


def _journal(world: World, call: Call) -> Any:
    entries = [asdict(entry) for entry in world.journal]
    return [
        entry for entry in entries if all(str(entry.get(name)) == value for name, value in call.query.items())
    ]


def _world(world: World, call: Call) -> Any:
    secrets = call.query.get("secrets") == "1"
    return {
        "now": world.clock.now(),
        "token_lifetime": world.token_lifetime,
        "latency": world.latency,
        "rate_limits": world.rate_limits,
        "applications": [_application_view(each, secrets=secrets) for each in world.applications.values()],
        "sellers": [_grant_view(each, secrets=secrets) for each in world.grants.values()],
        "reports": [
            {
                "reportId": report.report_id,
                "sellingPartnerId": report.selling_partner_id,
                "reportType": report.report_type,
                "processingStatus": report.status,
            }
            for report in world.reports.values()
        ],
    }


def _application_view(application: Application, *, secrets: bool) -> dict[str, Any]:
    view: dict[str, Any] = {
        "client_id": application.client_id,
        "roles": sorted(application.roles),
        "scopes": sorted(application.scopes),
    }
    return {**view, "client_secret": application.client_secret} if secrets else view


def _grant_view(grant: Grant, *, secrets: bool) -> dict[str, Any]:
    view = {**asdict(grant), "credential": grant.credential}
    if not secrets:
        del view["refresh_token"]
    return view


_VIEWS: dict[str, Callable[[World, Call], Any]] = {"journal": _journal, "world": _world}
