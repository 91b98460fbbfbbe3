"""The door to the network against peers of every kind: real sockets, real certificates, real proxies."""

from __future__ import annotations

import socket
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_lwa import __version__
from airflow_provider_lwa.amazon import http, login
from airflow_provider_lwa.amazon.errors import (
    BadResponse,
    ClientRejected,
    ConfigurationError,
    LwaError,
    RefreshTokenRevoked,
    Throttled,
    TransientError,
    TransportError,
    Unavailable,
)
from airflow_provider_lwa.amazon.http import (
    Answer,
    Door,
    json_of,
    read_some,
    reason,
    retry_after_seconds,
    translate,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_lwa.emulator import Emulator
    from airflow_provider_lwa.emulator.world import Application, Grant
    from tests.amazon.conftest import Authority, Peer

NOW = 1_763_700_000.0
FORM = {"grant_type": "refresh_token", "client_secret": "s"}


@pytest.fixture
def door() -> Door:
    """A door that does not sleep between attempts."""
    return Door(sleep=lambda _: None)


def send(door: Door, url: str, *, budget: float = 10.0) -> Answer:
    """Send a form."""
    return door.send("POST", url, form=FORM, deadline=door.deadline(budget))


class Seller:
    """A seller's credential before the emulator."""

    def __init__(self, amazon: Emulator, application: Application, grant: Grant) -> None:
        self.amazon = amazon
        self.url = f"{amazon.url}/auth/o2/token"
        self.request = login.request_for(
            login.Credential(
                application.client_id, application.client_secret, grant.refresh_token, token_url=self.url
            )
        )

    def ask(self, budget: float = 25.0, **options: Any) -> tuple[login.TokenAnswer | LwaError, list[float]]:
        """Ask for a token.

        :return: the answer or the error, and how long was slept in between
        """
        naps: list[float] = []
        door = Door(**{"sleep": naps.append, **options})
        try:
            return login.exchange(door, self.request, budget=budget), naps
        except LwaError as error:
            return error, naps

    @property
    def requests(self) -> int:
        """How many token requests arrived."""
        return self.amazon.count(kind="token")


@pytest.fixture
def seller(lwa_emulator: Emulator) -> Seller:
    """A seller before the emulator."""
    application = lwa_emulator.add_application()
    return Seller(lwa_emulator, application, lwa_emulator.add_seller(application))


class TestRetryAfter:
    """The two forms of the header, and none."""

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            (None, None),
            ("2", 2.0),
            (" 120 ", 120.0),
            ("0", 0.0),
            ("-3", 0.0),
            ("1.5", 1.5),
            ("nan", 2.0),
            ("inf", 2.0),
            ("-inf", 0.0),
            ("garbage", 2.0),
            ("", 2.0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799.0 - NOW),
            ("Mon, 01 Jan 2026 00:00:00 +99999999", 2.0),
            (format_datetime(datetime.fromtimestamp(NOW + 30, UTC), usegmt=True), 30.0),
        ],
    )
    def test_forms(self, value: str | None, seconds: float | None) -> None:
        """Seconds or a date; 2 for what cannot be read; never negative."""
        assert retry_after_seconds(value, NOW) == seconds

    @given(st.text(), st.floats(0, 4e9))
    def test_anything(self, value: str, now: float) -> None:
        """Whatever a server sends, the wait is a finite number of seconds."""
        seconds = retry_after_seconds(value, now)

        assert seconds is not None
        assert 0 <= seconds < 1e12 or seconds == pytest.approx(float(value))


