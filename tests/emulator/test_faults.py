"""What goes wrong: each fault, as a plain HTTP client or a bare socket sees it, on each part of Amazon."""

from __future__ import annotations

import gzip
import io
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from airflow_provider_lwa.emulator.faults import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Caller

    from airflow_provider_lwa.emulator import Emulator

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"
BODY = b"0123456789" * 40


@pytest.fixture(params=["token", "api", "download"])
def target(request: pytest.FixtureRequest) -> str:
    """Each part of Amazon."""
    return str(request.param)


@pytest.fixture
def call(amazon: Emulator, caller: Caller, target: str) -> Callable[[], requests.Response]:
    """A request to that part, which would succeed."""
    amazon.plan_report(TYPE, body=BODY, gzip=False, polls=0)
    url = caller.download_url()
    token = caller.access_token()
    calls: dict[str, Callable[[], requests.Response]] = {
        "token": caller.login,
        "api": lambda: caller.api("GET", "/sellers/v1/marketplaceParticipations", token=token),
        "download": lambda: requests.get(url, timeout=2),
    }
    return calls[target]


def raw(url: str, *, keep: float = 2) -> bytes:
    """GET over a bare socket, and read to the end, whatever comes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=keep) as connection:
        connection.sendall(
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        )
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def test_the_next_n_requests_fail(
    amazon: Emulator, call: Callable[[], requests.Response], target: str
) -> None:
    """Two requests fail, the third succeeds, and the journal knows which."""
    amazon.fail_next(2, target=target, status=500)

    statuses = [call().status_code for _ in range(3)]

    assert statuses == [500, 500, 200]
    assert [entry.fault for entry in amazon.journal[-3:]] == ["status", "status", None]


def test_faults_until_cleared(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """Without a number all requests fail, until the faults are cleared."""
    amazon.fail_next(None, target=target, status=503)
    failing = {call().status_code for _ in range(5)}
    amazon.clear_faults()

    assert failing == {503}
    assert call().status_code == 200


def test_faults_of_other_parts_do_no_harm(
    amazon: Emulator, call: Callable[[], requests.Response], target: str
) -> None:
    """A fault hits the part that it was set for."""
    for other in {"token", "api", "download"} - {target}:
        amazon.fail_next(None, target=other, status=503)

    assert call().status_code == 200


def test_a_fault_for_one_operation_or_grant(amazon: Emulator, caller: Caller) -> None:
    """Operations and grant types can be named, and faults are used up in order."""
    amazon.fail_next(target="getReport", status=500)
    amazon.fail_next(target="client_credentials", status=500)
    amazon.fail_next(target="*", status=502)
    first_token = caller.login()

    assert first_token.status_code == 502
    assert caller.grantless("sellingpartnerapi::notifications").status_code == 500
    assert caller.api("GET", "/sellers/v1/marketplaceParticipations").status_code == 200
    assert (
        caller.api("GET", f"/reports/2021-06-30/reports/{caller.create().json()['reportId']}").status_code
        == 500
    )


@pytest.mark.parametrize(
    ("target", "status", "content_type", "text"),
    [
        ("token", 500, "application/json", '{"error": "server_error"}'),
        ("token", 503, "text/html", "<html>"),
        ("api", 500, "application/json", '"code": "InternalFailure"'),
        ("api", 503, "application/json", '"code": "ServiceUnavailable"'),
        ("download", 503, "application/xml", "<Code>SlowDown</Code>"),
    ],
)
def test_errors_look_like_amazons(
    amazon: Emulator,
    call: Callable[[], requests.Response],
    target: str,
    status: int,
    content_type: str,
    text: str,
) -> None:
    """Unless a body is given, each part of Amazon fails in its own format."""
    amazon.fail_next(target=target, status=status)

    answer = call()

    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith(content_type)
    assert text in answer.text


def test_bodies_and_headers_of_ones_own(
    amazon: Emulator, call: Callable[[], requests.Response], target: str
) -> None:
    """Text, bytes, JSON and headers can be given."""
    amazon.fail_next(target=target, status=400, body={"error": "access_denied"}, headers={"x-note": "1"})
    amazon.fail_next(target=target, status=400, body=b"\x00")
    amazon.fail_next(target=target, status=400, body="<HTML>no</HTML>")
    answers = [call() for _ in range(3)]

    assert answers[0].json() == {"error": "access_denied"}
    assert answers[0].headers["x-note"] == "1"
    assert answers[1].content == b"\x00"
    assert answers[2].headers["Content-Type"] == "text/html"


@pytest.mark.parametrize(
    ("retry_after", "header"),
    [
        (None, None),
        (5, "5"),
        (0.5, "0.5"),
        (datetime(2026, 11, 21, 20, 0, tzinfo=UTC), "Sat, 21 Nov 2026 20:00:00 GMT"),
        ("soon", "soon"),
        (-1, "-1"),
    ],
)
def test_throttling(
    amazon: Emulator,
    call: Callable[[], requests.Response],
    target: str,
    retry_after: Any,
    header: str | None,
) -> None:
    """429 (503 from the store), with Retry-After in seconds, as a date, as nonsense, or without it."""
    amazon.fail_next(target=target, kind="throttle", retry_after=retry_after)

    answer = call()

    assert answer.status_code == (503 if target == "download" else 429)
    assert answer.headers.get("Retry-After") == header
    if target == "api":
        assert answer.json()["errors"][0]["code"] == "QuotaExceeded"


def test_a_captive_portal(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """200, but HTML."""
    amazon.fail_next(target=target, kind="html200")

    answer = call()

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<html>")


def test_nothing(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """200 without a body."""
    amazon.fail_next(target=target, kind="empty")

    answer = call()

    assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "0")


def test_any_json(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """Whatever JSON is wanted, such as a list where an object belongs."""
    amazon.fail_next(target=target, kind="json", status=200, body=["unexpected"])

    assert call().json() == ["unexpected"]


@pytest.mark.parametrize(
    "body",
    [{"expires_in": value} for value in ("3600", "abc", 3600.0, 1e308, 0, -5, 30, 99999999999, True, None)]
    + [{"access_token": value} for value in ("", None, 5, ["a"], "Atza|a\r\nb")]
    + [{"token_type": "mac"}, {"token_type": "Bearer"}, {"refresh_token": "Atzr|rotated"}],
    ids=str,
)
def test_wrong_types_in_a_token(amazon: Emulator, caller: Caller, body: dict[str, Any]) -> None:
    """Any value of a true token answer can be replaced; the rest stays true."""
    amazon.fail_next(kind="wrong_types", body=body)

    token = caller.login().json()

    assert token.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert token == {**token, **body}


def test_not_a_number(amazon: Emulator, caller: Caller) -> None:
    """Python's JSON allows NaN, and so an answer may hold it."""
    amazon.fail_next(kind="wrong_types", body={"expires_in": float("nan")})

    assert '"expires_in": NaN' in caller.login().text


