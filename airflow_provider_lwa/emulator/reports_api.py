"""Reports 2021-06-30: the operations that make reports and give their documents."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.emulator.clock import iso_time
from airflow_provider_lwa.emulator.downloads import presigned_url
from airflow_provider_lwa.emulator.exchange import Answer, json_answer
from airflow_provider_lwa.emulator.marketplaces import MARKETPLACES
from airflow_provider_lwa.emulator.report_types import RESTRICTED, SETTLEMENT
from airflow_provider_lwa.emulator.request import denied, error, invalid, json_body

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_lwa.emulator.reports import Report
    from airflow_provider_lwa.emulator.request import Request
    from airflow_provider_lwa.emulator.world import World

REPORTS = "/reports/2021-06-30/reports"
DOCUMENTS = "/reports/2021-06-30/documents"

_MAX_MARKETPLACES = 25
_MAX_FILTER_VALUES = 10
_MAX_PAGE = 100
_DEFAULT_PAGE = 10
_KEPT_SECONDS = 90 * 86400
_STATUSES = frozenset({"CANCELLED", "DONE", "FATAL", "IN_PROGRESS", "IN_QUEUE"})
_REPORT_FILTERS = (
    "createdUntil",
    "createdSince",
    "pageSize",
    "marketplaceIds",
    "processingStatuses",
    "reportTypes",
)


def create_report(request: Request) -> Answer:
    """
    Ask for a report.

    :param request: the request
    :return: 202 with its id
    :raises Refused: if the specification is wrong
    """
    wanted = json_body(request.call)
    missing = [name for name in ("marketplaceIds", "reportType") if not wanted.get(name)]
    if missing:
        raise invalid("One or more required parameters missing", "".join(f"{name};" for name in missing))
    report_type = wanted["reportType"]
    _check_report_type(request.world, report_type)
    _check_marketplaces(wanted["marketplaceIds"])
    _check_options(wanted.get("reportOptions"))
    start, end = _checked_period(request.world, wanted)
    report = request.world.add_report(
        request.grant,
        report_type,
        marketplace_ids=wanted["marketplaceIds"],
        data_start_time=start,
        data_end_time=end,
    )
    return json_answer(202, {"reportId": report.report_id}, report_id=report.report_id)


def _check_report_type(world: World, report_type: Any) -> None:
    if not isinstance(report_type, str) or report_type not in world.report_types:
        raise invalid(f"Invalid Report Type {report_type}")
    if report_type in SETTLEMENT:
        raise invalid(f"Request for report type {report_type} is not allowed at this time")


def _check_marketplaces(ids: Any) -> None:
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise invalid("Invalid request body: marketplaceIds must be a list of strings")
    if not 1 <= len(ids) <= _MAX_MARKETPLACES:
        raise invalid(f"The number of marketplaceIds must be between 1 and {_MAX_MARKETPLACES}")
    unknown = [each for each in ids if each not in MARKETPLACES]
    if unknown:
        raise invalid("Invalid Input", f"Invalid marketplaceIds: {', '.join(unknown)}")


def _check_options(options: Any) -> None:
    if options is None:
        return
    if not isinstance(options, dict) or not all(isinstance(value, str) for value in options.values()):
        raise invalid("Invalid request body: reportOptions must be an object of strings")


def _checked_period(world: World, wanted: Mapping[str, Any]) -> tuple[str | None, str | None]:
    start = _checked_time("dataStartTime", wanted.get("dataStartTime"))
    end = _checked_time("dataEndTime", wanted.get("dataEndTime"))
    if end is not None and end > world.clock.now():
        raise invalid("Invalid Input", "dataEndTime must be the present or earlier")
    if start is not None and start > (world.clock.now() if end is None else end):
        raise invalid("Invalid Input", "dataStartTime must be before dataEndTime")
    return None if start is None else iso_time(start), None if end is None else iso_time(end)


def _checked_time(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise invalid("Invalid Input", f"{name} is not an ISO 8601 date time") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def get_report(request: Request) -> Answer:
    """
    Say how far a report is; each answer brings it one step on.

    :param request: the request
    :return: the report
    :raises Refused: if the selling partner has none of this id
    """
    report = _report(request)
    view = _report_view(report)
    report.polls += 1
    return json_answer(200, view)


def _report(request: Request) -> Report:
    report_id = request.parameters["reportId"]
    report = request.world.reports.get((request.grant.selling_partner_id, report_id))
    if report is None:
        raise error(404, "NotFound", f"Report {report_id} was not found.")
    return report


def _report_view(report: Report) -> dict[str, Any]:
    status = report.status
    view = {
        "reportId": report.report_id,
        "reportType": report.report_type,
        "dataStartTime": report.data_start_time,
        "dataEndTime": report.data_end_time,
        "marketplaceIds": list(report.marketplace_ids),
        "createdTime": iso_time(report.created_at),
        "processingStatus": status,
    }
    if status != "IN_QUEUE":
        view["processingStartTime"] = iso_time(report.created_at)
    if status in {"DONE", "CANCELLED", "FATAL"}:
        view["processingEndTime"] = iso_time(report.created_at)
    if status in {"DONE", "FATAL"} and report.document:
        view["reportDocumentId"] = report.document.document_id
    return {name: value for name, value in view.items() if value is not None}


def get_reports(request: Request) -> Answer:
    """
    List reports, the newest first; does not bring them on.

    :param request: the request
    :return: a page of them
    :raises Refused: if a filter is wrong
    """
    query = request.call.query
    offset = 0
    if "nextToken" in query:
        others = [name for name in _REPORT_FILTERS if name in query]
        if others:
            raise invalid(
                "NextToken cannot be specified with other input parameters",
                "".join(f"{name};" for name in others),
            )
        query, offset = _decoded(query["nextToken"])
    size = _page_size(query)
    found = _filtered(request, query)
    page = {"reports": [_report_view(report) for report in found[offset : offset + size]]}
    more = {"nextToken": _encoded(query, offset + size)} if len(found) > offset + size else {}
    return json_answer(200, {**page, **more})


def _filtered(request: Request, query: Mapping[str, str]) -> list[Report]:
    types = _list_parameter(query, "reportTypes")
    if not types:
        raise invalid("One or more required parameters missing", "reportTypes;")
    for report_type in types:
        if report_type not in request.world.report_types:
            raise invalid(f"Invalid Report Type {report_type}")
    statuses = _list_parameter(query, "processingStatuses")
    if not set(statuses) <= _STATUSES:
        raise invalid("Invalid Input", "processingStatuses;")
    marketplaces = set(_list_parameter(query, "marketplaceIds"))
    now = request.world.clock.now()
    since = _checked_time("createdSince", query.get("createdSince"))
    until = _checked_time("createdUntil", query.get("createdUntil"))
    oldest = max(now - _KEPT_SECONDS, since or 0)
    return [
        report
        for (seller, _), report in reversed(request.world.reports.items())
        if seller == request.grant.selling_partner_id
        and report.report_type in types
        and (not statuses or report.status in statuses)
        and (not marketplaces or marketplaces & set(report.marketplace_ids))
        and oldest <= report.created_at <= (now if until is None else until)
    ]


def _list_parameter(query: Mapping[str, str], name: str) -> list[str]:
    found = values(query.get(name, ""))
    if len(found) > _MAX_FILTER_VALUES:
        raise invalid("Invalid Input", f"{name} has more than {_MAX_FILTER_VALUES} values")
    return found


def values(parameter: str) -> list[str]:
    """
    Read a query parameter that holds several values.

    :param parameter: the values, separated by commas
    :return: the values
    """
    return [value for value in parameter.split(",") if value]


def _page_size(query: Mapping[str, str]) -> int:
    text = query.get("pageSize", str(_DEFAULT_PAGE))
    if not re.fullmatch(r"\d{1,3}", text) or not 1 <= int(text) <= _MAX_PAGE:
        raise invalid("Invalid Input", f"pageSize must be between 1 and {_MAX_PAGE}")
    return int(text)


def _encoded(query: Mapping[str, str], offset: int) -> str:
    return base64.b64encode(json.dumps([dict(query), offset]).encode()).decode()


def _decoded(next_token: str) -> tuple[Mapping[str, str], int]:
    try:
        query, offset = json.loads(base64.b64decode(next_token, validate=True))
        return {str(name): str(value) for name, value in query.items()}, int(offset)
    except (AttributeError, TypeError, ValueError):
        raise invalid("Invalid Input", "nextToken;") from None


def cancel_report(request: Request) -> Answer:
    """
    Cancel a report that is still in the queue.

    :param request: the request
    :return: 200 without a body
    :raises Refused: if it is not
    """
    report = _report(request)
    if report.status != "IN_QUEUE":
        raise invalid(
            f"Report {report.report_id} is {report.status}: only a report IN_QUEUE can be cancelled."
        )
    report.cancelled = True
    return Answer(200)


def get_report_document(request: Request) -> Answer:
    """
    Give a pre-signed URL for a document.

    :param request: the request
    :return: the URL, for five minutes
    :raises Refused: if it is not the selling partner's, or needs a restricted data token
    """
    document = request.world.documents.get(request.parameters["reportDocumentId"])
    if document is None or document.selling_partner_id != request.grant.selling_partner_id:
        raise error(404, "NotFound", "The report document was not found.")
    if document.report_type in RESTRICTED and request.token.resources is None:
        raise denied()
    content_encoding = (
        document.compressed and request.call.query.get("enableContentEncodingUrlHeader") == "true"
    )
    payload = {
        "reportDocumentId": document.document_id,
        "url": presigned_url(request.world, document, request.call.origin, content_encoding=content_encoding),
    }
    if document.compressed:
        payload["compressionAlgorithm"] = "GZIP"
    return json_answer(200, payload)
