"""Airflow's own API server in this process, with its simple logins."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.amazon.errors import RefreshTokenRevoked
from airflow_provider_lwa.health.incidents import cycle
from airflow_provider_lwa.health.record import AlertPolicy
from airflow_provider_lwa.health.verdict import Observation

if TYPE_CHECKING:
    from collections.abc import Iterator

START = 1_763_700_000.0


@dataclass(frozen=True)
class Web:
    """The API server, and what monitors have written."""

    client: Any

    def get(self, path: str, role: str | None) -> Any:
        """Ask for a page as somebody with a role; ``None`` for nobody."""
        return self.client.get(path, headers=self.login(role) if role else {})

    @staticmethod
    def login(role: str) -> dict[str, str]:
        """:return: the header of somebody with a role who has logged in"""
        from airflow.api_fastapi.app import get_auth_manager
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

        token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=role, role=role.upper()))
        return {"Authorization": f"Bearer {token}"}

    @staticmethod
    def write(dag_id: str, value: str) -> None:
        """Write a monitor's Variable."""
        from airflow.models.variable import Variable

        Variable.set(f"lwa_health.{dag_id}", value)

    @staticmethod
    def seen(*, at: float = START, description: str = "The grant was withdrawn", **broken: bool) -> str:
        """What a monitor writes that has seen these connections broken or not."""
        error = RefreshTokenRevoked("x", code="invalid_grant", description=description, request_id="r-1")
        looks = [
            Observation.of_error(error, at=at, conn_id=conn_id, api="selling_partner", owner="growth")
            if is_broken
            else Observation.healthy(conn_id, at=at, layer="api", api="selling_partner")
            for conn_id, is_broken in broken.items()
        ]
        return json.dumps(cycle(at + 1, looks, None, AlertPolicy()).state)


@pytest.fixture(scope="session")
def server() -> Iterator[Any]:
    """The API server with our plugin, started once."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRFLOW__API_AUTH__JWT_SECRET", secrets.token_hex(32))
        environment.setenv("AIRFLOW__API__SECRET_KEY", secrets.token_hex(32))
        from airflow.api_fastapi.app import create_app, purge_cached_app
        from airflow.utils.db import initdb
        from starlette.testclient import TestClient

        initdb()
        purge_cached_app()
        yield TestClient(create_app(apps="core"), raise_server_exceptions=False)
        purge_cached_app()


@pytest.fixture
def web(server: Any) -> Iterator[Web]:
    """The API server, and no monitor yet."""
    from airflow.models.variable import Variable
    from airflow.utils.session import create_session

    yield Web(server)
    with create_session() as session:
        session.query(Variable).filter(Variable.key.startswith("lwa_health.")).delete()
