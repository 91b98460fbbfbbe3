"""The token endpoint: the examples of Amazon's documents, each of its errors, codes, scopes and secrets."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from conftest import Caller

    from airflow_provider_lwa.emulator import Emulator

REVOKED = (
    "The request has an invalid grant parameter : refresh_token. "
    "User may have revoked or didn't grant the permission."
)
FORM = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"}


def refused(answer: requests.Response) -> tuple[int, str, str]:
    """Read a refusal, which always carries an index and a request id beside the error."""
    body = answer.json()
    assert body.keys() == {"error", "error_description", "error_index", "request_id"}
    return answer.status_code, body["error"], body["error_description"]


@pytest.mark.contract
def test_the_documents_example_of_a_refresh(amazon: Emulator) -> None:
    """The page "Connecting to the SP-API" shows this request, and the keys, values and headers that come."""
    amazon.add_seller(amazon.add_application("foodev", "Y76SDl2F"), "Aztr|...")
    body = "grant_type=refresh_token&refresh_token=Aztr|...&client_id=foodev&client_secret=Y76SDl2F"

    answer = requests.post(f"{amazon.url}/auth/o2/token", data=body, headers=FORM, timeout=5)

    token = answer.json()
    assert answer.status_code == 200
    assert token.keys() == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert token["access_token"].startswith("Atza|")
    assert (token["token_type"], token["expires_in"], token["refresh_token"]) == ("bearer", 3600, "Aztr|...")
    assert answer.headers["Content-Type"] == "application/json;charset=UTF-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"


@pytest.mark.contract
def test_the_documents_example_without_a_seller(amazon: Emulator) -> None:
    """The page "Connecting to the SP-API" shows this request for an operation that needs no seller."""
    amazon.add_application("foodev", "Y76SDl2F")
    body = (
        "grant_type=client_credentials&scope=sellingpartnerapi::notifications"
        "&client_id=foodev&client_secret=Y76SDl2F"
    )

    answer = requests.post(f"{amazon.url}/auth/o2/token", data=body, headers=FORM, timeout=5)

    assert answer.status_code == 200
    assert "refresh_token" not in answer.json()


@pytest.mark.contract
@pytest.mark.parametrize("as_json", [True, False], ids=["the JSON example", "the cURL example"])
def test_the_documents_example_of_the_appstore(amazon: Emulator, as_json: bool) -> None:  # noqa: FBT001 - because pytest passes it by name
    """The page "API authentication" shows one request, as JSON and as a form to /auth/O2/token."""
    request = {
        "grant_type": "client_credentials",
        "client_id": "amzn1.application-oa2-client.ae941846cdd745e9a53319f7bb98d435",
        "client_secret": "41d135b2b02ce5f2fbf7643a66477c089fcc1d88d11f69d3e4a6285b917ca35d",
        "scope": "appstore::apps:readwrite",
    }
    amazon.add_application(request["client_id"], request["client_secret"])
    body: dict[str, Any] = {"json": request} if as_json else {"data": request}

    answer = requests.post(f"{amazon.url}/auth/O2/token", timeout=5, **body).json()

    assert answer.pop("access_token").startswith("Atc|")
    assert answer == {"scope": "appstore::apps:readwrite", "token_type": "bearer", "expires_in": 3600}


@pytest.mark.contract
@pytest.mark.parametrize(
    ("code", "client_id", "client_secret", "redirect_uri"),
    [
        ("SplxlOexamplebYS6WxSbIA", "foodev", "Y76SDl2F", ""),
        ("AUTH_CODE", "YOUR_CLIENT_ID", "YOUR_SECRET_KEY", "&redirect_uri=YOUR_RETURN_URL"),
    ],
    ids=["SP-API leaves the redirect URI out", "Ads names it"],
)
def test_the_documents_examples_of_a_code(
    amazon: Emulator, code: str, client_id: str, client_secret: str, redirect_uri: str
) -> None:
    """The pages "Renew authorizations" and "Generate access tokens" show these requests and this answer."""
    amazon.add_code(amazon.add_application(client_id, client_secret), code)
    body = f"grant_type=authorization_code&code={code}{redirect_uri}"
    body += f"&client_id={client_id}&client_secret={client_secret}"

    token = requests.post(f"{amazon.url}/auth/o2/token", data=body, headers=FORM, timeout=5).json()

    assert token.pop("access_token").startswith("Atza|")
    assert token.pop("refresh_token").startswith("Atzr|")
    assert token == {"token_type": "bearer", "expires_in": 3600}


def test_each_exchange_gives_a_new_token_of_real_length(caller: Caller) -> None:
    """Access tokens differ each time and have 353 characters; the refresh token comes back as it was sent."""
    first, second = caller.login().json(), caller.login().json()

    assert first["access_token"] != second["access_token"]
    assert len(first["access_token"]) == 353
    assert first["refresh_token"] == second["refresh_token"] == caller.grant.refresh_token


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"refresh_token": "Atzr|unknown"}, (400, "invalid_grant", REVOKED)),
        ({"client_secret": "wrong"}, (401, "invalid_client", "Client authentication failed")),
        ({"client_id": "unknown"}, (401, "invalid_client", "Client authentication failed")),
        (
            {"client_id": "amzn1.sp.solution.8c7d"},
            (400, "unauthorized_client", "Not authorized for requested operation"),
        ),
        (
            {"grant_type": "password"},
            (
                400,
                "unsupported_grant_type",
                "The authorization grant type is not supported by the authorization server",
            ),
        ),
        (
            {"scope": "sellingpartnerapi::notifications"},
            (400, "invalid_request", "The request has an invalid parameter : scope"),
        ),
        (
            {"grant_type": "client_credentials", "scope": "sellingpartnerapi::notifications"},
            (400, "invalid_request", "The request has an invalid parameter : refresh_token"),
        ),
        (
            {"grant_type": "client_credentials", "refresh_token": None, "scope": "sellingpartnerapi::typo"},
            (400, "invalid_scope", "The request has an invalid parameter : scope"),
        ),
        (
            {"grant_type": "authorization_code", "refresh_token": None, "code": "unknown"},
            (400, "invalid_grant", "The request has an invalid grant parameter : code"),
        ),
        *[
            (
                {name: missing},
                (400, "invalid_request", f"The request is missing a required parameter : {name}"),
            )
            for name in ("grant_type", "refresh_token", "client_id", "client_secret")
            for missing in (None, "")
        ],
    ],
    ids=str,
)
def test_refusals(caller: Caller, fields: dict[str, str | None], expected: tuple[int, str, str]) -> None:
    """Each mistake in a token request has Amazon's own status, error and description."""
    assert refused(caller.login(**fields)) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "description"),
    [
        ("text/plain", b"x", "The Content-Type is not supported by the authorization server"),
        ("multipart/form-data", b"x", "The Content-Type is not supported by the authorization server"),
        ("", b"x", "The Content-Type is not supported by the authorization server"),
        ("application/json", b"{", "Malformed request"),
        ("application/json", b"[]", "Malformed request"),
        ("application/json", b'{"grant_type": 1}', "Malformed request"),
        ("application/x-www-form-urlencoded", b"grant_type=a&grant_type=b", "Malformed request"),
        ("application/x-www-form-urlencoded", b"\xff\xfe", "Malformed request"),
    ],
)
def test_bodies_that_cannot_be_read(
    amazon: Emulator, content_type: str, body: bytes, description: str
) -> None:
    """Only forms and JSON objects of strings are read, and no parameter may come twice."""
    headers = {"Content-Type": content_type} if content_type else {}

    answer = requests.post(f"{amazon.url}/auth/o2/token", data=body, headers=headers, timeout=5)

    assert refused(answer) == (400, "invalid_request", description)


