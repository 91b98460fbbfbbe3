"""The benchmarks run, and count what they say they count; how fast anything is, is not tested."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
OURS = "airflow-provider-lwa"


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    """:return: What a small run without peers prints."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", "--peers", "/nonexistent"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.fixture(scope="module")
def numbers(run: dict[str, Any]) -> dict[str, Any]:
    """:return: Its numbers, by work and contender."""
    results: dict[str, Any] = run["results"]
    return results


@pytest.mark.parametrize(
    ("work", "requests"),
    [
        ("threads", 1),
        ("processes", 1),
        ("turns", 1),
        ("renewal", 1),
        ("revoked", 1),
        ("revoked_in_turns", 1),
        ("killed", 2),  # of the process that died, and of the one that took its place
    ],
)
def test_the_requests_are_as_few_as_they_can_be(numbers: dict[str, Any], work: str, requests: int) -> None:
    """One for everybody who asks, be it for a token, its renewal, or a refusal."""
    result = numbers[work][OURS]

    assert result["requests"] == requests
    assert not result.get("errors") or work.startswith("revoked")


def test_every_call_with_a_revoked_credential_fails(numbers: dict[str, Any]) -> None:
    """Nobody is given a token that is not there."""
    revoked = numbers["revoked"][OURS]

    assert revoked["failed"] == revoked["calls"] == 3
    assert revoked["errors"] == ["RefreshTokenRevoked"]


def test_who_waited_for_the_one_that_died_is_served(numbers: dict[str, Any]) -> None:
    """By asking itself."""
    assert numbers["killed"][OURS]["failed"] == 0


@pytest.mark.parametrize("way", ["text", "bytes"])
def test_a_report_is_downloaded_whole_in_one_request(numbers: dict[str, Any], way: str) -> None:
    """As text and as bytes."""
    result = numbers["download"][f"{OURS}, {way}"]

    assert (result["bytes"], result["requests"]) == (2_000_000, 1)


def test_peers_that_are_not_installed_are_named(run: dict[str, Any]) -> None:
    """The page says what it leaves out, and how to bring it in."""
    page = run["page"]

    assert "Not installed, so left out: google-auth, msal," in page
    assert "scripts/environment peers" in page
    assert f"| work | counted | {OURS} |" in page
