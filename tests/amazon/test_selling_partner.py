"""The Selling Partner API's rules: what goes out, how a refusal reads, which report answers a question."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.amazon import selling_partner as rules
from airflow_provider_lwa.amazon.http import Answer
from airflow_provider_lwa.amazon.profiles import REGIONS

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
US, DE, JP = "ATVPDKIKX0DER", "A1PA6795UKMFR9", "A1VC38T7YXB528"


def ask(report_type: str = TYPE, marketplace_ids: Any = (US,), **parameters: Any) -> rules.ReportRequest:
    """Make a question at noon."""
    return rules.report_request(report_type, marketplace_ids, now=NOW, **parameters)


def wrong(*arguments: Any, **parameters: Any) -> list[str]:
    """:return: what is wrong with a question"""
    with pytest.raises(errors.ConfigurationError, match="Nothing was sent to Amazon") as caught:
        ask(*arguments, **parameters)
    return caught.value.problems


# --- what goes out


def test_headers_carry_amazons_date() -> None:
    """In UTC, whatever zone the clock is in."""
    berlin = datetime(2026, 11, 21, 13, 0, tzinfo=timezone(timedelta(hours=1)))

    assert rules.headers(berlin, "me/1") == {
        "x-amz-date": "20261121T120000Z",
        "User-Agent": "me/1",
        "Accept": "application/json",
    }


def test_marketplaces_are_those_of_amazons_page() -> None:
    """23 marketplaces in three regions; each id and country once."""
    assert len(rules.MARKETPLACES) == 23
    assert {place.region for place in rules.MARKETPLACES.values()} == set(REGIONS)
    assert len({place.country for place in rules.MARKETPLACES.values()}) == 23
    assert rules.MARKETPLACES[JP] == rules.Marketplace("JP", "far_east")


@given(st.text(min_size=1))
def test_an_id_cannot_become_a_path(report_id: str) -> None:
    """Slashes, dots and question marks of an id are encoded."""
    made = rules.path(rules.REPORTS, report_id)

    assert made.startswith(f"{rules.REPORTS}/")
    assert not set(made.removeprefix(f"{rules.REPORTS}/")) & set("/?#&=")


# --- how a refusal reads


def refusal(status: int, details: str = "", message: str = "Access to requested resource is denied.") -> Any:
    """:return: what a refusal in Amazon's form means"""
    payload = {"errors": [{"code": "Unauthorized", "message": message, "details": details}]}
    answer = Answer(status, {"content-type": "application/json", "x-amzn-requestid": "4711"})
    return rules.error_of(answer, payload, "GET /x")


@pytest.mark.parametrize(
    ("details", "kind", "advice"),
    [
        ("The access token you provided has expired.", errors.AccessTokenRejected, "authorize again"),
        (
            "The access token you provided is revoked, malformed or invalid.",
            errors.AccessTokenRejected,
            "authorize again",
        ),
        ("Access token is missing in the request header.", errors.AccessTokenRejected, "check"),
        (
            "The LWA secret token you provided has expired.",
            errors.ClientSecretExpired,
            "Rotate the application's client secret",
        ),
        ("The marketplaces you provided are not valid for region.", errors.InvalidInput, "parameter"),
        ("", errors.AccessDenied, "Not a revoked credential"),
        ("Something new.", errors.AccessDenied, "role"),
    ],
)
def test_a_403_is_told_apart_by_its_details(details: str, kind: type[errors.LwaError], advice: str) -> None:
    """Code and message are always the same; ``details`` says if it is the token, the secret or neither."""
    error = refusal(403, details)

    assert type(error) is kind
    assert advice in error.advice
    assert error.description == (details or "Access to requested resource is denied.")
    assert (error.code, error.status, error.request_id) == ("Unauthorized", 403, "4711")
    assert getattr(error, "operation", "GET /x") == "GET /x"


