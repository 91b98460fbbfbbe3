"""What was seen, what it means, and how it is said in one line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.amazon import errors
from airflow_provider_lwa.health.record import ADVICE
from airflow_provider_lwa.health.verdict import VERDICTS, Observation, line, verdict

if TYPE_CHECKING:
    from tests.health.conftest import Watch

SECRETS = (
    "Atzr|IwEBIJtHqY8k",
    "Atza|IwEBIAbCdEf0",
    "Atc|MAEBIO1x2y3z",
    "Atz.sprdt|IwEB0aBc",
    "amzn1.oa2-cs.v1.0c9dfeed",
)


def kinds_of(root: type[errors.LwaError]) -> set[type[errors.LwaError]]:
    """:return: A class of errors and all classes below it that this project defines."""
    below = {kind for child in root.__subclasses__() for kind in kinds_of(child)}
    return {kind for kind in {root, *below} if kind.__module__ == errors.__name__}


@pytest.mark.parametrize("kind", sorted(kinds_of(errors.CredentialError), key=str))
def test_every_permanent_refusal_is_permanent_here(kind: type[errors.CredentialError]) -> None:
    """Whatever fails a task without retries is reported at once, as an error, to somebody."""
    judged = verdict(kind.kind)

    assert (judged.permanent, judged.severity) == (True, "error")
    assert judged.addressee != "nobody"


@pytest.mark.parametrize("kind", sorted(kinds_of(errors.TransientError), key=str))
def test_nothing_that_passes_is_permanent(kind: type[errors.TransientError]) -> None:
    """What a retry may mend is a warning at most."""
    assert (verdict(kind.kind).permanent, verdict(kind.kind).severity) == (False, "warning")


@pytest.mark.parametrize("kind", sorted(kinds_of(errors.LwaError), key=str))
def test_no_error_is_taken_for_health(kind: type[errors.LwaError]) -> None:
    """Also one that no check should meet is trouble."""
    assert verdict(kind.kind).severity != "info"
    assert verdict("of a later version").severity != "info"


def test_every_verdict_is_a_kind_of_its_own() -> None:
    """An incident keeps the name of its verdict; judged again, it is the same verdict."""
    for judged in (*VERDICTS.values(), verdict("?")):
        assert verdict(judged.name) is judged


@pytest.mark.parametrize(
    ("error", "layer"),
    [
        (errors.ConfigurationError("x"), "local"),
        (errors.RefreshTokenRevoked("x"), "token"),
        (errors.Unavailable("x"), "token"),
        (errors.AccessDenied("x"), "api"),
        (errors.QuotaExceeded("x"), "api"),
        (errors.ClientSecretExpired("x"), "api"),
    ],
)
def test_an_error_knows_its_layer(error: errors.LwaError, layer: str) -> None:
    """Where nobody says at which layer an error arose, its class does."""
    assert Observation.of_error(error, at=1.0).layer == layer
    assert Observation.of_error(error, at=1.0, layer="api").layer == "api"


def test_an_observation_travels_as_json(watch: Watch) -> None:
    """What goes through XCom comes out the same, and carries only what is set."""
    seen = watch.observation("a", watch.REVOKED, owner="growth")
    travelled = json.loads(json.dumps(seen.to_json()))

    assert Observation.from_json(travelled) == seen
    assert None not in travelled.values()


@pytest.mark.parametrize(
    "change",
    [
        {"at": float("nan")},
        {"at": "yesterday"},
        {"layer": "moon"},
        {"status": True},
        {"permanent": 1},
        {"code": 5},
        {"surprise": 1},
        {"conn_id": None},
    ],
)
def test_a_foreign_observation_is_refused(watch: Watch, change: dict[str, Any]) -> None:
    """An event or an XCom of another shape is an error, not a guess."""
    with pytest.raises(ValueError, match="Observation"):
        Observation.from_json({**watch.observation("a", watch.REVOKED).to_json(), **change})


@pytest.mark.parametrize("data", [None, [], "healthy", {}, {"conn_id": "a", "at": 1.0}])
def test_what_is_no_observation_is_refused(data: object) -> None:
    """Nothing becomes an observation by leaving things out."""
    with pytest.raises(ValueError, match="Observation"):
        Observation.from_json(data)


def test_the_line_says_what_and_what_to_do(watch: Watch) -> None:
    """One line for the Test button: the failure, Amazon's words and ids, the remedy."""
    assert line(watch.observation("a", watch.REVOKED)) == (
        "Authorization revoked: The request has an invalid grant parameter : refresh_token. User may have "
        "revoked or didn't grant the permission. (HTTP 400, code invalid_grant, request id "
        f"bef0c2f8-9e0b-4f4c-8f0c-1d2e3f4a5b6c) {errors.RefreshTokenRevoked.default_advice}"
    )


@pytest.mark.parametrize(
    ("layer", "words"), [("local", "not asked"), ("token", "itself was not asked"), ("api", "accepted it")]
)
def test_the_line_claims_no_more_than_was_proven(watch: Watch, layer: Any, words: str) -> None:
    """Health is said as far as the look went."""
    assert words in line(watch.observation("a", None, layer=layer))


def test_the_line_names_every_problem_of_a_connection() -> None:
    """Several problems are mended in one edit, so all are said."""
    problems = [f"Field {name} is missing. {'x' * 90}" for name in "abcd"]
    seen = Observation.of_error(errors.ConfigurationError(problems, advice="Edit it."), at=1.0, conn_id="c")

    assert all(problem in line(seen) for problem in problems)
    assert line(seen).endswith("Edit it.")


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_kept(secret: str) -> None:
    """Whatever an error was told, an observation of it holds no secret and is one line."""
    error = errors.RefreshTokenRevoked(
        f"sent {secret}\nand {secret}", description=f"bad {secret}\n", advice=f"not {secret}", code=secret
    )
    for seen in (
        Observation.of_error(error, at=1.0, conn_id="c"),
        Observation.unreadable("c", at=1.0, reason=f"vault said {secret}"),
        Observation.of_error(errors.ConfigurationError([f"pasted {secret}"]), at=1.0),
        Observation.healthy("c", at=1.0, layer="api", client_id=secret, owner=secret),
    ):
        assert secret not in json.dumps(seen.to_json())
        assert secret not in line(seen)
        assert "\n" not in line(seen)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_said(secret: str) -> None:
    """Also an observation that came from elsewhere is said without what it should not hold."""
    seen = Observation(conn_id="c", at=1.0, layer="token", kind="revoked", description=f"bad\n{secret}")

    assert secret not in line(seen)
    assert "\n" not in line(seen)


def test_advice_is_known_by_kind() -> None:
    """What an error advises by itself need not be stored with each credential."""
    assert ADVICE["revoked"] == errors.RefreshTokenRevoked.default_advice
    assert ADVICE["quota"] == errors.QuotaExceeded.default_advice
