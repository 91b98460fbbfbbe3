"""The tree of errors: complete, picklable, without secrets."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.amazon.errors import (
    ApiError,
    ConfigurationError,
    CredentialError,
    LwaError,
    RefreshTokenRevoked,
    ReportError,
    TransientError,
    clean,
    from_json,
    redact,
)

CLASSES = sorted(
    (kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, LwaError)),
    key=lambda kind: kind.__name__,
)
ATTRIBUTES = {
    "advice": "Do this.",
    "conn_id": "lwa_default",
    "code": "invalid_grant",
    "description": "The request has an invalid grant parameter : refresh_token.",
    "status": 400,
    "request_id": "bef0c2f8-9e0b-4f4c-8f0c-1d2e3f4a5b6c",
    "retry_after": 2.5,
}
SECRETS = [
    "Atza|IwEBIAbc-DEF_ghi",
    "Atzr|IwEBIAbc+DEF/ghi=",
    "Atc|MAEBIAbc",
    "Atz.sprdt|AYABeAbc",
    "Atza%7CIwEBIAbc",
    "amzn1.oa2-cs.v1.0123456789abcdef",
]


def every_error() -> list[LwaError]:
    """:return: one error of each class, with all attributes set"""
    extras: dict[type[LwaError], dict[str, object]] = {
        CredentialError: {"first_seen": 12.5, "remembered": True},
        ApiError: {"operation": "GET /sellers/v1/marketplaceParticipations"},
        ReportError: {"report_id": "50001018001", "report_type": "GET_MERCHANT_LISTINGS_ALL_DATA"},
    }
    found = []
    for kind in CLASSES:
        more = {
            name: value
            for base, extra in extras.items()
            if issubclass(kind, base)
            for name, value in extra.items()
        }
        found.append(kind("What happened.", **ATTRIBUTES, **more))
    return found


@pytest.mark.parametrize("error", every_error(), ids=lambda error: type(error).__name__)
def test_every_error_survives_a_process_boundary(error: LwaError) -> None:
    """Pickled, copied or sent as JSON, an error keeps its class and every attribute."""
    sent = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]  # noqa: S301 - because it is our own
    sent += [copy.copy(error), copy.deepcopy(error), from_json(json.loads(json.dumps(error.to_json())))]

    for again in sent:
        assert type(again) is type(error)
        assert again.__dict__ == error.__dict__
        assert (str(again), again.args) == (str(error), error.args)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_stands_in_the_tree(kind: type[LwaError]) -> None:
    """The drawing in the module's docstring has each class, below its parent."""
    drawing = errors.__doc__ or ""
    lines = [line for line in drawing.splitlines() if re.search(rf"\b{kind.__name__}\b", line)]

    assert len(lines) == 1
    assert inspect.getdoc(kind)


def test_kinds_are_distinct() -> None:
    """Programs tell errors apart by one word; no two classes share it, but those that stand for a group."""
    kinds = [kind.kind for kind in CLASSES]

    assert len(set(kinds)) == len(kinds)


def test_what_may_be_retried() -> None:
    """Exactly the errors that pass by themselves say so."""
    assert {kind.__name__ for kind in CLASSES if kind.retryable} == {
        "TransientError",
        "Throttled",
        "Unavailable",
        "BadResponse",
        "QuotaExceeded",
        "ApiUnavailable",
        "ReportTimeout",
        "DocumentUrlExpired",
        "DocumentTruncated",
    }
    assert all(not kind.retryable for kind in CLASSES if issubclass(kind, CredentialError))
    assert all(kind.retryable for kind in CLASSES if issubclass(kind, TransientError))


def test_the_text_says_everything_in_one_line() -> None:
    """Connection, what happened, Amazon's words, the facts, and what to do."""
    assert str(RefreshTokenRevoked("The refresh token is not accepted.", **ATTRIBUTES)) == (
        "Connection lwa_default: The refresh token is not accepted. "
        "Amazon said: The request has an invalid grant parameter : refresh_token. "
        "(HTTP 400, code invalid_grant, request id bef0c2f8-9e0b-4f4c-8f0c-1d2e3f4a5b6c) Do this."
    )
    assert str(LwaError("It failed.", description="No full stop")) == "It failed. Amazon said: No full stop."
    assert str(LwaError("It failed.")) == "It failed."
    assert repr(LwaError("It failed.")) == "LwaError('It failed.')"


