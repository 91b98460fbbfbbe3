"""Building token requests and judging answers: pure functions, each outcome of the wire in turn."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_lwa.amazon.errors import (
    AuthorizationCodeRejected,
    BadResponse,
    ClientRejected,
    ClientUnauthorized,
    ConfigurationError,
    CredentialError,
    LwaError,
    RefreshTokenRevoked,
    ScopeNotGranted,
    Throttled,
    TokenRequestRefused,
    TransientError,
    Unavailable,
)
from airflow_provider_lwa.amazon.http import Answer
from airflow_provider_lwa.amazon.login import (
    Credential,
    TokenAnswer,
    TokenRequest,
    authorization_code_request,
    client_credentials_request,
    judge,
    request_for,
)

NOW = 1_763_700_000.0
CREDENTIAL = Credential("client", "secret", "Atzr|refresh")
REFRESH = request_for(CREDENTIAL)
GRANTLESS = client_credentials_request(CREDENTIAL, ["sellingpartnerapi::notifications"])
CODE = authorization_code_request(CREDENTIAL, "code")
GOOD: dict[str, Any] = {
    "access_token": "Atza|access",
    "refresh_token": "Atzr|refresh",
    "token_type": "bearer",
    "expires_in": 3600,
}


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    """:return: an answer with JSON, or with these bytes"""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, NOW)


def granted(**changes: object) -> TokenAnswer:
    """Judge a good answer with changes; ... leaves a key out."""
    body = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return judge(REFRESH, answer(body))


class TestRequests:
    """Which grant, and what it sends."""

    def test_a_refresh_token(self) -> None:
        """A credential with a refresh token sends it, and nothing of scopes."""
        assert REFRESH.form == {
            "grant_type": "refresh_token",
            "refresh_token": "Atzr|refresh",
            "client_id": "client",
            "client_secret": "secret",
        }
        assert REFRESH.url == "https://api.amazon.com/auth/o2/token"

    def test_scopes_for_one_call(self) -> None:
        """Scopes given for a call make it grantless: they do not go together with a refresh token."""
        request = request_for(CREDENTIAL, ["sellingpartnerapi::notifications"])

        assert request == GRANTLESS
        assert request.form == {
            "grant_type": "client_credentials",
            "scope": "sellingpartnerapi::notifications",
            "client_id": "client",
            "client_secret": "secret",
        }

    def test_the_credentials_own_scopes(self) -> None:
        """A credential without a refresh token asks for its own scopes."""
        request = request_for(Credential("client", "secret", scopes=("appstore::apps:readwrite",)))

        assert request.form["scope"] == "appstore::apps:readwrite"

    def test_scopes_in_any_order(self) -> None:
        """Order, repetition and blanks make no difference, so that the same token serves."""
        one = client_credentials_request(CREDENTIAL, ["b", "a", " a ", ""])

        assert one == client_credentials_request(CREDENTIAL, ["a", "b"])
        assert one.form["scope"] == "a b"

    @pytest.mark.parametrize("scopes", [[], ["", "  "]])
    def test_no_scope_at_all(self, scopes: list[str]) -> None:
        """A client-credentials token needs a scope."""
        with pytest.raises(ConfigurationError, match="at least one scope"):
            client_credentials_request(CREDENTIAL, scopes)

    def test_neither_token_nor_scopes(self) -> None:
        """A credential that has neither is refused before anything is sent."""
        with pytest.raises(ConfigurationError, match="Neither a refresh token nor scopes"):
            request_for(Credential("client", "secret"))

    def test_an_authorization_code(self) -> None:
        """A code is sent with what the consent page was opened with, and without the refresh token."""
        assert CODE.form.keys() == {"grant_type", "code", "client_id", "client_secret"}
        full = authorization_code_request(
            CREDENTIAL, "c", redirect_uri="https://x/callback", code_verifier="v"
        )
        assert full.form == {
            "grant_type": "authorization_code",
            "code": "c",
            "redirect_uri": "https://x/callback",
            "code_verifier": "v",
            "client_id": "client",
            "client_secret": "secret",
        }

    @given(st.lists(st.tuples(*[st.text(max_size=3)] * 3), min_size=2, max_size=2, unique=True))
    def test_different_credentials_have_different_identities(self, parts: list[tuple[str, str, str]]) -> None:
        """Client, refresh token and endpoint all count; the secret does not."""
        one, other = (
            request_for(Credential(client, secret, token or "t", token_url=url))
            for (client, token, url), secret in zip(parts, ("s1", "s2"), strict=True)
        )
        same = [(client, token or "t", url) for client, token, url in parts]

        assert (one.identity == other.identity) == (same[0] == same[1])

    def test_a_successor(self) -> None:
        """A refresh token that took the place of another changes what is sent, not who asks."""
        successor = REFRESH.with_refresh_token("Atzr|successor")

        assert successor.form == {**REFRESH.form, "refresh_token": "Atzr|successor"}
        assert (REFRESH.refresh_token, successor.refresh_token) == ("Atzr|refresh", "Atzr|successor")
        assert GRANTLESS.refresh_token is None

    def test_reprs_hold_no_secret(self) -> None:
        """Credential, request, form and answer can be logged."""
        things = [CREDENTIAL, REFRESH, REFRESH.form, CODE, CODE.form, granted(), answer(GOOD)]
        for thing in things:
            text = f"{thing!r} {thing}"
            assert not any(secret in text for secret in ("Atz", "'secret'", "'code'"))
        assert "client" in repr(CREDENTIAL)


class TestGranted:
    """What is taken for a token."""

    def test_a_good_answer(self) -> None:
        """Token, life, refresh token and scope are taken as they are."""
        assert granted() == TokenAnswer("Atza|access", 3600.0, "Atzr|refresh")
        assert granted(scope="a b", refresh_token=...) == TokenAnswer("Atza|access", 3600.0, scope="a b")
        assert granted(refresh_token="", scope=5) == TokenAnswer("Atza|access", 3600.0)
        assert granted(unknown={"key": 1}) == granted()

    @pytest.mark.parametrize(
        ("value", "lifetime", "warned"),
        [
            (..., 3600, True),
            (None, 3600, True),
            ("3600", 3600, False),
            ("abc", 3600, True),
            ("", 3600, True),
            (3600.0, 3600, False),
            (1800, 1800, False),
            (1e308, 86_400, False),
            (10**400, 86_400, False),
            (math.inf, 86_400, False),
            ("inf", 86_400, False),
            (99_999_999_999, 86_400, False),
            (30, 30, False),
            (0.5, 0.5, False),
        ],
    )
    def test_lifetimes(self, value: object, lifetime: float, warned: bool) -> None:  # noqa: FBT001 - because it is a table
        """A number or a number's text; a day at most; an hour, with a warning, where there is none."""
        found = granted(expires_in=value)

        assert found.lifetime == lifetime
        assert bool(found.warnings) == warned

    @pytest.mark.parametrize(
        "value", [0, -5, "0", "-1", math.nan, "nan", -math.inf, True, False, [], {}, [3600]]
    )
    def test_lifetimes_that_make_no_sense(self, value: object) -> None:
        """Nothing, less than nothing, no number at all: the answer is not usable, and nothing is cached."""
        with pytest.raises(BadResponse) as caught:
            granted(expires_in=value)
        assert caught.value.code == "bad_expires_in"

    @pytest.mark.parametrize("kind", ["bearer", "Bearer", "BEARER", ...])
    def test_bearer_tokens(self, kind: object) -> None:
        """The type is compared without regard to case; where there is none, it is bearer."""
        assert granted(token_type=kind).access_token == "Atza|access"

    @pytest.mark.parametrize("kind", ["mac", "", None, 5, ["bearer"]])
    def test_other_tokens(self, kind: object) -> None:
        """A token of another type cannot be used."""
        with pytest.raises(BadResponse) as caught:
            granted(token_type=kind)
        assert caught.value.code == "bad_token_type"

    @pytest.mark.parametrize(
        "token",
        [..., None, "", 5, ["t"], {"t": 1}, "a b", "a\r\nX-Evil: 1", "a\x00", "ü", "\u2028", "a" * 16_385],
    )
    def test_tokens_that_cannot_stand_in_a_header(self, token: object) -> None:
        """Missing, empty, of another type, with blanks or control characters, endless: not a token."""
        with pytest.raises(BadResponse) as caught:
            granted(access_token=token)
        assert caught.value.code == "bad_token"
        assert caught.value.retryable

    @pytest.mark.parametrize(("size", "warned"), [(2048, False), (2049, True), (16_384, True)])
    def test_long_tokens(self, size: int, warned: bool) -> None:  # noqa: FBT001 - because it is a table
        """Longer than documented is accepted with a warning."""
        assert bool(granted(access_token="a" * size).warnings) == warned

    def test_the_request_id_is_kept(self) -> None:
        """An unusable answer names Amazon's request id, if it has one."""
        with pytest.raises(BadResponse) as caught:
            judge(REFRESH, answer({}, x_amzn_requestid="abc-123"))
        assert (caught.value.request_id, caught.value.status) == ("abc-123", 200)


