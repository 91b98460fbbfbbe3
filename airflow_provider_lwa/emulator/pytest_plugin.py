"""A fixture for your own tests: ``lwa_emulator``, a fresh Amazon on loopback for each test.

pytest finds it by itself where this provider is installed. The server is started once, when the first test
asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_lwa.emulator.server import Emulator


@pytest.fixture(scope="session")
def lwa_emulator_server() -> Iterator[Emulator]:
    """The server behind ``lwa_emulator``, one for all tests."""
    try:
        from airflow_provider_lwa.emulator.server import Emulator  # noqa: PLC0415 - because it needs the extra
    except ModuleNotFoundError as error:
        raise pytest.UsageError(
            f"The fixture lwa_emulator needs {error.name}: pip install 'airflow-provider-lwa[emulator]'"
        ) from error
    with Emulator() as amazon:
        yield amazon


@pytest.fixture
def lwa_emulator(lwa_emulator_server: Emulator) -> Iterator[Emulator]:
    """Amazon on loopback, with nothing in it yet: add an application and a seller first."""
    lwa_emulator_server.reset()
    yield lwa_emulator_server
    lwa_emulator_server.clear_faults()
