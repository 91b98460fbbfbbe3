"""The connection form of Airflow before 3.2, which asks the hook for its fields."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_lwa.get_provider_info import CONNECTION_FIELDS
from airflow_provider_lwa.hooks.lwa import LwaHook

pytest.importorskip("airflow.www.forms", reason="only Airflow 2 has this form", exc_type=ImportError)


def fields() -> dict[str, Any]:
    """:return: What Airflow has made of the hook's fields."""
    from airflow.providers_manager import ProvidersManager

    widgets = ProvidersManager().connection_form_widgets
    prefix = "extra__lwa__"
    return {name.removeprefix(prefix): each for name, each in widgets.items() if name.startswith(prefix)}


def submit(**values: str) -> Any:
    """Fill in the form and check it as the page does."""
    from werkzeug.datastructures import MultiDict
    from wtforms import Form

    form = type("OldForm", (Form,), LwaHook.get_connection_form_widgets())(MultiDict(values))
    form.validate()
    return form


def test_the_old_form_has_the_same_fields() -> None:
    """Made from the same table, in the same order, under the names that the connection reads."""
    found = fields()

    assert list(found) == list(CONNECTION_FIELDS)
    assert {each.field_name for each in found.values()} == set(CONNECTION_FIELDS)
    assert {each.hook_class_name for each in found.values()} == {"LwaHook"}


def test_each_field_has_its_kind() -> None:
    """Secrets are hidden while typing, switches are boxes, the rest is text."""
    from wtforms import BooleanField, PasswordField, StringField

    kinds = {name: each.field.field_class for name, each in fields().items()}

    assert [name for name, kind in kinds.items() if kind is PasswordField] == ["refresh_token"]
    assert [name for name, kind in kinds.items() if kind is BooleanField] == ["sandbox", "draft", "retired"]
    assert set(kinds.values()) == {BooleanField, PasswordField, StringField}


def test_a_choice_is_checked_and_its_values_are_named() -> None:
    """The old form has no select; the help says what may be entered."""
    bad, good, empty = submit(region="na"), submit(region="europe"), submit(region="")

    assert list(bad.errors) == ["region"]
    assert good.errors == empty.errors == {}
    assert "One of: north_america, europe, far_east." in str(bad.region.description)


def test_the_standard_fields_are_named_as_amazon_does() -> None:
    """Client ID and secret; host, port and schema are hidden."""
    from airflow.providers_manager import ProvidersManager

    behaviour = ProvidersManager().field_behaviours["lwa"]

    assert behaviour["hidden_fields"] == ["host", "port", "schema"]
    assert behaviour["relabeling"] == {"login": "Client ID", "password": "Client secret"}
    assert set(behaviour["placeholders"]) == {"login", "password"}


def test_airflow_can_load_the_hook() -> None:
    """Which it does in the old form's page, and for its Test button."""
    from airflow.providers_manager import ProvidersManager

    hook = ProvidersManager().hooks["lwa"]

    assert hook is not None
    assert hook.connection_testable
    assert hook.hook_name == "Login with Amazon"
