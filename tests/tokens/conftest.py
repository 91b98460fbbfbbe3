"""Processes that share tokens, on a clock of the test's own, before an Amazon that does as it is told.

Where the wire or real processes matter, the tests use the emulator and ``worker.py`` instead.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from airflow_provider_lwa.amazon.errors import (
    ClientRejected,
    LwaError,
    RefreshTokenRevoked,
    Throttled,
    Unavailable,
)
from airflow_provider_lwa.amazon.login import Credential, TokenAnswer, TokenRequest, request_for
from airflow_provider_lwa.tokens import Clock, FileStore, MemoryStore, Safe, Settings, Token, TokenSource
from airflow_provider_lwa.tokens.safe import Seal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_lwa.emulator import Emulator
    from airflow_provider_lwa.emulator.world import Application, Grant
    from airflow_provider_lwa.tokens import TokenStore

WORKER = Path(__file__).parent / "worker.py"


def new_key() -> str:
    """:return: a Fernet key"""
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


class FakeClock(Clock):
    """Time passes when the test says so, and while somebody sleeps."""

    boot_id: str | None = "boot-1"

    def __init__(self) -> None:
        self.seconds = 50_000.0
        self.set_by = 0.0

    def boot(self) -> float:
        """:return: seconds since boot"""
        return self.seconds

    def wall(self) -> float:
        """:return: Unix time, if nobody has set the clock"""
        return 1_763_700_000.0 + self.seconds + self.set_by

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds

    def set_wall(self, by: float) -> None:
        """Set the wall clock, as NTP or a person does."""
        self.set_by += by

    def reboot(self) -> None:
        """Begin a new boot."""
        self.set_by += self.seconds
        self.seconds = 0.0
        self.boot_id = f"{self.boot_id}'"


@dataclass
class Amazon:
    """What stands in the place of :func:`airflow_provider_lwa.amazon.login.exchange` and follows a script."""

    clock: FakeClock
    lifetime: float = 3600.0
    script: list[TokenAnswer | BaseException | Callable[[], None]] = field(default_factory=list)
    asked: list[TokenRequest] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    open: threading.Event = field(default_factory=threading.Event)
    called: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    REVOKED: ClassVar[LwaError] = RefreshTokenRevoked(
        "The refresh token is not accepted any more.", code="invalid_grant", status=400, request_id="bef0c2f8"
    )
    REJECTED: ClassVar[LwaError] = ClientRejected("Not accepted.", code="invalid_client", status=401)
    DOWN: ClassVar[LwaError] = Unavailable("No answer.")
    BUSY: ClassVar[LwaError] = Throttled("Too many requests.", status=429)

    def __post_init__(self) -> None:
        self.open.set()

    def __call__(self, request: TokenRequest, _budget: float) -> TokenAnswer:
        """Answer a token request as the script says, or with a new token."""
        self.asked.append(request)
        number = len(self.asked)
        self.called.release()
        assert self.open.wait(30), "the test never opened the door"
        outcome = self.script.pop(0) if self.script else None
        if request.client_secret in self.refused:
            outcome = self.REJECTED
        if isinstance(outcome, LwaError):
            raise type(outcome)(outcome.message, **_attributes(outcome))
        if isinstance(outcome, BaseException):
            raise outcome
        if isinstance(outcome, TokenAnswer):
            return outcome
        if outcome:
            outcome()
        return self.grant(f"Atza|token-{number}", request.refresh_token)

    def grant(self, token: str, refresh_token: str | None = None, **changes: Any) -> TokenAnswer:
        """:return: an answer that grants *token*"""
        return TokenAnswer(token, changes.pop("lifetime", self.lifetime), refresh_token, **changes)

    @property
    def count(self) -> int:
        """How often Amazon was asked."""
        return len(self.asked)


def _attributes(error: LwaError) -> dict[str, Any]:
    names = ("advice", "code", "description", "status", "request_id", "retry_after")
    return {name: getattr(error, name) for name in names}


@dataclass
class Household:
    """Token sources as separate processes have them: nothing in common but a directory and the time."""

    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    keys: list[str] = field(default_factory=lambda: [new_key()])
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    settings: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        self.amazon = Amazon(self.clock)

    def request(self, secret: str = "s", refresh_token: str = "Atzr|seller", **changes: Any) -> TokenRequest:  # noqa: S107 - because they are invented
        """:return: a new request, equal to all others of the same credential"""
        client_id = changes.pop("client_id", "amzn1.application-oa2-client.ours")
        return request_for(Credential(client_id, secret, refresh_token, **changes))

    def process(
        self, store: TokenStore | None = None, *, clock: FakeClock | None = None, **changes: Any
    ) -> TokenSource[TokenRequest]:
        """:return: a source with nothing in memory yet, over the shared files unless a store is given"""
        clock = clock or self.clock
        safe = Safe(store or FileStore(self.directory), Seal(self.keys), clock)
        settings = changes.pop("settings", self.settings)
        return TokenSource(safe, self.amazon, settings=settings, clock=clock, on_event=self.heard, **changes)

    def alone(self, **changes: Any) -> TokenSource[TokenRequest]:
        """:return: a source that shares with nobody"""
        return self.process(MemoryStore(), **changes)

    def heard(self, name: str, facts: Any) -> None:
        """Note an event."""
        self.events.append((name, dict(facts)))

    def files(self, pattern: str = "*.sealed") -> list[Path]:
        """:return: the files in the store"""
        return sorted((self.directory / str(os.geteuid())).glob(pattern))

    def together(self, number: int, call: Callable[[], Any]) -> list[Any]:
        """Run *call* in so many threads at once; errors are results."""
        start = threading.Barrier(number)

        def run() -> Any:
            start.wait(10)
            try:
                return call()
            except Exception as error:  # noqa: BLE001 - because errors are results here
                return error

        with ThreadPoolExecutor(number) as threads:
            return [future.result(30) for future in [threads.submit(run) for _ in range(number)]]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    """Processes that share tokens through files."""
    household = Household(tmp_path / "lwa-cache")
    yield household
    household.amazon.open.set()
    for thread in threading.enumerate():
        if thread.name == "lwa-refresh-ahead":
            thread.join(10)


@pytest.fixture
def settled() -> Callable[[], None]:
    """Wait until no token is being replaced in the background any more."""

    def wait() -> None:
        for thread in threading.enumerate():
            if thread.name == "lwa-refresh-ahead":
                thread.join(10)
                assert not thread.is_alive()

    return wait


@dataclass
class Host:
    """Real processes before the emulator, sharing tokens through files."""

    amazon: Emulator
    application: Application
    grant: Grant
    directory: Path
    keys: list[str] = field(default_factory=lambda: [new_key()])
    workers: list[Worker] = field(default_factory=list)

    @property
    def token_url(self) -> str:
        """Where tokens come from."""
        return f"{self.amazon.url}/auth/o2/token"

    def credential(self, **changes: Any) -> Credential:
        """:return: the seller's credential"""
        values = {
            "client_id": self.application.client_id,
            "client_secret": self.application.client_secret,
            "refresh_token": self.grant.refresh_token,
            "token_url": self.token_url,
        }
        return Credential(**{**values, **changes})

    def start(self, **job: Any) -> Worker:
        """:return: a process that has imported and opened all it needs, and waits for commands"""
        credential = self.credential(**job.pop("credential", {}))
        setup = {
            "client_id": credential.client_id,
            "client_secret": credential.client_secret,
            "refresh_token": credential.refresh_token,
            "token_url": credential.token_url,
            "directory": str(job.pop("directory", self.directory)),
            "keys": self.keys,
            **job,
        }
        worker = Worker(setup)
        self.workers.append(worker)
        return worker

    def requests(self) -> int:
        """:return: how often Amazon was asked for a token"""
        return self.amazon.count(kind="token")


