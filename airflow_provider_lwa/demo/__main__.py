"""``python -m airflow_provider_lwa.demo``, what ``scripts/demo`` runs once the environment is there."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def arguments() -> argparse.ArgumentParser:
    """
    Say what the command takes. Standard library only: ``scripts/demo`` asks before there is an environment.

    :return: the parser
    """
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description=(
            "Start a real Airflow and an Amazon on this machine, pull a report, break the credential, mend"
            " it, and leave Airflow's web pages open. Nothing reaches Amazon, and no account is needed."
        ),
    )
    parser.add_argument("--exit", action="store_true", help="end at once when the story is told")
    parser.add_argument(
        "--port", type=int, metavar="PORT", help="where Airflow is to answer; otherwise 8080 or any free port"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="work in this folder, and leave it for good; otherwise in one that the next run empties",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """
    Tell the story.

    :param argv: the options; those of the process by default
    :return: the exit status
    """
    chosen = arguments().parse_args(argv)
    from airflow_provider_lwa.demo.story import tell  # noqa: PLC0415 - because `arguments` must need nothing

    signal.signal(signal.SIGTERM, _interrupt)
    return tell(sys.stdout, port=chosen.port, keep=chosen.keep, stay=not chosen.exit)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
