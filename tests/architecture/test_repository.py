"""What never stands in the project's files."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "the address of a package registry": re.compile(
        r"pypi\.org|pythonhosted\.org|registry\.npmjs|(deb|security)\.debian\.org|archive\.ubuntu",
        re.IGNORECASE,
    ),
    "a path of somebody's machine": re.compile(r"(?<![\w.:])/(root|work|Users|home/(?!airflow\b)\w+)/\w"),
    "this checkout's own path": re.compile(re.escape(f"{ROOT}/")),
}
LOCKS = {"Pipfile.lock", "package-lock.json", "poetry.lock", "uv.lock", "yarn.lock"}


def tracked() -> list[Path]:
    """:return: The files that are, or would be, committed."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip(reason="needs git and a clone (Debian: apt-get install git)")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for name in listing.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_address_and_no_path_of_a_machine() -> None:
    """Files work on every machine and with every index, and tell nothing about where they were written."""
    found = [
        f"{path.relative_to(ROOT)}:{number} has {what}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        for what, pattern in FORBIDDEN.items()
        if pattern.search(line)
    ]

    assert found == []


def test_versions_are_pinned_without_lock_files() -> None:
    """Tools' own lock files record addresses; versions and hashes stand in requirements/*.txt."""
    assert [path.name for path in tracked() if path.name in LOCKS] == []


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_every_requirement_is_pinned_and_hashed(path: Path) -> None:
    """An environment is the same for everyone, and nobody can slip another file into it."""
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^#.*\n?", "", path.read_text()).strip())

    assert [
        block for block in blocks if not re.match(r"[\w.\[\],-]+==\S+ .*\\\n +--hash=sha256:", block)
    ] == []


@pytest.mark.parametrize("source", sorted((ROOT / "requirements").glob("*.in")), ids=lambda path: path.stem)
def test_every_source_is_compiled(source: Path) -> None:
    """Each requirement asked for by name is pinned in the compiled file."""
    lines = re.sub(r"#.*", "", source.read_text()).split("\n")
    names = {re.split(r"[=<>\[; ]", line)[0] for line in lines if line and not line.startswith("-")}
    pinned = set(re.findall(r"(?m)^([\w.-]+)(?:\[.*\])?==", source.with_suffix(".txt").read_text()))

    assert names - pinned == set()
