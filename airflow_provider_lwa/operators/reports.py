"""Pull a report of Amazon's into a file: one report however often the task is retried, whole or not."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import (
    AirflowSkipException,
    Asset,
    BaseOperator,
    ObjectStoragePath,
    conf,
)

from airflow_provider_lwa import _airflow
from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.amazon.charsets import require_codec
from airflow_provider_lwa.amazon.selling_partner import ReportRequest, ReportStatus, fatal_reason
from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook
from airflow_provider_lwa.triggers.reports import ReportEvent, ReportTrigger, look, spread, withdraw

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.providers.common.compat.sdk import Context

OnNoData = Literal["skip", "empty", "fail"]
_STATE_KEY = "lwa_report"
_RETRY_WINDOW = timedelta(hours=6)
_GRACE = timedelta(minutes=5)


class SellingPartnerReportOperator(BaseOperator):
    """Ask the Selling Partner API for a report, wait for it, and write it to a file or object.

    A retry goes on with the report that was asked for before, and a report that another task asked for within
    ``reuse_within`` is taken instead of asking Amazon again. The target appears when the document is whole.

    :param report_type: Amazon's name of the report, such as ``GET_MERCHANT_LISTINGS_ALL_DATA``
    :param target: local path, or address of any storage Airflow knows, such as ``s3://bucket/listings.tsv``
    :param marketplace_ids: 1 to 25 marketplaces, also as one text with commas between; those of the
        connection by default
    :param data_start_time: begin of the range; ISO 8601, UTC without a zone
    :param data_end_time: its end
    :param report_options: options of the report type
    :param on_no_data: what to do when Amazon cancels the report, as it does when there is no data: ``skip``
        the task, write an ``empty`` file, or ``fail``
    :param encoding: charset of the document; ``auto`` follows Amazon's headers and the marketplaces, ``None``
        leaves the bytes as they are; text is written as UTF-8
    :param reuse_within: age up to which a report of another task with the same question is taken; zero asks
        always
    :param poll_interval: seconds between two questions for the status
    :param wait_timeout: how long to wait for Amazon; a retry after it goes on with the same report
    :param deferrable: wait in the triggerer instead of on a worker
    :param lwa_conn_id: Airflow connection of type ``lwa``
    :return: a small description of the file: path, bytes, rows, sha256 and Amazon's ids
    :raises ConfigurationError: a parameter or the connection will not do; nothing was sent
    :raises InvalidInput: Amazon does not accept the report type, marketplaces or dates
    :raises CredentialError: the credential does not work; fails without retries
    :raises ReportFatal: Amazon could not make the report; holds its explanation
    :raises ReportCancelled: no data, with ``on_no_data="fail"``
    :raises ReportTimeout: Amazon needs longer than ``wait_timeout``
    :raises DocumentError: the document could not be fetched or read whole
    """

    template_fields: Sequence[str] = (
        "report_type",
        "target",
        "marketplace_ids",
        "data_start_time",
        "data_end_time",
        "report_options",
        "lwa_conn_id",
    )
    template_fields_renderers = {"report_options": "json"}  # noqa: RUF012 - because Airflow declares it so
    ui_color = "#fff3e0"

    def __init__(
        self,
        *,
        report_type: str,
        target: str | Path | ObjectStoragePath,
        marketplace_ids: Sequence[str] | str | None = None,
        data_start_time: datetime | str | None = None,
        data_end_time: datetime | str | None = None,
        report_options: Mapping[str, object] | None = None,
        on_no_data: OnNoData = "skip",
        encoding: str | None = "auto",
        reuse_within: timedelta = timedelta(minutes=30),
        poll_interval: float = 30.0,
        wait_timeout: timedelta = timedelta(hours=6),
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        lwa_conn_id: str = SellingPartnerHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.report_type = report_type
        self.target = target
        self.marketplace_ids = marketplace_ids
        self.data_start_time = data_start_time
        self.data_end_time = data_end_time
        self.report_options = report_options
        self.on_no_data = on_no_data
        self.encoding = encoding
        self.reuse_within = reuse_within
        self.poll_interval = poll_interval
        self.wait_timeout = wait_timeout
        self.deferrable = deferrable
        self.lwa_conn_id = lwa_conn_id
        self._waiting_for: str | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask for the report, or find the one asked for, and see it through."""
        with _airflow.airflow_errors(self.lwa_conn_id):
            hook = self._hook()
            request = self._checked(hook)
            status = self._report(hook, request, context)
            if status.outcome == "ready":
                return self._finish(hook, context, ReportEvent("ready", status.report_id, status.document_id))
            if self.deferrable:
                self._defer(status.report_id)
            return self._finish(hook, context, self._wait(hook, status.report_id))

    def execute_complete(self, context: Context, event: object = None) -> dict[str, Any]:
        """Go on where the trigger left off.

        :param context: Airflow's context
        :param event: the payload of a :class:`ReportEvent`
        """
        with _airflow.airflow_errors(self.lwa_conn_id):
            return self._finish(self._hook(), context, ReportEvent.from_json(event))

    def on_kill(self) -> None:
        """Withdraw the report if the task is ended while it waits."""
        if self._waiting_for:
            withdraw(self._hook(), self._waiting_for)

    def _hook(self) -> SellingPartnerHook:
        return SellingPartnerHook(lwa_conn_id=self.lwa_conn_id)

    def _checked(self, hook: SellingPartnerHook) -> ReportRequest:
        """Everything that can be known to be wrong is found before a request is made."""
        from airflow_provider_lwa.amazon import documents  # noqa: PLC0415 - because it loads requests

        if self.on_no_data not in {"skip", "empty", "fail"}:
            problem = f"on_no_data is {self.on_no_data!r}; it must be skip, empty or fail."
            raise errors.ConfigurationError(problem)
        self._check_times()
        require_codec(self.encoding)
        request = self._request(hook)
        documents.require_writable(self._place())
        return request

    def _check_times(self) -> None:
        interval = self.poll_interval
        problems = [] if _is_number(interval) and interval > 0 else ["poll_interval must be seconds above 0."]
        for name in ("wait_timeout", "reuse_within"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) or value < timedelta(0):
                problems.append(f"{name} must be a timedelta, and not negative.")
        if problems:
            raise errors.ConfigurationError(problems, advice="Correct the operator's parameters.")

    def _request(self, hook: SellingPartnerHook) -> ReportRequest:
        return hook.report_request(
            self.report_type,
            self.marketplace_ids,
            data_start_time=self.data_start_time,
            data_end_time=self.data_end_time,
            report_options=self.report_options,
        )

    def _report(self, hook: SellingPartnerHook, request: ReportRequest, context: Context) -> ReportStatus:
        found = self._remembered(hook, request, context) or self._adopted(hook, request, context)
        if found is not None:
            return found
        report_id = hook.create_report(request)
        self._remember(context, request, report_id)
        self.log.info("Asked Amazon for report %s (%s).", report_id, self.report_type)
        return ReportStatus(report_id, "waiting", None, self.report_type, "IN_QUEUE")

    def _remembered(
        self, hook: SellingPartnerHook, request: ReportRequest, context: Context
    ) -> ReportStatus | None:
        """The report an earlier attempt of this task asked for, if it is still good."""
        store = context.get("task_state_store")
        kept = store.get(_STATE_KEY) if store is not None else None
        if not isinstance(kept, dict) or kept.get("question") != self._question(request):
            return None
        with suppress(errors.NotFound):
            status = hook.report_status(str(kept.get("report_id")))
            if status.outcome in {"waiting", "ready"}:
                self.log.info("Going on with report %s of an earlier attempt.", status.report_id)
                return status
        return None

    def _adopted(
        self, hook: SellingPartnerHook, request: ReportRequest, context: Context
    ) -> ReportStatus | None:
        """A report that already answers the question, asked for by another task or an earlier attempt."""
        retrying = self._is_retry(context) and context.get("task_state_store") is None
        window = max(self.reuse_within, self.wait_timeout + _RETRY_WINDOW) if retrying else self.reuse_within
        if not window or request.report_options:
            return None
        found = hook.find_report(request, created_since=datetime.now(UTC) - window)
        if found is not None:
            self.log.info("Report %s already answers the question; not asking again.", found.report_id)
            self._remember(context, request, found.report_id)
        return found

    def _is_retry(self, context: Context) -> bool:
        """Tell a retry from the first attempt after the task was cleared, which asks anew."""
        instance = context["ti"]
        retries = int(self.retries or 0)
        cleared_at = int(getattr(instance, "max_tries", retries)) - retries
        return bool(instance.try_number > cleared_at + 1)

    def _remember(self, context: Context, request: ReportRequest, report_id: str) -> None:
        store = context.get("task_state_store")
        if store is not None:
            store.set(_STATE_KEY, {"report_id": report_id, "question": self._question(request)})

    def _question(self, request: ReportRequest) -> str:
        asked = json.dumps([self.lwa_conn_id, request.body], sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()

    def _defer(self, report_id: str) -> None:
        trigger = ReportTrigger(
            lwa_conn_id=self.lwa_conn_id,
            report_id=report_id,
            poll_interval=self.poll_interval,
            deadline=time.time() + self.wait_timeout.total_seconds(),
        )
        self.defer(trigger=trigger, method_name="execute_complete", timeout=self.wait_timeout + _GRACE)

    def _wait(self, hook: SellingPartnerHook, report_id: str) -> ReportEvent:
        self._waiting_for = report_id
        deadline = time.monotonic() + self.wait_timeout.total_seconds()
        while (event := look(hook, report_id)) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return ReportEvent("timeout", report_id)
            time.sleep(min(spread(self.poll_interval), left))
        self._waiting_for = None
        return event

    def _finish(self, hook: SellingPartnerHook, context: Context, event: ReportEvent) -> dict[str, Any]:
        known = {"report_id": event.report_id, "report_type": self.report_type, "conn_id": self.lwa_conn_id}
        if event.outcome == "failed":
            raise errors.from_json(event.error)
        if event.outcome == "timeout":
            raise errors.ReportTimeout(
                f"Report {event.report_id} ({self.report_type}) is not ready after {self.wait_timeout}.",
                **known,
            )
        if event.outcome == "fatal":
            raise self._fatal(hook, event, known)
        if event.outcome == "cancelled":
            return self._no_data(context, event, known)
        described = self._fetch(hook, context, event)
        self._forget(context)
        return described

    def _fetch(self, hook: SellingPartnerHook, context: Context, event: ReportEvent) -> dict[str, Any]:
        from airflow_provider_lwa.amazon import documents  # noqa: PLC0415 - because it loads requests

        if event.document_id is None:
            raise errors.BadResponse(f"Report {event.report_id} is done but names no document.")
        document_id = event.document_id
        fetched = documents.fetch(
            lambda: hook.document_link(document_id),
            self._place(),
            encoding=self.encoding,
            marketplace_ids=self._request(hook).marketplace_ids,
        )
        return self._described(context, event, fetched)

    def _no_data(self, context: Context, event: ReportEvent, known: dict[str, Any]) -> dict[str, Any]:
        from airflow_provider_lwa.amazon import documents  # noqa: PLC0415 - because it loads requests

        what = f"report {event.report_id} ({self.report_type})"
        sentence = f"Amazon cancelled {what}, as it does when there is no data."
        if self.on_no_data == "fail":
            raise errors.ReportCancelled(sentence, **known)
        if self.on_no_data == "skip":
            raise AirflowSkipException(sentence)
        self.log.info("%s Writing an empty file.", sentence)
        return self._described(context, event, documents.write_empty(self._place()))

    def _fatal(
        self, hook: SellingPartnerHook, event: ReportEvent, known: dict[str, Any]
    ) -> errors.ReportFatal:
        from airflow_provider_lwa.amazon import documents  # noqa: PLC0415 - because it loads requests

        explanation = None
        if event.document_id:
            document_id = event.document_id
            try:
                explanation = fatal_reason(documents.read_text(lambda: hook.document_link(document_id)))
            except errors.LwaError as error:
                self.log.warning("Amazon's explanation could not be read: %s", error)
        sentence = f"Amazon could not make report {event.report_id} ({self.report_type})."
        return errors.ReportFatal(sentence, description=explanation, **known)

    def _forget(self, context: Context) -> None:
        """A task that is cleared after its success asks for a new report."""
        store = context.get("task_state_store")
        if store is not None:
            store.delete(_STATE_KEY)

    def _described(self, context: Context, event: ReportEvent, fetched: Any) -> dict[str, Any]:
        described = {
            "path": fetched.path,
            "bytes": fetched.bytes,
            "rows": fetched.rows,
            "sha256": fetched.sha256,
            "report_type": self.report_type,
            "report_id": event.report_id,
            "document_id": event.document_id,
        }
        self.log.info("Wrote %s bytes of report %s to %s.", fetched.bytes, event.report_id, fetched.path)
        for outlet in self.outlets or ():
            if isinstance(outlet, Asset):
                context["outlet_events"][outlet].extra = described
        return described

    def _place(self) -> Path | ObjectStoragePath:
        if isinstance(self.target, (Path, ObjectStoragePath)):
            return self.target
        if not self.target:
            raise errors.ConfigurationError("target is empty; name the file to write.")
        if "://" not in self.target:
            return Path(self.target)
        try:
            path = ObjectStoragePath(self.target)
            path.fs  # noqa: B018 - because only the look shows whether Airflow can reach that kind of storage
        except (ImportError, ValueError) as error:
            advice = "Install the Airflow provider for that storage."
            raise errors.ConfigurationError(f"target is not usable: {error}.", advice=advice) from error
        return path


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
