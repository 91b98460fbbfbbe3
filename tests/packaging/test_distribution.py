"""The wheel, built, installed beside an unchanged Airflow, and asked about through Airflow's commands."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import airflow_provider_lwa
from airflow_provider_lwa.cli import COMMANDS
from airflow_provider_lwa.get_provider_info import get_provider_info

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

pytestmark = pytest.mark.wheel

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
FORM = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService
form = next(hook for hook in HookMetaService.hook_meta_data() if hook.connection_type == "lwa")
print(json.dumps(form.model_dump(mode="json")))
"""
QUESTIONS = {
    "list": ("airflow", "providers", "list", "--output", "json"),
    "get": ("airflow", "providers", "get", "airflow-provider-lwa", "--full", "--output", "json"),
    "config": ("airflow", "config", "list", "--section", "lwa", "--include-descriptions"),
    "plugins": ("airflow", "plugins", "--output", "json"),
    "group": ("airflow", "lwa", "--help"),
    "module": ("python", "-m", "airflow_provider_lwa", "--help"),
    "form": ("python", "-c", FORM),
}


@dataclasses.dataclass(frozen=True)
class Said:
    """What a command of the installed environment said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """:return: The JSON value that ends the output, after whatever Airflow logged before it."""
        lines = self.out.splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith(("[", "{")))
        return json.loads("\n".join(lines[start:]))


def run(command: Iterable[object], environment: Mapping[str, str], folder: Path) -> Said:
    """:return: What a program said."""
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env=dict(environment),
        cwd=folder,
    )
    return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """:return: A folder with the source distribution, and the wheel made from it."""
    folder = tmp_path_factory.mktemp("dist")
    built = run(
        [
            UV,
            "build",
            "--offline",
            "--no-build-isolation",
            "--python",
            sys.executable,
            "--out-dir",
            folder,
            ROOT,
        ],
        os.environ,
        folder,
    )
    assert built.code == 0, built.err
    return folder


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    """:return: The wheel."""
    [path] = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def programs(wheel: Path, outside: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """:return: The `bin` folder of a new environment with the pinned Airflow and the wheel."""
    folder = tmp_path_factory.mktemp("installed") / "environment"
    make = [sys.executable, ROOT / "scripts" / "environment", "demo", "--at", folder]
    made = run(
        make, {**outside, "UV_OFFLINE": "1"}, folder.parent
    )  # what the other environments use is cached
    if made.code:
        made = run(make, outside, folder.parent)
    assert made.code == 0, made.err
    python = folder / "bin" / "python"
    added = run(
        [UV, "pip", "install", "--offline", "--no-deps", "--python", python, wheel], os.environ, folder
    )
    assert added.code == 0, added.err
    return python.parent


@pytest.fixture(scope="session")
def said(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Said]:
    """:return: What each command said, run two at a time since each takes seconds to import Airflow."""
    home = tmp_path_factory.mktemp("home")
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}
    run(
        [programs / "airflow", "version"], environment, home
    )  # writes airflow.cfg once, before two would at once

    def ask(command: tuple[str, ...]) -> Said:
        return run([programs / command[0], *command[1:]], environment, home)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return dict(zip(QUESTIONS, pool.map(ask, QUESTIONS.values()), strict=True))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    """Types and licence travel with it; tests and scripts do not."""
    names = zipfile.ZipFile(wheel).namelist()
    version = airflow_provider_lwa.__version__

    assert "airflow_provider_lwa/py.typed" in names
    assert f"airflow_provider_lwa-{version}.dist-info/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {
        "airflow_provider_lwa",
        f"airflow_provider_lwa-{version}.dist-info",
    }
    assert [name for name in names if "/test" in name or name.endswith(".pyc")] == []


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    """Pages, pictures and other files that are not Python are not forgotten."""
    names = set(zipfile.ZipFile(wheel).namelist())
    files = (path.relative_to(ROOT) for path in (ROOT / "airflow_provider_lwa").rglob("*") if path.is_file())
    here = {str(path) for path in files if "__pycache__" not in path.parts}

    assert here - names == set()


def test_the_source_distribution_can_be_tested(distributions: Path) -> None:
    """Whoever packages it again finds the tests, the scripts and the documents in it."""
    [path] = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert {
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "airflow_provider_lwa/__init__.py",
        "requirements/test.txt",
        "scripts/test",
        "tests/conftest.py",
    } <= names


def test_airflow_lists_the_provider(said: Mapping[str, Said]) -> None:
    """`airflow providers list` names it, with its version."""
    listed = {row["package_name"]: row["version"] for row in said["list"].json()}

    assert listed["airflow-provider-lwa"] == airflow_provider_lwa.__version__


def test_airflow_describes_the_provider(said: Mapping[str, Said]) -> None:
    """`airflow providers get --full` shows what provider info says."""
    [row] = said["get"].json()

    assert "Login with Amazon" in json.dumps(row)
    assert "airflow_provider_lwa.hooks.lwa.LwaHook" in json.dumps(row)


def test_the_connection_form_speaks_of_amazons_things(said: Mapping[str, Said]) -> None:
    """The form has client id and secret, six fields that open first, and the rest in other sections."""
    form = said["form"].json()
    standard, extra = form["standard_fields"], form["extra_fields"]

    assert form["hook_name"] == "Login with Amazon"
    assert standard["login"]["title"] == "Client ID"
    assert standard["password"]["title"] == "Client secret"
    assert [name for name in ("host", "port", "url_schema") if not standard[name]["hidden"]] == []
    first = next(iter(extra.values()))["schema"]["section"]
    assert [name for name, field in extra.items() if field["schema"]["section"] == first] == [
        "refresh_token",
        "api",
        "region",
        "scopes",
        "app_conn_id",
        "sandbox",
    ]
    assert extra["refresh_token"]["schema"]["format"] == "password"


def test_airflow_lists_the_configuration(said: Mapping[str, Said]) -> None:
    """`airflow config list --section lwa` has every option of provider info, with what it does."""
    for option in get_provider_info()["config"]["lwa"]["options"]:
        assert f"\n{option} = " in said["config"].out or f"\n# {option} = " in said["config"].out


def test_airflow_lists_the_plugin(said: Mapping[str, Said]) -> None:
    """`airflow plugins` has the pages, which shows that the entry point is found and loads."""
    assert "lwa" in {row["name"] for row in said["plugins"].json()}


def test_the_commands_are_part_of_airflow_and_stand_alone(said: Mapping[str, Said]) -> None:
    """`airflow lwa` and `python -m airflow_provider_lwa` offer the same commands."""
    assert said["group"].code == said["module"].code == 0, said["group"].err + said["module"].err
    for command in COMMANDS:
        assert command.name in said["module"].out
        assert (command.name in said["group"].out) is command.in_airflow


def test_nothing_of_ours_is_reported_broken(said: Mapping[str, Said]) -> None:
    """No command warns of a hook that cannot be imported, or of provider info that is not understood."""
    for name, answer in said.items():
        assert answer.code == 0, f"{name}: {answer.err}"
        assert [
            line for line in (answer.out + answer.err).splitlines() if "lwa" in line and "WARNING" in line
        ] == []
