"""What tasks say of a credential: their own failures and successes, weighed against what looks see.

A task that met a refusal is believed unless a look in the same cycle saw health: then the credential works,
and the task may have had a reason of its own. Several such failures within an hour are worth a message
nevertheless, for workers can differ from the monitor. A task's success ends only what tasks alone have said:
it may have used an access token from before a revocation.

Read the reports before looking, so that looks are the later word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_lwa.amazon.errors import clean
from airflow_provider_lwa.health.plain import from_plain, to_plain
from airflow_provider_lwa.health.record import mended, proves, refuse
from airflow_provider_lwa.health.verdict import HEALTHY, VERDICTS, Layer, Observation, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_lwa.amazon.errors import LwaError
    from airflow_provider_lwa.health.record import AlertPolicy, Record

_DAGS_KEPT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one task met.

    :param conn_id: the Airflow connection
    :param at: when, in Unix seconds
    :param kind: ``"healthy"`` or the ``kind`` of the error met
    :param layer: ``token`` if no access token could be had, ``operation`` if a call was refused or accepted
    :param code: Amazon's error code
    :param request_id: Amazon's request id
    :param dag_id: where it happened
    :param task_id: where it happened
    :param run_id: where it happened
    """

    conn_id: str
    at: float
    kind: str
    layer: Layer = "token"
    code: str | None = None
    request_id: str | None = None
    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None

    @classmethod
    def of_error(
        cls,
        error: LwaError,
        *,
        at: float,
        layer: Layer | None = None,
        conn_id: str | None = None,
        dag_id: str | None = None,
        task_id: str | None = None,
        run_id: str | None = None,
    ) -> Self:
        """Report the error that a task ended with.

        :param error: what was raised
        :param at: when, in Unix seconds
        :param layer: where; by default where errors of this class come from
        :param conn_id: the Airflow connection, if the error does not name it
        :param dag_id: where it happened
        :param task_id: where it happened
        :param run_id: where it happened
        """
        seen = Observation.of_error(error, at=at, layer=layer, conn_id=conn_id)
        return cls(
            conn_id=seen.conn_id,
            at=at,
            kind=seen.kind,
            layer="operation" if proves(seen.layer, "api") else seen.layer,
            code=seen.code,
            request_id=seen.request_id,
            dag_id=clean(dag_id) or None,
            task_id=clean(task_id) or None,
            run_id=clean(run_id) or None,
        )

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read back what :meth:`to_json` gave, trusting nothing.

        :param data: the parsed JSON
        :raises ValueError: if this is not a report
        """
        return from_plain(cls, data)

    def to_json(self) -> dict[str, Any]:
        """Give the report as plain JSON, without what is not set."""
        return to_plain(self)

    @property
    def is_healthy(self) -> bool:
        """Whether the task's call was accepted."""
        return self.kind == HEALTHY


def hear(
    record: Record, reports: Iterable[Report], now: float, policy: AlertPolicy, *, contradicted: bool
) -> Record:
    """Change what is remembered by what tasks say; what was heard before counts once.

    :param record: what was remembered
    :param reports: of this credential
    :param now: the present, in Unix seconds; a report from the future counts as of now
    :param policy: how much it takes
    :param contradicted: a look in this cycle saw health
    """
    already = record.heard
    for report in sorted(reports, key=lambda one: one.at):
        at = min(report.at, now)
        if (
            at <= already or report.kind not in VERDICTS
        ):  # a parameter that Amazon refuses is no matter of ours
            continue
        record = _take_back(record, at) if report.is_healthy else _complain(record, report, at, policy)
        if verdict(report.kind).permanent and not contradicted and at > (record.good or 0.0):
            record = _believe(record, report, at, policy)
    return record


def weigh(record: Record, now: float, policy: AlertPolicy) -> Record:
    """Decide whether tasks complain so often that it is told, or no longer do.

    :param record: after this cycle's reports and looks
    :param now: the present, in Unix seconds
    :param policy: how much it takes
    """
    if record.is_ailing:  # which explains them
        record = replace(record, complaints=())
    if now - record.heard >= policy.complaints_last.total_seconds():
        calm = replace(record, complaints=(), disputed=False)
        return calm if record.is_ailing else replace(calm, failures=0, dag_ids=())
    recent = record.complaints[-policy.complaints :]
    many = len(recent) >= policy.complaints
    close = many and recent[-1] - recent[0] <= policy.complaints_within.total_seconds()
    return replace(record, disputed=True) if close and record.state == "healthy" else record


def _complain(record: Record, report: Report, at: float, policy: AlertPolicy) -> Record:
    dag_ids = dict.fromkeys([report.dag_id, *record.dag_ids] if report.dag_id else record.dag_ids)
    return replace(
        record,
        heard=at,
        complaints=(*record.complaints, at)[-policy.complaints :],
        failures=record.failures + 1,
        dag_ids=tuple(dag_ids)[:_DAGS_KEPT],
    )


def _take_back(record: Record, at: float) -> Record:
    """Let a task's success end what tasks alone have said."""
    if record.state == "broken" and record.reported and proves("operation", record.layer):
        record = mended(record, record.layer, at, at)
    return replace(record, heard=at, complaints=(), disputed=False)


def _believe(record: Record, report: Report, at: float, policy: AlertPolicy) -> Record:
    if record.state == "broken":
        return record
    seen = Observation(
        conn_id=record.conn_id,
        at=at,
        layer="operation" if proves(report.layer, "api") else report.layer,
        kind=report.kind,
        permanent=True,
        code=report.code,
        request_id=report.request_id,
    )
    believing = replace(policy, confirmations=0)  # the task has met it and no look denies it
    return replace(refuse(record, seen, at, believing), reported=True, seen=record.seen)
