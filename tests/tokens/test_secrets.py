"""Nothing of a credential is left where it could be read: logs, reprs, pickles, tracebacks, files."""

from __future__ import annotations

import io
import logging
import pickle
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from airflow_provider_lwa.amazon import login
from airflow_provider_lwa.amazon.errors import LwaError
from airflow_provider_lwa.amazon.http import Door
from airflow_provider_lwa.tokens import TokenSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_lwa.emulator import Emulator
    from tests.tokens.conftest import Household

ACCESS = "Atza|IwEBIA-ccess-t0ken+/="
REFRESH = "Atzr|IwEBIR-efresh-t0ken%+/="
SECRET = "amzn1.oa2-cs.v1.5ecret&=+%"

FAULTS: dict[str, dict[str, Any]] = {
    "revoked": {
        "kind": "json",
        "status": 400,
        "body": {"error": "invalid_grant", "error_description": REFRESH},
    },
    "echo": {
        "kind": "json",
        "status": 400,
        "body": {"error": SECRET, "error_description": f"{REFRESH} {ACCESS}"},
    },
    "down": {"status": 503},
    "throttled": {"kind": "throttle", "retry_after": 3600},
    "portal": {"kind": "html200"},
    "cut": {"kind": "truncated"},
    "reset": {"kind": "reset"},
    "bomb": {"kind": "gzip_bomb"},
    "redirect": {"kind": "redirect", "location": f"https://{SECRET}.example/?refresh_token={REFRESH}"},
    "bad type": {"kind": "json", "status": 200, "body": {"access_token": ACCESS, "token_type": "mac"}},
    "bad life": {"kind": "json", "status": 200, "body": {"access_token": ACCESS, "expires_in": -1}},
    "bad token": {
        "kind": "json",
        "status": 200,
        "body": {"access_token": f"{ACCESS}\r\nX: y", "expires_in": 60},
    },
    "long token": {"kind": "json", "status": 200, "body": {"access_token": ACCESS * 1000, "expires_in": 60}},
}


@pytest.fixture
def written(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """All that any logger writes, at DEBUG."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join(record.getMessage() + str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("fault", FAULTS)
def test_errors(fault: str, lwa_emulator: Emulator, house: Household, written: Callable[[], str]) -> None:
    """However it ends, no error, pickle, traceback with local variables, event or log shows a secret."""
    application = lwa_emulator.add_application("amzn1.application-oa2-client.ours", SECRET)
    lwa_emulator.add_seller(application, REFRESH)
    lwa_emulator.fail_next(None, target="token", **FAULTS[fault])
    credential = login.Credential(
        application.client_id, SECRET, REFRESH, token_url=f"{lwa_emulator.url}/auth/o2/token"
    )
    door = Door(sleep=lambda _: None)
    source = TokenSource(
        house.process()._safe,
        lambda request, budget: login.exchange(door, request, budget=budget),
        clock=house.clock,
        on_event=house.heard,
    )
    with pytest.raises(LwaError) as caught:
        source.get(login.request_for(credential))
    with pytest.raises(LwaError) as remembered:
        house.process().get(login.request_for(credential))

    seen = [
        written(),
        repr(house.events),
        b"".join(path.read_bytes() for path in house.files()).decode("latin-1"),
    ]
    for error in (caught.value, remembered.value):
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        seen += [str(error), repr(error), pickle.dumps(error).decode("latin-1"), repr(error.__dict__)]
        seen += [_without_arguments("".join(trace.format())), repr(error.args)]
    for text in seen:
        for secret in (ACCESS, REFRESH, SECRET):
            for form in (secret, quote(secret), quote(secret, safe=""), secret[5:18]):
                assert form not in text


def _without_arguments(trace: str) -> str:
    """The traceback without this test's own frame, which has the secrets at hand."""
    return "\n".join(
        part for part in trace.split('  File "') if "test_secrets.py" not in part.splitlines()[0]
    )


def test_what_is_handed_around(house: Household, written: Callable[[], str]) -> None:
    """No repr of a token, a request, a source or its parts shows a secret; none pickles with one."""
    source = house.process()
    request = house.request(SECRET, REFRESH)
    house.amazon.script = [house.amazon.grant(ACCESS, REFRESH)]
    token = source.get(request)
    slot = source._slot(request)
    things = [
        token,
        request,
        source,
        slot,
        slot.held,
        source._safe,
        source._safe.load("token", request.identity),
    ]

    seen = [f"{thing!r} {thing}" for thing in things] + [written(), repr(house.events)]
    for text in seen:
        for secret in (ACCESS, REFRESH, SECRET, *house.keys):
            assert secret not in text
    for thing in (token, source, source._safe):
        with pytest.raises(TypeError):
            pickle.dump(thing, io.BytesIO())


def test_files(house: Household) -> None:
    """Nothing in the store can be read, and no name tells whose an entry is."""
    house.amazon.script = [house.amazon.grant(ACCESS, "Atzr|successor")]
    house.process().get(house.request(SECRET, REFRESH))
    house.amazon.script = [house.amazon.REVOKED]
    house.clock.advance(3600)
    with pytest.raises(LwaError):
        house.process().get(house.request(SECRET, REFRESH, client_id="amzn1.application-oa2-client.other"))
    assert len(house.files()) == 3
    for path in house.files("*"):
        content = path.read_bytes().decode("latin-1")
        for secret in (ACCESS, REFRESH, SECRET, "successor", "amzn1", "invalid_grant", "api.amazon.com"):
            assert secret not in content
            assert secret not in path.name
