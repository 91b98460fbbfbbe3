"""Every block of the README and of docs/ does what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser

if TYPE_CHECKING:
    from sybil.example import Example

    from airflow_provider_lwa.emulator import Emulator

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent

#: Commands that another part of the gate runs for real, and where.
RUN_ELSEWHERE = {
    "scripts/demo": "tests/demo",
    "scripts/test": "the gate itself",
    "scripts/lint": "the gate itself",
    "pip install airflow-provider-lwa": "tests/packaging",
    "pip install 'airflow-provider-lwa[emulator]'": "tests/packaging",
    "python -m airflow_provider_lwa emulate --port 8085": "tests/cli",
}
#: Languages of blocks that are run; ``text`` is shown only.
LANGUAGES = ("python", "shell")


def _examples() -> list[Any]:
    return [
        pytest.param(example, language, id=f"{path.name}:{example.line}", marks=_marks(example))
        for path in DOCUMENTS
        for language in LANGUAGES
        for example in _parser(language).parse(path).examples()
    ]


def _parser(language: str) -> Sybil:
    return Sybil([CodeBlockParser(language=language, evaluator=lambda _: None)])


def _marks(example: Example) -> list[pytest.MarkDecorator]:
    """A block that starts the airflow command, or pytest, takes seconds of import."""
    return (
        [pytest.mark.airflow] if re.search(r"^airflow |^def test_", str(example.parsed), re.MULTILINE) else []
    )


@pytest.fixture
def seller(lwa_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    """The world the documents speak of: a healthy connection ``lwa_default`` and a folder for reports."""
    application = lwa_emulator.add_application()
    grant = lwa_emulator.add_seller(application, marketplace_ids=["ATVPDKIKX0DER"])
    extra = {"refresh_token": grant.refresh_token, "marketplace_ids": ["ATVPDKIKX0DER"]}
    login = {"login": application.client_id, "password": application.client_secret}
    connection = {"conn_type": "lwa", **login, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_LWA_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW__LWA__ENDPOINT_OVERRIDES", json.dumps(lwa_emulator.endpoint_overrides))
    monkeypatch.setenv("REPORTS", str(tmp_path))
    monkeypatch.setenv("PATH", str(BIN), prepend=os.pathsep)
    return lwa_emulator


@pytest.mark.parametrize(("example", "language"), _examples())
def test_a_block_runs(example: Example, language: str, seller: Emulator, tmp_path: Path) -> None:
    """A block of a document can be used as it stands."""
    text = str(example.parsed)
    if language == "python" and "def test_" in text:
        _run_as_test(text, tmp_path)
    elif language == "python":
        exec(compile(text, example.path, "exec"), {"__name__": "a_document"})  # noqa: S102 - because running it is the test
    else:
        _run_in_shell(text)


def test_no_block_goes_without_being_run() -> None:
    """A block is in a language that is run here, or is plain text."""
    block = re.compile(r"^ *```(\S*)\n(?:.*?\n)? *```$", re.MULTILINE | re.DOTALL)
    opened = {language for path in DOCUMENTS for language in block.findall(path.read_text())}

    assert opened <= {*LANGUAGES, "text"}


def _run_as_test(text: str, folder: Path) -> None:
    (folder / "test_of_the_document.py").write_text(text)
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    subprocess.run([*pytest_run, "--rootdir", str(folder)], check=True, cwd=folder)


def _run_in_shell(text: str) -> None:
    commands = text.strip()
    if commands in RUN_ELSEWHERE:
        return
    names = re.findall(r"export (AIRFLOW_CONN_(\w+))=", commands)
    for _, conn_id in names:
        commands += f"\npython -c {shlex.quote(_LOADS)} {conn_id.lower()}"
    subprocess.run(["bash", "-euo", "pipefail", "-c", commands], check=True, cwd=ROOT, timeout=120)  # noqa: S607 - because a document speaks to whichever shell there is


_LOADS = """
import sys
from airflow_provider_lwa.hooks.lwa import LwaHook
print(LwaHook(sys.argv[1]).connection.conn_id)
"""


def test_generated_parts_are_up_to_date() -> None:
    """What the documents take over from the code, the examples and the commands is what these say today."""
    command = [sys.executable, "-m", "cogapp", "--check", *map(str, DOCUMENTS)]
    outcome = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)

    said = outcome.stdout + outcome.stderr
    assert outcome.returncode == 0, f"run: python -m cogapp -r README.md docs/*.md\n{said}"


def test_links_between_documents_lead_somewhere() -> None:
    """No relative link of a document is dead."""
    dead = [
        f"{path.relative_to(ROOT)} -> {target}"
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
        if not (path.parent / target).exists()
    ]

    assert dead == []
