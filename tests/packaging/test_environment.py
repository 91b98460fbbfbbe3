"""`scripts/environment`: what a person sees when an environment cannot be made or is interrupted."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

ROOT = Path(__file__).parents[2]
PATIENCE = 120  # only a hang takes so long


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    """:return: The script as a module."""
    loader = importlib.machinery.SourceFileLoader("environment", str(ROOT / "scripts" / "environment"))
    spec = importlib.util.spec_from_loader("environment", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """:return: The script in a folder where no environment was ever made."""
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def start(checkout: Path, outside: Mapping[str, str], index: str) -> subprocess.Popen[str]:
    """:return: `scripts/environment demo`, told to use an index."""
    variables = {name: value for name, value in outside.items() if not name.startswith(("PIP_", "UV_"))}
    variables |= {"PIP_CONFIG_FILE": "/dev/null", "PIP_INDEX_URL": index, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, f"{checkout}/scripts/environment", "demo"]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_without_a_network_it_says_so_in_a_sentence(checkout: Path, outside: Mapping[str, str]) -> None:
    """Nothing listens where the index should be: a sentence says what to check; nothing looks finished."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    process = start(checkout, outside, f"http://127.0.0.1:{port}/simple")
    out, err = process.communicate(timeout=PATIENCE)

    assert process.returncode == 1
    assert out == ""
    assert "The package index cannot be reached." in err.splitlines()[-1]
    assert "Traceback" not in err
    assert list(checkout.rglob(".complete")) == []


def test_interrupted_it_ends_its_installer_and_can_be_run_again(
    checkout: Path, outside: Mapping[str, str]
) -> None:
    """Ended in the middle, it takes the installer with it and leaves nothing that looks finished."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = start(checkout, outside, f"http://127.0.0.1:{silent.getsockname()[1]}/simple")
        silent.settimeout(PATIENCE)
        connection, _ = silent.accept()  # the installer is at work

        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE)
        with connection:
            while connection.recv(4096):  # ends only when the installer has gone
                pass

    assert process.returncode == 130
    assert err.splitlines()[-1] == "scripts/environment: interrupted. Run it again and it goes on."
    assert list(checkout.rglob(".complete")) == []


def test_without_a_fitting_python_it_names_those_that_fit(
    environment: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person with another Python learns which would do."""
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(environment.NoPython, match=r"needs Python 3\.1 to 3\.2\. Here is 3\."):
        environment.interpreter([(3, 1), (3, 2)])


def test_it_prefers_the_python_that_runs_it(environment: ModuleType) -> None:
    """An environment is based on the Python that the person chose, where that one fits."""
    assert environment.interpreter([sys.version_info[:2]]) == sys.executable


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("error: Request failed after 3 retries\n  Caused by: dns error", "cannot be reached"),
        ("ProxyError('Cannot connect to proxy.', NewConnectionError(...))", "cannot be reached"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "another file"),
        ("error: Hash mismatch for `requests==2.34.2`", "another file"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("one\ntwo\nerror: something else", "something else"),
    ],
)
def test_what_the_installer_said_becomes_advice(environment: ModuleType, output: str, expected: str) -> None:
    """Known troubles become a sentence with advice; of others, the last lines are shown."""
    assert expected in environment.reason(output)


def test_everything_an_environment_is_made_from_is_in_its_fingerprint(checkout: Path) -> None:
    """A changed pin, or a changed project, makes the environment anew; the same things do not."""
    program = "import runpy; print(runpy.run_path('scripts/environment')['fingerprint']('demo', 'python3'))"

    def fingerprint() -> str:
        done = subprocess.run([sys.executable, "-c", program], cwd=checkout, capture_output=True, check=True)
        return done.stdout.decode()

    first, again = fingerprint(), fingerprint()
    with (checkout / "requirements" / "demo.txt").open("a") as pins:
        pins.write("# another\n")
    repinned = fingerprint()
    with (checkout / "pyproject.toml").open("a") as project:
        project.write("# another\n")

    assert first == again
    assert len({first, repinned, fingerprint()}) == 3
