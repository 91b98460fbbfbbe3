"""Waiting for a report without holding a worker: one trigger for every API's reports."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.triggers.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_lwa.amazon.selling_partner import ReportStatus
    from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook

Outcome = Literal["ready", "cancelled", "fatal", "timeout", "failed"]
_OUTCOMES = frozenset({"ready", "cancelled", "fatal", "timeout", "failed"})
_JITTER = 0.2


@dataclass(frozen=True, slots=True)
class ReportEvent:
    """How the waiting ended; what a trigger tells the task it wakes.

    :param outcome: ``ready``, ``cancelled``, ``fatal``, ``timeout`` (Amazon needs longer) or ``failed``
        (asking failed)
    :param report_id: Amazon's id of the report
    :param document_id: Amazon's id of its document
    :param error: of :meth:`LwaError.to_json`, with ``failed``
    """

    outcome: Outcome
    report_id: str
    document_id: str | None = None
    error: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The event's payload: ids and words only."""
        return asdict(self)

    @classmethod
    def from_json(cls, payload: object) -> ReportEvent:
        """Read an event back and insist on its form.

        :param payload: what the task was woken with
        :raises ValueError: if it is not such an event
        """
        said = payload if isinstance(payload, dict) else {}
        outcome, report_id = said.get("outcome"), said.get("report_id")
        if not isinstance(outcome, str) or outcome not in _OUTCOMES or not report_id:
            raise ValueError("The task was woken by something that is not the event of a report.")
        return cls(outcome, str(report_id), said.get("document_id"), said.get("error"))  # type: ignore[arg-type]  # because mypy does not see that it is one of them


class ReportTrigger(BaseTrigger):
    """Ask for a report's status until it is final.

    The arguments are ids and numbers; the token is taken anew for every question, in a thread of a pool of
    its own, so that thousands of waiting reports neither block the triggerer nor outlive a token.

    :param lwa_conn_id: Airflow connection
    :param report_id: Amazon's id
    :param poll_interval: seconds between two questions, give or take a fifth
    :param deadline: Unix time at which waiting ends
    """

    def __init__(self, *, lwa_conn_id: str, report_id: str, poll_interval: float, deadline: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # because Airflow did not type it
        self.lwa_conn_id = lwa_conn_id
        self.report_id = report_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """What Airflow stores: the class and its arguments, none of them secret."""
        arguments = {
            "lwa_conn_id": self.lwa_conn_id,
            "report_id": self.report_id,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
        }
        return (f"{type(self).__module__}.{type(self).__qualname__}", arguments)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one :class:`ReportEvent` when the report is final, or cannot be asked for."""
        hook = self._hook()
        while True:
            event = await in_thread(look, hook, self.report_id)
            if event is None and time.time() >= self.deadline:
                event = ReportEvent("timeout", self.report_id)
            if event is not None:
                yield TriggerEvent(event.to_json())  # type: ignore[no-untyped-call]  # because Airflow did not
                return
            await asyncio.sleep(min(spread(self.poll_interval), max(0.0, self.deadline - time.time()) + 0.1))

    async def on_kill(self) -> None:
        """Withdraw the report when somebody ends the waiting task."""
        await in_thread(withdraw, self._hook(), self.report_id)

    def _hook(self) -> SellingPartnerHook:
        from airflow_provider_lwa.hooks import selling_partner  # noqa: PLC0415 - because triggers load first

        return selling_partner.SellingPartnerHook(self.lwa_conn_id, mask_tokens=False)


def spread(seconds: float) -> float:
    """A waiting time give or take a fifth, so that many waiters do not ask at once."""
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - because this hides nothing


def look(hook: SellingPartnerHook, report_id: str) -> ReportEvent | None:
    """Ask once where a report stands.

    What passes by itself is waited out, a connection that cannot be read just now too. A credential that is
    refused is read once more from Airflow, since it may have been corrected meanwhile.

    :param hook: for the report's connection
    :param report_id: Amazon's id
    :return: how it ended, or ``None`` while it has not
    """
    if not _is_readable(hook):
        return None
    try:
        status = _status(hook, report_id)
    except errors.LwaError as error:
        if error.retryable:
            hook.log.warning("Report %s: asking again later. %s", report_id, error)
            return None
        return ReportEvent("failed", report_id, error=error.to_json())
    if status.outcome == "waiting":
        return None
    return ReportEvent(status.outcome, report_id, status.document_id)


def _is_readable(hook: SellingPartnerHook) -> bool:
    try:
        hook.connection  # noqa: B018 - because reading it is the question
    except errors.LwaError:
        return True  # it was read, and says what is wrong with it
    except Exception as error:  # noqa: BLE001 - because secrets backends raise whatever they like
        hook.log.warning(
            "Connection %s cannot be read now, asking again later: %s", hook.lwa_conn_id, type(error).__name__
        )
        return False
    return True


def _status(hook: SellingPartnerHook, report_id: str) -> ReportStatus:
    try:
        return hook.report_status(report_id, budget=0)
    except (errors.CredentialError, errors.ConfigurationError):
        hook.reload()
        return hook.report_status(report_id, budget=0)


def withdraw(hook: SellingPartnerHook, report_id: str) -> None:
    """Cancel a report if Amazon has not begun with it; anything else is only logged.

    :param hook: for the report's connection
    :param report_id: Amazon's id
    """
    try:
        hook.cancel_report(report_id)
    except errors.LwaError as error:
        hook.log.info("Report %s goes on at Amazon: %s", report_id, error)
    else:
        hook.log.info("Report %s was withdrawn.", report_id)
