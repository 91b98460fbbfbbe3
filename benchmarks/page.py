"""The page: one table of tokens, one of downloads, and where a peer is better."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import OURS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.work import Result, Size

Results = dict[str, dict[str, "Result"]]
_BETTER = 0.95  # less than this part of ours, so that noise is no victory
_MIB = 2**20


def render(results: Results, versions: Mapping[str, str | None], size: Size, *, quick: bool) -> str:
    """Write the page.

    :param results: by work, by contender
    :param versions: of the contenders; ``None`` for those not installed
    :param size: how much work it was
    :param quick: whether times mean nothing
    :return: Markdown
    """
    names = [name for name, version in versions.items() if version]
    rows = _token_rows(results, names, size)
    table = [["work", "counted", *names], *([work, counted, *cells] for work, counted, cells, _ in rows)]
    better = [line for work, counted, _, values in rows for line in _peers_ahead(work, counted, values)]
    parts = [
        "# Benchmarks",
        _introduction(versions, size, quick=quick),
        "## Tokens",
        _table(table),
        *([_stopped(results, size)] if _stopped(results, size) else []),
        "## Downloads",
        _downloads(results.get("download", {})),
        "## Where a peer is better",
        "\n".join(better + _downloads_ahead(results.get("download", {}))) or "Nowhere in this run.",
        _NOTES,
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(versions: Mapping[str, str | None], size: Size, *, quick: bool) -> str:
    here = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    missing = [name for name, version in versions.items() if not version]
    machine = f"{platform.system()}, {os.cpu_count()} cores ({_processor()}), load {os.getloadavg()[2]:.1f}"
    lines = [
        f"Written by `python -m benchmarks --write` on {datetime.now(UTC):%Y-%m-%d}.",
        f"Python {platform.python_version()}, {machine}.",
        f"Contenders: {here}.",
        f"Amazon is the emulator on loopback; its token endpoint takes {size.latency:g} s.",
        "All did the same work in the same run, each by its own public call; only the address was changed.",
    ]
    if missing:
        lines.append(f"Not installed, so left out: {', '.join(missing)} (`scripts/environment peers`).")
    if quick:
        lines.append("This was a quick run: the counts are right, the times mean nothing.")
    return "\n".join(lines)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    return text.partition("model name")[2].partition(":")[2].partition("\n")[0].strip() or platform.machine()


Row = tuple[str, str, list[str], dict[str, float]]


def _token_rows(results: Results, names: list[str], size: Size) -> list[Row]:
    crowd = f"{size.threads} threads ask at once, nothing cached"
    crowds = f"{size.processes} processes of {size.each} threads ask at once, nothing cached"
    renewing = (
        f"renewal is due, the endpoint takes {size.renewal:g} s, {min(16, size.threads)} threads go on asking"
    )
    plan: list[tuple[str, str, str, Callable[[Result], float], Callable[[float, float], str]]] = [
        ("threads", crowd, "token requests", _requests, _count),
        ("threads", crowd, "last one served, in times the endpoint's own time", _waited(size), _ratio),
        ("processes", crowds, "token requests", _requests, _count),
        ("processes", crowds, "last one served, in times the endpoint's own time", _waited(size), _ratio),
        ("turns", f"{size.turns} processes ask, one after the other", "token requests", _requests, _count),
        ("warm", "a token is there", "time of a call (in times ours)", _seconds, _nanoseconds),
        ("renewal", renewing, "longest wait of a caller", _seconds, _milliseconds),
        ("renewal", renewing, "token requests", _requests, _count),
        (
            "revoked",
            f"a revoked credential, {size.calls} calls of one process",
            "token requests",
            _requests,
            _count,
        ),
        (
            "revoked_in_turns",
            f"a revoked credential, {size.calls} processes",
            "token requests",
            _requests,
            _count,
        ),
        (
            "killed",
            "`kill -9` of the process that asks for all",
            "next one served, beyond the endpoint's time",
            _seconds,
            _milliseconds,
        ),
    ]
    rows: list[Row] = []
    for key, work, counted, value_of, show in plan:
        found = {name: value_of(result) for name, result in results.get(key, {}).items()}
        ours = found.get(OURS, 0.0)
        cells = [
            _cell(results, key, name, show(found[name], ours)) if name in found else "-" for name in names
        ]
        rows.append((work, counted, cells, found))
    return rows


def _cell(results: Results, key: str, name: str, text: str) -> str:
    stopped = results[key][name].get("calls", 0) and results[key][name]["calls"] < _most_calls(results, key)
    return f"{text} *" if stopped else text


def _most_calls(results: Results, key: str) -> int:
    return max(int(result.get("calls", 0)) for result in results[key].values())


def _stopped(results: Results, size: Size) -> str:
    lines = [
        f"{name} made {result['calls']} of {size.calls} calls {where}"
        for key, where in (("revoked", "in one process"), ("revoked_in_turns", "in processes"))
        for name, result in results.get(key, {}).items()
        if result["calls"] < size.calls
    ]
    return f"\\* Stopped after {size.budget:g} s: {'; '.join(lines)}." if lines else ""


def _requests(result: Result) -> float:
    return float(result["requests"])


def _seconds(result: Result) -> float:
    return float(result["seconds"])


def _waited(size: Size) -> Callable[[Result], float]:
    return lambda result: float(result["seconds"]) / size.latency


def _count(value: float, _ours: float) -> str:
    return f"{value:.0f}"


def _ratio(value: float, _ours: float) -> str:
    return f"{value:.1f} ×"  # noqa: RUF001 - because it is a multiplication sign


def _nanoseconds(value: float, ours: float) -> str:
    return f"{value * 1e9:,.0f} ns ({value / ours:.1f} ×)" if ours else f"{value * 1e9:,.0f} ns"  # noqa: RUF001 - because it is a multiplication sign


def _milliseconds(value: float, _ours: float) -> str:
    return f"{max(0.0, value) * 1e3:,.0f} ms"


def _peers_ahead(work: str, counted: str, values: Mapping[str, float]) -> list[str]:
    ours = values.get(OURS)
    if ours is None:
        return []
    ahead = [name for name, value in values.items() if value < ours * _BETTER]
    return [f"- {work}, {counted}: {', '.join(ahead)}."] if ahead else []


def _downloads(results: Mapping[str, Result]) -> str:
    curl = results.get("curl | gunzip", {}).get("cpu")
    rows = [["way", "report", "seconds", "MB/s", "CPU seconds", "CPU, in times curl's", "memory on top"]]
    for way, result in results.items():
        megabytes = result["bytes"] / 1e6
        rate = result["cpu"] / result["bytes"]
        base = results["curl | gunzip"]["cpu"] / results["curl | gunzip"]["bytes"] if curl else None
        rows.append(
            [
                f"`{way}`" if "|" not in way else "`curl` into `gunzip`",
                f"{megabytes:,.0f} MB",
                f"{result['seconds']:.2f}",
                f"{megabytes / result['seconds']:,.0f}",
                f"{result['cpu']:.2f}",
                f"{rate / base:.2f} ×" if base else "-",  # noqa: RUF001 - because it is a multiplication sign
                "-" if result["memory"] is None else f"{result['memory'] / _MIB:,.1f} MiB",
            ]
        )
    return _table(rows)


def _downloads_ahead(results: Mapping[str, Result]) -> list[str]:
    ours = results.get("airflow-provider-lwa, text")
    if not ours:
        return []
    columns: dict[str, Callable[[Result], float | None]] = {
        "CPU for a byte": lambda result: float(result["cpu"] / result["bytes"]),
        "time for a byte": lambda result: float(result["seconds"] / result["bytes"]),
        "memory": lambda result: result["memory"],
    }
    lines = []
    for what, value_of in columns.items():
        own = value_of(ours) or 0.0
        values = {way: value_of(result) for way, result in results.items() if not way.startswith(OURS)}
        ahead = [way for way, value in values.items() if value is not None and value < own * _BETTER]
        lines += [f"- downloads, {what}: {', '.join(ahead)}."] if ahead else []
    return lines


def _table(rows: list[list[Any]]) -> str:
    head, *body = rows
    cells = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(str(cell) for cell in row)} |" for row in cells)


_NOTES = """## What the numbers are, and are not

- Requests are counted at the endpoint, from its journal. Times are of this machine, with a server on
  loopback: the ratios carry over, the milliseconds do not.
- Every contender holds one object for all threads of a process. msal refreshes nothing without a person, so
  it asks with client credentials, and a transport of ours tells it the endpoint. botocore fetches through a
  function of ours: its columns show its windows and locks, not its HTTP.
- The two columns with a file are the same libraries with the cache that they offer for sharing between
  processes. Both keep tokens in clear; this project's file is sealed with Airflow's Fernet key.
- Renewal: each contender's token was given the life after which the contender's own rule renews it during the
  watch. python-amazon-sp-api goes by a constant, which was set to five seconds.
- `kill -9`: the peers' processes each ask for themselves, so there is nobody to wait for, and no number.
- Memory is the peak beyond what the process had before the download. This project also takes a SHA-256 of
  what it writes, and of text it checks the encoding and counts the rows; the others do not.
- amzn-sp-api has no download."""
