"""The Selling Partner API step by step: a report asked for once, found again, fetched."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook

if TYPE_CHECKING:
    from tests.conftest import Seller

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"


def ago(**time: float) -> datetime:
    """:return: So long before now."""
    return datetime.now(UTC) - timedelta(**time)


def test_marketplaces_of_the_seller(seller: Seller) -> None:
    """Where the seller trades, in Amazon's words."""
    (first,) = SellingPartnerHook().marketplace_participations()

    assert first["marketplace"]["id"] == "ATVPDKIKX0DER"
    assert first["participation"]["isParticipating"] is True


@pytest.mark.parametrize("answer", [{}, {"payload": None}, {"payload": "x"}])
def test_an_answer_without_marketplaces_is_none(seller: Seller, answer: Any) -> None:
    """Not an exception about a missing key."""
    seller.amazon.fail_next(target="api", kind="json", status=200, body=answer)

    assert SellingPartnerHook().marketplace_participations() == []


@pytest.mark.parametrize(
    "fault", [{"kind": "html200"}, {"kind": "empty"}, {"kind": "json", "status": 200, "body": [1]}]
)
def test_a_success_that_is_not_amazons_is_none(seller: Seller, fault: dict[str, Any]) -> None:
    """A captive portal answers 200, too."""
    seller.amazon.fail_next(target="api", **fault)

    with pytest.raises(errors.BadResponse, match="not the JSON it should be") as caught:
        SellingPartnerHook().marketplace_participations()
    assert caught.value.conn_id == "lwa_default"


def test_a_connection_for_another_api_is_refused(seller: Seller) -> None:
    """At first use, without a request and without retries."""
    seller.connect(api="amazon_ads")

    with pytest.raises(errors.ConfigurationError, match="needs a connection of its own") as caught:
        SellingPartnerHook().marketplace_participations()
    assert isinstance(caught.value, AirflowFailException)
    assert seller.amazon.journal == []


def test_a_vendor_is_a_selling_partner_too(seller: Seller) -> None:
    """Two profiles, one API."""
    seller.connect(api="selling_partner_vendor")

    assert SellingPartnerHook().connection.profile.name == "selling_partner_vendor"


# --- a question


def test_a_question_uses_the_connections_marketplaces(seller: Seller) -> None:
    """Unless it names some."""
    hook = SellingPartnerHook()

    assert hook.report_request(TYPE).marketplace_ids == ("ATVPDKIKX0DER",)
    assert hook.report_request(TYPE, ["A2EUQ1WTGCTBG2"]).marketplace_ids == ("A2EUQ1WTGCTBG2",)


def test_a_question_to_another_region_is_refused(seller: Seller) -> None:
    """A refresh token is good for one region; the sandbox knows no regions."""
    with pytest.raises(errors.ConfigurationError, match="belongs to europe"):
        SellingPartnerHook().report_request(TYPE, ["A1PA6795UKMFR9"])

    seller.connect(sandbox=True)
    assert SellingPartnerHook().report_request(TYPE, ["A1PA6795UKMFR9"])


# --- a report


def test_a_report_from_question_to_document(seller: Seller) -> None:
    """createReport, getReport until it is done, getReportDocument."""
    hook = SellingPartnerHook()

    report_id = hook.create_report(hook.report_request(TYPE))
    outcomes = [hook.report_status(report_id) for _ in range(3)]
    link = hook.document_link(outcomes[-1].document_id or "")

    assert [status.outcome for status in outcomes] == ["waiting", "waiting", "ready"]
    assert [status.status for status in outcomes] == ["IN_QUEUE", "IN_PROGRESS", "DONE"]
    assert link.compression == "GZIP"
    assert link.document_id == outcomes[-1].document_id
    assert "X-Amz-Signature=" in link.url
    assert "X-Amz-Signature" not in repr(link)


def test_a_report_that_is_queued_can_be_withdrawn(seller: Seller) -> None:
    """Once Amazon has begun, it cannot."""
    hook = SellingPartnerHook()
    queued, begun = (hook.create_report(hook.report_request(TYPE)) for _ in range(2))
    hook.report_status(begun)

    hook.cancel_report(queued)

    assert hook.report_status(queued).outcome == "cancelled"
    with pytest.raises(errors.InvalidInput, match="only a report IN_QUEUE can be cancelled"):
        hook.cancel_report(begun)


