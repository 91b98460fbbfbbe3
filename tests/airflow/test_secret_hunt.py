"""The search for secrets finds them; otherwise that it finds none would mean nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.airflow.conftest import SecretHunt

SECRET = "Atzr|IwEBI/8f3c+77=="
NEEDLES = {"the refresh token": SECRET, "the client secret": "amzn1.oa2-cs.v1.0c9d"}


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        SECRET.removeprefix("Atzr|"),
        f"refresh_token={quote(SECRET)}",
        f"refresh_token={quote(SECRET, safe='')}&x=1",
        f'{{"refresh_token": "{SECRET}"}}',
    ],
    ids=["raw", "behind the bar", "in a path", "in a form", "in JSON"],
)
def test_finds_every_shape(hunt_for: type[SecretHunt], written: str, tmp_path: Path) -> None:
    """However a secret was written to a file, it is found, and only it."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "some.log").write_bytes(b"\x00\xff" + written.encode() + b"\xfe")

    finds = hunt_for(NEEDLES).in_files(tmp_path)

    assert [(find.secret, find.place) for find in finds] == [
        ("the refresh token", str(tmp_path / "deep" / "some.log"))
    ]


@pytest.mark.parametrize("value", ["text", b"bytes"], ids=["text", "bytes"])
def test_finds_what_a_database_keeps_in_pieces(
    hunt_for: type[SecretHunt], value: str | bytes, tmp_path: Path
) -> None:
    """A long value does not stand in the database's file in one piece; reading the rows finds it."""
    secret = "s3cret" * 5000
    stored = secret.encode() if isinstance(value, bytes) else secret
    with closing(sqlite3.connect(tmp_path / "db")) as connection:
        connection.execute("CREATE TABLE kept (id, content)")
        connection.execute("INSERT INTO kept VALUES (1, ?)", (stored,))
        connection.commit()

    hunt = hunt_for({"long": secret})

    assert hunt.in_files(tmp_path) == []
    assert [(find.secret, find.place) for find in hunt.in_database(tmp_path / "db")] == [
        ("long", "kept.content")
    ]


def test_finds_nothing_where_nothing_is(hunt_for: type[SecretHunt], tmp_path: Path) -> None:
    """A word that merely resembles one is no find."""
    (tmp_path / "a.log").write_text("refresh_token=*** Atzr|... client_secret=amzn1.oa2-cs.v1.***")

    assert hunt_for(NEEDLES).in_files(tmp_path) == []
