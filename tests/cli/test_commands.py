"""The commands: what they print, how they end, and that both command lines offer the same."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet

from airflow_provider_lwa import cli
from airflow_provider_lwa.health.verdict import Observation

if TYPE_CHECKING:
    from tests.conftest import Seller


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m airflow_provider_lwa`` as a user would, with this test's connections."""
    command = [sys.executable, "-m", "airflow_provider_lwa", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ, timeout=120)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands tell Airflow what kind of process they are; other tests must not inherit that."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")


# --- check


def test_a_healthy_connection_in_a_process_of_its_own(seller: Seller) -> None:
    """One line, and 0 for scripts; nothing but the line on standard output."""
    done = run("check", "lwa_default")

    assert done.stdout == (
        "lwa_default: Healthy: Login with Amazon gave an access token and the API accepted it.\n"
    )
    assert done.returncode == 0
    assert seller.amazon.count(kind="token") == 1


def test_a_broken_connection_in_a_process_of_its_own(seller: Seller) -> None:
    """As JSON: the observation, and nothing else on standard output; 1 for scripts; no secret anywhere."""
    seller.amazon.revoke(seller.grant.refresh_token)

    done = run("check", "--output", "json", "lwa_default")

    assert Observation.from_json(json.loads(done.stdout)).kind == "revoked"
    assert done.returncode == cli.BROKEN
    assert seller.grant.refresh_token.partition("|")[2] not in done.stdout + done.stderr


