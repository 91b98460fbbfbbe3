"""What a connection's fields become."""

from __future__ import annotations

import dataclasses
import json
from datetime import date
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_lwa.connection import Fields
from airflow_provider_lwa.get_provider_info import CONNECTION_FIELDS

if TYPE_CHECKING:
    from tests.conftest import Seller
    from tests.connection.conftest import Read


def test_four_fields_are_enough(seller: Seller, read: Read) -> None:
    """Client id, client secret and refresh token suffice; the rest has defaults: a seller in the Americas."""
    connection = read(marketplace_ids=None)

    assert connection.conn_id == "lwa_default"
    assert connection.profile.name == "selling_partner"
    assert connection.region == "north_america"
    assert connection.credential.client_id == seller.application.client_id
    assert connection.credential.client_secret == seller.application.client_secret
    assert connection.credential.refresh_token == seller.grant.refresh_token
    assert connection.credential.scopes == ()
    assert connection.marketplace_ids == ()
    assert not connection.sandbox
    assert not connection.retired


def test_every_field_of_the_form_is_read(read: Read) -> None:
    """No field of the form is decoration."""
    connection = read(
        api="selling_partner",
        region="europe",
        scopes=["sellingpartnerapi::notifications"],
        sandbox=True,
        application_id="amzn1.sp.solution.1",
        draft=True,
        marketplace_ids=["A1PA6795UKMFR9", "APJ6JRA9NG5V4"],
        selling_partner_id="A2SELLER",
        ads_profile_id=4711,
        authorized_on="2026-01-31",
        app_credentials_rotated_on="2026-02-28T12:00:00Z",
        owner="growth",
        alerts_muted_until="2026-12-24",
        retired=True,
    )

    read_as = {field.name: getattr(connection, field.name) for field in dataclasses.fields(connection)}
    assert read_as.pop("credential").scopes == ("sellingpartnerapi::notifications",)
    assert read_as.pop("profile").name == "selling_partner"
    assert read_as.pop("endpoints").api_url.startswith("http://127.0.0.1")
    assert read_as == {
        "conn_id": "lwa_default",
        "region": "europe",
        "sandbox": True,
        "application_id": "amzn1.sp.solution.1",
        "draft": True,
        "marketplace_ids": ("A1PA6795UKMFR9", "APJ6JRA9NG5V4"),
        "selling_partner_id": "A2SELLER",
        "ads_profile_id": "4711",
        "authorized_on": date(2026, 1, 31),
        "app_credentials_rotated_on": date(2026, 2, 28),
        "owner": "growth",
        "alerts_muted_until": date(2026, 12, 24),
        "retired": True,
    }


@pytest.mark.parametrize("unset", [None, "", []], ids=["null", "empty", "empty list"])
def test_what_the_form_leaves_empty_is_not_set(read: Read, unset: object) -> None:
    """Airflow's form stores every field that it shows: ``null`` and ``""`` mean what absence means."""
    given = {name: unset for name in CONNECTION_FIELDS if name != "refresh_token"}

    assert read(**given) == read(marketplace_ids=None)


@pytest.mark.parametrize("value", [True, "true", "True", " yes ", "on", "1", 1])
def test_a_switch_that_is_on(read: Read, value: object) -> None:
    """A switch of the form is a boolean; environment variables spell it as text."""
    assert read(retired=value).retired


@pytest.mark.parametrize("value", [False, "false", "False", "no", "off", "0", 0])
def test_a_switch_that_is_off(read: Read, value: object) -> None:
    """The text ``false`` does not count as true."""
    assert not read(retired=value).retired


@pytest.mark.parametrize(
    "value",
    [
        ["A1PA6795UKMFR9", " A13V1IB3VIYZZH "],
        "A1PA6795UKMFR9,A13V1IB3VIYZZH",
        "A1PA6795UKMFR9\nA13V1IB3VIYZZH",
    ],
)
def test_a_list_may_be_written_as_text(read: Read, value: object) -> None:
    """The form of Airflow before 3.2 has one line for a list."""
    connection = read(region="europe", marketplace_ids=value)

    assert connection.marketplace_ids == ("A1PA6795UKMFR9", "A13V1IB3VIYZZH")


def test_text_loses_the_blanks_around_it(read: Read) -> None:
    """What is not secret may have been pasted with blanks."""
    connection = read(region=" europe ", api="selling_partner\n", marketplace_ids=None)

    assert (connection.region, connection.profile.name) == ("europe", "selling_partner")


def test_unknown_fields_are_ignored_and_named(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    """A misspelt field is not silently without effect; its value may be a secret and is not shown."""
    plain = read(client_seckret=None)

    assert read(client_seckret="s3cret", host="x") == plain
    assert "unknown fields are ignored: client_seckret, host" in caplog.text
    assert "s3cret" not in caplog.text


def test_an_api_with_scopes_of_its_own_needs_none_in_the_connection(read: Read) -> None:
    """The Appstore APIs have one scope each, which the profile knows."""
    connection = read(api="appstore_submission", refresh_token=None, marketplace_ids=None)

    assert connection.credential.scopes == ("appstore::apps:readwrite",)
    assert connection.credential.refresh_token is None


def test_scopes_without_an_account_make_a_grantless_connection(read: Read) -> None:
    """Some operations of the Selling Partner API need no seller."""
    connection = read(refresh_token=None, scopes="sellingpartnerapi::notifications")

    assert connection.credential.scopes == ("sellingpartnerapi::notifications",)


def test_a_custom_api_takes_client_ids_of_any_form(read: Read) -> None:
    """What is known about Amazon's own APIs is not asked of others."""
    connection = read(api="custom", login="my-client", refresh_token="anything", marketplace_ids=None)

    assert (connection.credential.client_id, connection.credential.refresh_token) == ("my-client", "anything")


@pytest.mark.parametrize("extra", ['{"region": "europe"}', {"region": "europe"}], ids=["text", "object"])
def test_the_extra_is_taken_as_text_or_object(extra: Any) -> None:
    """Airflow's own connection objects hold text; other code may hand over the object itself."""
    given = SimpleNamespace(conn_id="x", conn_type="lwa", login="i", password="s", extra=extra)

    assert Fields.of(given).text("region") == "europe"  # type: ignore[arg-type] # because it is only like one


def test_nothing_is_set_in_an_empty_connection() -> None:
    """Airflow leaves out what is empty, as ``None``."""
    given = SimpleNamespace(conn_id=None, conn_type=None, login=None, password=None, extra=None)

    fields = Fields.of(given)  # type: ignore[arg-type] # because it is only like one

    assert (fields.conn_id, fields.client_id, fields.client_secret, dict(fields.extra)) == ("", "", "", {})


@pytest.mark.parametrize("extra", ["not json", "[1]", '"text"', "3"])
def test_an_extra_that_is_no_object_is_a_problem(extra: str) -> None:
    """Nothing can be read from it, and it is said so."""
    given = SimpleNamespace(conn_id="x", conn_type="lwa", login="i", password="s", extra=extra)

    assert Fields.of(given).problems == ["The extra is not a JSON object."]  # type: ignore[arg-type] # because it is only like one


def test_the_form_asks_for_what_is_read() -> None:
    """The table behind the form is JSON, keeps secrets masked by name, and nothing else."""
    assert json.loads(json.dumps(CONNECTION_FIELDS)) == CONNECTION_FIELDS
    secret = [
        name for name, field in CONNECTION_FIELDS.items() if field["schema"].get("format") == "password"
    ]
    assert secret == ["refresh_token"]
