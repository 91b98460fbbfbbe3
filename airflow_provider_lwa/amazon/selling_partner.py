"""The Selling Partner API: marketplaces, headers, how a refusal reads, and the life of a report.

Pure rules over what goes out and comes back. Sources: Amazon's "Marketplace IDs", "Connect to the Selling
Partner API", "Include a User-Agent header in all requests", "Authorization errors" and the Reports API
2021-06-30 model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from airflow_provider_lwa.amazon import api
from airflow_provider_lwa.amazon.errors import (
    AccessTokenRejected,
    ApiError,
    BadResponse,
    ClientSecretExpired,
    ConfigurationError,
    InvalidInput,
    LwaError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_lwa.amazon.http import Answer

REPORTS = "/reports/2021-06-30/reports"
DOCUMENTS = "/reports/2021-06-30/documents"
MAX_MARKETPLACES = 25
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Marketplace:
    """One of Amazon's marketplaces.

    :param country: ISO code of its country
    :param region: the region whose host serves it
    """

    country: str
    region: str


def _marketplaces(region: str, ids: str) -> dict[str, Marketplace]:
    pairs = (pair.split(":") for pair in ids.split())
    return {marketplace_id: Marketplace(country, region) for country, marketplace_id in pairs}


#: Marketplace id -> country and region.
MARKETPLACES: dict[str, Marketplace] = {
    **_marketplaces(
        "north_america", "CA:A2EUQ1WTGCTBG2 US:ATVPDKIKX0DER MX:A1AM78C64UM0Y8 BR:A2Q3Y263D00KWC"
    ),
    **_marketplaces(
        "europe",
        "IE:A28R8C7NBKEWEA ES:A1RKKUPIHCS9HS GB:A1F83G8C2ARO7P FR:A13V1IB3VIYZZH BE:AMEN7PMS3EDWL "
        "NL:A1805IZSGTT6HS DE:A1PA6795UKMFR9 IT:APJ6JRA9NG5V4 SE:A2NODRKZP88ZB9 ZA:AE08WJ6YKNBMC "
        "PL:A1C3SOZRARQ6R3 EG:ARBP9OOSHTCHU TR:A33AVAJ2PDY3EV SA:A17E79C6D8DWNP AE:A2VIGQ35RCS4UG "
        "IN:A21TJRUUN4KGV",
    ),
    **_marketplaces("far_east", "SG:A19VAU5U5O7RUS AU:A39IBJ37TRP1C6 JP:A1VC38T7YXB528"),
}


def headers(now: datetime, agent: str) -> dict[str, str]:
    """What every call carries besides the token.

    :param now: the time, with zone
    :param agent: of :func:`airflow_provider_lwa.amazon.api.user_agent`
    """
    return {"x-amz-date": now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"), **api.headers(now, agent)}


# --- how a refusal reads ---------------------------------------------------------------------------------

#: Words in ``details`` -> what a 400 or 403 is about.
_FORBIDDEN: tuple[tuple[str, type[LwaError], str], ...] = (
    ("lwa secret token you provided has expired", ClientSecretExpired, "The client secret is past its time"),
    ("access token you provided has expired", AccessTokenRejected, "The access token has expired"),
    ("revoked, malformed or invalid", AccessTokenRejected, "The access token was not accepted"),
    ("access token is missing", AccessTokenRejected, "The access token did not arrive"),
    ("not valid for region", InvalidInput, "The marketplaces do not belong to the region of this connection"),
)


def error_of(answer: Answer, payload: Any, operation: str) -> LwaError | None:
    """Say what an answer means, if it is a refusal.

    The three kinds of 403 differ only in ``details``: the token, the client secret, or neither. The last is a
    matter of roles, path or region and never of a revoked credential.

    :param answer: status and headers
    :param payload: the parsed JSON, or ``None``
    :param operation: method and path, for the message
    :return: the error, or ``None`` for a success
    """
    if answer.status < 300:  # noqa: PLR2004 - because these are HTTP's own bounds
        return None
    first = _first_error(payload)
    details = str(first.get("details") or "")
    said = details or first.get("message")
    facts: dict[str, Any] = {**api.facts(answer), "code": first.get("code"), "description": said}
    for words, kind, sentence in _FORBIDDEN if answer.status in {400, 403} else ():
        if words in details.lower():
            if issubclass(kind, ApiError):
                facts["operation"] = operation
            return kind(f"{sentence} ({operation}).", **facts)
    return api.refusal(answer, operation, facts)


def _first_error(payload: Any) -> Mapping[str, Any]:
    errors = payload.get("errors") if isinstance(payload, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else None
    return first if isinstance(first, dict) else {}


# --- reports ---------------------------------------------------------------------------------------------

Outcome = Literal["waiting", "ready", "cancelled", "fatal"]
_OUTCOMES: dict[str, Outcome] = {
    "IN_QUEUE": "waiting",
    "IN_PROGRESS": "waiting",
    "DONE": "ready",
    "CANCELLED": "cancelled",
    "FATAL": "fatal",
}


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """Where a report stands.

    :param report_id: Amazon's id
    :param outcome: ``waiting``, ``ready``, ``cancelled`` or ``fatal``
    :param document_id: of the document; with ``fatal`` it explains why
    :param report_type: what was asked for
    :param status: Amazon's own word
    """

    report_id: str
    outcome: Outcome
    document_id: str | None
    report_type: str
    status: str

    @classmethod
    def read(cls, payload: Any) -> ReportStatus:
        """Read one report of an answer.

        :param payload: the ``Report`` object of the model
        :raises BadResponse: if it is none
        """
        if not isinstance(payload, dict) or not payload.get("reportId"):
            raise BadResponse("The Reports API answered with something that is not a report.")
        status = str(payload.get("processingStatus") or "")
        if status not in _OUTCOMES:
            raise BadResponse(f"The Reports API names an unknown processing status {status!r}.")
        document_id = payload.get("reportDocumentId")
        return cls(
            report_id=str(payload["reportId"]),
            outcome=_OUTCOMES[status],
            document_id=str(document_id) if document_id else None,
            report_type=str(payload.get("reportType") or ""),
            status=status,
        )


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """One question to the Reports API.

    :param report_type: such as ``GET_MERCHANT_LISTINGS_ALL_DATA``
    :param marketplace_ids: 1 to 25
    :param data_start_time: begin of the range, or ``None`` where the type needs none
    :param data_end_time: its end
    :param report_options: the type's own options
    """

    report_type: str
    marketplace_ids: tuple[str, ...]
    data_start_time: datetime | None = None
    data_end_time: datetime | None = None
    report_options: tuple[tuple[str, str], ...] = ()

    @property
    def body(self) -> dict[str, Any]:
        """The ``CreateReportSpecification`` of the model."""
        body: dict[str, Any] = {"reportType": self.report_type, "marketplaceIds": list(self.marketplace_ids)}
        if self.data_start_time:
            body["dataStartTime"] = iso(self.data_start_time)
        if self.data_end_time:
            body["dataEndTime"] = iso(self.data_end_time)
        if self.report_options:
            body["reportOptions"] = dict(self.report_options)
        return body

    def answered_by(self, report: Mapping[str, Any]) -> bool:
        """Tell whether a listed report answers this very question.

        Amazon's list does not show a report's options, so a question with options is never answered by
        another's report. Where no begin or end is asked for, Amazon fills in the moment of the question.

        :param report: a ``Report`` object of the model
        """
        if self.report_options or report.get("reportScheduleId"):
            return False
        same_place = set(report.get("marketplaceIds") or ()) == set(self.marketplace_ids)
        created = _read_moment(report.get("createdTime"))
        return (
            report.get("reportType") == self.report_type
            and same_place
            and _OUTCOMES.get(str(report.get("processingStatus"))) in {"waiting", "ready"}
            and _same_moment(self.data_start_time, report.get("dataStartTime"), created)
            and _same_moment(self.data_end_time, report.get("dataEndTime"), created)
        )


def _same_moment(asked: datetime | None, listed: object, created: datetime | None) -> bool:
    moment = _read_moment(listed)
    if asked is not None:
        return moment == asked
    if listed is None:
        return True
    return moment is not None and created is not None and abs(moment - created) <= CLOCK_TOLERANCE


def _read_moment(listed: object) -> datetime | None:
    """A moment as the API lists it, to the second; ``None`` if it is none."""
    try:
        moment = datetime.fromisoformat(str(listed))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).replace(microsecond=0)


def fatal_reason(document: str) -> str:
    """Amazon's explanation out of the document of a FATAL report.

    :param document: JSON with ``errorDetails``, or anything else, which is then the explanation itself
    """
    try:
        details = json.loads(document).get("errorDetails")
    except (ValueError, AttributeError):
        return document
    return details if isinstance(details, str) else document


def iso(moment: datetime) -> str:
    """A moment as the API writes it, in UTC to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def report_request(
    report_type: str,
    marketplace_ids: Iterable[str] | str,
    *,
    data_start_time: datetime | str | None = None,
    data_end_time: datetime | str | None = None,
    report_options: Mapping[str, object] | None = None,
    region: str | None = None,
    now: datetime,
) -> ReportRequest:
    """Check a question against the documented limits before it is sent.

    :param report_type: the type's name
    :param marketplace_ids: 1 to 25 marketplaces of one region; also as one text with commas or blanks between
    :param data_start_time: begin of the range; a text is read as ISO 8601, UTC if it names no zone
    :param data_end_time: its end, not in the future
    :param report_options: the type's options; values become text
    :param region: the connection's region
    :param now: the time, with zone
    :raises ConfigurationError: naming every parameter that will not do
    """
    problems: list[str] = []
    named = marketplace_ids.replace(",", " ").split() if isinstance(marketplace_ids, str) else marketplace_ids
    places = tuple(dict.fromkeys(str(place) for place in named))
    if not re.fullmatch(r"[A-Z][A-Z0-9_]{2,}", str(report_type)):
        problems.append(
            f"report_type is {report_type!r}; it is a name such as GET_MERCHANT_LISTINGS_ALL_DATA."
        )
    if not 1 <= len(places) <= MAX_MARKETPLACES:
        problems.append(f"marketplace_ids has {len(places)} entries; 1 to {MAX_MARKETPLACES} are allowed.")
    problems += _wrong_places(places, region)
    start = _moment("data_start_time", data_start_time, problems)
    end = _moment("data_end_time", data_end_time, problems)
    problems += _wrong_range(start, end, now)
    options = _options(report_options, problems)
    if problems:
        raise ConfigurationError(
            problems, advice="Correct the operator's parameters. Nothing was sent to Amazon."
        )
    return ReportRequest(report_type, places, start, end, options)


