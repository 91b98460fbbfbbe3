"""The examples of Amazon's own pages, held against this project's client and against its emulator.

The pages: "Connect to the Selling Partner API", "Renew your website authorizations", "Generate access and
refresh tokens" (Amazon Ads) and "API authentication" (Appstore). Requests and answers are spelled as there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

import pytest
import requests

from airflow_provider_lwa.amazon import login
from airflow_provider_lwa.amazon.errors import (
    AuthorizationCodeRejected,
    ClientRejected,
    LwaError,
    ScopeNotGranted,
    TokenRequestRefused,
)
from airflow_provider_lwa.amazon.http import Answer, Door
from airflow_provider_lwa.amazon.login import (
    Credential,
    TokenAnswer,
    TokenRequest,
    authorization_code_request,
    client_credentials_request,
    judge,
    request_for,
)
from airflow_provider_lwa.amazon.profiles import PROFILES, endpoints

if TYPE_CHECKING:
    from airflow_provider_lwa.emulator import Emulator

pytestmark = pytest.mark.contract

FORM = "application/x-www-form-urlencoded;charset=UTF-8"
APPSTORE_SECRET = "15d1829ddf4f12d1c5d425e57e5ca081d0f7a63bd94c9e142ff8b20d9de880a4"
APPSTORE_CLIENT = "amzn1.application-oa2-client.5c1462ee102c4a57a5224d0c72118741"
APPSTORE_SCOPE = "appstore::apps:readwrite"
APPSTORE_TOKEN = "Atc|MAEBIBav2tvCbJOA9Jv5sRpej6xY_qzHFuCpbWT-Z94nRqVWVcfmZVNPEhZiet-H3vdQcORqE5pO4fCKEi6kfvz"


@dataclass(frozen=True)
class Example:
    """One request of a page, the request of ours that it corresponds to, and the answer the page shows.

    :param page: which page
    :param sent: the body as the page spells it
    :param ours: the request our client builds for it
    :param answer: the page's answer
    :param granted: what our client takes from that answer
    """

    page: str
    sent: str
    ours: TokenRequest
    answer: dict[str, Any]
    granted: TokenAnswer


def _selling_partner(**changes: Any) -> Credential:
    url = endpoints(PROFILES["selling_partner"], "europe").token_url
    return Credential(**{"client_id": "foodev", "client_secret": "Y76SDl2F", "token_url": url, **changes})


EXAMPLES = [
    Example(
        "selling partner, an operation that a seller authorized",
        "grant_type=refresh_token&refresh_token=Aztr|...&client_id=foodev&client_secret=Y76SDl2F",
        request_for(_selling_partner(refresh_token="Aztr|...")),
        {
            "access_token": "Atza|IQEBLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSREXAMPLE",
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": "Atzr|IQEBLzAtAhRPpMJxdwVz2Nn6f2y-tpJX2DeXEXAMPLE",
        },
        TokenAnswer(
            "Atza|IQEBLjAsAhRmHjNgHpi0U-Dme37rR6CuUpSREXAMPLE",
            3600.0,
            "Atzr|IQEBLzAtAhRPpMJxdwVz2Nn6f2y-tpJX2DeXEXAMPLE",
        ),
    ),
    Example(
        "selling partner, a grantless operation",
        "grant_type=client_credentials&scope=sellingpartnerapi::notifications&client_id=foodev&client_secret=Y76SDl2F",
        client_credentials_request(_selling_partner(), ["sellingpartnerapi::notifications"]),
        {"access_token": "Atc|MQEBIA", "token_type": "bearer", "expires_in": 3600},
        TokenAnswer("Atc|MQEBIA", 3600.0),
    ),
    Example(
        "selling partner, an authorization code",
        "grant_type=authorization_code&code=SplxlOexamplebYS6WxSbIA&client_id=foodev&client_secret=Y76SDl2F",
        authorization_code_request(_selling_partner(), "SplxlOexamplebYS6WxSbIA"),
        {
            "access_token": "Atza|IQEBLjAsAexampleHpi0U-Dme37rR6CuUpSR",
            "token_type": "bearer",
            "expires_in": 3600,
            "refresh_token": "Atzr|IQEBLzAtAhexamplewVz2Nn6f2y-tpJX2DeX",
        },
        TokenAnswer(
            "Atza|IQEBLjAsAexampleHpi0U-Dme37rR6CuUpSR", 3600.0, "Atzr|IQEBLzAtAhexamplewVz2Nn6f2y-tpJX2DeX"
        ),
    ),
    Example(
        "amazon ads, an authorization code",
        "grant_type=authorization_code&code=AUTH_CODE&redirect_uri=YOUR_RETURN_URL&client_id=YOUR_CLIENT_ID"
        "&client_secret=YOUR_SECRET_KEY",
        authorization_code_request(
            Credential("YOUR_CLIENT_ID", "YOUR_SECRET_KEY"), "AUTH_CODE", redirect_uri="YOUR_RETURN_URL"
        ),
        {
            "access_token": "Atza|XXXXXXXXXXXX",
            "refresh_token": "Atzr|XXXXXXXXXXXX",
            "token_type": "bearer",
            "expires_in": 3600,
        },
        TokenAnswer("Atza|XXXXXXXXXXXX", 3600.0, "Atzr|XXXXXXXXXXXX"),
    ),
    Example(
        "appstore, client credentials",
        f"grant_type=client_credentials&client_id={APPSTORE_CLIENT}&client_secret={APPSTORE_SECRET}"
        f"&scope={APPSTORE_SCOPE}",
        request_for(Credential(APPSTORE_CLIENT, APPSTORE_SECRET, scopes=(APPSTORE_SCOPE,))),
        {
            "access_token": APPSTORE_TOKEN,
            "scope": APPSTORE_SCOPE,
            "token_type": "bearer",
            "expires_in": 3600,
        },
        TokenAnswer(
            APPSTORE_TOKEN,
            3600.0,
            scope=APPSTORE_SCOPE,
        ),
    ),
]


@pytest.fixture(params=EXAMPLES, ids=lambda example: example.page)
def example(request: pytest.FixtureRequest) -> Example:
    """Each example in turn."""
    found: Example = request.param
    return found


def test_our_client_builds_the_pages_request(example: Example) -> None:
    """The same fields with the same values; the order means nothing in a form."""
    assert dict(parse_qsl(urlencode(example.ours.form))) == dict(parse_qsl(example.sent))
    assert len(parse_qsl(example.sent)) == len(example.ours.form)


def test_our_client_reads_the_pages_answer(example: Example) -> None:
    """Token, life, refresh token and scope are taken as the page gives them."""
    found = Answer(
        200, {"content-type": "application/json;charset UTF-8"}, json.dumps(example.answer).encode()
    )

    assert judge(example.ours, found) == example.granted


def _settle_in(amazon: Emulator, example: Example) -> None:
    """Make what the example mentions exist."""
    form = dict(parse_qsl(example.sent))
    application = amazon.add_application(form["client_id"], form["client_secret"])
    if "refresh_token" in form:
        amazon.add_seller(application, form["refresh_token"])
    if "code" in form:
        amazon.add_code(application, form["code"], redirect_uri=form.get("redirect_uri"))


def test_the_emulator_answers_the_pages_request(example: Example, lwa_emulator: Emulator) -> None:
    """The body exactly as the page spells it gets an answer with the page's keys."""
    _settle_in(lwa_emulator, example)
    answer = requests.post(
        f"{lwa_emulator.url}/auth/o2/token", data=example.sent, headers={"Content-Type": FORM}, timeout=5
    )
    body = answer.json()

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert {key: type(value) for key, value in example.answer.items()}.items() <= {
        key: type(value) for key, value in body.items()
    }.items()
    assert body["token_type"] == example.answer["token_type"]
    assert body["expires_in"] == example.answer["expires_in"]
    assert body["access_token"].partition("|")[0] == example.answer["access_token"].partition("|")[0]
    assert body.get("scope") == dict(parse_qsl(example.sent)).get("scope")