class Worker:
    """One process of ``worker.py``: commands go in and results come out as lines of JSON."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.tell(setup)
        self.errors = ""

    def tell(self, command: dict[str, Any]) -> None:
        """Send a command without waiting for its result."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def hear(self) -> Any:
        """:return: the result of the earliest command still unanswered; first of all, that it is ready"""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, f"the worker died: {self.end()}"
        return json.loads(line)

    def do(self, command: str, **arguments: Any) -> Any:
        """:return: the result of a command"""
        self.tell({"do": command, **arguments})
        return self.hear()

    def end(self) -> str:
        """Close the process's input, so that it ends.

        :return: what it wrote to its standard error
        """
        if not self.process.stderr or self.process.stderr.closed:
            return self.errors
        _, self.errors = self.process.communicate(timeout=20)
        return self.errors


@pytest.fixture
def host(lwa_emulator: Emulator, tmp_path: Path) -> Iterator[Host]:
    """Real processes before the emulator."""
    application = lwa_emulator.add_application()
    found = Host(lwa_emulator, application, lwa_emulator.add_seller(application), tmp_path / "lwa-cache")
    yield found
    for worker in found.workers:
        worker.process.kill()
        worker.end()


def token_of(result: Token | Exception) -> str:
    """:return: a token's value, or the error raised"""
    if isinstance(result, Exception):
        raise result
    return result.value