def test_a_missing_role_is_never_called_revoked() -> None:
    """An empty 403 says nothing about the credential."""
    assert not isinstance(refusal(403), errors.CredentialError)
    assert "revoked" not in refusal(403).message


def test_a_wrong_region_is_named_in_a_400_too() -> None:
    """Amazon uses both."""
    error = refusal(400, "The marketplaces you provided are not valid for region.")

    assert type(error) is errors.InvalidInput
    assert "do not belong to the region" in error.message


def test_a_401_blames_the_token() -> None:
    """The Authorization header was not understood; a fresh token may help."""
    assert type(refusal(401)) is errors.AccessTokenRejected


def test_a_details_text_in_a_500_is_not_a_verdict() -> None:
    """A server error may quote anything."""
    assert type(refusal(500, "The access token you provided has expired.")) is errors.ApiUnavailable


def test_a_success_is_no_error() -> None:
    """202 is how createReport answers."""
    assert rules.error_of(Answer(202), {"reportId": "1"}, "POST /x") is None


@pytest.mark.parametrize(
    "payload", [None, {}, [], {"errors": []}, {"errors": ["x"]}, {"errors": {"code": 1}}, "x"]
)
def test_a_refusal_of_any_form_is_borne(payload: Any) -> None:
    """The status still speaks."""
    error = rules.error_of(Answer(403, {"content-type": "application/json"}), payload, "GET /x")

    assert type(error) is errors.AccessDenied
    assert (error.code, error.description) == (None, None)


# --- a question


def test_a_question_is_written_as_the_model_has_it() -> None:
    """Times in UTC to the second, options as texts, marketplaces in the order given and once."""
    body = ask(
        marketplace_ids=[US, "A2EUQ1WTGCTBG2", US],
        data_start_time=datetime(2026, 11, 1, 1, 2, 3, 456, tzinfo=timezone(timedelta(hours=1))),
        data_end_time="2026-11-02T00:00:00Z",
        report_options={"custom": True, "aggregateBy": "SKU", "level": 2},
    ).body

    assert body == {
        "reportType": TYPE,
        "marketplaceIds": [US, "A2EUQ1WTGCTBG2"],
        "dataStartTime": "2026-11-01T00:02:03Z",
        "dataEndTime": "2026-11-02T00:00:00Z",
        "reportOptions": {"aggregateBy": "SKU", "custom": "true", "level": "2"},
    }


def test_what_is_not_asked_is_left_out() -> None:
    """Many types need neither dates nor options; an empty text is what a template may leave."""
    asked = ask(data_start_time="", data_end_time=None, report_options={})

    assert asked.body == {"reportType": TYPE, "marketplaceIds": [US]}


def test_a_time_without_a_zone_is_utc() -> None:
    """``{{ ds }}`` is a day without a zone."""
    assert ask(data_start_time="2026-11-01").data_start_time == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "written", [f"{DE},A13V1IB3VIYZZH", f"{DE} A13V1IB3VIYZZH", f" {DE}, A13V1IB3VIYZZH "]
)
def test_marketplaces_may_be_one_text(written: str) -> None:
    """A template gives a text; its letters are not taken for marketplaces."""
    assert ask(marketplace_ids=written).marketplace_ids == (DE, "A13V1IB3VIYZZH")


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (
            {"report_type": "listings"},
            "report_type is 'listings'; it is a name such as GET_MERCHANT_LISTINGS_ALL_DATA.",
        ),
        ({"report_type": None}, "report_type is None; it is a name such as GET_MERCHANT_LISTINGS_ALL_DATA."),
        ({"marketplace_ids": []}, "marketplace_ids has 0 entries; 1 to 25 are allowed."),
        (
            {"marketplace_ids": [f"A{n:013d}" for n in range(26)]},
            "marketplace_ids has 26 entries; 1 to 25 are allowed.",
        ),
        ({"marketplace_ids": ["US"]}, "marketplace_ids names 'US', which is not a marketplace id."),
        (
            {"marketplace_ids": [DE], "region": "north_america"},
            f"marketplace_ids names {DE} (DE), which belongs to europe; the connection is for north_america.",
        ),
        ({"data_start_time": "soon"}, "data_start_time is 'soon', not a time such as 2026-11-01T00:00:00Z."),
        ({"data_end_time": 5}, "data_end_time is 5, not a time such as 2026-11-01T00:00:00Z."),
        (
            {"data_start_time": "2026-11-02", "data_end_time": "2026-11-02"},
            "data_start_time 2026-11-02T00:00:00Z is not before data_end_time 2026-11-02T00:00:00Z.",
        ),
        ({"data_end_time": "2026-11-21T12:05:01"}, "data_end_time 2026-11-21T12:05:01Z lies in the future."),
        ({"report_options": ["a"]}, "report_options must be a mapping of names to values."),
        ({"report_options": "a=b"}, "report_options must be a mapping of names to values."),
    ],
)  # fmt: skip - because one line for each case reads best
def test_a_question_that_amazon_would_refuse_is_not_sent(parameters: dict[str, Any], problem: str) -> None:
    """Each documented limit has its sentence."""
    assert wrong(**parameters) == [problem]


