"""A newcomer finds things by their name, and reads a file or a function at one sitting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "airflow_provider_lwa").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef
LITERAL = "get_provider_info"  # one long literal, as Airflow wants it
LONGEST_FILE = 600
LONGEST_FUNCTION = 60


def label(path: Path) -> str:
    """:return: A path as a person would write it."""
    return str(path.relative_to(ROOT))


def is_public(node: ast.AST) -> bool:
    """:return: Whether a definition is meant for others."""
    return isinstance(node, DEFINITIONS | ast.ClassDef) and not node.name.startswith("_")


def undocumented(body: list[ast.stmt]) -> list[str]:
    """:return: Public functions, classes and methods without a docstring; overloads need none."""
    found = []
    for node in body:
        if not isinstance(node, DEFINITIONS | ast.ClassDef) or not is_public(node):
            continue
        if not ast.get_docstring(node) and "overload" not in map(ast.unparse, node.decorator_list):
            found.append(f"{node.name} at line {node.lineno}")
        if isinstance(node, ast.ClassDef):
            found += undocumented(node.body)
    return found


@pytest.mark.parametrize("path", PACKAGE, ids=label)
def test_names_say_what_is_inside(path: Path) -> None:
    """No module is a drawer for things without a place."""
    assert path.stem not in {"base", "common", "helper", "helpers", "misc", "tools", "util", "utils"}


@pytest.mark.parametrize("path", PACKAGE, ids=label)
def test_files_and_functions_are_short(path: Path) -> None:
    """A file has at most 600 lines, a function at most 60."""
    source = path.read_text()
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, DEFINITIONS) and node.end_lineno and node.name != LITERAL
        if node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]

    assert len(source.splitlines()) <= LONGEST_FILE
    assert long == []


@pytest.mark.parametrize("path", PACKAGE, ids=label)
def test_what_is_public_is_documented(path: Path) -> None:
    """Each module, and each public class, function and method in it, has a docstring."""
    tree = ast.parse(path.read_text())

    assert ast.get_docstring(tree)
    assert undocumented(tree.body) == []


@pytest.mark.parametrize("path", TESTS, ids=label)
def test_tests_read_as_a_specification(path: Path) -> None:
    """Each test says in a sentence which behaviour it shows."""
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, DEFINITIONS) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]

    assert silent == []
