"""Reports and restricted data tokens: asking, waiting, listing, cancelling, and how a report turns out."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Caller

    from airflow_provider_lwa.emulator import Emulator

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
RESTRICTED = "GET_FLAT_FILE_ORDER_REPORT_DATA_SHIPPING"
REPORTS = "/reports/2021-06-30/reports"
TOKENS = "/tokens/2021-03-01/restrictedDataToken"


def invalid(answer: requests.Response) -> tuple[str, str]:
    """Read the message and the details of a 400."""
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (400, "InvalidInput")
    return error["message"], error["details"]


def test_a_report_from_request_to_document(caller: Caller) -> None:
    """202 with an id; in queue, in progress, done; a document whose URL gives rows."""
    created = caller.create(dataStartTime="2026-01-01T00:00:00Z", dataEndTime="2026-01-02T00:00:00+01:00")
    report_id = created.json()["reportId"]
    views = [caller.report(report_id) for _ in range(4)]
    document = caller.document(views[2]["reportDocumentId"]).json()
    rows = gzip.decompress(requests.get(document["url"], timeout=5).content)

    assert created.status_code == 202
    assert created.headers["x-amzn-RateLimit-Limit"] == "0.0167"
    assert [view["processingStatus"] for view in views] == ["IN_QUEUE", "IN_PROGRESS", "DONE", "DONE"]
    assert views[0].keys() == {
        "reportId",
        "reportType",
        "dataStartTime",
        "dataEndTime",
        "marketplaceIds",
        "createdTime",
        "processingStatus",
    }
    assert views[2]["dataEndTime"] == "2026-01-01T23:00:00+00:00"
    assert {"processingStartTime", "processingEndTime"} <= views[2].keys()
    assert document["compressionAlgorithm"] == "GZIP"
    assert rows.startswith(b"amazon-order-id\t")


def test_report_ids_are_unique_only_with_the_seller(amazon: Emulator, caller: Caller) -> None:
    """Two sellers get the same id for different reports, and neither sees the other's document."""
    first_id = caller.create().json()["reportId"]
    document_id = caller.finished()["reportDocumentId"]
    caller.grant = amazon.add_seller(caller.application)
    unknown = caller.api("GET", f"{REPORTS}/{first_id}")
    second_id = caller.create(reportType="GET_SALES_AND_TRAFFIC_REPORT").json()["reportId"]

    assert unknown.status_code == 404
    assert unknown.json()["errors"][0]["code"] == "NotFound"
    assert first_id == second_id
    assert caller.report(second_id)["reportType"] == "GET_SALES_AND_TRAFFIC_REPORT"
    assert caller.document(document_id).status_code == 404


@pytest.mark.parametrize(
    ("specification", "message", "details"),
    [
        ({"reportType": None}, "One or more required parameters missing", "reportType;"),
        (
            {"reportType": None, "marketplaceIds": []},
            "One or more required parameters missing",
            "marketplaceIds;reportType;",
        ),
        ({"reportType": "GET_MERCHANT_LISTNGS"}, "Invalid Report Type GET_MERCHANT_LISTNGS", ""),
        (
            {"reportType": "GET_V2_SETTLEMENT_REPORT_DATA_FLAT_FILE"},
            "Request for report type GET_V2_SETTLEMENT_REPORT_DATA_FLAT_FILE is not allowed at this time",
            "",
        ),
        (
            {"marketplaceIds": ["ATVPDKIKX0DER"] * 26},
            "The number of marketplaceIds must be between 1 and 25",
            "",
        ),
        ({"marketplaceIds": ["US"]}, "Invalid Input", "Invalid marketplaceIds: US"),
        (
            {"marketplaceIds": "ATVPDKIKX0DER"},
            "Invalid request body: marketplaceIds must be a list of strings",
            "",
        ),
        (
            {"reportOptions": {"RootNodesOnly": True}},
            "Invalid request body: reportOptions must be an object of strings",
            "",
        ),
        ({"dataStartTime": "yesterday"}, "Invalid Input", "dataStartTime is not an ISO 8601 date time"),
        ({"dataEndTime": 5}, "Invalid Input", "dataEndTime is not an ISO 8601 date time"),
        (
            {"dataStartTime": "2026-01-02T00:00:00Z", "dataEndTime": "2026-01-01T00:00:00Z"},
            "Invalid Input",
            "dataStartTime must be before dataEndTime",
        ),
    ],
    ids=str,
)
def test_wrong_specifications(
    amazon: Emulator, caller: Caller, specification: dict[str, Any], message: str, details: str
) -> None:
    """A wrong specification is refused with a reason, and makes no report."""
    assert invalid(caller.create(**specification)) == (message, details)
    assert amazon.reports == {}


