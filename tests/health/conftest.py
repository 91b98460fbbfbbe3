"""A monitor without Airflow and without a clock of its own: the test says what is seen, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from airflow_provider_lwa.amazon.errors import (
    AccessDenied,
    ClientRejected,
    ClientUnauthorized,
    LwaError,
    RefreshTokenRevoked,
    Throttled,
    Unavailable,
)
from airflow_provider_lwa.health.incidents import Cycle, Notification, cycle
from airflow_provider_lwa.health.record import AlertPolicy
from airflow_provider_lwa.health.verdict import Layer, Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_lwa.health.reports import Report

START = 1_763_700_000.0
MINUTE, HOUR = 60.0, 3600.0

APPLICATION = "amzn1.application-oa2-client.0123456789abcdef0123456789abcdef"


@dataclass
class Watch:
    """Cycles of the monitor, its state going through JSON between them as it does in a Variable.

    A sight is what a look shows of a credential: ``None`` for health, or an error.
    """

    APPLICATION: ClassVar[str] = APPLICATION
    REVOKED: ClassVar[LwaError] = RefreshTokenRevoked(
        "Login with Amazon refused the refresh token.",
        code="invalid_grant",
        description=(
            "The request has an invalid grant parameter : refresh_token. "
            "User may have revoked or didn't grant the permission."
        ),
        status=400,
        request_id="bef0c2f8-9e0b-4f4c-8f0c-1d2e3f4a5b6c",
    )
    REJECTED: ClassVar[LwaError] = ClientRejected(
        "Login with Amazon refused the client.",
        code="invalid_client",
        description="Client authentication failed",
        status=401,
    )
    UNAUTHORIZED: ClassVar[LwaError] = ClientUnauthorized(
        "Not meant for each other.", code="unauthorized_client", status=400
    )
    DENIED: ClassVar[LwaError] = AccessDenied("The API refused the call.", code="Unauthorized", status=403)
    DOWN: ClassVar[LwaError] = Unavailable("No answer within 10 s.", status=503)
    SLOW: ClassVar[LwaError] = Throttled("Too many requests.", status=429, retry_after=7)

    policy: AlertPolicy = field(default_factory=AlertPolicy)
    now: float = START
    state: object = None
    deployment: str = "prod"
    lost: tuple[str, ...] = ()

    def see(
        self,
        *observations: Observation,
        inventory: list[str] | None = None,
        reports: list[Report] | None = None,
    ) -> list[Notification]:
        """Run one cycle on these observations and what tasks say."""
        outcome: Cycle = cycle(
            self.now,
            observations,
            self.state,
            self.policy,
            deployment=self.deployment,
            inventory=inventory,
            reports=reports or (),
        )
        self.state = json.loads(json.dumps(outcome.state))
        self.lost = outcome.lost
        return list(outcome.notifications)

    @staticmethod
    def brief(notifications: list[Notification]) -> list[tuple[str, str]]:
        """Phase and end of the key of each notification."""
        return [(one.phase, one.key.removeprefix("lwa/prod/")) for one in notifications]

    def hear(self, sights: Mapping[str, LwaError | None], **options: Any) -> list[tuple[str, str]]:
        """Let time pass, look, and say briefly what is told."""
        return self.brief(self.look(sights, **options))

    def look(
        self,
        sights: Mapping[str, LwaError | None],
        *,
        after: float = HOUR,
        layer: Layer = "token",
        inventory: list[str] | None = None,
        reports: list[Report] | None = None,
        **known: Any,
    ) -> list[Notification]:
        """Let time pass, look at each credential, run one cycle."""
        self.now += after
        seen = [self.observation(conn_id, sight, layer=layer, **known) for conn_id, sight in sights.items()]
        return self.see(*seen, inventory=inventory, reports=reports)

    def observation(
        self, conn_id: str, sight: LwaError | None, *, layer: Layer = "token", **known: Any
    ) -> Observation:
        """One look at one credential, now."""
        known = {"client_id": APPLICATION, "api": "selling_partner", "region": "europe", **known}
        if sight is None:
            return Observation.healthy(conn_id, at=self.now, layer=layer, **known)
        return Observation.of_error(sight, at=self.now, conn_id=conn_id, **known)


@pytest.fixture
def watch() -> Watch:
    """A monitor that has seen nothing yet."""
    return Watch()


@pytest.fixture
def watching() -> Callable[..., Watch]:
    """Make monitors with a policy of their own."""
    return Watch