def test_all_problems_of_a_question_are_named_at_once() -> None:
    """As with connections."""
    named = wrong("x", [], data_start_time="2027-01-01", data_end_time="2026-01-01")

    assert [sentence.split()[0] for sentence in named] == [
        "report_type",
        "marketplace_ids",
        "data_start_time",
        "data_start_time",
    ]


def test_a_clock_that_is_a_little_late_does_no_harm() -> None:
    """An end of "now" by another clock is not in the future."""
    assert ask(data_end_time=NOW + timedelta(minutes=5)).data_end_time


def test_a_marketplace_not_yet_known_may_be_asked_for() -> None:
    """Amazon opens new ones."""
    assert ask(marketplace_ids=["A0NEWMARKET00"], region="europe").marketplace_ids == ("A0NEWMARKET00",)


# --- which report answers it


def listed(**changes: Any) -> dict[str, Any]:
    """:return: a report as getReports lists it"""
    report = {
        "reportId": "1",
        "reportType": TYPE,
        "marketplaceIds": [US],
        "createdTime": "2026-11-21T11:50:00+00:00",
        "processingStatus": "DONE",
        "reportDocumentId": "d",
    }
    return {**report, **changes}


@pytest.mark.parametrize("status", ["DONE", "IN_QUEUE", "IN_PROGRESS"])
def test_a_waiting_or_ready_report_of_the_same_question_answers_it(status: str) -> None:
    """It need not be asked for again."""
    assert ask().answered_by(listed(processingStatus=status))


@pytest.mark.parametrize(
    "changes",
    [
        {"reportType": "GET_MERCHANT_LISTINGS_DATA"},
        {"marketplaceIds": [US, "A2EUQ1WTGCTBG2"]},
        {"marketplaceIds": []},
        {"marketplaceIds": None},
        {"processingStatus": "CANCELLED"},
        {"processingStatus": "FATAL"},
        {"processingStatus": "NEW"},
        {"processingStatus": None},
        {"reportScheduleId": "7"},
        {"dataStartTime": "2026-11-01T00:00:00Z", "dataEndTime": "2026-11-02T00:00:00Z"},
        {"dataEndTime": "2026-11-02T00:00:00Z"},
        {"dataStartTime": "rubbish"},
        {"dataStartTime": "2026-11-21T11:50:00Z", "createdTime": "rubbish"},
    ],
    ids=str,
)
def test_another_question_is_not_answered(changes: dict[str, Any]) -> None:
    """Type, marketplaces and range must be the same, and the report must be good."""
    assert not ask().answered_by(listed(**changes))