def test_the_end_of_the_data_must_not_lie_ahead(amazon: Emulator, caller: Caller) -> None:
    """The end may be now, on the emulator's clock, and not later."""
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    ahead = caller.create(dataEndTime=soon)
    amazon.clock.advance(3601)

    assert invalid(ahead) == ("Invalid Input", "dataEndTime must be the present or earlier")
    assert caller.create(dataEndTime=soon).status_code == 202


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_bodies_that_cannot_be_read(caller: Caller, body: bytes) -> None:
    """A body must be a JSON object."""
    assert invalid(caller.api("POST", REPORTS, data=body)) == ("Invalid request body", "")


def test_a_planned_type_is_known(amazon: Emulator, caller: Caller) -> None:
    """A report type that the emulator has never heard of can be planned."""
    amazon.plan_report("GET_SOMETHING_NEW", body="a\tb\n", gzip=False, polls=0)

    document = caller.document(caller.finished(reportType="GET_SOMETHING_NEW")["reportDocumentId"]).json()

    assert document.keys() == {"reportDocumentId", "url"}
    assert requests.get(document["url"], timeout=5).content == b"a\tb\n"


def test_a_cancelled_report_has_no_document(amazon: Emulator, caller: Caller) -> None:
    """CANCELLED is how Amazon says, among other things, that there is no data."""
    amazon.plan_report(TYPE, status="CANCELLED", polls=1)

    view = caller.finished()

    assert view["processingStatus"] == "CANCELLED"
    assert "reportDocumentId" not in view


@pytest.mark.parametrize(
    ("reason", "explanation"),
    [("Dates too far apart", b"Error: Dates too far apart"), (None, b"Error: The report"), ("", None)],
)
def test_a_fatal_report_may_explain_itself(
    amazon: Emulator, caller: Caller, reason: str | None, explanation: bytes | None
) -> None:
    """FATAL may come with a document, which then says why."""
    amazon.plan_report(TYPE, status="FATAL", fatal_reason=reason)

    view = caller.finished()

    assert view["processingStatus"] == "FATAL"
    if explanation is None:
        assert "reportDocumentId" not in view
    else:
        url = caller.document(view["reportDocumentId"]).json()["url"]
        assert gzip.decompress(requests.get(url, timeout=5).content).startswith(explanation)


@pytest.mark.parametrize(("says_gzip", "lie"), [(True, False), (True, True), (False, False), (False, True)])
def test_what_amazon_says_of_compression_may_be_untrue(
    amazon: Emulator,
    caller: Caller,
    says_gzip: bool,  # noqa: FBT001 - because pytest passes it by name
    lie: bool,  # noqa: FBT001 - because pytest passes it by name
) -> None:
    """The announcement and the bytes can be chosen apart from each other."""
    amazon.plan_report(TYPE, body=b"plain", gzip=says_gzip, lie_about_gzip=lie)

    document = caller.document(caller.finished()["reportDocumentId"]).json()

    body = requests.get(document["url"], timeout=5).content
    assert document.get("compressionAlgorithm") == ("GZIP" if says_gzip else None)
    assert (gzip.decompress(body) if says_gzip != lie else body) == b"plain"


def test_charset_is_what_the_plan_says(amazon: Emulator, caller: Caller) -> None:
    """The stored type comes back with the document."""
    amazon.plan_report(TYPE, body="①".encode("cp932"), content_type="text/plain; charset=Shift_JIS")

    answer = requests.get(caller.download_url(), timeout=5)

    assert answer.headers["Content-Type"] == "text/plain; charset=Shift_JIS"
    assert gzip.decompress(answer.content).decode("cp932") == "①"


def test_a_file_can_be_a_report(amazon: Emulator, caller: Caller, tmp_path: Path) -> None:
    """A file is served as it is."""
    file = tmp_path / "report.tsv"
    file.write_bytes(b"from a file\n")
    amazon.plan_report(TYPE, path=file, gzip=False)

    assert requests.get(caller.download_url(), timeout=5).content == b"from a file\n"


def test_plans_are_used_up_in_order(amazon: Emulator, caller: Caller) -> None:
    """Plans for a number of reports come first, in order; then the one for all, then that of all types."""
    amazon.plan_report("*", status="CANCELLED", polls=0)
    amazon.plan_report(TYPE, polls=0, status="FATAL", times=1)
    amazon.plan_report(TYPE, polls=0, status="DONE", times=2)

    outcomes = [caller.finished()["processingStatus"] for _ in range(4)]

    assert outcomes == ["FATAL", "DONE", "DONE", "CANCELLED"]


