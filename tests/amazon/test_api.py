"""What all of Amazon's APIs share: how we name ourselves, and how a refusal reads by its status."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_lwa import __version__
from airflow_provider_lwa.amazon import api, errors
from airflow_provider_lwa.amazon.http import Answer

JSON = {"content-type": "application/json"}


def test_the_user_agent_names_this_version() -> None:
    """Without an application of the user's own, it is this provider in the version that runs."""
    python = platform.python_version()

    assert api.user_agent() == (
        f"airflow-provider-lwa/{__version__} (Language=Python/{python}; Platform={platform.system()})"
    )


def test_the_user_agent_names_the_users_application() -> None:
    """Amazon asks for the application's name and version."""
    assert api.user_agent("MyReports/2.0").startswith("MyReports/2.0 (Language=Python/")


def test_an_application_without_a_version_gets_one() -> None:
    """The format has both."""
    assert api.user_agent("MyReports").startswith("MyReports/1 (Language=")


def test_what_separates_is_escaped() -> None:
    """Slash, brackets, equals sign, semicolon and backslash get a backslash before them, as Amazon asks."""
    assert api.user_agent(r"A(b)=c;d\e/1/2").startswith(r"A\(b\)\=c\;d\\e/1\/2 (")


@pytest.mark.parametrize("application", ["x" * 500, "Grüße/1", "a\nb/1", "a\tb"])
def test_a_user_agent_that_amazon_would_refuse_is_refused_here(application: str) -> None:
    """Amazon rejects more than 500 characters, and HTTP all but printable ASCII."""
    with pytest.raises(errors.ConfigurationError, match="user_agent_application"):
        api.user_agent(application)


def test_every_call_asks_for_json_and_names_us() -> None:
    """These headers need no clock."""
    assert api.headers(datetime(2026, 1, 1, tzinfo=UTC), "me/1") == {
        "User-Agent": "me/1",
        "Accept": "application/json",
    }


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_a_success_is_no_error(status: int) -> None:
    """Whatever its body says."""
    assert api.error_of(Answer(status, JSON), {"message": "fine"}, "GET /x") is None


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (301, errors.BadResponse, True),
        (307, errors.BadResponse, True),
        (400, errors.InvalidInput, False),
        (401, errors.AccessTokenRejected, False),
        (402, errors.ApiError, False),
        (403, errors.AccessDenied, False),
        (404, errors.NotFound, False),
        (408, errors.ApiUnavailable, True),
        (418, errors.ApiError, False),
        (429, errors.QuotaExceeded, True),
        (500, errors.ApiUnavailable, True),
        (502, errors.ApiUnavailable, True),
        (503, errors.ApiUnavailable, True),
        (599, errors.ApiUnavailable, True),
    ],
)
def test_a_status_has_a_class(status: int, kind: type[errors.LwaError], *, retryable: bool) -> None:
    """The class says what to do, the text which call it was, and that waiting helps or does not."""
    error = api.error_of(Answer(status, JSON), {}, "GET /x")

    assert type(error) is kind
    assert error.retryable is retryable
    assert error.status == status
    assert "(GET /x)" in error.message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418])
def test_a_web_page_that_refuses_is_not_amazon(status: int) -> None:
    """A proxy or portal in between refuses with HTML; that is no verdict on the credential and may pass."""
    answer = Answer(status, {"content-type": "text/html; charset=utf-8"})

    assert type(api.error_of(answer, None, "GET /x")) is errors.BadResponse


@pytest.mark.parametrize("status", [429, 503])
def test_a_web_page_that_asks_to_wait_is_waited_for(status: int) -> None:
    """Where waiting helps anyway, the form of the answer does not matter."""
    error = api.error_of(Answer(status, {"content-type": "text/html", "retry-after": "7"}), None, "GET /x")

    assert isinstance(error, (errors.QuotaExceeded, errors.ApiUnavailable))
    assert error.retry_after == 7


@pytest.mark.parametrize("key", ["message", "Message", "details", "detail"])
def test_amazons_words_and_request_id_are_kept(key: str) -> None:
    """Each API has its own name for what it says, and a support case needs the request id."""
    answer = Answer(400, {**JSON, "x-amzn-requestid": "4711"})

    error = api.error_of(answer, {key: "no such profile", "code": "BAD"}, "GET /x")

    assert error is not None
    assert (error.description, error.code, error.request_id) == ("no such profile", "BAD", "4711")
    assert isinstance(error, errors.InvalidInput)
    assert error.operation == "GET /x"


@pytest.mark.parametrize("payload", [None, [], "text", 5, {"message": ["a"]}, {"code": 7}])
def test_a_body_of_any_form_is_borne(payload: Any) -> None:
    """Nothing is presumed of a refusal's body."""
    error = api.error_of(Answer(400, JSON), payload, "GET /x")

    assert error is not None
    assert (error.description, error.code) == (None, None)
