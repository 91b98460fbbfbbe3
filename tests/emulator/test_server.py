"""The server: in a thread, in the foreground, and behind the pytest fixture."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from airflow_provider_lwa.emulator import Emulator
from airflow_provider_lwa.emulator.server import EmulatorError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


def world_of(amazon: Emulator) -> int:
    """Ask for the world, and give the status."""
    return requests.get(f"{amazon.url}/_emulator/world", timeout=5).status_code


def test_it_listens_on_loopback_while_in_use() -> None:
    """It answers inside the block, on a free port of 127.0.0.1, and leaves neither thread nor port behind."""
    before = threading.active_count()
    with Emulator() as amazon:
        inside = world_of(amazon)
        port = int(amazon.url.rpartition(":")[2])

    assert inside == 200
    assert amazon.url == f"http://127.0.0.1:{port}"
    assert amazon.endpoint_overrides == {"*": amazon.url}
    assert threading.active_count() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_only_the_loopback_address_is_bound() -> None:
    """Another address of the same machine is not answered."""
    with Emulator() as amazon, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", int(amazon.url.rpartition(":")[2])), timeout=1)


def test_it_can_come_back_at_the_same_address() -> None:
    """Stopping and starting again is an outage: same port, same world."""
    amazon = Emulator()
    amazon.start()
    try:
        address = amazon.url
        application = amazon.add_application()
        amazon.stop()
        amazon.stop()
        with pytest.raises(requests.ConnectionError):
            world_of(amazon)
        amazon.start()
        assert (amazon.url, world_of(amazon)) == (address, 200)
        assert application.client_id in amazon.applications
    finally:
        amazon.stop()


def test_starting_and_stopping_are_quick_even_with_callers_waiting() -> None:
    """Neither a caller without an answer nor one that does not read holds up the end."""
    began = time.monotonic()
    with Emulator() as amazon:
        started = time.monotonic() - began
        amazon.fail_next(target="token", kind="hang")
        amazon.fail_next(target="api", kind="endless")
        host, port = "127.0.0.1", int(amazon.url.rpartition(":")[2])
        waiting = [socket.create_connection((host, port), timeout=5) for _ in range(3)]
        waiting[0].sendall(b"POST /auth/o2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        waiting[1].sendall(b"GET /anything HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while amazon.count() < 2:
            time.sleep(0.01)
        stopping = time.monotonic()
    stopped = time.monotonic() - stopping
    for connection in waiting:
        connection.close()

    assert started < 1
    assert stopped < 2


def test_a_taken_port_is_explained() -> None:
    """The error names the address and what to do."""
    with Emulator() as amazon, pytest.raises(EmulatorError, match="Choose another port, or 0"):
        Emulator(port=int(amazon.url.rpartition(":")[2])).start()


def test_other_addresses_are_refused() -> None:
    """It does not listen where others could reach it."""
    with pytest.raises(EmulatorError, match="loopback only"):
        Emulator(host="0.0.0.0").start()  # noqa: S104 - because that is the mistake


def test_connections_are_reused_and_answers_prompt() -> None:
    """Two hundred calls over one connection take a moment: no answer waits for an acknowledgement."""
    with Emulator() as amazon, requests.Session() as session:
        began = time.monotonic()
        for _ in range(200):
            session.get(f"{amazon.url}/_emulator/world", timeout=5)

        assert time.monotonic() - began < 4


def test_many_callers_at_once() -> None:
    """Fifty threads get fifty different tokens, and the journal has them all."""
    tokens: list[str] = []
    with Emulator() as amazon:
        application = amazon.add_application()
        form = {
            "grant_type": "refresh_token",
            "refresh_token": amazon.add_seller(application).refresh_token,
            "client_id": application.client_id,
            "client_secret": application.client_secret,
        }

        def exchange() -> None:
            tokens.append(
                requests.post(f"{amazon.url}/auth/o2/token", data=form, timeout=10).json()["access_token"]
            )

        threads = [threading.Thread(target=exchange) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(set(tokens)) == 50
        assert amazon.count(kind="token", status=200) == 50


def start_foreground(port: int) -> subprocess.Popen[str]:
    """Run the emulator in a process of its own."""
    code = f"from airflow_provider_lwa.emulator.server import serve; serve('127.0.0.1', {port})"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.fixture
def foreground() -> Iterator[subprocess.Popen[str]]:
    """The emulator in a process of its own, on a free port."""
    with start_foreground(0) as process:
        yield process
        process.kill()


def settings(process: subprocess.Popen[str]) -> dict[str, str]:
    """Read what the emulator prints, as a shell would that runs the lines it prints."""
    assert process.stdout
    url = process.stdout.readline().split()[-1]
    exports = [shlex.split(process.stdout.readline())[1].partition("=") for _ in range(2)]
    return {"url": url, **{name: value for name, _, value in exports}}


def test_the_foreground_prints_what_to_paste(foreground: subprocess.Popen[str]) -> None:
    """The printed connection and endpoint work as they are, and an interrupt ends it quietly."""
    printed = settings(foreground)
    connection = json.loads(printed["AIRFLOW_CONN_LWA_DEFAULT"])
    endpoint = json.loads(printed["AIRFLOW__LWA__ENDPOINT_OVERRIDES"])["*"]
    answer = requests.post(
        f"{endpoint}/auth/o2/token",
        data={
            "grant_type": "refresh_token",
            "refresh_token": connection["extra"]["refresh_token"],
            "client_id": connection["login"],
            "client_secret": connection["password"],
        },
        timeout=5,
    )
    foreground.send_signal(signal.SIGINT)
    out, err = foreground.communicate(timeout=10)

    assert answer.status_code == 200
    assert endpoint == printed["url"]
    assert connection["conn_type"] == "lwa"
    assert connection["extra"]["api"] == "selling_partner"
    assert (foreground.returncode, out, err) == (0, "", "")


def test_demo_credentials_outlive_a_restart() -> None:
    """A connection made for one run fits the next."""
    first, second = Emulator(), Emulator()
    from airflow_provider_lwa.emulator.server import add_demo_seller

    assert add_demo_seller(first) == add_demo_seller(second)
    assert list(first.applications) == list(second.applications)


def test_the_foreground_explains_a_taken_port() -> None:
    """One sentence, no traceback, exit code 1."""
    with Emulator() as amazon, start_foreground(int(amazon.url.rpartition(":")[2])) as process:
        out, err = process.communicate(timeout=10)

    assert (process.returncode, out) == (1, "")
    assert err.startswith("Cannot listen on 127.0.0.1:")
    assert err.count("\n") == 1


def test_the_fixture_gives_each_test_a_fresh_world(tmp_path: Path) -> None:
    """pytest, with nothing but the plugin, starts one server and empties it between tests."""
    (tmp_path / "test_users_own.py").write_text(
        "import requests\n"
        "seen = []\n"
        "def test_one(lwa_emulator):\n"
        "    lwa_emulator.add_application()\n"
        "    lwa_emulator.fail_next(None)\n"
        "    seen.append(lwa_emulator.url)\n"
        "def test_two(lwa_emulator):\n"
        "    assert lwa_emulator.applications == {} and lwa_emulator.count() == 0\n"
        "    assert seen == [lwa_emulator.url]\n"
        "    assert requests.post(lwa_emulator.url + '/auth/o2/token').status_code == 400\n"
    )
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider"),
            *("-p", "airflow_provider_lwa.emulator.pytest_plugin", str(tmp_path)),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        text=True,
        capture_output=True,
        check=False,
        timeout=60,
    )

    assert "2 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize(
    "module", ["airflow_provider_lwa.emulator", "airflow_provider_lwa.emulator.pytest_plugin"]
)
def test_importing_is_cheap_and_needs_no_extra(module: str) -> None:
    """The package and the plugin load neither a web framework nor Airflow nor anything else of ours."""
    code = (
        f"import sys, {module}\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'starlette', 'uvicorn', 'requests', 'airflow'}, loaded\n"
        "print(sorted(name for name in sys.modules if name.startswith('airflow_provider_lwa.')))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True
    )

    assert all("airflow_provider_lwa.emulator" in name for name in result.stdout.strip("[]\n").split(", "))
