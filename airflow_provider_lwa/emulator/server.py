"""The emulator as a server: :class:`Emulator` in a thread of this process, :func:`serve` in its own."""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import shlex
import socket
import threading
import time
from typing import TYPE_CHECKING, Self

import uvicorn

from airflow_provider_lwa.emulator import wire
from airflow_provider_lwa.emulator.world import World

if TYPE_CHECKING:
    from types import TracebackType

    from airflow_provider_lwa.emulator.world import Grant

_START_TIMEOUT = 10.0
_DEMO_MARKETPLACE = "ATVPDKIKX0DER"


class EmulatorError(OSError):
    """The emulator cannot listen where it was told to."""


class Emulator(World):
    """
    Amazon on loopback, in a thread of this process; a context manager.

    Its controls are those of :class:`~airflow_provider_lwa.emulator.world.World`.

    :param port: where to listen; 0 for any free port
    :param host: a loopback address
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        super().__init__()
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The address without a path, such as ``http://127.0.0.1:43121``."""
        return f"http://{self._host}:{self._port}"

    @property
    def endpoint_overrides(self) -> dict[str, str]:
        """What to put into the configuration ``[lwa] endpoint_overrides``."""
        return {"*": self.url}

    def start(self) -> Self:
        """
        Listen, in a thread.

        :return: this emulator
        :raises EmulatorError: if the port is taken or the address is not loopback
        """
        listener = _loopback_socket(self._host, self._port)
        self._port = listener.getsockname()[1]
        server = _server(self)
        thread = threading.Thread(
            target=server.run, args=([listener],), name="amazon-on-loopback", daemon=True
        )
        thread.start()
        deadline = time.monotonic() + _START_TIMEOUT
        while not server.started and thread.is_alive() and time.monotonic() < deadline:
            time.sleep(0.002)
        if not server.started:
            raise EmulatorError(f"The emulator did not start on {self.url}.")
        self._server, self._thread = server, thread
        return self

    def stop(self) -> None:
        """Close all connections and end the thread. Does nothing if it does not run."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """uvicorn, but it does not wait for callers: a test that ends may have left some hanging."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)
        await super().shutdown(sockets)


def _server(world: World) -> _Server:
    return _Server(
        uvicorn.Config(
            wire.application(world),
            http=wire.Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
    )


def _loopback_socket(host: str, port: int) -> socket.socket:
    if not ipaddress.ip_address(host).is_loopback:
        raise EmulatorError(f"The emulator listens on loopback only, and {host} is not.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, so that asyncio switches Nagle's algorithm off: it would cost 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # so that callers who come before uvicorn is ready wait instead of being refused
    except OSError as error:
        listener.close()
        raise EmulatorError(
            f"Cannot listen on {host}:{port} ({error.strerror}). Choose another port, or 0 for any free one."
        ) from None
    return listener


def serve(host: str = "127.0.0.1", port: int = 8765, *, demo: bool = True) -> None:
    """
    Run the emulator in the foreground until it is interrupted.

    :param host: a loopback address
    :param port: where to listen; 0 for any free port
    :param demo: whether to add a seller and print how to reach it from Airflow
    :raises SystemExit: with a sentence, if the port is taken or the address is not loopback
    """
    try:
        listener = _loopback_socket(host, port)
    except EmulatorError as error:
        raise SystemExit(str(error)) from None
    emulator = Emulator(listener.getsockname()[1], host)
    lines = [f"Amazon on loopback: {emulator.url}"]
    if demo:
        lines += _demo_lines(emulator, add_demo_seller(emulator))
    print("\n".join(lines), flush=True)  # noqa: T201 - because a command talks to its terminal
    try:
        _server(emulator).run([listener])
    except KeyboardInterrupt:
        return


def add_demo_seller(world: World) -> Grant:
    """
    Add an application and a seller whose credentials are the same each time, so that an Airflow connection
    made for one run of the emulator fits the next.

    :param world: the world
    :return: the seller's grant
    """
    application = world.add_application(
        f"amzn1.application-oa2-client.{_invented('client id')[:32]}",
        f"amzn1.oa2-cs.v1.{_invented('client secret')}",
    )
    refresh_token = "Atzr|IwEBI" + "".join(_invented(f"refresh token {part}") for part in range(5))
    return world.add_seller(application, refresh_token, "A3FHDEMOSELLER", marketplace_ids=[_DEMO_MARKETPLACE])


def _invented(what: str) -> str:
    return hashlib.sha256(f"emulator demo {what}".encode()).hexdigest()


def _demo_lines(emulator: Emulator, grant: Grant) -> list[str]:
    connection = {
        "conn_type": "lwa",
        "login": grant.client_id,
        "password": emulator.applications[grant.client_id].client_secret,
        "extra": {
            "api": "selling_partner",
            "region": grant.region,
            "refresh_token": grant.refresh_token,
            "marketplace_ids": ",".join(grant.marketplace_ids),
        },
    }
    return [
        f"export AIRFLOW_CONN_LWA_DEFAULT={shlex.quote(json.dumps(connection))}",
        f"export AIRFLOW__LWA__ENDPOINT_OVERRIDES={shlex.quote(json.dumps(emulator.endpoint_overrides))}",
    ]
