"""Connections as people store them, read without a single request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_lwa.connection import LwaConnection
    from tests.conftest import Seller


class Read(Protocol):
    """Stores ``lwa_default`` with these fields and reads it."""

    def __call__(self, **fields: Any) -> LwaConnection:
        """As said above."""
        ...


class Complaints(Protocol):
    """Stores ``lwa_default`` with these fields and returns what is wrong with it."""

    def __call__(self, **fields: Any) -> list[str]:
        """As said above."""
        ...


@pytest.fixture
def read(seller: Seller) -> Iterator[Read]:
    """:return: What reads a connection; whatever was stored, Amazon must not have been asked."""
    from airflow_provider_lwa import connection
    from airflow_provider_lwa._airflow import Settings

    yield lambda **fields: connection.load(seller.connect(**fields), Settings.read())

    assert seller.amazon.journal == []


@pytest.fixture
def complaints(read: Read) -> Complaints:
    """:return: What reads a connection that is not in order, and gives the problems named."""
    from airflow_provider_lwa.amazon.errors import ConfigurationError

    def complain(**fields: Any) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            read(**fields)
        assert caught.value.conn_id == "lwa_default"
        assert "Nothing was sent to Amazon" in str(caught.value) or "right type" in str(caught.value)
        return caught.value.problems

    return complain
