"""One process of a contender: it is set up by the first line it reads, then does one job a line.

Started by :mod:`benchmarks.crew`; a job's result is one line of JSON.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import timeit
from pathlib import Path
from typing import Any

from benchmarks.contenders import CONTENDERS, Contender, Setup

_PAUSE = 0.005


def main() -> None:
    """Do what is asked until nothing more is."""
    name = sys.argv[1]
    contender = CONTENDERS[name][0](Setup(**json.loads(sys.stdin.readline())))
    _say({"ready": name})
    for line in sys.stdin:
        job: dict[str, Any] = json.loads(line)
        _say(JOBS[job.pop("do")](contender, **job))


def _say(result: dict[str, Any]) -> None:
    print(json.dumps(result), flush=True)


def storm(contender: Contender, threads: int) -> dict[str, Any]:
    """Ask in many threads at once."""
    barrier = threading.Barrier(threads)
    served: list[float] = []
    errors: list[str] = []

    def ask() -> None:
        barrier.wait()
        began = time.monotonic()
        try:
            contender.get()
        except Exception as error:  # noqa: BLE001 - because each library has its own
            errors.append(type(error).__name__)
        served.append(time.monotonic() - began)

    _in_threads(threads, ask)
    return {"seconds": max(served), "errors": sorted(set(errors))}


def warm(contender: Contender, budget: float) -> dict[str, Any]:
    """Ask again and again for a token that is there; the best of many rounds."""
    contender.get()
    timer = timeit.Timer(contender.get)
    number, took = timer.autorange()
    rounds = max(3, int(budget / took))
    return {"seconds": min(timer.repeat(rounds, number)) / number}


def watch(contender: Contender, threads: int, seconds: float) -> dict[str, Any]:
    """Ask all the time in many threads, and note the longest wait."""
    end = time.monotonic() + seconds
    waits: list[float] = []
    errors: list[str] = []

    def ask() -> None:
        longest = 0.0
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                contender.get()
            except Exception as error:  # noqa: BLE001 - because each library has its own
                errors.append(type(error).__name__)
            longest = max(longest, time.monotonic() - began)
            time.sleep(_PAUSE)
        waits.append(longest)

    _in_threads(threads, ask)
    return {"seconds": max(waits), "errors": sorted(set(errors))}


def calls(contender: Contender, times: int, budget: float = 60.0) -> dict[str, Any]:
    """Ask one time after the other, as often as the budget allows."""
    began = time.monotonic()
    errors: list[str] = []
    made = 0
    while made < times and time.monotonic() - began < budget:
        made += 1
        try:
            contender.get()
        except Exception as error:  # noqa: BLE001 - because each library has its own
            errors.append(type(error).__name__)
    return {
        "calls": made,
        "seconds": time.monotonic() - began,
        "failed": len(errors),
        "errors": sorted(set(errors)),
    }


def download(contender: Any, **options: Any) -> dict[str, Any]:
    """Fetch a document, and note what that took beyond what the process had."""
    before, began, cpu = _peak(), time.monotonic(), time.process_time()
    contender.download(**options)
    return {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "memory": _peak() - before,
        "bytes": Path(options["target"]).stat().st_size,
    }


def _peak() -> int:
    """The most memory this process has had; Linux's ``ru_maxrss`` begins with that of the process before."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except FileNotFoundError:  # macOS
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _in_threads(count: int, function: Any) -> None:
    threads = [threading.Thread(target=function) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


JOBS = {job.__name__: job for job in (storm, warm, watch, calls, download)}

if __name__ == "__main__":
    main()