def test_only_post_is_answered(amazon: Emulator) -> None:
    """A token is not to be had by GET."""
    assert requests.get(f"{amazon.url}/auth/o2/token", timeout=5).status_code == 405


def test_a_form_may_hold_any_character(amazon: Emulator, caller: Caller) -> None:
    """Secrets and tokens with signs that mean something in forms arrive as they are."""
    secret, token = "a%b|c&d=e+f:g é", "Atzr|x%7C+y&z= "
    application = amazon.add_application("any", secret)
    amazon.add_seller(application, token)

    assert caller.login(client_id="any", client_secret=secret, refresh_token=token).status_code == 200


def test_another_applications_refresh_token(amazon: Emulator, caller: Caller) -> None:
    """A refresh token belongs to the application that it was made for."""
    other = amazon.add_application()

    answer = caller.login(client_id=other.client_id, client_secret=other.client_secret)

    assert refused(answer) == (400, "unauthorized_client", "Not authorized for requested operation")


def test_revoking_and_restoring(amazon: Emulator, caller: Caller) -> None:
    """A revoked grant is refused until it is restored."""
    amazon.revoke(caller.grant.refresh_token)
    revoked = caller.login()
    amazon.restore(caller.grant.refresh_token)

    assert refused(revoked) == (400, "invalid_grant", REVOKED)
    assert caller.login().status_code == 200


def test_a_code_works_once(amazon: Emulator, caller: Caller) -> None:
    """A code is spent by its exchange, and the refresh token that it gave works."""
    fields: dict[str, str | None] = {
        "grant_type": "authorization_code",
        "refresh_token": None,
        "code": amazon.add_code(caller.application),
    }

    first, second = caller.login(**fields), caller.login(**fields)

    assert caller.login(refresh_token=first.json()["refresh_token"]).status_code == 200
    assert refused(second) == (400, "invalid_grant", "The request has an invalid grant parameter : code")


