"""Commands: ``airflow lwa …`` (Airflow 3.2 and later) and ``python -m airflow_provider_lwa …`` (everywhere).

Both are made from :data:`COMMANDS`. Secrets are never read from the command line nor printed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_lwa.amazon.errors import LwaError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEALTHY, BROKEN, USAGE, UNKNOWN = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Option:
    """One argument of a command, as both command lines declare it.

    :param flags: its names
    :param settings: what ``argparse`` is told of it
    """

    flags: tuple[str, ...]
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    :param name: how it is called
    :param help: what it does, in one line
    :param run: called with the parsed arguments; returns the exit code
    :param options: its arguments
    :param in_airflow: whether ``airflow lwa`` offers it too
    :param passes_on: it reads its options itself
    """

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    options: tuple[Option, ...] = ()
    in_airflow: bool = True
    passes_on: bool = False


def check(arguments: argparse.Namespace) -> int:
    """Check connections: the fields, then Login with Amazon past the cache, then the API.

    :param arguments: ``conn_ids``, ``token_only`` and ``output``
    :return: 0 if all are healthy, 1 if one is broken for good, 3 if one could not be judged now
    """
    _read_connections_like_a_server()
    with redirect_stdout(sys.stderr):  # some versions of Airflow log to standard output
        from airflow_provider_lwa.health.verdict import line  # noqa: PLC0415 - because it is needed only here
        from airflow_provider_lwa.hooks.lwa import LwaHook  # noqa: PLC0415 - because it loads Airflow

        api = not arguments.token_only
        seen = [LwaHook(lwa_conn_id=conn_id).check(api=api) for conn_id in arguments.conn_ids]
    for observation in seen:
        if arguments.output == "json":
            print(json.dumps(observation.to_json()))
        else:
            print(f"{observation.conn_id}: {line(observation)}")
    if any(observation.permanent for observation in seen):
        return BROKEN
    return HEALTHY if all(observation.is_healthy for observation in seen) else UNKNOWN


def cache(arguments: argparse.Namespace) -> int:
    """Show where access tokens are shared, or clear them.

    :param arguments: ``action``: ``info`` or ``clear``
    """
    from airflow_provider_lwa import _airflow  # noqa: PLC0415 - because it loads Airflow

    source = _airflow.token_source(_airflow.Settings.read())
    if arguments.action == "clear":
        print(f"Removed {source.clear()} shared tokens; the next task of each credential asks Amazon.")
        return HEALTHY
    for name, value in source.info().items():
        if value is not None:
            print(f"{name}: {value}")
    return HEALTHY


def emulate(arguments: argparse.Namespace) -> int:
    """Run Amazon on loopback until Ctrl-C, with demo credentials to paste.

    :param arguments: ``host`` and ``port``
    """
    try:
        from airflow_provider_lwa.emulator.server import serve  # noqa: PLC0415 - because it needs the extra
    except ModuleNotFoundError as error:
        return _complain(f"The emulator needs {error.name}: pip install 'airflow-provider-lwa[emulator]'")
    serve(arguments.host, arguments.port)
    return HEALTHY


def demo(arguments: argparse.Namespace) -> int:
    """Pull a report on a real Airflow against the emulator, break the credential, show the alert.

    :param arguments: ``rest``: passed on
    """
    try:
        from airflow_provider_lwa.demo.__main__ import main as run  # noqa: PLC0415 - because it needs the extra

        return run(arguments.rest)
    except ModuleNotFoundError as error:
        return _complain(f"The demo needs {error.name}: pip install 'airflow-provider-lwa[demo]'")


def _complain(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return USAGE


def _read_connections_like_a_server() -> None:
    """Outside a task Airflow reads the metadata database only for processes that call themselves a server."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")


COMMANDS: tuple[Command, ...] = (
    Command(
        "check",
        "Check connections: their fields, Login with Amazon, the API.",
        check,
        (
            Option(("conn_ids",), {"nargs": "+", "metavar": "CONN_ID", "help": "connections of type lwa"}),
            Option(("--token-only",), {"action": "store_true", "help": "stop at Login with Amazon"}),
            Option(
                ("--output",),
                {"choices": ("plain", "json"), "default": "plain", "help": "how to print the answers"},
            ),
        ),
    ),
    Command(
        "cache",
        "Show where access tokens are shared, or clear them.",
        cache,
        (Option(("action",), {"choices": ("info", "clear"), "help": "what to do"}),),
    ),
    Command(
        "emulate",
        "Run Amazon on loopback, for tests and demos.",
        emulate,
        (
            Option(("--host",), {"default": "127.0.0.1", "help": "loopback address to listen on"}),
            Option(("--port",), {"type": int, "default": 8085, "help": "port; 0 takes a free one"}),
        ),
        in_airflow=False,
    ),
    Command(
        "demo",
        "Pull a report on a real Airflow against the emulator, and break the credential.",
        demo,
        in_airflow=False,
        passes_on=True,
    ),
)


def parser() -> argparse.ArgumentParser:
    """The command line of ``python -m airflow_provider_lwa``."""
    top = argparse.ArgumentParser("airflow_provider_lwa", description="Login with Amazon for Apache Airflow.")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        below = commands.add_parser(
            command.name, help=command.help, description=command.help, add_help=not command.passes_on
        )
        for option in command.options:
            below.add_argument(*option.flags, **option.settings)
        below.set_defaults(command=command)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: arguments; those of the process by default
    :return: the exit code
    """
    arguments, rest = parser().parse_known_args(argv)
    if rest and not arguments.command.passes_on:
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    return _run(arguments.command, arguments)


def _run(command: Command, arguments: argparse.Namespace) -> int:
    try:
        return command.run(arguments)
    except LwaError as error:
        return _complain(str(error))


def airflow_commands() -> list[Any]:
    """What Airflow adds to its own command line: the group ``lwa``."""
    from airflow.cli import cli_config  # noqa: PLC0415 - because only Airflow's command line calls this

    subcommands = [
        cli_config.ActionCommand(
            name=command.name,
            help=command.help,
            func=_exiting(command),
            args=tuple(_argument(option) for option in command.options),
        )
        for command in COMMANDS
        if command.in_airflow
    ]
    about = "Login with Amazon: check credentials, shared tokens"
    return [cli_config.GroupCommand(name="lwa", help=about, subcommands=subcommands)]


def _argument(option: Option) -> Any:
    from airflow.cli.cli_config import Arg  # noqa: PLC0415 - because only Airflow's command line calls this

    return Arg(option.flags, **option.settings)  # type: ignore[no-untyped-call]  # because Airflow did not


def _exiting(command: Command) -> Callable[[argparse.Namespace], None]:
    def run(arguments: argparse.Namespace) -> None:
        sys.exit(_run(command, arguments))

    return run
