"""The work that every contender is given, and what is counted of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.emulator.downloads import presigned_url
from benchmarks.contenders import CONTENDERS, OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_lwa.emulator.reports import Document
    from benchmarks.crew import Crew

Result = dict[str, Any]
_REPORT = "GET_FLAT_FILE_ALL_ORDERS_DATA_BY_LAST_UPDATE_GENERAL"
_MB = 1_000_000


@dataclass(frozen=True)
class Size:
    """How much work.

    :param latency: seconds the token endpoint takes
    :param threads: that ask at once
    :param processes: that ask at once
    :param each: threads in each of these
    :param turns: processes that ask one after the other
    :param calls: with a revoked credential
    :param budget: seconds these may take
    :param warm: seconds to spend on calls that find a token
    :param renewal: seconds the endpoint takes while tokens are renewed
    :param lifetime: of a token of ours then; ``None`` for the contender's own choice
    :param document: size of a report
    :param document_in_memory: size of one for those that hold it in memory
    """

    latency: float = 0.2
    threads: int = 64
    processes: int = 8
    each: int = 8
    turns: int = 12
    calls: int = 20
    budget: float = 30.0
    warm: float = 1.0
    renewal: float = 2.0
    lifetime: int | None = None
    document: int = 1000 * _MB
    document_in_memory: int = 200 * _MB


FULL = Size()
QUICK = Size(
    latency=0.05,
    threads=8,
    processes=2,
    each=2,
    turns=2,
    calls=3,
    budget=1.0,
    warm=0.02,
    renewal=0.3,
    lifetime=4,
    document=2 * _MB,
    document_in_memory=2 * _MB,
)


def threads(crew: Crew, name: str, size: Size) -> Result:
    """Many threads of one process ask at once, nothing is cached."""
    with crew.credential() as setup, crew.worker(name, setup) as worker:
        answer = worker.ask("storm", threads=size.threads)
        return {**answer, "requests": crew.requests(setup)}


def processes(crew: Crew, name: str, size: Size) -> Result:
    """Threads of many processes ask at once, nothing is cached."""
    with crew.credential() as setup, ExitStack() as stack:
        workers = [stack.enter_context(crew.worker(name, setup)) for _ in range(size.processes)]
        for worker in workers:
            worker.tell("storm", threads=size.each)
        answers = [worker.answer() for worker in workers]
        return {"seconds": max(answer["seconds"] for answer in answers), "requests": crew.requests(setup)}


def turns(crew: Crew, name: str, size: Size) -> Result:
    """Fresh processes ask one after the other, as Airflow's tasks do."""
    with crew.credential() as setup:
        for _ in range(size.turns):
            with crew.worker(name, setup) as worker:
                worker.ask("calls", times=1)
        return {"requests": crew.requests(setup)}


def warm(crew: Crew, name: str, size: Size) -> Result:
    """One thread asks for a token that is there."""
    with crew.credential() as setup, crew.worker(name, setup) as worker:
        return worker.ask("warm", budget=size.warm)


def renewal(crew: Crew, name: str, size: Size) -> Result:
    """Threads go on asking while a token is renewed by an endpoint that takes its time."""
    contender = CONTENDERS[name][0]
    lifetime = (size.lifetime if name == OURS else None) or contender.LIFETIME
    due = contender.DUE * lifetime / contender.LIFETIME
    with crew.credential() as setup, crew.worker(name, setup, SP_API_AUTH_CACHE_TTL="5") as worker:
        crew.amazon.token_lifetime = lifetime
        try:
            worker.ask("calls", times=1)
            crew.amazon.token_lifetime, crew.amazon.latency = 3600, {"token": size.renewal}
            answer = worker.ask("watch", threads=min(16, size.threads), seconds=due + size.renewal + 0.5)
        finally:
            crew.amazon.token_lifetime, crew.amazon.latency = 3600, {"token": size.latency}
        return {**answer, "requests": crew.requests(setup) - 1}


def revoked(crew: Crew, name: str, size: Size) -> Result:
    """One process goes on asking with a credential that Amazon refuses."""
    with crew.credential() as setup, crew.worker(name, setup) as worker:
        crew.revoke(setup)
        answer = worker.ask("calls", times=size.calls, budget=size.budget)
        return {**answer, "requests": crew.requests(setup)}


def revoked_in_turns(crew: Crew, name: str, size: Size) -> Result:
    """Fresh processes ask one after the other with a credential that Amazon refuses."""
    made = 0
    with crew.credential() as setup:
        crew.revoke(setup)
        until = time.monotonic() + size.budget
        while made < size.calls and time.monotonic() < until:
            with crew.worker(name, setup) as worker:
                made += worker.ask("calls", times=1)["calls"]
        return {"calls": made, "requests": crew.requests(setup)}