@pytest.mark.contract
def test_a_code_lives_five_minutes(amazon: Emulator, caller: Caller) -> None:
    """An expired code is refused in the words of the page "Generate access tokens"."""
    early, late = amazon.add_code(caller.application), amazon.add_code(caller.application)
    amazon.clock.advance(290)
    in_time = caller.login(grant_type="authorization_code", refresh_token=None, code=early)
    amazon.clock.advance(10)
    too_late = caller.login(grant_type="authorization_code", refresh_token=None, code=late)

    assert in_time.status_code == 200
    assert refused(too_late) == (400, "invalid_request", "The request has an invalid parameter : code")


def test_a_code_is_bound_to_its_redirect_uri_and_application(amazon: Emulator, caller: Caller) -> None:
    """A code is refused with another redirect URI, and to another application."""
    code = amazon.add_code(caller.application, redirect_uri="https://example.com/back")
    other = amazon.add_application()
    fields: dict[str, str | None] = {"grant_type": "authorization_code", "refresh_token": None, "code": code}

    elsewhere = caller.login(**fields, redirect_uri="https://example.com/else")
    another = caller.login(**fields, client_id=other.client_id, client_secret=other.client_secret)
    right = caller.login(**fields, redirect_uri="https://example.com/back")

    assert [each.status_code for each in (elsewhere, another, right)] == [400, 400, 200]


def test_scopes_must_be_attached(amazon: Emulator, caller: Caller) -> None:
    """A scope that is detached from the application is refused until it is attached again."""
    scope = "appstore::apps:readwrite"
    amazon.detach(caller.application.client_id, scope)
    detached = caller.grantless(scope)
    amazon.attach(caller.application.client_id, scope)

    assert refused(detached) == (400, "invalid_scope", "The request has an invalid parameter : scope")
    assert caller.grantless(scope).json()["scope"] == scope


def test_the_lifetime_can_be_set(amazon: Emulator, caller: Caller) -> None:
    """What expires_in says is the emulator's to choose."""
    amazon.token_lifetime = 60

    assert caller.login().json()["expires_in"] == 60


def test_both_secrets_work_until_the_overlap_has_passed(amazon: Emulator, caller: Caller) -> None:
    """After a rotation the old secret works for seven days more; the refresh token survives."""
    old = caller.application.client_secret
    new = amazon.rotate_secret(caller.application.client_id)
    both = [caller.login(client_secret=secret).status_code for secret in (old, new)]
    amazon.clock.advance(timedelta(days=7).total_seconds())

    assert both == [200, 200]
    assert refused(caller.login(client_secret=old)) == (
        401,
        "invalid_client",
        "Client authentication failed",
    )
    assert caller.login(client_secret=new).status_code == 200


def test_a_dead_secret_may_still_get_tokens_that_open_nothing(amazon: Emulator, caller: Caller) -> None:
    """Login with Amazon answers 200, the API refuses each call, also with earlier tokens, and says why."""
    before = caller.access_token()
    old = caller.application.client_secret
    amazon.rotate_secret(caller.application.client_id, overlap=timedelta(0), mode="api_refuses")

    after = caller.login(client_secret=old)

    assert after.status_code == 200
    for token in (before, after.json()["access_token"]):
        answer = caller.api("GET", "/sellers/v1/marketplaceParticipations", token=token)
        assert answer.status_code == 403
        assert answer.json()["errors"][0]["details"] == "The LWA secret token you provided has expired."
    assert caller.api("GET", "/sellers/v1/marketplaceParticipations").status_code == 200


@pytest.mark.parametrize(("mode", "status"), [("lwa_refuses", 401), ("api_refuses", 200)])
def test_a_secret_can_reach_its_180_days(amazon: Emulator, caller: Caller, mode: Any, status: int) -> None:
    """A secret that was never rotated dies in either of the two ways that have been reported."""
    amazon.expire_secret(caller.application.client_id, mode=mode)

    assert caller.login().status_code == status


def test_a_world_refuses_what_does_not_exist(amazon: Emulator, caller: Caller) -> None:
    """Misspelt regions, marketplaces, scopes and roles are an error where they are written."""
    for wrong in (
        lambda: amazon.add_seller(caller.application, region="emea"),
        lambda: amazon.add_seller(caller.application, marketplace_ids=["US"]),
        lambda: amazon.add_seller("unknown"),
        lambda: amazon.add_application(roles=["everything"]),
        lambda: amazon.add_application(scopes=["typo"]),
    ):
        with pytest.raises(ValueError, match="Unknown"):
            wrong()
