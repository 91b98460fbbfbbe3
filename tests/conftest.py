"""What holds for every test: an Airflow home of its own, no settings from outside, no way off this machine.

This file is read before anything imports Airflow, so it is the place that decides where Airflow lives.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.metadata
import json
import os
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from airflow_provider_lwa.emulator import Emulator
    from airflow_provider_lwa.emulator.world import Application, Grant

try:
    from hypothesis import settings
except ModuleNotFoundError as missing:  # pragma: no cover - because every environment of ours has it
    raise pytest.UsageError("Run the tests with scripts/test, which has all that they need.") from missing

AIRFLOW = tuple(map(int, importlib.metadata.version("apache-airflow").split(".")[:2]))
OUTSIDE = dict(os.environ)
FOREIGN = ("AIRFLOW", "_AIRFLOW", "LWA_", "OTEL_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")
LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0", "::")  # noqa: S104 - because it is compared, not bound


def isolate() -> None:
    """Leave the settings of the person who runs the tests behind, and give Airflow an empty home."""
    for name in list(os.environ):
        if name.upper().startswith(FOREIGN) or name.lower() in PROXIES:
            del os.environ[name]
    home = tempfile.mkdtemp(prefix="airflow-provider-lwa-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ.update(
        AIRFLOW_HOME=home,
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_FOLDER=os.path.join(home, "dags"),  # noqa: PTH118 - because Airflow reads a string
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
    )


def stay_here(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse every connection that would leave this machine.

    :param event: What Python is about to do.
    :param arguments: What it does it with.
    :raises RuntimeError: When a test would reach another machine.
    """
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else "localhost"
    elif event == "socket.getaddrinfo":
        host = arguments[0] or "localhost"
    else:
        return
    text = host.decode() if isinstance(host, bytes) else str(host)
    if not (text.startswith(LOOPBACK) or text.endswith(".invalid") or text == socket.gethostname()):
        raise RuntimeError(f"A test would have reached {text}. Tests stay on this machine.")


isolate()
sys.addaudithook(stay_here)
settings.register_profile("gate", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True)
settings.load_profile("gate")


@pytest.fixture(scope="session")
def outside() -> Mapping[str, str]:
    """:return: The environment variables from before, for the few programs that install packages."""
    return OUTSIDE


def pytest_configure(config: pytest.Config) -> None:
    """Let Airflow 2 warn, as it does of itself and of its SQLAlchemy; elsewhere a warning is an error."""
    if AIRFLOW < (3,):
        config.addinivalue_line("filterwarnings", "ignore")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what an older Airflow does not have: `@pytest.mark.airflow(since="3.3")`."""
    for mark in item.iter_markers("airflow"):
        since = tuple(map(int, mark.kwargs.get("since", "2").split(".")))
        if since > AIRFLOW:
            pytest.skip(reason=f"Airflow {mark.kwargs['since']} brought this")


@dataclass
class Seller:
    """A seller on an Amazon of its own, and the Airflow connection ``lwa_default`` that holds the credential.

    :param amazon: Amazon on loopback
    :param application: whose client id and secret it is
    :param grant: the seller's consent
    :param cache_dir: where this test's tokens are shared
    :param environment: what Airflow reads connections and configuration from
    """

    amazon: Emulator
    application: Application
    grant: Grant
    cache_dir: Path
    environment: pytest.MonkeyPatch

    def connect(self, conn_id: str = "lwa_default", **fields: Any) -> str:
        """Store a connection: the seller's, except for what is given; ``None`` stays ``null`` as in the form.

        :param conn_id: its id
        :param fields: ``login``, ``password``, ``conn_type``, and fields of the extra
        :return: its id
        """
        connection = {
            "conn_type": fields.pop("conn_type", "lwa"),
            "login": fields.pop("login", self.application.client_id),
            "password": fields.pop("password", self.application.client_secret),
        }
        extra = {"refresh_token": self.grant.refresh_token, "marketplace_ids": [*self.grant.marketplace_ids]}
        connection["extra"] = {**extra, **fields}
        self.environment.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))
        return conn_id

    def configure(self, **options: str) -> None:
        """Set options of the section ``[lwa]``."""
        for name, value in options.items():
            self.environment.setenv(f"AIRFLOW__LWA__{name.upper()}", value)


def _forget_masks() -> None:
    for name in ("airflow.sdk._shared.secrets_masker", "airflow.utils.log.secrets_masker"):
        if name in sys.modules:
            with contextlib.suppress(RuntimeError):  # Airflow 2 has a list only once its logging is set up
                masker = sys.modules[name]._secrets_masker()
                masker.patterns, masker.replacer = set(), None


@pytest.fixture
def forget_masks() -> Iterator[Callable[[], None]]:
    """Empty Airflow's list of secrets to hide: made for short-lived tasks, it gets slow over many tests."""
    yield _forget_masks
    _forget_masks()


@pytest.fixture
def seller(
    lwa_emulator: Emulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forget_masks: Callable[[], None],
) -> Seller:
    """A seller whose connection ``lwa_default`` is in order, and whose tokens no other test shares."""
    application = lwa_emulator.add_application()
    grant = lwa_emulator.add_seller(application)
    cache_dir = tmp_path / "lwa-cache"
    seller = Seller(lwa_emulator, application, grant, cache_dir, monkeypatch)
    overrides = json.dumps(lwa_emulator.endpoint_overrides)
    seller.configure(endpoint_overrides=overrides, cache_dir=str(cache_dir), token_cache="memory")
    seller.connect()
    return seller