def test_every_connection_has_its_line(seller: Seller, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order asked for; one that is broken for good decides how it ends."""
    seller.connect("lwa_broken", password="***")

    code = cli.main(["check", "lwa_default", "lwa_broken", "lwa_nowhere"])

    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if line.startswith("lwa_")]
    assert [line.partition(":")[0] for line in told] == ["lwa_default", "lwa_broken", "lwa_nowhere"]
    assert "Connection misconfigured: The client secret (password) holds ***" in told[1]
    assert "Connection cannot be read: " in told[2]
    assert code == cli.BROKEN


@pytest.mark.parametrize("conn_id", ["lwa_nowhere", "lwa_default"])
def test_what_cannot_be_judged_now_is_neither_healthy_nor_broken(
    seller: Seller, capsys: pytest.CaptureFixture[str], conn_id: str
) -> None:
    """An unknown connection, Amazon out of order: 3 for scripts, which may try again."""
    seller.configure(request_budget="0.1")
    seller.amazon.fail_next(None, target="token", status=503)

    assert cli.main(["check", conn_id]) == cli.UNKNOWN
    assert f"{conn_id}: " in capsys.readouterr().out


def test_the_api_may_be_left_in_peace(seller: Seller, capsys: pytest.CaptureFixture[str]) -> None:
    """``--token-only``."""
    assert cli.main(["check", "--token-only", "lwa_default"]) == cli.HEALTHY

    assert "the API itself was not asked" in capsys.readouterr().out
    assert seller.amazon.count(kind="api") == 0


def test_json_is_one_object_a_line(seller: Seller, capsys: pytest.CaptureFixture[str]) -> None:
    """So that programs can read it as it comes."""
    seller.connect("lwa_second")

    cli.main(["check", "--output", "json", "lwa_default", "lwa_second"])

    told = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [Observation.from_json(each).conn_id for each in told] == ["lwa_default", "lwa_second"]


# --- cache


def test_where_tokens_are_shared_is_shown(seller: Seller, capsys: pytest.CaptureFixture[str]) -> None:
    """And if not in files, why not."""
    seller.configure(token_cache="auto", cache_encryption_key="not a key")

    assert cli.main(["cache", "info"]) == cli.HEALTHY

    told = capsys.readouterr().out
    assert re.search("^store: memory$", told, re.MULTILINE)
    assert re.search("^shared: False$", told, re.MULTILINE)
    assert "no usable key" in told
    assert "None" not in told


def test_shared_tokens_can_be_cleared(seller: Seller, capsys: pytest.CaptureFixture[str]) -> None:
    """The next task asks Amazon."""
    from airflow_provider_lwa.hooks.lwa import LwaHook

    seller.configure(token_cache="file", cache_encryption_key=Fernet.generate_key().decode())
    token = LwaHook().get_access_token()

    assert cli.main(["cache", "clear"]) == cli.HEALTHY

    assert "Removed 1 shared token" in capsys.readouterr().out
    assert not list(seller.cache_dir.rglob("*.sealed"))
    assert LwaHook().get_access_token() != token


def test_a_configuration_that_cannot_be_used_is_a_sentence(
    seller: Seller, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a traceback."""
    seller.configure(lock_wait="soon")

    assert cli.main(["cache", "info"]) == cli.USAGE
    assert "[lwa] lock_wait is 'soon', not a number of seconds." in capsys.readouterr().err


# --- emulate


def test_a_port_that_is_taken_is_a_sentence() -> None:
    """Not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run("emulate", "--port", str(taken.getsockname()[1]))

    assert done.returncode != 0
    assert "Choose another port" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_emulator_prints_what_to_paste() -> None:
    """A connection and a configuration with which the demo seller works at once; Ctrl-C ends it."""
    import signal

    command = [sys.executable, "-m", "airflow_provider_lwa", "emulate", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as emulator:
        assert emulator.stdout
        lines = [emulator.stdout.readline() for _ in range(3)]
        exports = [line for line in lines if line.startswith("export ")]
        shell = f"{''.join(exports)}\n{sys.executable} -m airflow_provider_lwa check lwa_default"
        checked = subprocess.run(  # noqa: S602 - because a shell is what people paste it into
            shell, shell=True, capture_output=True, text=True, check=False, env=os.environ, timeout=120
        )
        emulator.send_signal(signal.SIGINT)
        _, said = emulator.communicate(timeout=30)

    assert lines[0].startswith("Amazon on loopback: http://127.0.0.1:")
    assert "lwa_default: Healthy" in checked.stdout
    assert "Traceback" not in said


# --- demo


def test_the_demo_reads_its_own_options(capsys: pytest.CaptureFixture[str]) -> None:
    """They are passed on, also those that begin with dashes."""
    with pytest.raises(SystemExit) as helped:
        cli.main(["demo", "--help"])
    told = capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        cli.main(["demo", "--port", "x"])

    assert (helped.value.code, refused.value.code) == (0, 2)
    assert "--exit" in told


# --- both command lines


@pytest.mark.parametrize(
    "arguments",
    [[], ["mend"], ["check"], ["check", "--output", "xml", "x"], ["cache", "fill"], ["check", "x", "--y"]],
)
def test_a_wrong_command_line_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """With how it is used, and 2 for scripts."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)

    assert caught.value.code == cli.USAGE
    assert "usage: airflow_provider_lwa" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """With a line for each."""
    with pytest.raises(SystemExit):
        cli.main(["--help"])

    told = capsys.readouterr().out
    assert all(re.search(rf"\b{command.name}\b", told) for command in cli.COMMANDS)
    assert len({command.name for command in cli.COMMANDS}) == len(cli.COMMANDS)


@pytest.mark.airflow(since="3.2")
def test_airflow_offers_the_commands_too() -> None:
    """``airflow lwa check`` and ``airflow lwa cache``, with the same arguments."""
    (group,) = cli.airflow_commands()
    offered = {command.name: command for command in group.subcommands}

    assert group.name == "lwa"
    assert set(offered) == {command.name for command in cli.COMMANDS if command.in_airflow}
    assert [argument.flags for argument in offered["check"].args] == [
        ("conn_ids",),
        ("--token-only",),
        ("--output",),
    ]


@pytest.mark.airflow(since="3.2")
def test_airflows_command_line_checks_a_connection(seller: Seller) -> None:
    """As an administrator types it; the exit code is that of the check."""
    seller.amazon.revoke(seller.grant.refresh_token)
    airflow = os.path.join(os.path.dirname(sys.executable), "airflow")  # noqa: PTH118, PTH120 - because it is a string
    command = [airflow, "lwa", "check", "lwa_default"]

    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ, timeout=300)

    assert "lwa_default: Authorization revoked: " in done.stdout
    assert done.returncode == cli.BROKEN