class TestRefused:
    """The error code decides first, the status second, the description never."""

    @pytest.mark.parametrize("status", [400, 401, 403, 200])
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("invalid_grant", RefreshTokenRevoked),
            ("INVALID_GRANT", RefreshTokenRevoked),
            (" invalid_client ", ClientRejected),
            ("invalid_client", ClientRejected),
            ("INVALID_CLIENT", ClientRejected),
            ("unauthorized_client", ClientUnauthorized),
            ("invalid_scope", ScopeNotGranted),
            ("access_denied", ScopeNotGranted),
            ("unsupported_grant_type", TokenRequestRefused),
            ("invalid_request", TokenRequestRefused),
            ("a_new_code", TokenRequestRefused),
        ],
    )
    def test_for_good(self, code: str, kind: type[LwaError], status: int) -> None:
        """Each code has its class, whatever the status, and is never retried."""
        with pytest.raises(CredentialError) as caught:
            judge(
                REFRESH, answer({"error": code, "error_description": "Words.", "request_id": "r-1"}, status)
            )
        error = caught.value

        assert type(error) is kind
        assert not error.retryable
        assert (error.code, error.description, error.status, error.request_id) == (
            code.strip().lower(),
            "Words.",
            status,
            "r-1",
        )
        assert error.advice
        assert "api.amazon.com" in str(error)

    @pytest.mark.parametrize(
        "code", ["server_error", "ServerError", "temporarily_unavailable", "unknown_error"]
    )
    def test_for_now(self, code: str) -> None:
        """Codes of Amazon's own trouble pass by themselves, whatever the status."""
        with pytest.raises(Unavailable):
            judge(REFRESH, answer({"error": code}, 400))

    @pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425])
    @pytest.mark.parametrize(
        "body", [b"<html>503</html>", b"", {"error": "invalid_grant"}, {"error": "server_error"}]
    )
    def test_server_trouble(self, status: int, body: object) -> None:
        """A status of the server's own trouble is transient, whatever the body; HTML does no harm."""
        with pytest.raises(Unavailable) as caught:
            judge(REFRESH, answer(body, status))
        assert caught.value.status == status

    @pytest.mark.parametrize("status", [429, 500, 503])
    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("2", 2.0),
            ("3600", 3600.0),
            (format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True), 90.0),
            ("garbage", 2.0),
            ("-7", 0.0),
        ],
    )
    def test_slow_down(self, status: int, header: str, seconds: float) -> None:
        """With Retry-After, in either form, it is throttling, and the wait is known."""
        with pytest.raises(Throttled) as caught:
            judge(REFRESH, answer(b"", status, retry_after=header))
        assert caught.value.retry_after == pytest.approx(seconds)

    def test_slow_down_without_a_time(self) -> None:
        """429 is throttling also when Amazon does not say for how long."""
        with pytest.raises(Throttled) as caught:
            judge(REFRESH, answer({"error": "invalid_grant"}, 429))
        assert caught.value.retry_after is None

    @pytest.mark.parametrize(
        "body",
        [
            b"<html>Sign in to the network</html>",
            b"",
            b"[]",
            b"null",
            b'"text"',
            b"3",
            b"{",
            b"\xff\xfe",
            b"[" * 60_000,
            b"1" * 5000,
            b'{"error": null}',
            b'{"error": ""}',
        ],
    )
    def test_somebody_elses_answer(self, body: bytes) -> None:
        """A portal's page, nothing, no object: transient, and nothing of it is believed."""
        for status in (200, 204, 404, 407):
            with pytest.raises(BadResponse):
                judge(REFRESH, answer(body, status))

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        ("location", "host"),
        [
            ("https://evil.example/auth?code=secret", "evil.example"),
            ("/elsewhere", "another address"),
            ("", "another address"),
            ("http://[bad", "another address"),
        ],
    )
    def test_redirects(self, status: int, location: str, host: str) -> None:
        """A redirect is not followed; the error names the other host, and nothing else of the address."""
        with pytest.raises(BadResponse, match=f"redirects token requests to {host}") as caught:
            judge(REFRESH, answer(b"", status, location=location))
        assert "code=secret" not in str(caught.value)

    def test_words_without_a_code(self) -> None:
        """A refusal that gives only words is a refusal."""
        with pytest.raises(TokenRequestRefused):
            judge(REFRESH, answer({"error_description": "The Content-Type is not supported"}, 400))
        with pytest.raises(BadResponse):
            judge(REFRESH, answer({"error_description": "odd"}, 302 - 100))

    @pytest.mark.parametrize(
        ("code", "description", "kind"),
        [
            ("invalid_grant", "The request has an invalid grant parameter : code", AuthorizationCodeRejected),
            ("invalid_request", "The request has an invalid parameter : code", AuthorizationCodeRejected),
            ("invalid_request", "The request has an invalid parameter : code.", AuthorizationCodeRejected),
            ("invalid_request", "The request has an invalid parameter : redirect_uri", TokenRequestRefused),
            ("invalid_request", None, TokenRequestRefused),
            ("invalid_client", "Client authentication failed", ClientRejected),
        ],
    )
    def test_codes(self, code: str, description: str | None, kind: type[LwaError]) -> None:
        """A code that is too old or used has an error of its own."""
        with pytest.raises(CredentialError) as caught:
            judge(CODE, answer({"error": code, "error_description": description}, 400))
        assert type(caught.value) is kind

    def test_a_code_without_an_error_code(self) -> None:
        """Also when Amazon names only the parameter."""
        with pytest.raises(AuthorizationCodeRejected):
            judge(CODE, answer({"error_description": "The request has an invalid parameter : code"}, 400))

    def test_a_grant_that_was_never_sent(self) -> None:
        """invalid_grant on a request without a refresh token is no revocation."""
        with pytest.raises(TokenRequestRefused):
            judge(GRANTLESS, answer({"error": "invalid_grant"}, 400))

    def test_words_are_cleaned(self) -> None:
        """What Amazon says is shortened, made printable and redacted; other types are dropped."""
        body = {
            "error": "invalid_grant",
            "error_description": f"Atzr|refresh\r\n{'x' * 500}",
            "request_id": 5,
        }
        with pytest.raises(RefreshTokenRevoked) as caught:
            judge(REFRESH, answer(body, 400))

        assert caught.value.description is not None
        assert caught.value.description.startswith("*** xxx")
        assert len(caught.value.description) == 200
        assert caught.value.request_id is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.sampled_from(["bearer", "invalid_grant", "Atza|x", 3600])
        for name in (
            "access_token",
            "token_type",
            "expires_in",
            "refresh_token",
            "scope",
            "error",
            "error_description",
        )
    },
)


@given(
    st.sampled_from([REFRESH, GRANTLESS, CODE]),
    st.integers(100, 599) | st.just(200),
    FIELDS.map(lambda body: json.dumps(body).encode())
    | JSON.map(lambda body: json.dumps(body).encode())
    | st.binary(),
    st.none() | st.text(max_size=30),
    st.none() | st.text(max_size=30),
)
def test_whatever_comes_back_is_a_token_or_one_of_our_errors(
    request: TokenRequest, status: int, body: bytes, retry_after: str | None, location: str | None
) -> None:
    """No answer, however odd, raises anything else, and every token granted is usable."""
    headers = {"retry-after": retry_after, "location": location}
    found = Answer(status, {name: value for name, value in headers.items() if value is not None}, body, NOW)
    try:
        token = judge(request, found)
    except (CredentialError, TransientError) as caught:
        error: LwaError | None = caught
    else:
        error = None
        assert status == 200
        assert 0 < token.lifetime <= 86_400
        assert token.access_token.isprintable()
        assert token.access_token.isascii()
    assert error is None or (error.status == status and (error.retry_after or 0) >= 0)
