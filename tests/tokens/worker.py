"""A process of a task: it gets tokens when told to, one command a line, one result a line.

It serves the tests that need processes to be real: to die, to be stopped, to fork, to run out of disk.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from airflow_provider_lwa.amazon import login
from airflow_provider_lwa.amazon.errors import LwaError
from airflow_provider_lwa.amazon.http import Door
from airflow_provider_lwa.tokens import Clock, Settings, TokenSource, open_safe

logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)


class Process:
    """What one process of Airflow's would have: one token source."""

    def __init__(self, setup: dict[str, Any]) -> None:
        if "user" in setup:
            os.setegid(setup["user"])
            os.seteuid(setup["user"])
        clock = Clock()
        safe = open_safe(
            setup.get("store", "file"), clock, directory=Path(setup["directory"]), keys=setup["keys"]
        )
        door = Door()
        settings = Settings(**setup.get("settings", {}))
        self.source: TokenSource[login.TokenRequest] = TokenSource(
            safe,
            lambda request, budget: login.exchange(door, request, budget=budget),
            settings=settings,
            clock=clock,
        )
        names = ("client_id", "client_secret", "refresh_token", "token_url")
        self.request = login.request_for(login.Credential(**{name: setup[name] for name in names}))

    def get(self, **arguments: Any) -> dict[str, Any]:
        """Get a token; an error is a result, too."""
        began = time.monotonic()
        try:
            token = self.source.get(self.request, **arguments)
        except LwaError as error:
            result = {"error": type(error).__name__, "first_seen": getattr(error, "first_seen", None)}
        else:
            result = {"token": token.value, "generation": token.generation}
        return {**result, "took": time.monotonic() - began}

    def storm(self, threads: int) -> list[dict[str, Any]]:
        """Get a token in so many threads at once."""
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda _: self.get(), range(threads)))

    def fork_while_asking(self) -> dict[str, Any]:
        """Fork while another thread is asking Amazon; the child gets a token, and waits to be told to end."""
        asking = threading.Thread(target=self.get)
        asking.start()
        time.sleep(0.15)  # the answer takes longer, so the other thread is in the middle of asking
        report, reporter = os.pipe()
        end, ender = os.pipe()
        if os.fork() == 0:
            os.close(ender)
            os.write(reporter, json.dumps(self.get()).encode())
            os.read(end, 1)
            os._exit(0)
        child = json.loads(os.read(report, 65_536))
        asking.join()
        return {"child": child, "parent": self.get()}

    def fork_and_hold(self) -> dict[str, Any]:
        """Fork while the lock is held, and leave a child behind that outlives the lock."""
        asking = threading.Thread(target=self.get)
        asking.start()
        time.sleep(0.15)
        child = os.fork()
        if child == 0:
            time.sleep(30)
            os._exit(0)
        asking.join()
        return {"child": child}

    def limit_files(self, size: int) -> None:
        """Let no file grow beyond *size*, so that writes fail as on a full disk; -1 lifts the limit."""
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard if size < 0 else size, hard))

    def info(self) -> dict[str, object]:
        """Tell about the store."""
        return self.source.info()

    def drop(self, generation: str) -> bool:
        """Report a token that the API refused."""
        return self.source.invalidate(self.request, generation)

    def leave(self) -> None:
        """End the interpreter at once, as a task does when its work is done."""
        _tell(None)
        sys.exit()


def _tell(result: object) -> None:
    sys.stdout.write(json.dumps(result) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve commands until the input ends."""
    process = Process(json.loads(sys.stdin.readline()))
    _tell("ready")
    for line in sys.stdin:
        command = json.loads(line)
        _tell(getattr(process, command.pop("do"))(**command))


if __name__ == "__main__":
    main()
