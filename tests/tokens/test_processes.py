"""Real processes before the emulator: they storm, die, are stopped, fork, run out of disk."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from airflow_provider_lwa.amazon import login
from airflow_provider_lwa.tokens import Clock, FileStore, Safe, Token
from airflow_provider_lwa.tokens.records import Grant, Instant
from airflow_provider_lwa.tokens.safe import Seal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tokens.conftest import Host, Worker

LATENCY = 0.4
SPAWN = 20.0


def ready(*workers: Worker) -> None:
    """Wait until all have imported what they need, so that times below are not those of imports."""
    for worker in workers:
        assert worker.hear() == "ready"


def until(condition: Callable[[], bool]) -> None:
    """Wait for something to happen in another process."""
    end = time.monotonic() + SPAWN
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def plant(host: Host, age: float) -> str:
    """Put a token of that age into the store.

    :return: its value
    """
    clock = Clock()
    now = clock.instant()
    grant = Grant(
        Token("Atza|planted", "a" * 32), Instant(now.wall - age, now.boot - age, now.boot_id), 3600.0
    )
    safe = Safe(FileStore(host.directory), Seal(host.keys), clock)
    identity = login.request_for(host.credential()).identity
    safe.save("token", identity, grant.to_json(), generation="a" * 32, replaces=None, ttl=3600)
    return grant.token.value


def test_eight_processes_of_eight_threads_ask_once(host: Host) -> None:
    """All cold at the same moment: one request, one token, and the last is served soon after the answer."""
    workers = [host.start() for _ in range(8)]
    ready(*workers)
    host.amazon.latency["token"] = LATENCY
    for worker in workers:
        worker.tell({"do": "storm", "threads": 8})
    results = [result for worker in workers for result in worker.hear()]

    assert len({result["token"] for result in results}) == 1
    assert len(results) == 64
    assert host.requests() == 1
    # 2.5 times the latency on an idle machine; eight processes on two busy cores take their time
    assert max(result["took"] for result in results) < 2.5 * LATENCY + 2


def test_two_hosts_ask_once_each(host: Host, tmp_path: Path) -> None:
    """Hosts that share no directory get a token each; both are good, and nobody fails."""
    workers = [host.start(directory=tmp_path / name) for name in ("one", "other")]
    ready(*workers)
    host.amazon.latency["token"] = LATENCY
    for worker in workers:
        worker.tell({"do": "get"})
    tokens = {worker.hear()["token"] for worker in workers}

    assert len(tokens) == 2
    assert host.requests() == 2
    assert tokens <= host.amazon.tokens.keys()


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGTERM])
def test_the_one_who_asks_is_killed(host: Host, death: signal.Signals) -> None:
    """The kernel gives the lock back at once; whoever waits asks, and nothing is left behind that hinders."""
    first, second = host.start(), host.start()
    ready(first, second)
    host.amazon.fail_next(1, target="token", kind="hang")
    first.tell({"do": "get"})
    until(lambda: host.requests() == 1)
    second.tell({"do": "get"})
    time.sleep(0.2)
    killed = time.monotonic()
    first.process.send_signal(death)
    result = second.hear()

    assert "token" in result
    assert host.requests() == 2
    assert time.monotonic() - killed < 0.5 + 1  # half a second on an idle machine


def test_the_one_who_asks_is_stopped(host: Host) -> None:
    """Others wait for a stopped process only so long, and when it goes on it does not undo their work."""
    settings = {"lock_wait": 1.0}
    first, second, third = (host.start(settings=settings) for _ in range(3))
    ready(first, second, third)
    host.amazon.latency["token"] = LATENCY
    first.tell({"do": "get"})
    until(lambda: host.requests() == 1)
    first.process.send_signal(signal.SIGSTOP)
    waited = second.do("get")
    first.process.send_signal(signal.SIGCONT)
    late = first.hear()

    assert 1.0 <= waited["took"] < 1.0 + LATENCY + 1.5
    assert host.requests() == 2
    assert late["token"] != waited["token"]
    assert third.do("get")["token"] == waited["token"]


def test_a_fork_while_asking(host: Host) -> None:
    """A child forked in the middle of another thread's request gets a token and shares no connection."""
    worker = host.start()
    ready(worker)
    host.amazon.latency["token"] = LATENCY
    seen = worker.do("fork_while_asking")

    assert seen["child"]["token"] == seen["parent"]["token"]
    assert host.requests() == 1


def test_a_fork_while_the_lock_is_held(host: Host) -> None:
    """A child that lives on does not keep the lock that its parent gives back."""
    first, second = host.start(), host.start()
    ready(first, second)
    host.amazon.latency["token"] = LATENCY
    child = first.do("fork_and_hold")["child"]
    host.amazon.latency.clear()
    host.amazon.clock.advance(0)
    for path in (host.directory / str(os.geteuid())).glob("*.sealed"):
        path.unlink()
    result = second.do("get")
    os.kill(child, signal.SIGKILL)

    assert result["took"] < 1.5  # at once, where a lock that was kept would take twelve seconds
    assert host.requests() == 2


def test_a_full_disk(host: Host) -> None:
    """Tokens are served from memory, nothing is left behind, and it is told once."""
    worker, other = host.start(), host.start()
    ready(worker, other)
    worker.do("limit_files", size=16)
    first, again = worker.do("get"), worker.do("get")

    assert first["token"] == again["token"]
    assert host.requests() == 1
    assert worker.do("info")["trouble"].startswith("File too large")
    assert not [path for path in (host.directory / str(os.geteuid())).iterdir() if path.suffix != ".lock"]
    worker.do("limit_files", size=-1)
    assert other.do("get")["token"] != first["token"]
    assert worker.end().count("WARNING") == 1


