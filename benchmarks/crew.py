"""Amazon on loopback, and the processes of contenders that ask it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_lwa import __version__
from benchmarks.contenders import CONTENDERS, OURS, Setup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_lwa.emulator.server import Emulator

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".environments" / "peers" / "bin" / "python"
SCOPE = "sellingpartnerapi::notifications"
_VERSION = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


class WorkerFailed(RuntimeError):
    """A contender's process ended with an error."""


class Worker:
    """A process of a contender, killed at the end if it still lives.

    :param name: which contender
    :param python: its interpreter
    :param setup: what it is given
    :param environment: variables to add
    """

    def __init__(
        self, name: str, python: Path, setup: Setup, environment: dict[str, str] | None = None
    ) -> None:
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - because it lives as long as the process
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
        )
        try:
            self._write(asdict(setup))
            self.answer()
        except BaseException:
            self.__exit__()
            raise

    def tell(self, job: str, **options: Any) -> None:
        """Have a job done without waiting for it."""
        self._write({"do": job, **options})

    def answer(self) -> dict[str, Any]:
        """Wait for what was told last."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise WorkerFailed(self._errors.read()[-2000:])
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, job: str, **options: Any) -> dict[str, Any]:
        """Have a job done."""
        self.tell(job, **options)
        return self.answer()

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()

    def _write(self, value: dict[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream
            stream.close()


@dataclass
class Crew:
    """The contenders that are installed, and the emulator they work against.

    :param amazon: the emulator
    :param peers: the interpreter of the peers' environment
    """

    amazon: Emulator
    peers: Path = PEERS
    versions: dict[str, str | None] = field(init=False)

    def __post_init__(self) -> None:
        self.versions = {name: self._version(name) for name in CONTENDERS}

    @property
    def installed(self) -> list[str]:
        """Those that can take part."""
        return [name for name, version in self.versions.items() if version]

    def _python(self, name: str) -> Path:
        return Path(sys.executable) if name == OURS else self.peers

    def _version(self, name: str) -> str | None:
        if name == OURS:
            return __version__  # a checkout need not be installed
        python = self._python(name)
        if not python.exists():
            return None
        command = [str(python), "-c", _VERSION, CONTENDERS[name][1]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() or None

    @contextmanager
    def credential(self) -> Iterator[Setup]:
        """A credential that nobody has used, and a folder that nobody has written to."""
        application = self.amazon.add_application()
        grant = self.amazon.add_seller(application)
        key = base64.urlsafe_b64encode(os.urandom(32)).decode()
        with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
            yield Setup(
                self.amazon.url,
                application.client_id,
                application.client_secret,
                grant.refresh_token,
                SCOPE,
                directory,
                key,
            )

    def revoke(self, setup: Setup) -> None:
        """Withdraw a credential: the refresh token, and the scope for those that ask with that."""
        self.amazon.revoke(setup.refresh_token)
        self.amazon.detach(setup.client_id, setup.scope)

    def requests(self, setup: Setup) -> int:
        """How many token requests a credential has caused."""
        return self.amazon.count(kind="token", client_id=setup.client_id)

    def worker(self, name: str, setup: Setup, **environment: str) -> Worker:
        """A process of a contender."""
        return Worker(name, self._python(name), setup, environment)
