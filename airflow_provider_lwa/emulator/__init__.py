"""Amazon on loopback: Login with Amazon, the Selling Partner API and pre-signed downloads, with faults on
demand.

For tests, for demos and for your own DAG tests::

    from airflow_provider_lwa.emulator import Emulator

    with Emulator() as amazon:
        application = amazon.add_application()
        seller = amazon.add_seller(application)
        amazon.fail_next(2, target="token", status=503)
        ...
        assert amazon.count(kind="token") == 3

It is an independent reading of Amazon's documents: it imports nothing of the rest of this project and nothing
of Airflow, so that a misunderstanding in one cannot hide in the other. It needs the extra ``[emulator]``
(Starlette and uvicorn).

Where to look:

* :mod:`~airflow_provider_lwa.emulator.world` - the controls; what exists in it: ``accounts``, ``reports``,
  ``clock``, ``journal``
* :mod:`~airflow_provider_lwa.emulator.login` - the token endpoint
* :mod:`~airflow_provider_lwa.emulator.selling_partner` - the Selling Partner API: who may call what; its
  larger parts are ``reports_api`` and ``tokens_api``
* :mod:`~airflow_provider_lwa.emulator.downloads` - pre-signed documents; ``content`` makes large ones
* :mod:`~airflow_provider_lwa.emulator.faults` - what goes wrong, and when
* :mod:`~airflow_provider_lwa.emulator.controls` - the same controls over HTTP
* :mod:`~airflow_provider_lwa.emulator.wire` - from a request to an answer, whole or broken
* :mod:`~airflow_provider_lwa.emulator.server` - :class:`Emulator`, and the server in the foreground
* :mod:`~airflow_provider_lwa.emulator.pytest_plugin` - the fixture ``lwa_emulator``
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_lwa.emulator.server import Emulator

__all__ = ["Emulator"]


def __getattr__(name: str) -> Any:
    """Load the server when it is asked for: pytest imports this package wherever we are installed."""
    if name != "Emulator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airflow_provider_lwa.emulator.server import Emulator  # noqa: PLC0415 - because it needs the extra

    return Emulator