def test_a_waiting_report_is_found_again(seller: Seller) -> None:
    """By its question, the newest first."""
    hook = SellingPartnerHook()
    asked = hook.report_request(TYPE)
    hook.create_report(asked)
    newest = seller.amazon.add_report(seller.grant, TYPE)
    newest.created_at += 1
    seller.amazon.clock.advance(2)

    found = hook.find_report(asked, created_since=ago(minutes=5))

    assert found is not None
    assert found.report_id == newest.report_id


def test_an_old_report_is_not_found(seller: Seller) -> None:
    """Its data may be outdated."""
    hook = SellingPartnerHook()
    asked = hook.report_request(TYPE)
    hook.create_report(asked)

    assert hook.find_report(asked, created_since=ago(minutes=-1)) is None


def test_another_sellers_report_is_not_found(seller: Seller) -> None:
    """The token decides whose reports are listed."""
    other = seller.amazon.add_seller(seller.application)
    seller.amazon.add_report(other, TYPE)
    hook = SellingPartnerHook()

    assert hook.find_report(hook.report_request(TYPE), created_since=ago(hours=1)) is None


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500, "carried_out": True},
        {"status": 503, "carried_out": True},
        {"kind": "reset"},
        {"kind": "truncated"},
        {"kind": "html200", "carried_out": True},
        {"kind": "empty", "carried_out": True},
        {"kind": "wrong_types", "remove": ["reportId"]},
    ],
    ids=str,
)
def test_a_report_whose_answer_was_lost_is_found(seller: Seller, fault: dict[str, Any]) -> None:
    """The question was carried out, its answer did not arrive: no second report is asked for."""
    seller.amazon.fail_next(target="createReport", **fault)
    hook = SellingPartnerHook()

    report_id = hook.create_report(hook.report_request(TYPE))

    assert [report.report_id for report in seller.amazon.reports.values()] == [report_id]
    assert seller.amazon.count(operation="createReport") == 1


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}])
def test_a_question_that_was_not_carried_out_fails(seller: Seller, fault: dict[str, Any]) -> None:
    """Nothing is found then; the task's retry asks again."""
    seller.amazon.fail_next(target="createReport", **fault)
    hook = SellingPartnerHook()

    with pytest.raises(errors.ApiUnavailable):
        hook.create_report(hook.report_request(TYPE))
    assert not seller.amazon.reports


def test_an_unknown_report_type_is_named(seller: Seller) -> None:
    """Amazon's words, the type in ours, and no retries."""
    hook = SellingPartnerHook()
    asked = hook.report_request("GET_MERCHANT_LISTING")

    for call in (
        lambda: hook.create_report(asked),
        lambda: hook.find_report(asked, created_since=ago(hours=1)),
    ):
        with pytest.raises(errors.InvalidInput) as caught:
            call()
        assert isinstance(caught.value, AirflowFailException)
        assert "Amazon refuses the report GET_MERCHANT_LISTING. Amazon said: Invalid" in str(caught.value)


def test_a_throttled_question_is_asked_again(seller: Seller) -> None:
    """429 was not carried out, so it makes one report."""
    seller.amazon.fail_next(target="createReport", kind="throttle", retry_after=0.01)
    hook = SellingPartnerHook()

    hook.create_report(hook.report_request(TYPE))

    assert len(seller.amazon.reports) == 1
    assert seller.amazon.count(operation="createReport") == 2


def test_an_unknown_report_is_not_found(seller: Seller) -> None:
    """NotFound is a class of its own; Airflow's retries are left alone."""
    with pytest.raises(errors.NotFound) as caught:
        SellingPartnerHook().report_status("4711")
    assert not isinstance(caught.value, AirflowFailException)


def test_a_document_without_an_address_is_a_bad_answer(seller: Seller) -> None:
    """A success that lacks what it must hold."""
    report = seller.amazon.add_report(seller.grant, TYPE)
    assert report.document
    seller.amazon.fail_next(target="getReportDocument", kind="wrong_types", remove=["url"])

    with pytest.raises(errors.BadResponse, match="lacks url"):
        SellingPartnerHook().document_link(report.document.document_id)
