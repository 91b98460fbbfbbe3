"""The session that carries the token: to Amazon's API alone, renewed, repeated where that is safe."""

from __future__ import annotations

import logging
import pickle
import re
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from requests import exceptions as wire

from airflow_provider_lwa.amazon import api, errors
from airflow_provider_lwa.amazon import selling_partner as rules
from airflow_provider_lwa.amazon.session import ApiSession, _adapter
from airflow_provider_lwa.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_lwa.emulator import Emulator
    from airflow_provider_lwa.emulator.world import Grant

PARTICIPATIONS = "/sellers/v1/marketplaceParticipations"
QUESTION = {"reportType": "GET_MERCHANT_LISTINGS_ALL_DATA", "marketplaceIds": ["ATVPDKIKX0DER"]}


@dataclass
class Client:
    """One session, the clock that it waits by, and where its tokens come from."""

    amazon: Emulator
    grant: Grant
    budget: float = 120.0
    now: float = 0.0
    waits: list[float] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    another: bool = True

    def session(self, **changes: Any) -> ApiSession:
        """Make a session to the Selling Partner API."""
        arguments: dict[str, Any] = {
            "base_url": self.amazon.url,
            "token": self.token,
            "reject": self.reject,
            "judge": rules.error_of,
            "headers": lambda: rules.headers(datetime(2026, 11, 21, 12, tzinfo=UTC), "me/1"),
            "token_header": "x-amz-access-token",
            "token_prefix": "",
            "budget": self.budget,
            "monotonic": lambda: self.now,
            "sleep": self.sleep,
        }
        return ApiSession(**{**arguments, **changes})

    def sleep(self, seconds: float) -> None:
        """Let time pass for both sides."""
        self.waits.append(seconds)
        self.now += seconds
        self.amazon.clock.advance(seconds)

    def token(self) -> Token:
        """Give the current token, or ask Amazon."""
        if not self.tokens:
            self.renew()
        return self.tokens[-1]

    def renew(self) -> None:
        """Ask Amazon for a token."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self.grant.refresh_token,
            "client_id": self.grant.client_id,
            "client_secret": self.amazon.applications[self.grant.client_id].client_secret,
        }
        value = requests.post(f"{self.amazon.url}/auth/o2/token", data=form, timeout=5).json()["access_token"]
        self.tokens.append(Token(value, f"generation {len(self.tokens)}"))

    def reject(self, generation: str) -> bool:
        """Note which token was refused, and get another if there may be one."""
        self.rejected.append(generation)
        if self.another:
            self.renew()
        return self.another

    def statuses(self, operation: str) -> list[int | None]:
        """:return: How Amazon answered the calls of an operation."""
        return [entry.status for entry in self.amazon.journal if entry.operation == operation]


@pytest.fixture
def client(lwa_emulator: Emulator) -> Client:
    """A seller's session."""
    return Client(lwa_emulator, lwa_emulator.add_seller(lwa_emulator.add_application()))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[requests.PreparedRequest]:
    """What really goes to the network, seen at the last place before it."""
    seen: list[requests.PreparedRequest] = []
    send = requests.adapters.HTTPAdapter.send

    def watch(self: Any, request: requests.PreparedRequest, *rest: Any, **options: Any) -> requests.Response:
        seen.append(request)
        return send(self, request, *rest, **options)

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", watch)
    return seen


# --- what a call carries


def test_a_path_goes_to_the_api_with_token_and_headers(
    client: Client, sent: list[requests.PreparedRequest]
) -> None:
    """The caller names a path; address, token, date and user agent are added."""
    response = client.session().get(PARTICIPATIONS)

    assert response.status_code == 200
    assert sent[-1].url == client.amazon.url + PARTICIPATIONS
    assert sent[-1].headers["x-amz-access-token"] == client.tokens[0].value
    assert sent[-1].headers["x-amz-date"] == "20261121T120000Z"
    assert sent[-1].headers["User-Agent"] == "me/1"
    assert "Authorization" not in sent[-1].headers


