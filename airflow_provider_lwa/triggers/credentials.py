"""Wait in the triggerer until a credential works, or until it is certain that it will not."""

from __future__ import annotations

import asyncio
import functools
import random
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_lwa.health.verdict import Observation, line
from airflow_provider_lwa.hooks.lwa import LwaHook
from airflow_provider_lwa.triggers.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class CheckOutcome(TypedDict):
    """What the trigger answers with.

    ``status`` says whether the credential works; ``observation`` is what was seen, as plain JSON.
    """

    status: Literal["healthy", "broken"]
    observation: dict[str, Any]


class LwaCredentialTrigger(BaseTrigger):
    """Looks at a credential from time to time; ends when it is healthy or permanently broken.

    What may pass by itself is waited for. The connection is read anew for each look, so that a corrected one
    is seen. Only ids are kept, and no secret is in the outcome.

    :param lwa_conn_id: Airflow connection of type ``lwa``
    :param api_probe: also make the API's cheap read-only call
    :param poll_interval: seconds between two looks; spread a little, so that many do not look at once
    """

    def __init__(self, *, lwa_conn_id: str, api_probe: bool = True, poll_interval: float = 60.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # because Airflow's base class is not typed
        self.lwa_conn_id = lwa_conn_id
        self.api_probe = api_probe
        self.poll_interval = poll_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give Airflow what it needs to make this trigger again: ids, no secret."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "lwa_conn_id": self.lwa_conn_id,
                "api_probe": self.api_probe,
                "poll_interval": self.poll_interval,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait first, for the sensor has just looked; then look, until there is something to say."""
        hook = LwaHook(self.lwa_conn_id, mask_tokens=False)
        while True:
            await asyncio.sleep(self.poll_interval * random.uniform(0.8, 1.2))  # noqa: S311 - because it only spreads load
            seen = await in_thread(functools.partial(hook.check, api=self.api_probe))
            if (outcome := outcome_of(seen)) is not None:
                yield TriggerEvent(outcome)  # type: ignore[no-untyped-call]  # because Airflow's class is not typed
                return
            self.log.info("Connection %s: %s Looking again.", self.lwa_conn_id, line(seen))


def outcome_of(seen: Observation) -> CheckOutcome | None:
    """Decide whether a look ends the waiting.

    :param seen: what was seen
    :return: the outcome, or ``None`` if it may still change by itself
    """
    if seen.is_healthy:
        return {"status": "healthy", "observation": seen.to_json()}
    return {"status": "broken", "observation": seen.to_json()} if seen.permanent else None


def observation_of(event: object) -> Observation:
    """Take the observation out of a trigger's event.

    :param event: what Airflow hands to the resumed task
    :raises ValueError: if it is not an outcome of this trigger
    """
    if not isinstance(event, dict) or set(event) != {"status", "observation"}:
        raise ValueError(f"The trigger gave no outcome of a credential check but {type(event).__name__}.")
    seen = Observation.from_json(event["observation"])
    if outcome_of(seen) != event:
        raise ValueError("The trigger's outcome contradicts what it says it saw.")
    return seen