def test_our_client_and_the_emulator_understand_each_other(example: Example, lwa_emulator: Emulator) -> None:
    """The same request through our client, over the wire."""
    _settle_in(lwa_emulator, example)
    ours = example.ours
    request = TokenRequest(
        f"{lwa_emulator.url}/auth/o2/token",
        ours.grant_type,
        ours.client_id,
        ours.client_secret,
        ours.parameters,
    )
    answer = login.exchange(Door(), request, budget=10)

    assert answer.lifetime == example.granted.lifetime
    assert bool(answer.refresh_token) == ("refresh_token" in example.answer)
    assert answer.warnings == ()


def test_the_ads_page_names_an_endpoint_for_each_region() -> None:
    """North America, Europe and the Far East have their own."""
    ads = PROFILES["amazon_ads"]

    assert {
        region: endpoints(ads, region).token_url for region in ("north_america", "europe", "far_east")
    } == {
        "north_america": "https://api.amazon.com/auth/o2/token",
        "europe": "https://api.amazon.co.uk/auth/o2/token",
        "far_east": "https://api.amazon.co.jp/auth/o2/token",
    }


@pytest.mark.parametrize("path", ["/auth/o2/token", "/auth/O2/token"])
def test_the_appstore_page_spells_the_path_in_two_ways(path: str, lwa_emulator: Emulator) -> None:
    """Both spellings work; and the same fields may be sent as JSON."""
    lwa_emulator.add_application(APPSTORE_CLIENT, APPSTORE_SECRET)
    fields = {
        "grant_type": "client_credentials",
        "client_id": APPSTORE_CLIENT,
        "client_secret": APPSTORE_SECRET,
        "scope": APPSTORE_SCOPE,
    }
    for body in ({"data": fields}, {"json": fields}):
        answer = requests.post(f"{lwa_emulator.url}{path}", timeout=5, **body)

        assert answer.json()["scope"] == APPSTORE_SCOPE