def test_a_connection_is_named_once() -> None:
    """The connection named first stays."""
    error = LwaError("It failed.").with_connection("first")

    assert error.with_connection("second").conn_id == "first"


def test_problems_of_a_configuration() -> None:
    """One or many, all are named, and none shows a secret that was put in the wrong field."""
    assert str(ConfigurationError("One thing.")) == "One thing."
    assert str(ConfigurationError(["One thing.", "Another."])) == "One thing. Another."
    assert "Atzr" not in str(ConfigurationError([f"{SECRETS[1]} is not a client id."]))
    assert not any("Atzr" in problem for problem in ConfigurationError(f"{SECRETS[1]} is wrong.").problems)


@pytest.mark.parametrize(
    "data", [None, [], {}, {"class": "Exception"}, {"class": "LwaError", "message": None}]
)
def test_json_that_is_no_error(data: object) -> None:
    """What cannot be understood becomes an error all the same, of the root class."""
    error = from_json(data)

    assert type(error) is LwaError
    assert "not passed on" in str(error)


def test_json_names_only_classes_of_the_tree() -> None:
    """What arrives from elsewhere cannot bring other classes to life, not even ones derived from ours."""

    class Foreign(LwaError):
        """A class of somebody else's."""

    assert type(from_json({"class": "Foreign", "message": "x"})) is LwaError
    assert type(from_json({"class": "SystemExit", "message": "x"})) is LwaError


@given(st.text(), st.sampled_from(SECRETS), st.text())
def test_no_secret_survives_wherever_it_stands(before: str, secret: str, after: str) -> None:
    """Whatever surrounds it, what has the shape of a secret is gone from every view of the error."""
    error = RefreshTokenRevoked(
        f"{before} {secret} {after}",
        code=f"{secret}",
        description=f"{before} {secret} {after}",
        request_id=f"{secret} {after}",
    )
    tail = secret[-8:]

    for view in (
        str(error),
        repr(error),
        repr(error.args),
        repr(error.__dict__),
        redact(f"{before} {secret}"),
    ):
        assert secret not in view
        assert tail not in view.replace(before, "").replace(after, "") or tail in before + after


@pytest.mark.parametrize(
    "url",
    [
        "https://b.s3.amazonaws.com/k?X-Amz-Expires=300&X-Amz-Signature=0a1b2c&x=1",
        "https://b.s3.amazonaws.com/k?X-Amz-Security-Token=IQoJb3%2F%3D&x=1",
    ],
)
def test_presigned_addresses_lose_what_makes_them_keys(url: str) -> None:
    """Signature and session token go, the rest of the address stays."""
    redacted = redact(url)

    assert redacted.endswith("=***&x=1")
    assert redacted.startswith("https://b.s3.amazonaws.com/k?")


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("postgresql://airflow:hunter2pw@db/airflow", "postgresql://***@db/airflow"),
        ("redis://:hunter2pw@cache:6379/0", "redis://***@cache:6379/0"),
        ("(https://me:hunter2pw@proxy.example:8080)", "(https://***@proxy.example:8080)"),
        ("http://127.0.0.1:8080/a:b@c", "http://127.0.0.1:8080/a:b@c"),
        ("https://api.amazon.com/auth/o2/token", "https://api.amazon.com/auth/o2/token"),
    ],
)
def test_addresses_lose_user_and_password(url: str, redacted: str) -> None:
    """Whoever's address it is; host and path stay, and an address without a password stays whole."""
    assert redact(f"Cannot reach {url} now.") == f"Cannot reach {redacted} now."


@given(st.text())
def test_cleaning_makes_one_printable_line(text: str) -> None:
    """Whatever comes from outside fits on one line of 200 characters, and cleaning again changes nothing."""
    cleaned = clean(text)

    assert len(cleaned) <= 200
    assert cleaned.isprintable()
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize("value", [None, 5, b"bytes", ["list"], {"a": 1}])
def test_only_text_is_kept(value: object) -> None:
    """What should be text and is not becomes nothing."""
    assert clean(value) == ""
