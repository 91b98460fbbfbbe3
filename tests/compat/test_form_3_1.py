"""The connection form of Airflow 3.0 and 3.1: the hook is asked with stand-ins for the old web libraries."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from airflow_provider_lwa.get_provider_info import CONNECTION_FIELDS, UI_FIELD_BEHAVIOUR
from airflow_provider_lwa.hooks.lwa import LwaHook


class Field:
    """A field as those versions understand it: a label, a description, a widget, checks."""

    def __init__(
        self, label: str, *, description: str, widget: object = None, validators: tuple[Any, ...] = ()
    ) -> None:
        self.label, self.description, self.widget, self.validators = label, description, widget, validators


class StringField(Field):
    """One of the four kinds that those versions know."""


class PasswordField(Field):
    """Another."""


class BooleanField(Field):
    """Another."""


@pytest.fixture
def widgets(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The hook's fields, made with the stand-ins."""
    kinds = {"StringField": StringField, "PasswordField": PasswordField, "BooleanField": BooleanField}
    checks = ModuleType("wtforms.validators")
    checks.Optional = lambda: "optional"  # type: ignore[attr-defined] # because modules are open
    checks.any_of = lambda values: values  # type: ignore[attr-defined] # because modules are open
    appearance = {"BS3PasswordFieldWidget": object, "BS3TextFieldWidget": object}
    stand_ins: dict[str, dict[str, Any]] = {
        "flask_appbuilder": {},
        "flask_appbuilder.fieldwidgets": appearance,
        "flask_babel": {"lazy_gettext": lambda text: text},
        "wtforms": {**kinds, "validators": checks},
    }
    for name, content in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return LwaHook.get_connection_form_widgets()


def test_every_field_of_the_table_is_there(widgets: dict[str, Any]) -> None:
    """With its label, in its order."""
    assert {name: field.label for name, field in widgets.items()} == {
        name: field["label"] for name, field in CONNECTION_FIELDS.items()
    }


def test_each_field_has_its_kind(widgets: dict[str, Any]) -> None:
    """Only kinds that those versions can show."""
    kinds = {name: type(field) for name, field in widgets.items()}

    assert [name for name, kind in kinds.items() if kind is PasswordField] == ["refresh_token"]
    assert [name for name, kind in kinds.items() if kind is BooleanField] == ["sandbox", "draft", "retired"]
    assert set(kinds.values()) == {StringField, PasswordField, BooleanField}


def test_a_choice_names_its_values(widgets: dict[str, Any]) -> None:
    """There is no select."""
    assert widgets["region"].validators == ["optional", ["north_america", "europe", "far_east"]]
    assert widgets["region"].description.endswith("One of: north_america, europe, far_east.")
    assert widgets["owner"].validators == ["optional"]
    assert widgets["owner"].description == CONNECTION_FIELDS["owner"]["description"]


def test_the_standard_fields_are_named_as_in_later_versions() -> None:
    """The same table, with the keys as methods spell them."""
    assert LwaHook.get_ui_field_behaviour() == {
        "hidden_fields": UI_FIELD_BEHAVIOUR["hidden-fields"],
        "relabeling": UI_FIELD_BEHAVIOUR["relabeling"],
        "placeholders": UI_FIELD_BEHAVIOUR["placeholders"],
    }