def test_what_amazon_fills_in_is_no_difference() -> None:
    """For a question without a range, Amazon lists the moment it was asked."""
    moment = {"dataStartTime": "2026-11-21T11:49:58.700Z", "dataEndTime": "2026-11-21T11:49:58.700Z"}

    assert ask().answered_by(listed(**moment))


def test_the_same_range_written_otherwise_is_the_same() -> None:
    """Zones and fractions of seconds may differ."""
    asked = ask(data_start_time="2026-11-01T01:00:00+01:00", data_end_time="2026-11-02")

    assert asked.answered_by(
        listed(dataStartTime="2026-11-01T00:00:00.000Z", dataEndTime="2026-11-02T00:00:00+00:00")
    )
    assert not asked.answered_by(
        listed(dataStartTime="2026-11-01T00:00:01Z", dataEndTime="2026-11-02T00:00:00Z")
    )
    assert not asked.answered_by(listed(dataStartTime="2026-11-01T00:00:00Z"))
    assert not asked.answered_by(listed())


def test_a_question_with_options_is_never_answered_by_another() -> None:
    """Amazon does not list options, so nothing can be known about them."""
    assert not ask(report_options={"a": "b"}).answered_by(listed())


def test_the_listing_asks_for_what_could_answer() -> None:
    """Amazon takes ten marketplaces in a filter; the others are compared here."""
    places = [f"A{n:013d}" for n in range(12)]

    query = rules.listing(ask(marketplace_ids=places), NOW - timedelta(minutes=30))

    assert query == {
        "reportTypes": TYPE,
        "processingStatuses": "IN_QUEUE,IN_PROGRESS,DONE",
        "marketplaceIds": ",".join(places[:10]),
        "createdSince": "2026-11-21T11:30:00Z",
        "pageSize": "100",
    }


# --- where a report stands


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("IN_QUEUE", "waiting"),
        ("IN_PROGRESS", "waiting"),
        ("DONE", "ready"),
        ("CANCELLED", "cancelled"),
        ("FATAL", "fatal"),
    ],
)
def test_each_processing_status_has_an_outcome(word: str, outcome: str) -> None:
    """Five words of Amazon's, four outcomes of ours."""
    status = rules.ReportStatus.read(listed(processingStatus=word))

    assert (status.outcome, status.status, status.report_id, status.document_id) == (outcome, word, "1", "d")


def test_a_report_without_a_document_has_none() -> None:
    """Until it is done."""
    assert rules.ReportStatus.read(listed(reportDocumentId=None)).document_id is None


@pytest.mark.parametrize(
    "payload",
    [None, [], "x", {}, {"reportId": ""}, listed(processingStatus="NEW"), listed(processingStatus=None)],
)
def test_what_is_not_a_report_is_a_bad_answer(payload: Any) -> None:
    """It may pass; it is never taken for an outcome."""
    with pytest.raises(errors.BadResponse):
        rules.ReportStatus.read(payload)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ('{"errorDetails": "The report options are invalid."}', "The report options are invalid."),
        ('{"errorDetails": ["a"]}', '{"errorDetails": ["a"]}'),
        ("Error: no data for this range.", "Error: no data for this range."),
        ("[1]", "[1]"),
        ("", ""),
    ],
)
def test_the_explanation_of_a_fatal_report_is_found(document: str, reason: str) -> None:
    """Inside JSON, or as it stands."""
    assert rules.fatal_reason(document) == reason


@pytest.mark.parametrize("payload", [None, [], {}, {"reportId": None}, {"reportId": 5}, {"reportId": ""}])
def test_an_answer_without_what_it_must_hold_is_a_bad_answer(payload: Any) -> None:
    """A success without its content is none."""
    with pytest.raises(errors.BadResponse, match="lacks reportId"):
        rules.text_of(payload, "reportId")


def test_an_answer_with_what_it_must_hold_gives_it() -> None:
    """A text."""
    assert rules.text_of({"reportId": "1"}, "reportId") == "1"
