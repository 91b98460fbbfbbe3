"""The page itself, and the same as JSON; loaded by the API server only, and only when somebody asks.

It shows what monitors have written into their Variables, nothing else: no connection is read, no request is
made. A row is shown to those who may read that connection; a visitor without a login gets 401.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
from airflow.api_fastapi.common.db.common import SessionDep  # noqa: TC002 - because FastAPI reads the annotations
from airflow.api_fastapi.core_api.security import GetUserDep  # noqa: TC002 - because FastAPI reads the annotations
from airflow.models.connection import Connection
from airflow.models.variable import Variable
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment
from sqlalchemy import select

from airflow_provider_lwa.health import incidents
from airflow_provider_lwa.health.verdict import verdict
from airflow_provider_lwa.health.wording import when
from airflow_provider_lwa.monitoring import STATE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_lwa.health.record import Record

_WORST_FIRST = ("broken", "failing", "degraded", "unknown", "healthy")
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_template = Environment(autoescape=True).from_string(
    Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
)

app = FastAPI(title="Amazon credentials", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/credentials")
def credentials_page(user: GetUserDep, session: SessionDep) -> HTMLResponse:
    """Show the table.

    :param user: who is logged in
    :param session: Airflow's database
    """
    nonce = secrets.token_urlsafe(16)
    html = _template.render(**_shown(user, session), nonce=nonce, when=when)
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
    policy += "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
    return HTMLResponse(html, headers={**_HEADERS, "Content-Security-Policy": policy})


@app.get("/credentials.json")
def credentials_json(user: GetUserDep, session: SessionDep) -> JSONResponse:
    """Give the same as JSON.

    :param user: who is logged in
    :param session: Airflow's database
    """
    return JSONResponse(_shown(user, session), headers=_HEADERS)


def overview(stored: Mapping[str, str | None]) -> dict[str, Any]:
    """Put together what all monitors know; where two watch one credential, the later look counts.

    :param stored: what their Variables hold, by the monitor's DAG id
    :return: ``monitors``, and ``credentials`` with the worst first
    """
    states = {dag_id: incidents.read(_parsed(text)) for dag_id, text in sorted(stored.items())}
    latest: dict[str, dict[str, Any]] = {}
    for dag_id, memory in states.items():
        for record in memory.records.values():
            row = _row(record, dag_id)
            if row["checked"] >= latest.get(record.conn_id, row)["checked"]:
                latest[record.conn_id] = row
    rows = sorted(latest.values(), key=lambda row: (_WORST_FIRST.index(row["state"]), row["conn_id"]))
    monitors = [
        {"dag_id": dag_id, "at": memory.at, "unreadable": bool(memory.lost)}
        for dag_id, memory in states.items()
    ]
    return {"monitors": monitors, "credentials": rows}


def _row(record: Record, dag_id: str) -> dict[str, Any]:
    ailing = record.state not in ("healthy", "unknown")
    return {
        "conn_id": record.conn_id,
        "state": record.state,
        "reason": verdict(record.kind).headline if ailing else "",
        "description": record.description,
        "code": record.code,
        "request_id": record.request_id,
        "advice": record.remedy if ailing else "",
        "layer": record.layer,
        "since": record.since,
        "good": record.good,
        "checked": record.checked,
        "api": record.api,
        "region": record.region,
        "owner": record.owner,
        "monitor": dag_id,
    }


def _parsed(text: str | None) -> object:
    try:
        return json.loads(text or "")
    except ValueError:
        return text or ""


def _shown(user: Any, session: Any) -> dict[str, Any]:
    """Leave out what the user may not see."""
    known = overview(_stored(session))
    readable = _readable([row["conn_id"] for row in known["credentials"]], user, session)
    shown = [row for row in known["credentials"] if row["conn_id"] in readable]
    theirs = {row["monitor"] for row in shown}
    return {
        "monitors": [monitor for monitor in known["monitors"] if monitor["dag_id"] in theirs],
        "credentials": shown,
        "hidden": bool(known["credentials"]) and not shown,
    }


def _stored(session: Any) -> dict[str, str | None]:
    query = select(Variable).where(Variable.key.startswith(STATE_PREFIX, autoescape=True))
    return {one.key.removeprefix(STATE_PREFIX): one.get_val() for one in session.scalars(query)}


def _readable(conn_ids: Iterable[str], user: Any, session: Any) -> set[str]:
    names = list(conn_ids)
    teams = _teams(names, session)
    return {
        name
        for name in names
        if get_auth_manager().is_authorized_connection(
            method="GET", details=ConnectionDetails(conn_id=name, **teams.get(name, {})), user=user
        )
    }


def _teams(conn_ids: list[str], session: Any) -> dict[str, dict[str, str]]:
    """Look up whose connections they are; Airflow 3.1 knows no teams."""
    if not hasattr(Connection, "team_name"):
        return {}
    query = select(Connection.conn_id, Connection.team_name).where(Connection.conn_id.in_(conn_ids))
    return {conn_id: {"team_name": team} for conn_id, team in session.execute(query) if team}
