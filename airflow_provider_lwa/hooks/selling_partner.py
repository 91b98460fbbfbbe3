"""The hook for Amazon's Selling Partner API: marketplaces and reports."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.amazon import selling_partner as rules
from airflow_provider_lwa.amazon.errors import (
    ApiUnavailable,
    BadResponse,
    ConfigurationError,
    InvalidInput,
    Unavailable,
)
from airflow_provider_lwa.hooks.lwa import LwaHook

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from airflow_provider_lwa.amazon.documents import DocumentLink
    from airflow_provider_lwa.connection import LwaConnection

_POLL_BUDGET = 20.0
_CLOCK_SKEW = timedelta(minutes=2)


@contextmanager
def _naming(request: rules.ReportRequest) -> Iterator[None]:
    """Say in a refusal which report it is about."""
    try:
        yield
    except InvalidInput as error:
        error.message = f"Amazon refuses the report {request.report_type}."
        raise


class SellingPartnerHook(LwaHook):
    """Calls to the Selling Partner API for one seller or vendor.

    :param lwa_conn_id: Airflow connection of type ``lwa`` whose API is the Selling Partner API
    """

    hook_name = "Amazon Selling Partner"

    def _load(self) -> LwaConnection:
        connection = super()._load()
        if connection.profile.family != "selling_partner":
            problem = (
                f"api is {connection.profile.name}; the Selling Partner API needs a connection of its own."
            )
            raise ConfigurationError(problem, conn_id=self.lwa_conn_id)
        return connection

    def marketplace_participations(self) -> list[dict[str, Any]]:
        """The marketplaces the seller trades in (getMarketplaceParticipations).

        :return: Amazon's list, each with ``marketplace``, ``participation`` and ``storeName``
        """
        payload = self._json("GET", "/sellers/v1/marketplaceParticipations").get("payload")
        return payload if isinstance(payload, list) else []

    def report_request(
        self,
        report_type: str,
        marketplace_ids: Iterable[str] | str | None = None,
        *,
        data_start_time: datetime | str | None = None,
        data_end_time: datetime | str | None = None,
        report_options: Mapping[str, object] | None = None,
    ) -> rules.ReportRequest:
        """Check a question to the Reports API; nothing is sent.

        :param report_type: such as ``GET_MERCHANT_LISTINGS_ALL_DATA``
        :param marketplace_ids: 1 to 25; the connection's by default
        :param data_start_time: begin of the range
        :param data_end_time: its end
        :param report_options: the type's options
        :raises ConfigurationError: naming every parameter that will not do
        """
        return rules.report_request(
            report_type,
            self.connection.marketplace_ids if marketplace_ids is None else marketplace_ids,
            data_start_time=data_start_time,
            data_end_time=data_end_time,
            report_options=report_options,
            region=None if self.connection.sandbox else self.connection.region,
            now=datetime.now(UTC),
        )

    def create_report(self, request: rules.ReportRequest) -> str:
        """Ask for a report (createReport), once.

        If Amazon's answer is lost, the report may have been created all the same: it is looked for before
        giving up.

        :param request: of :meth:`report_request`
        :return: the report's id
        :raises InvalidInput: Amazon does not accept the type, the marketplaces or the dates
        :raises QuotaExceeded: the quota is used up for longer than waiting is worth
        """
        began = datetime.now(UTC) - _CLOCK_SKEW
        try:
            with _naming(request):
                return rules.text_of(self._json("POST", rules.REPORTS, json=request.body), "reportId")
        except (ApiUnavailable, Unavailable, BadResponse):
            made = self.find_report(request, created_since=began)
            if made is None:
                raise
            self.log.warning("The answer to createReport was lost; report %s is there.", made.report_id)
            return made.report_id

    def find_report(
        self, request: rules.ReportRequest, *, created_since: datetime
    ) -> rules.ReportStatus | None:
        """Look for a waiting or ready report that answers the same question (getReports).

        :param request: the question
        :param created_since: how old it may be
        :return: the newest, or ``None``
        """
        with _naming(request):
            page = self._json("GET", rules.REPORTS, params=rules.listing(request, created_since))
        listed = [report for report in page.get("reports") or () if request.answered_by(report)]
        newest = max(listed, key=lambda report: str(report.get("createdTime")), default=None)
        return None if newest is None else rules.ReportStatus.read(newest)

    def report_status(self, report_id: str, *, budget: float = _POLL_BUDGET) -> rules.ReportStatus:
        """Where a report stands (getReport).

        :param report_id: Amazon's id
        :param budget: seconds that waiting and repeating may take together
        """
        return rules.ReportStatus.read(self._json("GET", rules.path(rules.REPORTS, report_id), budget=budget))

    def cancel_report(self, report_id: str) -> None:
        """Withdraw a report that is still queued (cancelReport).

        :param report_id: Amazon's id
        :raises InvalidInput: if Amazon has begun with it
        """
        self.call("DELETE", rules.path(rules.REPORTS, report_id), budget=_POLL_BUDGET)

    def document_link(self, document_id: str) -> DocumentLink:
        """A fresh address of a report's document (getReportDocument), good for five minutes.

        :param document_id: Amazon's id
        """
        from airflow_provider_lwa.amazon.documents import DocumentLink  # noqa: PLC0415 - because it loads requests

        payload = self._json("GET", rules.path(rules.DOCUMENTS, document_id))
        compression = payload.get("compressionAlgorithm")
        return DocumentLink(
            url=rules.text_of(payload, "url"), document_id=document_id, compression=compression
        )

    def _json(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        from airflow_provider_lwa.amazon.http import json_of  # noqa: PLC0415 - because it loads requests

        payload = json_of(self.call(method, path, **kwargs))
        if not isinstance(payload, dict):
            raise BadResponse(
                f"The API's answer is not the JSON it should be ({method} {path}).", conn_id=self.lwa_conn_id
            )
        return payload
