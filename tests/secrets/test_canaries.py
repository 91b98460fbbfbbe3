"""No secret is told: not in logs, errors, tracebacks, pickles, triggers, events, results or files."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import time
from typing import TYPE_CHECKING, Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from cryptography.fernet import Fernet

from airflow_provider_lwa import cli
from airflow_provider_lwa.hooks.lwa import LwaHook
from airflow_provider_lwa.hooks.selling_partner import SellingPartnerHook
from airflow_provider_lwa.operators.reports import SellingPartnerReportOperator
from airflow_provider_lwa.triggers.reports import ReportTrigger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Seller
    from tests.secrets.conftest import Hunt

TYPE = "GET_MERCHANT_LISTINGS_ALL_DATA"


@pytest.fixture(autouse=True)
def awkward(seller: Seller) -> None:
    """Secrets that look different in an address or in JSON; tokens shared through files."""
    application = seller.amazon.add_application(client_secret='amzn1.oa2-cs.v1.can"ary/secret+0c1d')
    seller.application = application
    seller.grant = seller.amazon.add_seller(application, "Atzr|IwEBIcanary/refresh+token==")
    seller.connect()
    seller.configure(
        token_cache="file", cache_encryption_key=Fernet.generate_key().decode(), request_budget="0.3"
    )


class TaskInstance:
    """What the operator asks of one."""

    try_number = 1


def operator(folder: Path, **changes: Any) -> SellingPartnerReportOperator:
    """Make the operator."""
    arguments = {"report_type": TYPE, "target": str(folder / "out.tsv"), "poll_interval": 0.01, **changes}
    return SellingPartnerReportOperator(task_id="listings", **arguments)


def execute(folder: Path, **changes: Any) -> dict[str, Any]:
    """Run the operator once."""
    context: Any = {"ti": TaskInstance()}
    return operator(folder, **changes).execute(context)


def test_the_hunt_finds_what_is_told(hunt: Hunt, tmp_path: Path) -> None:
    """Otherwise that it finds nothing would mean nothing: a log, an argument, a variable, a file."""
    token = hunt.seller.grant.refresh_token
    logging.getLogger("urllib3.connectionpool").debug("GET %s", token)
    logging.getLogger("airflow.task.hooks.x").info("form %s", "refresh%2Ftoken", extra={"hidden": token})
    (tmp_path / "some.log").write_bytes(token.encode())

    def fail(form: dict[str, str]) -> None:
        raise ValueError(len(form))

    with hunt.failing("error"):
        fail({"refresh_token": token})

    assert sorted(hunt.finds()) == [
        "refresh token 1 in error",
        "refresh token 1 in file some.log",
        "refresh token 1 in logs",
    ]


def test_a_report_from_end_to_end(hunt: Hunt, tmp_path: Path) -> None:
    """Everything goes well, with every library chattering at DEBUG."""
    described = execute(tmp_path)

    hunt.hear("XCom", described)
    assert hunt.finds() == []
    assert any("/auth/o2/token" in heard for heard in hunt.ears.heard)


def test_a_report_by_way_of_the_triggerer(hunt: Hunt, tmp_path: Path) -> None:
    """What is stored for the trigger, what wakes the task, what it returns."""
    with pytest.raises(TaskDeferred) as caught:
        execute(tmp_path, deferrable=True)
    hunt.hear("trigger", caught.value.trigger.serialize())
    hunt.hear("deferral", repr(vars(caught.value)))

    async def wait(trigger: ReportTrigger) -> Any:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(wait(caught.value.trigger))
    hunt.hear("event", payload)
    context: Any = {"ti": TaskInstance()}
    hunt.hear("XCom", operator(tmp_path).execute_complete(context, payload))

    assert payload["outcome"] == "ready"
    assert hunt.finds() == []


@pytest.mark.parametrize(
    "fault",
    [
        {
            "status": 400,
            "body": {
                "error": "invalid_grant",
                "error_description": "refresh_token Atzr|IwEBIcanary/refresh+token== is bad",
            },
        },
        {
            "status": 401,
            "body": {
                "error": "invalid_client",
                "error_description": 'secret amzn1.oa2-cs.v1.can"ary/secret+0c1d',
            },
        },
        {"status": 503},
        {"kind": "throttle"},
        {"kind": "redirect"},
        {"kind": "html200", "body": "<p>Atzr%7CIwEBIcanary%2Frefresh%2Btoken%3D%3D</p>"},
        {"kind": "empty"},
        {"kind": "reset"},
        {"kind": "truncated"},
        {"kind": "wrong_types", "body": {"token_type": "mac"}},
        {"kind": "wrong_types", "body": {"expires_in": 0}},
    ],
    ids=str,
)  # fmt: skip - because one line for each case reads best
def test_a_token_request_that_fails(hunt: Hunt, fault: dict[str, Any]) -> None:
    """Even where Amazon, or what stands in its place, repeats the secret."""
    hunt.seller.amazon.fail_next(None, target="token", **fault)

    with hunt.failing("token"):
        LwaHook().get_access_token()
    with hunt.failing("remembered"):
        LwaHook().get_access_token()
    with hunt.failing("grantless"):
        LwaHook().get_access_token(["sellingpartnerapi::notifications"])
    seen = LwaHook().check()
    hunt.hear("observation", f"{seen!r} {seen.to_json()} {LwaHook().test_connection()}")

    assert hunt.finds() == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403},
        {"status": 401},
        {"status": 400},
        {"status": 503},
        {"kind": "redirect"},
        {"kind": "reset"},
        {"kind": "truncated"},
        {"kind": "hang", "seconds": 0.1},
    ],
    ids=str,
)
def test_a_call_that_fails(hunt: Hunt, fault: dict[str, Any]) -> None:
    """The access token went with the request, and stays with it."""
    hunt.seller.amazon.fail_next(None, target="api", **fault)
    hook = SellingPartnerHook()

    with hunt.failing("call"):
        hook.report_status("4711", budget=0)
    with hunt.failing("question"):
        hook.call("POST", "/reports/2021-06-30/reports", json={"reportType": TYPE}, budget=0)
    hunt.hear("hook", f"{hook!r} {pickle.dumps(hook)!r} {hook.session()!r} {hook.connection!r}")

    assert hunt.finds() == []


@pytest.mark.parametrize(
    "fault",
    [
        {
            "status": 403,
            "body": "<Error><Code>AccessDenied</Code><HostId>X-Amz-Signature=abc</HostId></Error>",
        },
        {"status": 404},
        {"kind": "redirect", "location": "http://192.0.2.1/?X-Amz-Signature=abc"},
        {"kind": "redirect", "location": "ftp://127.0.0.1/?X-Amz-Signature=abc"},
    ],
    ids=str,
)
def test_a_download_that_fails(hunt: Hunt, tmp_path: Path, fault: dict[str, Any]) -> None:
    """The address is a key to the document, and libraries like to quote addresses."""
    (tmp_path / "out").mkdir()
    hunt.folders = [tmp_path / "out", *hunt.folders[1:]]
    hunt.seller.amazon.fail_next(None, target="download", **fault)
    hunt.seller.amazon.plan_report(TYPE, polls=0)

    with hunt.failing("download"):
        execute(tmp_path / "out")

    assert hunt.finds() == []


def test_a_revoked_credential_in_the_triggerer(hunt: Hunt) -> None:
    """The event of a failure goes through Airflow's database and into its logs."""
    amazon, grant = hunt.seller.amazon, hunt.seller.grant
    report = amazon.add_report(grant, TYPE)
    SellingPartnerHook().report_status(report.report_id)
    amazon.revoke(grant.refresh_token, kill_access_tokens=True)
    trigger = ReportTrigger(
        lwa_conn_id="lwa_default", report_id=report.report_id, poll_interval=0.01, deadline=time.time() + 30
    )

    async def wait() -> Any:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(wait())
    hunt.hear("event", payload)

    assert payload["error"]["class"] == "RefreshTokenRevoked"
    assert hunt.finds() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"password": ""},
        {"login": "amzn1.sp.solution.1"},
        {"region": "mars"},
        {"api": "amazon_ads", "sandbox": True},
        {"refresh_token": "Atzr%7CIwEBIcanary%2Frefresh%2Btoken%3D%3D"},
        {"refresh_token": "Atzr|IwEBIcanary/refresh+token==\n"},
        {"app_conn_id": "lwa_app", "password": "another"},
    ],
    ids=str,
)
def test_a_connection_that_is_refused(hunt: Hunt, fields: dict[str, Any]) -> None:
    """It is said what is wrong with a secret, not what it is."""
    hunt.seller.connect("lwa_app")
    hunt.seller.connect(**fields)

    with hunt.failing("connection"):
        LwaHook().get_access_token()
    hunt.hear("observation", LwaHook().check().to_json())

    assert hunt.finds() == []


def test_the_commands(hunt: Hunt, capfd: pytest.CaptureFixture[str]) -> None:
    """What an administrator sees, healthy and broken."""
    cli.main(["check", "lwa_default"])
    hunt.seller.amazon.revoke(hunt.seller.grant.refresh_token)
    cli.main(["check", "--output", "json", "lwa_default"])
    cli.main(["cache", "info"])

    out, err = capfd.readouterr()
    hunt.hear("terminal", out + err)
    assert "revoked" in out
    assert hunt.finds() == []


def test_files_hold_sealed_tokens_only(hunt: Hunt) -> None:
    """There are files, and nothing can be read in them."""
    LwaHook().get_access_token()

    assert list(hunt.seller.cache_dir.rglob("*.sealed"))
    assert hunt.finds() == []
    assert json.loads(json.dumps(LwaHook().check().to_json()))["kind"] == "healthy"
