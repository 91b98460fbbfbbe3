"""The connection form as a person sees it: a real Airflow, a real browser, a connection that works."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.get_provider_info import CONNECTION_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.airflow.conftest import Stage

pytestmark = [pytest.mark.browser, pytest.mark.airflow(since="3.3")]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def form(stage: Stage) -> Iterator[Page]:
    """The form of a new connection, with our type chosen."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        page = browser.new_page(viewport={"width": 1200, "height": 1600})
        page.goto(f"{stage.airflow.url}/connections")
        page.get_by_role("button", name="Add Connection").click()
        choose(page, page.get_by_role("combobox").first, "Login with Amazon")
        yield page
        browser.close()


def choose(page: Page, box: Any, label: str) -> None:
    """Pick an entry of a select by what it is called on the page."""
    box.click()
    page.keyboard.type(label)
    page.get_by_role("option", name=label).click()


def open_section(page: Page, name: str) -> None:
    """Unfold one part of the form."""
    page.get_by_role("button", name=name).click()


def kind_of(schema: dict[str, Any]) -> str | None:
    """:return: the type of the HTML input that a field is to have"""
    if "enum" in schema:
        return "hidden"
    if "boolean" in schema["type"]:
        return "checkbox"
    return schema.get("format")


def test_every_field_has_our_label_and_kind(form: Page) -> None:
    """Labels and helps are ours; secrets are in password boxes, days in date fields.

    A select keeps its value in a hidden field; a plain text or a list is in a box without a type.
    """
    dialog = form.locator("[role=dialog]")
    assert dialog.get_by_label("Client ID").get_attribute("type") == "text"
    assert dialog.get_by_label("Client secret").get_attribute("type") == "password"
    for hidden in ("Host", "Port", "Schema"):
        assert dialog.get_by_label(hidden, exact=True).count() == 0
    opened = ""
    for name, field in CONNECTION_FIELDS.items():
        if field["schema"]["section"] != opened:
            opened = field["schema"]["section"]
            open_section(form, opened)
        dialog.get_by_text(field["label"], exact=True).first.wait_for()
        dialog.get_by_text(field["description"]).first.wait_for()
        kind = dialog.locator(f"[name=element_{name}]").get_attribute("type")
        assert kind == kind_of(field["schema"]), name


def test_what_is_typed_is_stored_and_works(form: Page, stage: Stage) -> None:
    """A connection made in the form passes the check: labels are shown, values stored."""
    form.locator("[name=connection_id]").fill("lwa_from_the_form")
    form.locator("[name=login]").fill(stage.seller.client_id)
    form.locator("[name=password]").fill(stage.amazon.applications[stage.seller.client_id].client_secret)
    open_section(form, "Account and API")
    form.locator("[name=element_refresh_token]").fill(stage.seller.refresh_token)
    selects = form.locator("[role=dialog]").get_by_role("combobox")
    choose(form, selects.nth(1), "Selling Partner API (seller)")
    choose(form, selects.nth(2), "North America")
    open_section(form, "Defaults for operators")
    form.locator("[name=element_marketplace_ids]").fill("ATVPDKIKX0DER")
    form.get_by_role("button", name="Save").click()
    form.get_by_text("lwa_from_the_form").first.wait_for()

    stored = stage.airflow.rest.call("GET", "connections/lwa_from_the_form")
    extra = json.loads(stored["extra"])
    assert (extra["api"], extra["region"]) == ("selling_partner", "north_america")
    assert extra["marketplace_ids"] == ["ATVPDKIKX0DER"]
    assert (stored["password"], extra["refresh_token"]) == ("***", "***")
    before = stage.amazon.count(kind="token")
    answer = stage.airflow.rest.call(
        "POST", "connections/test", json={"connection_id": "lwa_from_the_form", "conn_type": "lwa"}
    )
    assert answer["status"], answer
    assert stage.amazon.count(kind="token") == before + 1
