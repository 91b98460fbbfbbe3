"""``python -m benchmarks [--quick] [--write] [--json]``."""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_lwa.emulator.server import Emulator
from benchmarks import __doc__ as description
from benchmarks.crew import PEERS, ROOT, Crew
from benchmarks.page import Results, render
from benchmarks.work import FULL, QUICK, downloads, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = ROOT / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for.

    :param arguments: the command line, without the program's name
    :return: 0
    """
    options = _parser().parse_args(arguments)
    size = QUICK if options.quick else FULL
    results: Results = defaultdict(dict)
    with Emulator() as amazon:
        crew = Crew(amazon, options.peers)
        for what, name, result in tokens(crew, size, _tell):
            results[what][name] = result
        for way, result in downloads(crew, size, _tell):
            results["download"][way] = result
    page = render(results, crew.versions, size, quick=options.quick)
    if options.write:
        PAGE.write_text(page, encoding="utf-8")
    print(json.dumps({"results": results, "page": page}) if options.json else page)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks", description=description)
    parser.add_argument("--quick", action="store_true", help="a few seconds: to see that it works")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}, too")
    parser.add_argument("--json", action="store_true", help="print the bare numbers beside the page")
    parser.add_argument("--peers", type=Path, default=PEERS, metavar="PYTHON", help="the peers' interpreter")
    return parser


def _tell(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