def test_contradictory_plans_are_refused(amazon: Emulator) -> None:
    """A plan has one source and a known status."""
    with pytest.raises(ValueError, match="one of body, size and path"):
        amazon.plan_report(TYPE, body=b"x", size=1)
    with pytest.raises(ValueError, match="Unknown status"):
        amazon.plan_report(TYPE, status="LOST")  # type: ignore[arg-type] # because that is the mistake


def test_cancelling(caller: Caller) -> None:
    """Only a report in the queue can be cancelled."""
    queued, begun = (caller.create().json()["reportId"] for _ in range(2))
    caller.report(begun)

    cancelled = caller.api("DELETE", f"{REPORTS}/{queued}")
    refused = caller.api("DELETE", f"{REPORTS}/{begun}")

    assert (cancelled.status_code, cancelled.content) == (200, b"")
    assert caller.report(queued)["processingStatus"] == "CANCELLED"
    assert invalid(refused)[0].endswith("only a report IN_QUEUE can be cancelled.")


def listed(caller: Caller, **query: str) -> list[str]:
    """Ask for a list of reports, and give their ids."""
    answer = caller.api("GET", REPORTS, params={"reportTypes": TYPE, **query})
    assert answer.status_code == 200
    return [report["reportId"] for report in answer.json()["reports"]]


def test_listing_filters(amazon: Emulator, caller: Caller) -> None:
    """Reports are listed by type, status, marketplace and time, the newest first, and stay where they are."""
    done = caller.finished()["reportId"]
    amazon.clock.advance(3600)
    between = datetime.fromtimestamp(amazon.clock.now() - 60, UTC).isoformat()
    queued = caller.create(marketplaceIds=["A2EUQ1WTGCTBG2"]).json()["reportId"]
    other = caller.create(reportType="GET_SALES_AND_TRAFFIC_REPORT").json()["reportId"]

    assert listed(caller) == [queued, done]
    assert listed(caller, reportTypes=f"{TYPE},GET_SALES_AND_TRAFFIC_REPORT") == [other, queued, done]
    assert listed(caller, processingStatuses="DONE,FATAL") == [done]
    assert listed(caller, processingStatuses="IN_QUEUE") == [queued]
    assert listed(caller, marketplaceIds="A2EUQ1WTGCTBG2") == [queued]
    assert listed(caller, createdSince=between) == [queued]
    assert listed(caller, createdUntil=between) == [done]
    amazon.clock.advance(91 * 86400)
    assert listed(caller) == []


def test_pages(caller: Caller) -> None:
    """A page has ten reports unless asked otherwise; its token gives the next, and stands alone."""
    for _ in range(12):
        caller.create()
    first = caller.api("GET", REPORTS, params={"reportTypes": TYPE}).json()
    second = caller.api("GET", REPORTS, params={"nextToken": first["nextToken"]}).json()
    with_filters = caller.api("GET", REPORTS, params={"nextToken": first["nextToken"], "reportTypes": TYPE})

    ids = [report["reportId"] for page in (first, second) for report in page["reports"]]
    assert (len(first["reports"]), len(second["reports"]), len(set(ids))) == (10, 2, 12)
    assert "nextToken" not in second
    assert invalid(with_filters) == (
        "NextToken cannot be specified with other input parameters",
        "reportTypes;",
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "One or more required parameters missing"),
        ({"reportTypes": "_GET_MERCHANT_LISTINGS_DATA_"}, "Invalid Report Type _GET_MERCHANT_LISTINGS_DATA_"),
        ({"reportTypes": ",".join([TYPE] * 11)}, "Invalid Input"),
        ({"reportTypes": TYPE, "processingStatuses": "READY"}, "Invalid Input"),
        ({"reportTypes": TYPE, "pageSize": "0"}, "Invalid Input"),
        ({"reportTypes": TYPE, "pageSize": "101"}, "Invalid Input"),
        ({"reportTypes": TYPE, "pageSize": "x"}, "Invalid Input"),
        ({"reportTypes": TYPE, "createdSince": "x"}, "Invalid Input"),
        ({"nextToken": "x"}, "Invalid Input"),
    ],
    ids=str,
)
def test_wrong_lists(caller: Caller, query: dict[str, str], message: str) -> None:
    """A wrong filter is refused."""
    assert invalid(caller.api("GET", REPORTS, params=query))[0] == message