class TestWhatIsSent:
    """The form, the headers, and nothing else."""

    def test_headers(self, peer: Callable[..., Peer], door: Door) -> None:
        """A POST of a form, with our name and version."""
        server = peer()
        answer = send(door, f"http://{server.address}/auth/o2/token")
        head = server.requests[0].partition(b"\r\n\r\n")[0].decode().lower()

        assert answer.status == 200
        assert head.startswith("post /auth/o2/token http/1.1")
        assert f"user-agent: airflow-provider-lwa/{__version__}" in head
        assert "content-type: application/x-www-form-urlencoded" in head
        assert "accept: application/json" in head
        assert "authorization" not in head

    def test_another_user_agent(self, peer: Callable[..., Peer]) -> None:
        """A deployment may name its application."""
        server = peer()
        send(Door(user_agent="Ours/1.0 (Language=Python)"), f"http://{server.address}/")

        assert b"User-Agent: Ours/1.0 (Language=Python)" in server.requests[0]

    def test_the_form_is_encoded_once(self, peer: Callable[..., Peer]) -> None:
        """Whatever characters a secret has, it arrives as it is."""
        server = peer()

        @settings(max_examples=40)
        @given(
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
            st.text("%|&=+:;/?# \u00e4\u20ac\n", min_size=1),
        )
        def arrives(secret: str, refresh_token: str) -> None:
            credential = login.Credential(
                "client", secret, refresh_token, token_url=f"http://{server.address}/"
            )
            request = login.request_for(credential)
            login.exchange(Door(), request, budget=10)

            assert server.forms[-1] == dict(request.form)

        arrives()

    def test_netrc_is_ignored(
        self, peer: Callable[..., Peer], door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A password for the host in ~/.netrc is not sent."""
        server = peer()
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login somebody password something\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        send(door, f"http://{server.address}/")

        assert requests.utils.get_netrc_auth(f"http://{server.address}/") == ("somebody", "something")
        assert b"Authorization" not in server.requests[0]

    def test_credentials_go_to_no_foreign_host(self, door: Door) -> None:
        """A host that is neither Amazon's, nor loopback, nor listed is refused before anything is sent."""
        with pytest.raises(ConfigurationError, match="allowed_hosts"):
            send(door, "https://evil.example/auth/o2/token")

    def test_one_session_per_process(self, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
        """A forked child opens connections of its own."""
        here = door._requests()
        assert door._requests() is here
        monkeypatch.setattr(http.os, "getpid", lambda: -5)

        assert door._requests() is not here


class TestRedirects:
    """No redirect is followed, and no secret sent again."""

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_none_is_followed(self, seller: Seller, status: int) -> None:
        """Whatever the status, the other origin hears nothing."""
        seller.amazon.fail_next(None, kind="redirect", status=status)
        outcome, _ = seller.ask()

        assert isinstance(outcome, BadResponse)
        assert "redirects token requests to localhost" in str(outcome)
        assert seller.requests == 3
        assert not [entry for entry in seller.amazon.journal if entry.host.startswith("localhost")]

    def test_the_same_host_neither(self, seller: Seller) -> None:
        """Also a redirect to the same host is not followed."""
        seller.amazon.fail_next(None, kind="redirect", location="/auth/o2/token")
        outcome, _ = seller.ask()

        assert isinstance(outcome, BadResponse)
        assert seller.requests == 3


class TestBounds:
    """Every exchange ends in time and in little memory."""

    def test_a_dripping_body(self, seller: Seller) -> None:
        """A body that comes byte by byte is given up when the time is over."""
        seller.amazon.fail_next(None, kind="slow_body", seconds=0.05)
        outcome, took = _timed(lambda: seller.ask(budget=0.6)[0])

        assert isinstance(outcome, Unavailable)
        assert 0.5 < took < 3

    def test_silence(self, seller: Seller) -> None:
        """A server that takes the request and says nothing is given up when the time is over."""
        seller.amazon.fail_next(None, kind="hang")
        outcome, took = _timed(lambda: seller.ask(budget=0.5)[0])

        assert isinstance(outcome, Unavailable)
        assert "did not answer in time" in str(outcome)
        assert took < 3

    def test_an_endless_body(self, seller: Seller) -> None:
        """A body without end is cut off at 64 KiB."""
        seller.amazon.fail_next(None, kind="endless", seconds=0)
        outcome, took = _timed(lambda: seller.ask()[0])

        assert isinstance(outcome, BadResponse)
        assert "more than 65536 bytes" in str(outcome)
        assert took < 10

    def test_a_bomb(self, seller: Seller) -> None:
        """A gigabyte in a small gzip is not unpacked."""
        seller.amazon.fail_next(None, kind="gzip_bomb")
        outcome, took = _timed(lambda: seller.ask()[0])

        assert isinstance(outcome, BadResponse)
        assert took < 10

    def test_no_time_left(self, seller: Seller) -> None:
        """With the time used up, nothing is sent."""
        outcome, _ = seller.ask(budget=0)

        assert isinstance(outcome, Unavailable)
        assert seller.requests == 0

    def test_a_handshake_that_hangs(self, peer: Callable[..., Peer], door: Door) -> None:
        """A TLS handshake that is not answered ends in time."""
        server = peer(lambda _: time.sleep(5))
        error, took = _timed(lambda: _error(lambda: send(door, f"https://{server.address}/", budget=0.5)))

        assert isinstance(error, Unavailable)
        assert took < 3

    def test_a_connection_that_is_not_taken(self, door: Door) -> None:
        """A peer that does not take connections is given up in time."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            port = full.getsockname()[1]
            waiting = [socket.create_connection(("127.0.0.1", port)) for _ in range(1)]
            waiting.append(_nonblocking(port))
            error, took = _timed(lambda: _error(lambda: send(door, f"http://127.0.0.1:{port}/", budget=0.5)))
            for each in waiting:
                each.close()

        assert isinstance(error, Unavailable)
        assert took < 3


def _nonblocking(port: int) -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", port))
    return client


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return call(), time.monotonic() - began


def _error(call: Callable[[], object]) -> LwaError:
    with pytest.raises(LwaError) as caught:
        call()
    return caught.value


class TestBrokenAnswers:
    """What breaks on the way is not taken for an answer."""

    def test_a_body_that_is_cut(self, seller: Seller) -> None:
        """Fewer bytes than announced."""
        seller.amazon.fail_next(None, kind="truncated")
        outcome, _ = seller.ask()

        assert isinstance(outcome, BadResponse)
        assert "cut or damaged" in str(outcome)

    @pytest.mark.parametrize("after", [None, 20])
    def test_a_reset(self, seller: Seller, after: int | None) -> None:
        """The connection is reset before the answer, or within it."""
        seller.amazon.fail_next(None, kind="reset", after=after)
        outcome, _ = seller.ask()

        assert isinstance(outcome, TransientError)
        assert seller.requests == 3

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"rubbish\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nrubbish",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nrubbish",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
        ],
        ids=["nothing", "no-http", "no-gzip", "bad-chunk", "cut-chunk", "cut", "too-many-headers"],
    )
    def test_what_is_not_http(self, peer: Callable[..., Peer], door: Door, answer: bytes) -> None:
        """Every way not to speak the protocol is transient trouble."""
        server = peer(lambda connection: connection.sendall(answer))

        assert isinstance(_error(lambda: send(door, f"http://{server.address}/")), TransientError)

    def test_nobody_there(self, door: Door) -> None:
        """A refused connection may work later."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        error = _error(lambda: send(door, f"http://127.0.0.1:{port}/"))

        assert isinstance(error, Unavailable)
        assert "the connection failed" in str(error)

    def test_a_name_that_is_not_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that does not resolve may resolve later."""

        def missing(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", missing)
        door = Door(allowed_hosts=["nowhere.invalid"], sleep=lambda _: None)

        assert isinstance(_error(lambda: send(door, "https://nowhere.invalid/")), Unavailable)


class TestCertificates:
    """Trouble with certificates is this machine's: no secret is sent, nothing is retried."""

    @pytest.mark.parametrize("case", ["expired", "another host", "unknown authority"])
    def test_a_certificate_that_is_not_accepted(
        self, case: str, authority: Authority, peer: Callable[..., Peer]
    ) -> None:
        """Expired, of another host, of an unknown authority: one attempt, and the peer sees no request."""
        host = "api.amazon.com" if case == "another host" else "127.0.0.1"
        server = peer(context=authority.server(host, expired=case == "expired"))
        bundle = None if case == "unknown authority" else str(authority.bundle)
        request = login.request_for(
            login.Credential("c", "s", "Atzr|t", token_url=f"https://{server.address}/")
        )
        error = _error(lambda: login.exchange(Door(verify=bundle), request, budget=10))

        assert isinstance(error, TransportError)
        assert "certificate was not accepted" in str(error)
        assert server.connections == 1
        assert server.requests == []

    def test_an_authority_of_ones_own(self, authority: Authority, peer: Callable[..., Peer]) -> None:
        """With its bundle, a private authority is accepted."""
        server = peer(context=authority.server("127.0.0.1"))

        assert send(Door(verify=str(authority.bundle)), f"https://{server.address}/").status == 200

    def test_the_systems_setting(
        self, authority: Authority, peer: Callable[..., Peer], door: Door, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """REQUESTS_CA_BUNDLE is honoured."""
        server = peer(context=authority.server("127.0.0.1"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))

        assert send(door, f"https://{server.address}/").status == 200

    def test_a_bundle_that_is_missing(self, peer: Callable[..., Peer], tmp_path: Path) -> None:
        """A path that does not exist is told, and nothing is sent."""
        server = peer()
        error = _error(lambda: send(Door(verify=str(tmp_path / "missing.pem")), f"https://{server.address}/"))

        assert isinstance(error, TransportError)
        assert "certificate bundle" in str(error)
        assert server.connections == 0

    def test_a_handshake_that_fails_otherwise(self, door: Door) -> None:
        """A peer that does not speak TLS may be a fault that passes."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=lambda: _greet(server.accept()[0]), daemon=True).start()
            error = _error(lambda: send(door, f"https://127.0.0.1:{server.getsockname()[1]}/"))

        assert isinstance(error, Unavailable)
        assert "TLS handshake failed" in str(error)


def _greet(connection: socket.socket) -> None:
    with connection:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        connection.recv(65_536)


class TestProxies:
    """Proxies of the environment are used, and their trouble is told apart."""

    @pytest.fixture
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Set proxy variables."""

        def put(**variables: str) -> None:
            for name, value in variables.items():
                monkeypatch.setenv(name, value)

        return put

    def test_a_tunnel(
        self, authority: Authority, peer: Callable[..., Peer], environment: Callable[..., None]
    ) -> None:
        """HTTPS goes through the proxy, which sees the host and nothing of the request."""
        amazon = peer(context=authority.server("api.amazon.com"))
        established = b"HTTP/1.1 200 Connection established\r\n\r\n"
        proxy = peer(lambda connection: connection.sendall(established), relay=amazon.port)
        environment(HTTPS_PROXY=f"http://{proxy.address}")
        answer = send(Door(verify=str(authority.bundle)), "https://api.amazon.com/auth/o2/token")

        assert answer.status == 200
        assert amazon.forms == [FORM]
        assert proxy.requests[0].startswith(b"CONNECT api.amazon.com:443")
        assert b"client_secret" not in b"".join(proxy.requests)

    def test_a_proxy_that_wants_a_password(
        self, peer: Callable[..., Peer], door: Door, environment: Callable[..., None]
    ) -> None:
        """407 is a matter of this machine's settings: told, and not retried."""
        proxy = peer(lambda connection: connection.sendall(b"HTTP/1.1 407 Authentication Required\r\n\r\n"))
        environment(HTTPS_PROXY=f"http://user:password@{proxy.address}")
        request = login.request_for(login.Credential("c", "s", "Atzr|t"))
        error = _error(lambda: login.exchange(door, request, budget=10))

        assert isinstance(error, TransportError)
        assert "407" in str(error)
        assert "password" not in repr(error)
        assert proxy.connections == 1

    def test_a_proxy_that_is_not_there(self, door: Door, environment: Callable[..., None]) -> None:
        """It may come back."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        environment(HTTPS_PROXY=f"http://127.0.0.1:{port}")

        assert isinstance(_error(lambda: send(door, "https://api.amazon.com/")), Unavailable)

    def test_an_address_that_is_none(self, door: Door, environment: Callable[..., None]) -> None:
        """A proxy's address that cannot be read is this machine's trouble."""
        environment(HTTPS_PROXY="http://")

        assert isinstance(_error(lambda: send(door, "https://api.amazon.com/")), TransportError)

    def test_no_proxy(self, peer: Callable[..., Peer], door: Door, environment: Callable[..., None]) -> None:
        """NO_PROXY is honoured."""
        server, proxy = peer(), peer()
        environment(HTTP_PROXY=f"http://{proxy.address}")
        environment(http_proxy=f"http://{proxy.address}")
        send(door, f"http://{server.address}/")
        seen = (len(server.requests), len(proxy.requests))
        environment(NO_PROXY="127.0.0.1")
        send(door, f"http://{server.address}/")

        assert seen == (0, 1)
        assert (len(server.requests), len(proxy.requests)) == (1, 1)


class TestAttempts:
    """What passes by itself is tried again, three times at most and never beyond the time allowed."""

    def test_trouble_that_passes(self, seller: Seller) -> None:
        """Two failures, then a token."""
        seller.amazon.fail_next(2, status=503)
        outcome, naps = seller.ask()

        assert isinstance(outcome, login.TokenAnswer)
        assert seller.requests == 3
        assert len(naps) == 2
        assert 0.5 <= naps[0] <= 1.5
        assert naps[0] - 1 < naps[1] <= 8

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_trouble_that_does_not(self, seller: Seller, status: int) -> None:
        """Three attempts, then the error of the last one; a page of HTML does no harm."""
        seller.amazon.fail_next(None, status=status)
        outcome, _ = seller.ask()

        assert isinstance(outcome, Unavailable)
        assert outcome.status == status
        assert seller.requests == 3

    def test_a_refusal(self, seller: Seller) -> None:
        """One attempt."""
        seller.amazon.revoke(seller.request.refresh_token or "")
        outcome, naps = seller.ask()

        assert isinstance(outcome, RefreshTokenRevoked)
        assert (seller.requests, naps) == (1, [])

    def test_a_wrong_secret(self, seller: Seller) -> None:
        """One attempt."""
        seller.amazon.expire_secret(seller.request.client_id, mode="lwa_refuses")
        outcome, _ = seller.ask()

        assert isinstance(outcome, ClientRejected)
        assert seller.requests == 1

    def test_a_wait_that_fits(self, seller: Seller) -> None:
        """Retry-After is kept to the second, as seconds or as a date."""
        seller.amazon.fail_next(1, kind="throttle", retry_after=2)
        seller.amazon.fail_next(1, kind="throttle", retry_after=datetime.fromtimestamp(time.time() + 6, UTC))
        outcome, naps = seller.ask()

        assert isinstance(outcome, login.TokenAnswer)
        assert naps == [2.0, pytest.approx(6, abs=2)]

    @pytest.mark.parametrize("retry_after", [3600, datetime.fromtimestamp(4e9, UTC)])
    def test_a_wait_that_does_not(self, seller: Seller, retry_after: float | datetime) -> None:
        """If Amazon asks for more than is left, the error comes at once, and tells for how long."""
        seller.amazon.fail_next(None, kind="throttle", retry_after=retry_after)
        outcome, naps = seller.ask()

        assert isinstance(outcome, Throttled)
        assert outcome.retry_after is not None
        assert outcome.retry_after >= 3600
        assert (seller.requests, naps) == (1, [])

    @pytest.mark.parametrize(("retry_after", "nap"), [("garbage", 2.0), ("-5", 0.0)])
    def test_a_wait_that_cannot_be_read(self, seller: Seller, retry_after: str, nap: float) -> None:
        """Two seconds for what cannot be read, none for less than none."""
        seller.amazon.fail_next(1, kind="throttle", retry_after=retry_after)
        _, naps = seller.ask()

        assert naps == [nap]

    def test_the_time_bounds_all_attempts_together(self, seller: Seller) -> None:
        """An attempt that would begin too late is not made."""
        seller.amazon.fail_next(None, status=503)
        outcome, naps = seller.ask(budget=0.4)

        assert isinstance(outcome, Unavailable)
        assert (seller.requests, naps) == (1, [])

    @pytest.mark.parametrize(
        "fault",
        [
            {"kind": "html200"},
            {"kind": "empty"},
            {"kind": "json", "status": 200, "body": []},
            {"kind": "wrong_types", "remove": ["access_token"]},
            {"kind": "wrong_types", "body": {"access_token": ""}},
            {"kind": "wrong_types", "body": {"access_token": 12345}},
            {"kind": "wrong_types", "body": {"access_token": "a\r\nb"}},
            {"kind": "wrong_types", "body": {"token_type": "mac"}},
            {"kind": "wrong_types", "body": {"expires_in": 0}},
        ],
        ids=str,
    )
    def test_an_answer_that_is_none(self, seller: Seller, fault: dict[str, Any]) -> None:
        """What answers in Amazon's place is asked again, and an answer that is one counts."""
        seller.amazon.fail_next(1, **fault)
        outcome, naps = seller.ask()

        assert isinstance(outcome, login.TokenAnswer)
        assert len(naps) == 1
        seller.amazon.fail_next(3, **fault)
        assert isinstance(seller.ask()[0], BadResponse)


class TestTranslation:
    """A library's exception holds the request with its secrets: ours takes its place."""

    @pytest.mark.parametrize(
        ("error", "kind", "words"),
        [
            (
                requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"),
                TransportError,
                "certificate was not accepted",
            ),
            (
                requests.exceptions.SSLError("hostname mismatch"),
                TransportError,
                "certificate was not accepted",
            ),
            (requests.exceptions.SSLError("EOF occurred"), Unavailable, "TLS handshake failed"),
            (requests.exceptions.ProxyError("Tunnel: 407"), TransportError, "refused with 407"),
            (requests.exceptions.ProxyError("refused"), Unavailable, "the proxy refused"),
            (requests.exceptions.ConnectTimeout("x"), Unavailable, "connecting took too long"),
            (requests.exceptions.ReadTimeout("x"), Unavailable, "did not answer in time"),
            (requests.exceptions.ConnectionError("x"), Unavailable, "the connection failed"),
            (requests.exceptions.InvalidProxyURL("x"), TransportError, "proxy's address"),
            (requests.exceptions.InvalidURL("x"), TransportError, "bundle or address"),
            (requests.exceptions.MissingSchema("x"), TransportError, "bundle or address"),
            (requests.exceptions.ChunkedEncodingError("x"), BadResponse, "cut or damaged"),
            (requests.exceptions.ContentDecodingError("x"), BadResponse, "cut or damaged"),
            (requests.exceptions.RetryError("x"), Unavailable, "RetryError"),
            (
                OSError("Could not find a suitable TLS CA certificate bundle"),
                TransportError,
                "certificate bundle",
            ),
        ],
        ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
    )
    def test_each_exception(self, error: Exception, kind: type[LwaError], words: str) -> None:
        """Each has a class and words of ours; none of the library's words stay."""
        found = _error(lambda: translate(error, "api.amazon.com"))

        assert type(found) is kind
        assert words in str(found)
        assert reason(error) in str(found) or kind is BadResponse
        assert found.__cause__ is None
        assert found.__suppress_context__

    def test_read_some_leaves_the_encoding_alone_if_told_to(self, peer: Callable[..., Peer]) -> None:
        """A document's bytes can be had as they came."""
        server = peer(
            lambda connection: connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 7\r\n\r\nrubbish"
            )
        )
        with requests.get(f"http://{server.address}/", stream=True, timeout=5) as response:
            assert read_some(response, 100, "here", decode=False) == b"rubbish"
            assert read_some(response, 100, "here") == b""

    def test_an_answer_that_stops(self, peer: Callable[..., Peer]) -> None:
        """When nothing more comes in time, it is transient trouble."""
        pause = threading.Event()

        def stop(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nab")
            pause.wait(5)

        server = peer(stop)
        with requests.get(f"http://{server.address}/", stream=True, timeout=0.2) as response:
            assert read_some(response, 100, "here") == b"ab"
            with pytest.raises(Unavailable, match="broke off"):
                read_some(response, 100, "here")
        pause.set()

    def test_json(self, seller: Seller) -> None:
        """The JSON of an answer, or nothing."""
        answer = requests.get(f"{seller.amazon.url}/_emulator/world", timeout=5)
        assert json_of(answer)["token_lifetime"] == 3600
        answer._content = b"<html>"
        assert json_of(answer) is None


def test_an_answers_headers_are_found_whatever_their_case() -> None:
    """Names are kept in lower case and looked up in any."""
    answer = Answer(200, {"x-amzn-requestid": "r"})

    assert answer.header("X-Amzn-RequestId") == "r"
    assert answer.redirects_to is None
    assert answer.retry_after is None