ERRORS: list[tuple[str, str, dict[str, str], str | None, type[LwaError]]] = [
    ("invalid_client", "Client authentication failed", {"client_secret": "wrong"}, None, ClientRejected),
    (
        "invalid_scope",
        "The request has an invalid parameter : scope",
        {"scope": "appstore::wrong"},
        None,
        ScopeNotGranted,
    ),
    (
        "unsupported_grant_type",
        "The authorization grant type is not supported by the authorization server",
        {"grant_type": "password"},
        None,
        TokenRequestRefused,
    ),
    (
        "invalid_request",
        "The Content-Type is not supported by the authorization server",
        {},
        "text/plain",
        TokenRequestRefused,
    ),
]


@pytest.mark.parametrize(
    ("code", "words", "change", "content_type", "kind"), ERRORS, ids=[row[0] for row in ERRORS]
)
def test_the_appstore_pages_errors(
    code: str,
    words: str,
    change: dict[str, str],
    content_type: str | None,
    kind: type[LwaError],
    lwa_emulator: Emulator,
) -> None:
    """Each error of the page's table: the emulator gives it, and our client knows what it means."""
    lwa_emulator.add_application(APPSTORE_CLIENT, APPSTORE_SECRET)
    fields = {
        "grant_type": "client_credentials",
        "client_id": APPSTORE_CLIENT,
        "client_secret": APPSTORE_SECRET,
        "scope": APPSTORE_SCOPE,
        **change,
    }
    answer = requests.post(
        f"{lwa_emulator.url}/auth/o2/token",
        data=urlencode(fields),
        headers={"Content-Type": content_type or FORM},
        timeout=5,
    )
    body = answer.json()
    request = client_credentials_request(Credential(APPSTORE_CLIENT, APPSTORE_SECRET), [fields["scope"]])

    assert (body["error"], body["error_description"]) == (code, words)
    assert 400 <= answer.status_code < 500
    for content in (answer.content, json.dumps({"error_description": words, "error": code}).encode()):
        with pytest.raises(LwaError) as caught:
            judge(request, Answer(answer.status_code, {}, content))
        assert type(caught.value) is kind
        assert caught.value.description == words


def test_the_ads_page_warns_of_codes_that_are_too_old(lwa_emulator: Emulator) -> None:
    """After five minutes a code is answered with 400 and the page's words; our client says what to do."""
    words = "The request has an invalid parameter : code"
    application = lwa_emulator.add_application()
    code = lwa_emulator.add_code(application)
    lwa_emulator.clock.advance(301)
    credential = Credential(
        application.client_id, application.client_secret, token_url=f"{lwa_emulator.url}/auth/o2/token"
    )
    with pytest.raises(AuthorizationCodeRejected) as caught:
        login.exchange(Door(), authorization_code_request(credential, code), budget=10)

    assert (caught.value.status, caught.value.description) == (400, words)
    assert "five minutes" in str(caught.value)


def test_a_refresh_token_and_a_scope_never_go_together(lwa_emulator: Emulator) -> None:
    """The page forbids it: our client sends only one of them, and the emulator refuses both."""
    application = lwa_emulator.add_application()
    grant = lwa_emulator.add_seller(application)
    credential = Credential(
        application.client_id,
        application.client_secret,
        grant.refresh_token,
        scopes=("sellingpartnerapi::notifications",),
        token_url=f"{lwa_emulator.url}/auth/o2/token",
    )
    for request in (request_for(credential), request_for(credential, ["sellingpartnerapi::notifications"])):
        assert not {"refresh_token", "scope"} <= request.form.keys()
        assert login.exchange(Door(), request, budget=10).access_token
    both = {**request_for(credential).form, "scope": "sellingpartnerapi::notifications"}
    answer = requests.post(credential.token_url, data=both, timeout=5)

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