def test_the_process_ends_while_a_token_is_replaced_ahead(host: Host) -> None:
    """A task that is done does not wait for the renewal it began, and leaves no traceback."""
    old = plant(host, age=3300)
    worker = host.start()
    ready(worker)
    host.amazon.fail_next(1, target="token", kind="hang")
    seen = worker.do("get")
    until(lambda: host.requests() == 1)
    began = time.monotonic()
    worker.tell({"do": "leave"})
    worker.process.wait(SPAWN)

    assert seen["token"] == old
    assert time.monotonic() - began < 5
    assert worker.process.returncode == 0
    assert "Traceback" not in worker.end()


def test_a_refusal_is_shared(host: Host) -> None:
    """Six processes with a revoked credential make one request and fail alike, at once."""
    host.amazon.revoke(host.grant.refresh_token)
    workers = [host.start() for _ in range(3)]
    ready(*workers)
    results = [worker.do("get") for worker in workers * 2]

    assert {result["error"] for result in results} == {"RefreshTokenRevoked"}
    assert len({result["first_seen"] for result in results}) == 1
    assert max(result["took"] for result in results[1:]) < 1
    assert host.requests() == 1


def test_a_refused_token_is_replaced_for_all(host: Host) -> None:
    """Two processes whose token an API refused cause one request between them."""
    first, second = host.start(), host.start()
    ready(first, second)
    old = first.do("get")
    second.do("get")
    seen = [worker.do("drop", generation=old["generation"]) for worker in (first, second)]
    tokens = {worker.do("get")["token"] for worker in (first, second)}

    assert seen == [True, True]
    assert len(tokens) == 1
    assert old["token"] not in tokens
    assert host.requests() == 2


def test_no_secret_in_debug_logs(host: Host) -> None:
    """With all loggers at DEBUG, those of requests too, no token, grant or secret is written."""
    worker = host.start()
    ready(worker)
    token = worker.do("get")["token"]
    host.amazon.revoke(host.grant.refresh_token)
    worker.do("drop", generation="0" * 32)
    log = worker.end()

    assert "DEBUG" in log
    for secret in (token, host.grant.refresh_token, host.application.client_secret, *host.keys):
        assert secret not in log
        assert secret[5:25] not in log


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become other users")
def test_tasks_that_run_as_other_users() -> None:
    """With run_as_user each user has a directory of its own, and nobody meets another's files."""
    code = """
import os, sys
from pathlib import Path
import cryptography.fernet
from airflow_provider_lwa.tokens import Clock, open_safe
directory, key = Path(sys.argv[1]), sys.argv[2]
for user in (12345, 12346):
    os.seteuid(user)
    safe = open_safe("file", Clock(), directory=directory, keys=[key])
    saved = safe.save("token", ["x"], {"of": user}, generation="1" * 32, replaces=None, ttl=60)
    print(safe.info()["store"], safe.info()["trouble"], saved, safe.load("token", ["x"]).content["of"])
    os.seteuid(0)
"""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        shared = directory / "lwa-cache"
        shared.mkdir()
        shared.chmod(0o1777)
        key = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
        run = subprocess.run(
            [sys.executable, "-c", code, shared, key], capture_output=True, text=True, check=True, timeout=60
        )
        owners = {path.name: path.stat() for path in shared.iterdir()}

        assert run.stdout.splitlines() == ["file None True 12345", "file None True 12346"]
        assert {status.st_uid for status in owners.values()} == {12345, 12346}
        assert {stat.S_IMODE(status.st_mode) for status in owners.values()} == {0o700}


def test_a_user_who_may_not_write_there(tmp_path: Path) -> None:
    """A user for whom no place was made keeps tokens in memory, with one warning and no error."""
    read_only = tmp_path / "lwa-cache"
    read_only.mkdir(mode=0o755)
    read_only.chmod(0o555)
    code = """
import os, sys
from pathlib import Path
import cryptography.fernet
from airflow_provider_lwa.tokens import Clock, open_safe
if os.geteuid() == 0:
    os.chdir(sys.argv[1])
    os.seteuid(12345)
    directory = Path(".")
else:
    directory = Path(sys.argv[1])
safe = open_safe("auto", Clock(), directory=directory, keys=[sys.argv[2]])
print(safe.info()["store"], safe.info()["reason"])
"""
    key = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
    run = subprocess.run(
        [sys.executable, "-c", code, read_only, key], capture_output=True, text=True, check=True, timeout=60
    )

    assert run.stdout.startswith("memory Permission denied")
    assert run.stderr.count("Tokens stay within this process") == 1


def test_importing_and_making_a_source_is_cheap_and_quiet(tmp_path: Path) -> None:
    """At DAG-parse time: no Airflow, no requests, no cryptography, no network, no file, no thread."""
    code = """
import sys, threading
import airflow_provider_lwa.amazon.login
import airflow_provider_lwa.tokens.records, airflow_provider_lwa.tokens.stores
touched = []
events = ("socket.", "os.mkdir", "subprocess.")
sys.addaudithook(lambda event, _: touched.append(event) if event.startswith(events) else None)
from airflow_provider_lwa.tokens import Clock, Configuration, Settings, TokenSource, shared
Configuration("file"), Settings(), Clock()
loaded = {name.partition(".")[0] for name in sys.modules}
heavy = loaded & {"airflow", "requests", "cryptography", "urllib3", "tenacity"}
print(sorted(heavy), touched, threading.active_count())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert run.stdout.split() == ["[]", "[]", "1"]
