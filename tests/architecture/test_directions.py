"""Arrows point down only: which part of the package may import which, read from the source.

Imports inside functions count, for they are followed too, only later; those for type checkers do not.
"""

from __future__ import annotations

import ast
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "airflow_provider_lwa"
PACKAGE = Path(__file__).parents[2] / NAME


@dataclasses.dataclass(frozen=True)
class Room:
    """What a part of the package may import.

    :param ours: Parts of this package, besides itself; a name allows all that is below it.
    :param others: Packages besides the standard library; ``None`` allows all.
    :param never: Packages forbidden although `others` allows all.
    """

    ours: tuple[str, ...] = ()
    others: tuple[str, ...] | None = ()
    never: tuple[str, ...] = ()


WEB = ("fastapi", "flask", "requests", "starlette", "uvicorn")
ANYTHING = Room(("",), None)

ROOMS = {
    "": Room(),
    "get_provider_info": Room(),
    "amazon": Room(others=("requests", "tenacity", "urllib3")),
    "tokens": Room(("amazon.errors", "amazon.http", "amazon.login"), ("cryptography", "redis")),
    "health": Room(("amazon.errors",)),
    "emulator": Room(others=("pytest", "starlette", "uvicorn")),
    "_airflow": Room(("amazon", "tokens"), ("airflow",)),
    "connection": Room(
        ("_airflow", "amazon", "get_provider_info"), ("airflow", "flask_appbuilder", "wtforms")
    ),
    "hooks": Room(
        ("_airflow", "amazon", "connection", "get_provider_info", "health", "tokens"),
        None,
        ("flask", "starlette", "uvicorn"),
    ),
    "triggers": Room(("_airflow", "amazon", "health", "hooks"), None, WEB),
    "operators": Room(("_airflow", "amazon", "health", "hooks", "triggers"), None, WEB),
    "sensors": Room(("_airflow", "amazon", "health", "hooks", "triggers"), None, WEB),
    "notifications": Room(("_airflow", "amazon", "health", "hooks"), None, WEB),
    "monitoring": ANYTHING,
    "plugins": ANYTHING,
    "cli": ANYTHING,
    "__main__": ANYTHING,
    "demo": ANYTHING,
}
USERS_OF_HOOKS = ("operators", "sensors", "triggers", "notifications")


def imports(tree: ast.Module, module: str) -> Iterator[tuple[int, str]]:
    """Find what a module imports when it runs.

    :param tree: The module.
    :param module: Its dotted name; for a package, with ``.__init__``.
    :return: Line and full dotted name of everything imported; ``from a import b`` gives ``a.b``.
    """
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += node.orelse
            continue
        pending += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def below(name: str, roots: tuple[str, ...]) -> bool:
    """:return: Whether a dotted name is a root or stands under one; the empty root holds everything."""
    return any(not root or name == root or name.startswith(f"{root}.") for root in roots)


def offences(module: str, source: str) -> list[str]:
    """Hold one module against the table.

    :param module: Its dotted name.
    :param source: Its text.
    :return: What it imports and may not.
    """
    own = module.split(".")[1].replace("__init__", "")
    room = ROOMS[own]
    found = []
    for line, name in imports(ast.parse(source), module):
        root, _, rest = name.partition(".")
        if root == NAME:
            fine = below(rest, (*room.ours, own)) if own else rest.startswith("__")
            fine |= rest.startswith("__version__")
        elif root in sys.stdlib_module_names:
            fine = True
        else:
            fine = (room.others is None or below(name, room.others)) and not below(name, room.never)
        if not fine:
            found.append(f"{module}:{line} imports {name}")
    return found


def modules() -> dict[str, Path]:
    """:return: Every module of the package by its dotted name."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
    }


def rooms() -> list[str]:
    """:return: The parts that the package has."""
    return sorted({module.split(".")[1].replace("__init__", "") for module in modules()})


@pytest.mark.parametrize("room", rooms())
def test_a_part_imports_only_what_lies_below_it(room: str) -> None:
    """Each part of the package stands in the table, and keeps to its row."""
    assert room in ROOMS, f"{room or NAME} is new: say in ROOMS what it may import"

    found = [
        offence
        for module, path in modules().items()
        if module.split(".")[1].replace("__init__", "") == room
        for offence in offences(module, path.read_text())
    ]

    assert found == []


@pytest.mark.parametrize("room", USERS_OF_HOOKS)
def test_only_hooks_resolve_connections(room: str) -> None:
    """Operators, sensors, triggers and notifiers leave connections to their hook."""
    calls = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in (PACKAGE / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id)
        in {"get_connection", "aget_connection"}
    ]

    assert calls == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("amazon.login", "import airflow", ["airflow"]),
        ("amazon.login", "def f():\n    from airflow.sdk import Variable", ["airflow.sdk.Variable"]),
        ("amazon.login", "from ..tokens import source", [f"{NAME}.tokens.source"]),
        ("amazon.__init__", "from ..tokens import source", [f"{NAME}.tokens.source"]),
        ("amazon.login", "from . import errors\nimport requests\nimport json", []),
        ("tokens.source", f"from {NAME} import __version__\nfrom {NAME}.amazon import login", []),
        ("tokens.source", f"from {NAME}.amazon import ads", [f"{NAME}.amazon.ads"]),
        ("health.verdict", "import requests", ["requests"]),
        ("emulator.server", f"from {NAME}.amazon import profiles", [f"{NAME}.amazon.profiles"]),
        ("operators.reports", "import requests.adapters", ["requests.adapters"]),
        ("operators.reports", f"import {NAME}.tokens.source", [f"{NAME}.tokens.source"]),
        ("hooks.lwa", "from airflow.providers.common.compat.sdk import BaseHook", []),
        ("health.verdict", "if TYPE_CHECKING:\n    import airflow\nelse:\n    import yaml", ["yaml"]),
    ],
)
def test_an_arrow_that_points_up_is_found(module: str, source: str, expected: list[str]) -> None:
    """The reading sees every way to write an import, and passes over what is only for type checkers."""
    found = [offence.split(" imports ")[1] for offence in offences(f"{NAME}.{module}", source)]

    assert found == expected