def killed(crew: Crew, name: str, size: Size) -> Result:
    """The process that asks for all others dies without a word; another one waits for it."""
    amazon = crew.amazon
    with crew.credential() as setup, crew.worker(name, setup) as asking, crew.worker(name, setup) as waiting:
        before = len(amazon.tokens)
        amazon.latency = {"token": 600.0}
        try:
            asking.tell("calls", times=1)
            while len(amazon.tokens) == before:
                time.sleep(0.01)
            waiting.tell("calls", times=1)
            time.sleep(0.5)  # until it surely waits
        finally:
            amazon.latency = {"token": size.latency}
        began = time.monotonic()
        asking.kill()
        answer = waiting.answer()
        seconds = time.monotonic() - began - size.latency
        return {"seconds": seconds, "failed": answer["failed"], "requests": len(amazon.tokens) - before}


#: What is counted.
TOKENS: dict[str, Callable[[Crew, str, Size], Result]] = {
    work.__name__: work
    for work in (threads, processes, turns, warm, renewal, revoked, revoked_in_turns, killed)
}


def _concerns(what: str, name: str) -> bool:
    """Tell whether a contender can show something: a file is no matter in a renewal, and only ours waits."""
    return {"renewal": not CONTENDERS[name][2], "killed": name == OURS}.get(what, True)


def tokens(crew: Crew, size: Size, tell: Callable[[str], None]) -> Iterator[tuple[str, str, Result]]:
    """Do all work with tokens.

    :param crew: the contenders
    :param size: how much
    :param tell: is told what is being done
    :return: the work, the contender, the result
    """
    crew.amazon.latency = {"token": size.latency}
    for what, work in TOKENS.items():
        for name in crew.installed:
            if _concerns(what, name):
                tell(f"{what}: {name}")
                yield what, name, work(crew, name, size)


def downloads(crew: Crew, size: Size, tell: Callable[[str], None]) -> Iterator[tuple[str, Result]]:
    """Download a report in each way.

    :param crew: the contenders
    :param size: how much
    :param tell: is told what is being done
    :return: the way, the result
    """
    large, small = (_document(crew, bytes_) for bytes_ in (size.document, size.document_in_memory))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        target = str(Path(folder) / "report.tsv")
        ways: dict[str, Callable[[], Result | None]] = {
            "airflow-provider-lwa, text": lambda: _ours(crew, large, target, "auto"),
            "airflow-provider-lwa, bytes": lambda: _ours(crew, large, target, None),
            "curl | gunzip": lambda: _curl(crew, large, target),
            "python-amazon-sp-api, stream=True": lambda: _sp_api(crew, large, target, stream=True),
            "python-amazon-sp-api": lambda: _sp_api(crew, small, target, stream=False),
        }
        for way, fetch in ways.items():
            tell(f"download: {way}")
            result = fetch()
            if result:
                yield way, result


def _document(crew: Crew, size: int) -> Document:
    crew.amazon.plan_report(_REPORT, size=size, times=1)
    report = crew.amazon.add_report(crew.amazon.add_seller(crew.amazon.add_application()), _REPORT)
    assert report.document
    return report.document


def _ours(crew: Crew, document: Document, target: str, encoding: str | None) -> Result:
    before = crew.amazon.count(kind="download")
    with crew.credential() as setup, crew.worker(OURS, setup) as worker:
        url = presigned_url(crew.amazon, document, crew.amazon.url)
        result = worker.ask("download", url=url, target=target, encoding=encoding)
    return {**result, "requests": crew.amazon.count(kind="download") - before}


def _sp_api(crew: Crew, document: Document, target: str, *, stream: bool) -> Result | None:
    name = "python-amazon-sp-api"
    if name not in crew.installed:
        return None
    grant = next(
        each for each in crew.amazon.grants.values() if each.selling_partner_id == document.selling_partner_id
    )
    application = crew.amazon.applications[grant.client_id]
    with crew.credential() as other:
        setup = type(other)(
            other.url,
            application.client_id,
            application.client_secret,
            grant.refresh_token,
            other.scope,
            "",
            "",
        )
        with crew.worker(name, setup) as worker:
            return worker.ask("download", document_id=document.document_id, target=target, stream=stream)


def _curl(crew: Crew, document: Document, target: str) -> Result | None:
    curl, gunzip = shutil.which("curl"), shutil.which("gunzip")
    if not (curl and gunzip):
        return None
    url = presigned_url(crew.amazon, document, crew.amazon.url)
    began = time.monotonic()
    with Path(target).open("wb") as file:
        fetching = subprocess.Popen([curl, "--silent", "--noproxy", "*", url], stdout=subprocess.PIPE)
        unpacking = subprocess.Popen([gunzip], stdin=fetching.stdout, stdout=file)
        assert fetching.stdout
        fetching.stdout.close()
        used = [os.wait4(process.pid, 0)[2] for process in (fetching, unpacking)]
        fetching.returncode = unpacking.returncode = 0
    return {
        "seconds": time.monotonic() - began,
        "cpu": sum(each.ru_utime + each.ru_stime for each in used),
        "memory": None,
        "bytes": Path(target).stat().st_size,
    }
