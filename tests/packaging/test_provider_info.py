"""What Airflow is told about the provider is well formed, and true of the files that are there."""

from __future__ import annotations

import ast
import importlib.util
import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import airflow_provider_lwa
from airflow_provider_lwa.get_provider_info import get_provider_info

ROOT = Path(__file__).parents[2]
INFO = get_provider_info()
MASKED = ("token", "secret", "password", "authorization", "api_key", "proxy", "proxies", "bearer", "dsn")


def schema(name: str) -> dict[str, Any]:
    """:return: A schema that Airflow ships, found without importing Airflow."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    loaded: dict[str, Any] = json.loads((Path(spec.origin).parent / name).read_text())
    return loaded


def source(module: str) -> Path:
    """:return: The file of a module of ours."""
    return ROOT / Path(*module.split(".")).with_suffix(".py")


def defined(dotted: str) -> bool:
    """:return: Whether a module of ours defines, or imports, a name."""
    module, _, name = dotted.rpartition(".")
    if not source(module).exists():
        return False
    return name in {
        getattr(node, "name", None)
        for node in ast.parse(source(module).read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
    }


def modules_named() -> list[str]:
    """:return: Every module that provider info lists."""
    kinds = ("hooks", "operators", "sensors", "triggers")
    return [module for kind in kinds for entry in INFO.get(kind, ()) for module in entry["python-modules"]]


def objects_named() -> list[str]:
    """:return: Every class and function that provider info names."""
    classes = [connection["hook-class-name"] for connection in INFO["connection-types"]]
    return [*classes, *INFO.get("notifications", ()), *INFO.get("extra-links", ()), *INFO.get("cli", ())]


def test_provider_info_satisfies_airflows_schema() -> None:
    """Airflow validates it when it discovers providers; a mistake breaks discovery for all of them."""
    jsonschema.validate(INFO, schema("provider_info.schema.json"))


def test_the_connection_form_satisfies_airflows_schema() -> None:
    """Only the schema of provider.yaml describes the fields of the form."""
    whole = schema("provider.yaml.schema.json")
    form = {**whole["properties"]["connection-types"], "$defs": whole.get("$defs", {})}

    jsonschema.validate(INFO["connection-types"], {**form, "definitions": whole.get("definitions", {})})


def test_the_name_and_the_version_are_those_of_the_distribution() -> None:
    """Airflow refuses every provider when the name differs from the distribution's."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert INFO["package-name"] == project["name"]
    assert INFO["versions"][0] == airflow_provider_lwa.__version__


@pytest.mark.parametrize("module", modules_named())
def test_each_module_named_is_there(module: str) -> None:
    """Provider info lists no module that was renamed or never written."""
    assert source(module).is_file()


@pytest.mark.parametrize("kind", ["hooks", "operators", "sensors", "triggers"])
def test_each_module_that_is_there_is_named(kind: str) -> None:
    """A new hook, operator, sensor or trigger is announced."""
    suffix = kind.removesuffix("s").capitalize()
    there = {
        f"airflow_provider_lwa.{kind}.{path.stem}"
        for path in (ROOT / "airflow_provider_lwa" / kind).glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name.endswith(suffix) and not node.name.startswith("_")
    }

    assert {module for module in modules_named() if f".{kind}." in module} == there


@pytest.mark.parametrize("dotted", objects_named())
def test_each_class_and_function_named_is_there(dotted: str) -> None:
    """Provider info names no class or function that was renamed or never written."""
    assert defined(dotted)


@pytest.mark.parametrize("group", ["apache_airflow_provider", "airflow.plugins"])
def test_each_entry_point_leads_somewhere(group: str) -> None:
    """The distribution's entry points name what is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert [
        value for value in project["entry-points"][group].values() if not defined(value.replace(":", "."))
    ] == []


def test_only_secrets_are_named_like_secrets() -> None:
    """Airflow masks extras by name; a plain field masked by mistake turns into asterisks when saved."""
    fields = INFO["connection-types"][0]["conn-fields"]

    secret = {name for name, field in fields.items() if field["schema"].get("format") == "password"}
    masked = {name for name in fields if any(word in name for word in MASKED)}

    assert masked == secret


def test_no_value_is_too_short_to_mask() -> None:
    """Airflow logs a warning in every task for each extra value of fewer than five characters."""
    fields = INFO["connection-types"][0]["conn-fields"]

    short = [
        value for field in fields.values() for value in field["schema"].get("enum", ()) if len(value) < 5
    ]

    assert short == []


def test_no_field_is_compulsory() -> None:
    """The form stores null for what is left empty, so every field takes it."""
    fields = INFO["connection-types"][0]["conn-fields"]

    assert [name for name, field in fields.items() if "null" not in field["schema"]["type"]] == []