@pytest.mark.parametrize("name", ["access_token", "expires_in", "token_type"])
def test_missing_keys(amazon: Emulator, caller: Caller, name: str) -> None:
    """Any key of a true answer can be removed."""
    amazon.fail_next(kind="wrong_types", remove=[name])

    assert name not in caller.login().json()


def test_wrong_types_by_default(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """Without saying what, a token has numbers for text, and everything else is a list."""
    amazon.fail_next(target=target, kind="wrong_types")

    answer = call().json()

    assert (
        (answer["access_token"], answer["expires_in"]) == (12345, "soon")
        if target == "token"
        else answer == []
    )


def test_a_body_that_ends_early(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """The announced length is longer than what comes before the connection ends."""
    amazon.fail_next(target=target, kind="truncated")

    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        call()

    assert call().status_code == 200


def test_where_a_download_ends_can_be_chosen(amazon: Emulator, caller: Caller) -> None:
    """Exactly so many bytes of the body pass."""
    amazon.plan_report(TYPE, body=BODY, gzip=False, polls=0)
    url = caller.download_url()
    amazon.fail_next(target="download", kind="truncated", after=123)

    headers, _, body = raw(url).partition(b"\r\n\r\n")

    assert b"content-length: 400" in headers
    assert body == BODY[:123]


def test_a_reset(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """The connection ends by a TCP reset, not by an orderly end."""
    amazon.fail_next(target=target, kind="reset")

    with pytest.raises(requests.exceptions.RequestException) as caught:
        call()

    assert "Connection reset by peer" in str(caught.value)
    assert call().status_code == 200


def test_a_reset_in_the_middle_of_a_download(amazon: Emulator, caller: Caller) -> None:
    """Half of a large document passes, then the connection is reset; the rest can be fetched by its range."""
    amazon.plan_report(TYPE, size=4_000_000, gzip=False, polls=0)
    url = caller.download_url()
    amazon.fail_next(target="download", kind="reset")
    received = b""

    def read() -> None:
        nonlocal received
        with requests.get(url, stream=True, timeout=2) as answer:
            for piece in answer.iter_content(10_000):
                received += piece

    with pytest.raises(requests.exceptions.RequestException):
        read()
    rest = requests.get(url, headers={"Range": f"bytes={len(received)}-"}, timeout=2)

    assert 0 < len(received) <= 2_000_000
    assert rest.status_code == 206
    assert received + rest.content == requests.get(url, timeout=2).content


def test_silence(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """No answer comes; after the given time the connection ends."""
    amazon.fail_next(target=target, kind="hang", seconds=0.1)
    began = time.monotonic()

    with pytest.raises(requests.exceptions.ConnectionError, match="without response"):
        call()

    assert 0.1 <= time.monotonic() - began < 3
    assert amazon.journal[-1].status is None


def test_silence_until_the_caller_gives_up(amazon: Emulator, caller: Caller) -> None:
    """Without a time, only the caller's own timeout ends it, and others are served meanwhile."""
    amazon.fail_next(kind="hang")
    caller.timeout = 0.2

    with pytest.raises(requests.exceptions.ReadTimeout):
        caller.login()

    caller.timeout = 5
    assert caller.login().status_code == 200


def test_byte_by_byte(amazon: Emulator, call: Callable[[], requests.Response], target: str) -> None:
    """The true answer comes one byte at a time: whole in the end, and no single wait is long."""
    amazon.fail_next(target=target, kind="slow_body", seconds=0.0001)

    answer = call()

    assert answer.status_code == 200
    assert len(answer.content) == int(answer.headers["Content-Length"]) > 100


def test_a_slow_body_is_slow(amazon: Emulator, caller: Caller) -> None:
    """A byte every fifth of a second, unless told otherwise: read timeouts do not notice."""
    amazon.fail_next(kind="slow_body")
    began = time.monotonic()

    with requests.post(
        f"{amazon.url}/auth/o2/token",
        data={"grant_type": "refresh_token"},
        stream=True,
        timeout=0.5,
    ) as answer:
        first = answer.raw.read(3)

    assert len(first) == 3
    assert 0.4 <= time.monotonic() - began < 3


def test_without_end(amazon: Emulator, caller: Caller, target: str) -> None:
    """A chunked body goes on for as long as anybody reads."""
    amazon.plan_report(TYPE, body=BODY, gzip=False, polls=0)
    urls = {"token": "/auth/o2/token", "api": "/sellers/v1/marketplaceParticipations"}
    url = caller.download_url() if target == "download" else f"{amazon.url}{urls[target]}"
    amazon.fail_next(target=target, kind="endless")

    with requests.get(url, stream=True, timeout=2) as answer:
        received = sum(len(piece) for piece, _ in zip(answer.iter_content(65536), range(40), strict=False))

    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert received > 500_000
    assert caller.login().status_code == 200


def test_a_gzip_bomb(amazon: Emulator, caller: Caller) -> None:
    """A megabyte on the wire that unpacks to a gigabyte."""
    amazon.fail_next(kind="gzip_bomb")

    with requests.post(f"{amazon.url}/auth/o2/token", stream=True, timeout=2) as answer:
        wire = answer.raw.read(decode_content=False)

    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(wire) < 2 * 1024**2
    assert int.from_bytes(wire[-4:], "little") == 1024**3
    with gzip.open(io.BytesIO(wire)) as unpacked:
        assert unpacked.read(1000) == bytes(1000)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects(amazon: Emulator, call: Callable[[], requests.Response], target: str, status: int) -> None:
    """Another origin is named, under which the same request would succeed: the journal shows who followed."""
    amazon.fail_next(target=target, kind="redirect", status=status)

    answer = call()

    followed = answer.history[0]
    assert followed.status_code == status
    assert followed.headers["Location"].startswith("http://localhost:")
    first, second = amazon.journal[-2:]
    assert (first.fault, first.status) == ("redirect", status)
    assert second.host.startswith("localhost:")
    assert second.path == first.path


def test_a_redirect_elsewhere(amazon: Emulator, caller: Caller) -> None:
    """The place can be chosen."""
    amazon.fail_next(target="api", kind="redirect", location="https://attacker.invalid/")

    answer = caller.api("GET", "/sellers/v1/marketplaceParticipations", allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (307, "https://attacker.invalid/")


@pytest.mark.parametrize(
    ("kind", "carried_out", "reports"),
    [
        ("reset", None, 1),
        ("hang", None, 1),
        ("truncated", None, 1),
        ("status", None, 0),
        ("status", True, 1),
        ("reset", False, 0),
    ],
)
def test_whether_a_failed_request_took_effect(
    amazon: Emulator,
    caller: Caller,
    kind: str,
    carried_out: bool | None,  # noqa: FBT001 - because pytest passes it by name
    reports: int,
) -> None:
    """A report whose answer is lost on the way exists; one that was refused does not; a test may choose."""
    amazon.fail_next(target="createReport", kind=kind, carried_out=carried_out, seconds=0.05)

    try:
        answered = caller.create().status_code
    except requests.exceptions.RequestException:
        answered = None

    assert answered != 202
    assert len(amazon.reports) == reports


def test_latency(amazon: Emulator, caller: Caller) -> None:
    """An answer can be made to take its time, by kind or by operation."""
    amazon.latency = {"token": 0.15, "createReport": 0.1, "getReports": 60}
    began = time.monotonic()
    token = caller.access_token()
    middle = time.monotonic()
    caller.api("POST", "/reports/2021-06-30/reports", token=token, data=b"{}")
    after = time.monotonic()

    assert 0.15 <= middle - began < 3
    assert 0.1 <= after - middle < 3
    assert caller.api("GET", "/sellers/v1/marketplaceParticipations", token=token).status_code == 200


def test_a_caller_who_leaves_during_the_latency_was_heard(amazon: Emulator, caller: Caller) -> None:
    """A request that its caller gave up is in the journal."""
    amazon.latency["token"] = 5
    caller.timeout = 0.1

    with pytest.raises(requests.exceptions.ReadTimeout):
        caller.login()

    assert amazon.count(kind="token") == 1


def test_unknown_faults_are_refused(amazon: Emulator) -> None:
    """A misspelt kind is an error where it is written, and names the known ones."""
    with pytest.raises(ValueError, match="gzip_bomb, hang"):
        amazon.fail_next(kind="explode")


def test_every_kind_is_shown_here() -> None:
    """No fault is without a test."""
    source = Path(__file__).read_text()

    assert [kind for kind in KINDS if f'kind="{kind}"' not in source and f'"{kind}"' not in source] == []