def test_the_apis_own_address_is_as_good_as_a_path(client: Client) -> None:
    """Libraries write whole addresses."""
    assert client.session().get(client.amazon.url + PARTICIPATIONS).status_code == 200


def test_a_token_may_have_a_prefix_and_another_header(
    client: Client, sent: list[requests.PreparedRequest]
) -> None:
    """Other APIs want ``Authorization: Bearer …``."""
    client.session(token_header="Authorization", token_prefix="Bearer ").get(PARTICIPATIONS)

    assert sent[-1].headers["Authorization"] == f"Bearer {client.tokens[-1].value}"


def test_the_callers_own_headers_are_sent_too(client: Client, sent: list[requests.PreparedRequest]) -> None:
    """They come before those of the API, except for the token."""
    headers = {"Accept": "text/csv", "x-mine": "1", "X-Amz-Access-Token": "not this"}

    client.session().get(PARTICIPATIONS, headers=headers)

    assert sent[-1].headers["Accept"] == "text/csv"
    assert sent[-1].headers["x-mine"] == "1"
    assert sent[-1].headers["x-amz-access-token"] == client.tokens[0].value


def test_netrc_does_not_get_into_the_way(
    client: Client, sent: list[requests.PreparedRequest], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``~/.netrc`` would make requests add a password of its own."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))

    client.session().get(PARTICIPATIONS)

    assert "Authorization" not in sent[-1].headers


def test_a_call_has_a_timeout(client: Client) -> None:
    """Also where the caller names none: a silent server must not hold a worker."""
    client.amazon.fail_next(target="getMarketplaceParticipations", kind="hang", seconds=30)

    with pytest.raises(wire.ReadTimeout, match=r"No answer from 127\.0\.0\.1: it did not answer in time"):
        client.session(budget=0).get(PARTICIPATIONS, timeout=0.2)


# --- where the token goes


@pytest.mark.parametrize(
    ("path", "goes_to"),
    [
        (PARTICIPATIONS.removeprefix("/"), PARTICIPATIONS),
        ("/reports?next=https://elsewhere.invalid/", "/reports?next=https://elsewhere.invalid/"),
    ],
)
def test_a_path_is_taken_relative_to_the_api(
    client: Client, sent: list[requests.PreparedRequest], path: str, goes_to: str
) -> None:
    """With a slash before it or without, and whatever stands in its query."""
    client.session().get(path)

    assert sent[-1].url == client.amazon.url + goes_to
    assert sent[-1].headers["x-amz-access-token"] == client.tokens[0].value


@pytest.mark.parametrize("url", ["http://localhost:{port}" + PARTICIPATIONS, "http://user@127.0.0.1:{port}/"])
def test_another_host_gets_nothing_of_ours(
    client: Client, sent: list[requests.PreparedRequest], url: str
) -> None:
    """To it, this is a plain session: another name or port is another host, and no token is asked for."""
    port = client.amazon.url.rpartition(":")[2]

    client.session().get(url.format(port=port))

    assert "x-amz-access-token" not in sent[-1].headers
    assert "x-amz-date" not in sent[-1].headers
    assert client.tokens == []


@pytest.mark.parametrize("asked_to_follow", [True, False])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_of_the_api_is_followed(client: Client, status: int, *, asked_to_follow: bool) -> None:
    """Not even where the caller asks for it, as ``Session.get`` does: the token would go along."""
    client.amazon.fail_next(target="getMarketplaceParticipations", kind="redirect", status=status)

    response = client.session().get(PARTICIPATIONS, allow_redirects=asked_to_follow)

    assert response.status_code == status
    assert client.amazon.count(kind="api") == 1
    assert type(client.session().error_of(response, "GET /x")) is errors.BadResponse


def test_a_path_cannot_leave_the_host(client: Client, sent: list[requests.PreparedRequest]) -> None:
    """``//elsewhere/`` is a path like any other here."""
    client.session().get("//elsewhere.invalid/")

    assert sent[-1].url.startswith(client.amazon.url + "//elsewhere.invalid/")


def test_without_an_address_every_host_is_another(client: Client) -> None:
    """A session without an API of its own adds nothing."""
    client.session(base_url="").get(client.amazon.url + PARTICIPATIONS)

    assert client.tokens == []


def test_the_session_as_text_is_its_host(client: Client) -> None:
    """Neither its text nor what it fails with shows a token."""
    session = client.session()
    session.get(PARTICIPATIONS)

    assert repr(session) == "<ApiSession to 127.0.0.1>"


@pytest.mark.parametrize("kind", ["reset", "truncated"])
def test_a_failure_shows_no_token(client: Client, kind: str) -> None:
    """Not in its text, not in what is attached to it, not among the variables of its traceback."""
    import traceback

    client.amazon.fail_next(target="getMarketplaceParticipations", kind=kind)

    with pytest.raises(requests.RequestException) as caught:
        client.session(budget=0).get(PARTICIPATIONS)

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    told = f"{shown} {caught.value!r} {caught.value.request} {pickle.dumps(caught.value)!r}"
    assert "No answer from 127.0.0.1" in told
    assert client.tokens[0].value.partition("|")[2] not in told


def test_debug_logs_show_no_token(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Not of this module, nor of the libraries below."""
    caplog.set_level(logging.DEBUG)

    client.session().post(rules.REPORTS, json=QUESTION)

    assert client.tokens[0].value.partition("|")[2] not in caplog.text
    assert rules.REPORTS in caplog.text


# --- a token that is refused


def test_an_expired_token_is_renewed_and_the_call_repeated(client: Client) -> None:
    """A token lives an hour; a long job needs more than one."""
    session = client.session()
    session.get(PARTICIPATIONS)
    client.amazon.clock.advance(3601)

    response = session.get(PARTICIPATIONS)

    assert response.status_code == 200
    assert client.statuses("getMarketplaceParticipations") == [200, 403, 200]
    assert client.rejected == ["generation 0"]
    assert client.waits == []


def test_a_call_that_creates_is_repeated_after_a_refused_token(client: Client) -> None:
    """A refused call was not carried out."""
    session = client.session()
    session.get(PARTICIPATIONS)
    client.amazon.clock.advance(3601)

    assert session.post(rules.REPORTS, json=QUESTION).status_code == 202
    assert client.statuses("createReport") == [403, 202]
    assert len(client.amazon.reports) == 1


def test_a_token_is_renewed_once_for_one_call(client: Client) -> None:
    """If the fresh one is refused too, it is not the token; no loop."""
    body = {"errors": [{"code": "Unauthorized", "details": "The access token you provided has expired."}]}
    client.amazon.fail_next(None, target="getMarketplaceParticipations", status=403, body=body)

    response = client.session().get(PARTICIPATIONS)

    assert response.status_code == 403
    assert client.statuses("getMarketplaceParticipations") == [403, 403]
    assert client.rejected == ["generation 0"]


def test_where_no_other_token_may_be_had_the_refusal_stands(client: Client) -> None:
    """The source limits forced renewals; then the call is not repeated with the same token."""
    session = client.session()
    session.get(PARTICIPATIONS)
    client.amazon.clock.advance(3601)
    client.another = False

    assert session.get(PARTICIPATIONS).status_code == 403
    assert client.statuses("getMarketplaceParticipations") == [200, 403]


def test_a_missing_role_renews_nothing(client: Client) -> None:
    """A 403 that is not about the token is no reason for another."""
    application = client.amazon.applications[client.grant.client_id]
    application.roles = frozenset({"reports"})

    assert client.session().get(PARTICIPATIONS).status_code == 403
    assert client.rejected == []
    assert len(client.tokens) == 1


def test_an_expired_client_secret_is_given_one_chance(client: Client) -> None:
    """The connection may hold a new secret already: one token is got with it before giving up."""
    client.token()
    client.amazon.expire_secret(client.grant.client_id)

    response = client.session().get(PARTICIPATIONS)

    assert isinstance(client.session().error_of(response, "GET /x"), errors.ClientSecretExpired)
    assert client.rejected == ["generation 0"]
    assert client.statuses("getMarketplaceParticipations") == [403, 403]


# --- what is repeated


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_what_passes_by_itself_is_waited_out(client: Client, method: str, status: int) -> None:
    """A call that may be repeated is, with growing pauses."""
    client.amazon.fail_next(3, target="api", status=status)

    client.session().request(method, PARTICIPATIONS)

    assert len(client.waits) == 3
    assert all(low <= wait <= low + 1 for low, wait in zip((1, 2, 4), client.waits, strict=True))
    assert client.amazon.count(kind="api") == 4


@pytest.mark.parametrize("kind", ["reset", "truncated"])
def test_a_cut_line_is_waited_out(client: Client, kind: str) -> None:
    """A reset, or a body that ends early, may pass as well."""
    client.amazon.fail_next(2, target="getMarketplaceParticipations", kind=kind)

    assert client.session().get(PARTICIPATIONS).status_code == 200
    assert len(client.waits) == 2


@pytest.mark.parametrize("kind", ["reset", "hang"])
def test_a_call_that_creates_is_not_repeated_when_its_answer_is_lost(client: Client, kind: str) -> None:
    """It may have been carried out; whoever called must look."""
    client.amazon.fail_next(target="createReport", kind=kind, seconds=5)

    with pytest.raises(requests.RequestException):
        client.session().post(rules.REPORTS, json=QUESTION, timeout=0.3)

    assert client.amazon.count(operation="createReport") == 1
    assert len(client.amazon.reports) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_a_call_that_creates_is_not_repeated_after_a_server_error(client: Client, status: int) -> None:
    """The same: the server may have done it before it failed."""
    client.amazon.fail_next(target="createReport", status=status, carried_out=True)

    assert client.session().post(rules.REPORTS, json=QUESTION).status_code == status
    assert client.amazon.count(operation="createReport") == 1
    assert client.waits == []


def test_a_call_that_creates_is_repeated_when_throttled(client: Client) -> None:
    """A throttled call was not carried out."""
    client.amazon.fail_next(2, target="createReport", kind="throttle")

    assert client.session().post(rules.REPORTS, json=QUESTION).status_code == 202
    assert len(client.amazon.reports) == 1


def test_a_call_that_could_not_connect_is_repeated(client: Client) -> None:
    """Whatever its method: nobody heard it. It ends when the budget does."""
    session = client.session(base_url="http://127.0.0.1:1", budget=10)

    with pytest.raises(wire.ConnectionError, match="the connection failed"):
        session.get("/x")

    assert len(client.waits) >= 2
    assert client.now <= 10


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_what_waiting_does_not_mend_is_not_repeated(client: Client, status: int) -> None:
    """The caller's mistakes and Amazon's denials come back at once."""
    client.another = False
    client.amazon.fail_next(None, target="api", status=status)

    assert client.session().get(PARTICIPATIONS).status_code == status
    assert client.amazon.count(kind="api") == 1


def test_the_seconds_amazon_asks_for_are_waited(client: Client) -> None:
    """Retry-After as a number."""
    client.amazon.fail_next(target="api", kind="throttle", retry_after=17)

    client.session().get(PARTICIPATIONS)

    assert client.waits == [17]


def test_the_time_amazon_asks_for_is_waited(client: Client) -> None:
    """Retry-After as a date."""
    client.amazon.fail_next(
        target="api", kind="throttle", retry_after=datetime.now(UTC) + timedelta(seconds=30)
    )

    client.session().get(PARTICIPATIONS)

    assert 27 <= client.waits[0] <= 30


@pytest.mark.parametrize("asked", ["0", "-5", "Mon, 01 Jan 2024 00:00:00 GMT"])
def test_a_wait_of_nothing_is_no_storm(client: Client, asked: str) -> None:
    """If Amazon asks for no pause at all, ours are kept."""
    client.amazon.fail_next(2, target="api", kind="throttle", retry_after=asked)

    client.session().get(PARTICIPATIONS)

    assert all(wait >= 1 for wait in client.waits)


def test_a_longer_wait_than_there_is_time_for_is_not_begun(client: Client) -> None:
    """The caller gets the answer at once and may do something else."""
    client.amazon.fail_next(target="api", kind="throttle", retry_after=121)

    assert client.session().get(PARTICIPATIONS).status_code == 429
    assert client.waits == []


def test_waiting_and_repeating_end_with_the_budget(client: Client) -> None:
    """The last answer is given, whatever its status."""
    client.amazon.fail_next(None, target="api", status=503)

    assert client.session(budget=20).get(PARTICIPATIONS).status_code == 503
    assert 10 < client.now < 20


def test_a_token_that_expires_while_waiting_is_renewed(client: Client) -> None:
    """The token is taken for each attempt, not once for the call."""
    client.amazon.token_lifetime = 60
    client.token()
    client.amazon.fail_next(target="api", kind="throttle", retry_after=100)

    assert client.session().get(PARTICIPATIONS).status_code == 200
    assert client.rejected == ["generation 0"]


def test_headers_are_made_for_each_attempt(client: Client, sent: list[requests.PreparedRequest]) -> None:
    """Amazon's date does not get old while waiting."""
    client.amazon.fail_next(2, target="api", status=500)
    start = datetime(2026, 11, 21, 12, tzinfo=UTC)

    client.session(headers=lambda: rules.headers(start + timedelta(seconds=client.now), "me/1")).get(
        PARTICIPATIONS
    )

    dates = [request.headers["x-amz-date"] for request in sent if "x-amz-date" in request.headers]
    assert len(set(dates)) == 3


# --- certificates and proxies


@pytest.mark.parametrize("failure", [wire.SSLError, wire.ProxyError, wire.InvalidProxyURL])
def test_trouble_of_this_machine_is_not_repeated(
    client: Client, peer: Callable[..., Any], authority: Any, failure: type[Exception]
) -> None:
    """A certificate that is not accepted, a proxy that refuses or cannot be: waiting does not help."""
    client.token()
    proxy = {
        wire.SSLError: {},
        wire.ProxyError: {"https": "http://127.0.0.1:1"},
        wire.InvalidProxyURL: {"https": "http://"},
    }[failure]
    stranger = peer(context=authority.server("127.0.0.1"))

    with pytest.raises(failure, match=r"No answer from 127\.0\.0\.1") as caught:
        client.session(base_url=f"https://{stranger.address}").get("/x", proxies=proxy)

    assert client.waits == []
    assert caught.value.request is None
    assert stranger.requests in ([], [b""])


# --- how a refusal reads, and what sessions share


def test_a_refusal_is_read_with_the_apis_rules(client: Client) -> None:
    """And a success is none."""
    session = client.session()
    refused = session.get(f"{rules.REPORTS}/4711")

    error = session.error_of(refused, "GET /x")

    assert type(error) is errors.NotFound
    assert error.description == "Report 4711 was not found."
    assert re.fullmatch("[0-9a-f-]{36}", error.request_id or "")
    assert session.error_of(session.get(PARTICIPATIONS), "GET /x") is None


def test_the_judge_may_be_another(client: Client) -> None:
    """Each API reads refusals in its own way."""
    session = client.session(judge=api.error_of)

    assert type(session.error_of(session.get("/unknown"), "GET /x")) is errors.AccessDenied


def test_sessions_share_connections_and_stay_usable_after_close(client: Client) -> None:
    """Many short-lived hooks do not open a connection each; closing one does not cut off the others."""
    first, second = client.session(), client.session()

    first.get(PARTICIPATIONS)
    first.close()

    assert first.get_adapter("https://x") is second.get_adapter("http://x")
    assert second.get(PARTICIPATIONS).status_code == first.get(PARTICIPATIONS).status_code == 200


def test_another_process_has_connections_of_its_own() -> None:
    """A forked child must not talk over its parent's sockets."""
    assert _adapter(1) is _adapter(1)
    assert _adapter(1) is not _adapter(2)


def test_a_session_serves_many_threads(client: Client) -> None:
    """A library may use it from a pool."""
    session = client.session()
    session.get(PARTICIPATIONS)
    seen: list[int] = []
    threads = [
        threading.Thread(target=lambda: seen.append(session.get(PARTICIPATIONS).status_code))
        for _ in range(16)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert seen == [200] * 16
    assert len(client.tokens) == 1