def _wrong_places(places: Sequence[str], region: str | None) -> list[str]:
    wrong = []
    for place in places:
        known = MARKETPLACES.get(place)
        if known is None and not re.fullmatch(r"A[0-9A-Z]{9,19}", place):
            wrong.append(f"marketplace_ids names {place!r}, which is not a marketplace id.")
        elif known and region and known.region != region:
            wrong.append(
                f"marketplace_ids names {place} ({known.country}), which belongs to {known.region}; the "
                f"connection is for {region}."
            )
    return wrong


def _moment(name: str, value: datetime | str | None, problems: list[str]) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (ValueError, TypeError):
        problems.append(f"{name} is {value!r}, not a time such as 2026-11-01T00:00:00Z.")
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).replace(microsecond=0)


def _wrong_range(start: datetime | None, end: datetime | None, now: datetime) -> list[str]:
    wrong = []
    if start and end and start >= end:
        wrong.append(f"data_start_time {iso(start)} is not before data_end_time {iso(end)}.")
    for name, moment in (("data_start_time", start), ("data_end_time", end)):
        if moment and moment > now + CLOCK_TOLERANCE:
            wrong.append(f"{name} {iso(moment)} lies in the future.")
    return wrong


def _options(given: object, problems: list[str]) -> tuple[tuple[str, str], ...]:
    if not given:
        return ()
    if not isinstance(given, Mapping):
        problems.append("report_options must be a mapping of names to values.")
        return ()
    return tuple(sorted((str(name), _option_text(value)) for name, value in given.items()))


def _option_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def listing(request: ReportRequest, created_since: datetime) -> dict[str, str]:
    """The query of getReports that would show a report for *request*.

    :param request: the question
    :param created_since: how old a report may be
    """
    return {
        "reportTypes": request.report_type,
        "processingStatuses": "IN_QUEUE,IN_PROGRESS,DONE",
        "marketplaceIds": ",".join(request.marketplace_ids[:10]),
        "createdSince": iso(created_since),
        "pageSize": "100",
    }


def path(*parts: str) -> str:
    """Join path parts; each is encoded whole, so an id cannot become a path.

    :param parts: the first as it is, the others encoded
    """
    return "/".join([parts[0], *(quote(part, safe="") for part in parts[1:])])


def text_of(payload: Any, key: str) -> str:
    """A text an answer must hold.

    :param payload: parsed JSON
    :param key: its key
    :raises BadResponse: if it is not there
    """
    value = payload.get(key) if isinstance(payload, dict) else None
    if not isinstance(value, str) or not value:
        raise BadResponse(f"The API's answer lacks {key}.")
    return value