def test_reports_that_amazon_makes_by_itself(amazon: Emulator, caller: Caller) -> None:
    """Settlement reports are found in the list."""
    settlement = "GET_V2_SETTLEMENT_REPORT_DATA_FLAT_FILE"
    amazon.plan_report(settlement, body=b"settled", polls=0)
    report = amazon.add_report(caller.grant, settlement)

    assert listed(caller, reportTypes=settlement) == [report.report_id]
    assert caller.report(report.report_id)["processingStatus"] == "DONE"


def restricted(caller: Caller, *resources: dict[str, Any]) -> requests.Response:
    """Ask for a restricted data token."""
    return caller.api("POST", TOKENS, json={"restrictedResources": list(resources)})


def test_personal_data_needs_a_restricted_data_token(caller: Caller) -> None:
    """A restricted document opens with its own restricted data token, and with nothing else."""
    path = f"/reports/2021-06-30/documents/{caller.finished(reportType=RESTRICTED)['reportDocumentId']}"
    other = f"/reports/2021-06-30/documents/{caller.finished(reportType=RESTRICTED)['reportDocumentId']}"
    answer = restricted(caller, {"method": "GET", "path": path})
    token = answer.json()["restrictedDataToken"]

    assert answer.json().keys() == {"restrictedDataToken", "expiresIn"}
    assert answer.json()["expiresIn"] == 3600
    assert token.startswith("Atz.sprdt|")
    assert caller.api("GET", path).status_code == 403
    assert caller.api("GET", path, token=token).status_code == 200
    assert caller.api("GET", other, token=token).status_code == 403
    assert caller.api("GET", "/sellers/v1/marketplaceParticipations", token=token).status_code == 403


def test_a_restricted_data_token_expires(amazon: Emulator, caller: Caller) -> None:
    """It lives for an hour."""
    path = f"/reports/2021-06-30/documents/{caller.finished(reportType=RESTRICTED)['reportDocumentId']}"
    token = restricted(caller, {"method": "GET", "path": path}).json()["restrictedDataToken"]
    amazon.clock.advance(3600)

    details = caller.api("GET", path, token=token).json()["errors"][0]["details"]

    assert details == "The access token you provided has expired."


def test_generic_paths_and_data_elements_of_orders(caller: Caller) -> None:
    """Orders may be named by a generic path, and say which data elements are wanted."""
    order = "/orders/v0/orders/{orderId}"

    answers = [
        restricted(caller, {"method": "GET", "path": order, "dataElements": ["buyerInfo"]}),
        restricted(
            caller, {"method": "GET", "path": "/orders/v0/orders", "dataElements": ["shippingAddress"]}
        ),
        restricted(caller, {"method": "GET", "path": f"{order}/orderItems", "dataElements": ["buyerInfo"]}),
        restricted(caller, {"method": "GET", "path": f"{order}/address"}),
    ]

    assert [answer.status_code for answer in answers] == [200] * 4


@pytest.mark.parametrize(
    "resources",
    [
        [],
        [{"method": "GET", "path": "/x"}] * 51,
        ["/x"],
        [{"method": "PATCH", "path": "/x"}],
        [{"method": "GET", "path": "x"}],
        [{"method": "GET"}],
        [{"method": "GET", "path": "/orders/v0/orders", "dataElements": ["everything"]}],
        [{"method": "GET", "path": "/orders/v0/orders", "dataElements": "buyerInfo"}],
        [{"method": "GET", "path": "/orders/v0/orders/1/address", "dataElements": ["buyerInfo"]}],
        [{"method": "GET", "path": "/reports/2021-06-30/documents/{reportDocumentId}"}],
        [{"method": "GET", "path": "/reports/2021-06-30/documents/unknown"}],
    ],
    ids=lambda resources: str(resources)[:70],
)
def test_wrong_resources(caller: Caller, resources: list[Any]) -> None:
    """1 to 50 resources; known methods; data elements for orders only; documents by their own path only."""
    assert restricted(caller, *resources).status_code == 400


def test_documents_have_no_generic_path(caller: Caller) -> None:
    """The refusal says that a document needs its own path."""
    generic = restricted(
        caller, {"method": "GET", "path": "/reports/2021-06-30/documents/{reportDocumentId}"}
    )

    assert invalid(generic)[1] == "A report document needs a specific path, not a generic one"


def test_open_documents_get_no_restricted_data_token(caller: Caller) -> None:
    """A document without personal data is not a restricted resource."""
    path = f"/reports/2021-06-30/documents/{caller.finished()['reportDocumentId']}"

    assert (
        invalid(restricted(caller, {"method": "GET", "path": path}))[1]
        == "The path is not a restricted resource"
    )
