"""Let a DAG begin only if its credential works."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    BaseSensorOperator,
    conf,
)

from airflow_provider_lwa.health.verdict import line
from airflow_provider_lwa.hooks.lwa import LwaHook
from airflow_provider_lwa.triggers.credentials import LwaCredentialTrigger, observation_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_lwa.health.verdict import Observation


class LwaCredentialSensor(BaseSensorOperator):
    """Succeeds when a credential works; fails at once when it never will; waits through everything else.

    Each look asks Login with Amazon past the shared tokens, so that a withdrawn authorization is seen at once
    and not when the last token ends; a token got on the way is shared. Then the API is called, cheaply.

    * healthy: the task succeeds
    * permanently broken, such as a revoked authorization: the task fails without using up its retries, or is
      skipped with ``soft_fail=True``
    * throttled, unavailable, connection not readable: it goes on waiting, until ``timeout``

    :param lwa_conn_id: Airflow connection of type ``lwa`` (templated)
    :param api_probe: also make the API's cheap read-only call, where the API has one
    :param deferrable: wait in the triggerer instead of a worker slot
    """

    template_fields = ("lwa_conn_id",)

    def __init__(
        self,
        *,
        lwa_conn_id: str = LwaHook.default_conn_name,
        api_probe: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lwa_conn_id = lwa_conn_id
        self.api_probe = api_probe
        self.deferrable = deferrable

    def poke(self, context: Context) -> bool:  # noqa: ARG002 - because Airflow passes it
        """Look once.

        :param context: Airflow's, not used
        :return: whether the credential works
        :raises AirflowFailException: if no waiting will mend it
        """
        return self._judge(LwaHook(self.lwa_conn_id).check(api=self.api_probe))

    def execute(self, context: Context) -> Any:
        """Look, and wait here or in the triggerer.

        :param context: Airflow's
        """
        if not self.deferrable:
            return super().execute(context)
        if not self.poke(context):
            self.defer(
                trigger=LwaCredentialTrigger(
                    lwa_conn_id=self.lwa_conn_id,
                    api_probe=self.api_probe,
                    poll_interval=self.poke_interval,
                ),
                method_name="execute_complete",
                timeout=timedelta(seconds=self.timeout),
            )
        return None

    def execute_complete(self, context: Context, event: Any = None) -> None:  # noqa: ARG002 - because Airflow passes it
        """Go on after the triggerer.

        :param context: Airflow's, not used
        :param event: the trigger's outcome
        :raises AirflowFailException: if the credential is broken for good
        :raises ValueError: if the event is none of the trigger's
        """
        self._judge(observation_of(event))

    def _judge(self, seen: Observation) -> bool:
        said = f"Connection {self.lwa_conn_id}: {line(seen)}"
        if not seen.permanent:
            self.log.info("%s", said)
            return seen.is_healthy
        if self.soft_fail or self.never_fail:
            raise AirflowSkipException(said)
        raise AirflowFailException(said)
