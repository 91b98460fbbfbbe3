"""The one who is told: an HTTP server on loopback that keeps what a notifier posts to it."""

from __future__ import annotations

import contextlib
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Receiver:
    """A server on a free port, from ``with`` to the end of the block. It answers every POST with 204."""

    def __init__(self) -> None:
        self._received: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._received))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._server.server_port

    def next(self, timeout: float = 0) -> str | None:
        """
        Take the oldest message not taken yet.

        :param timeout: seconds to wait for one
        :return: the body as it was posted; ``None`` when there is none
        """
        with contextlib.suppress(queue.Empty):
            return self._received.get(timeout=timeout) if timeout else self._received.get_nowait()
        return None


def _handler(received: queue.SimpleQueue[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            received.put(self.rfile.read(length).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Stay silent: the demo prints what was received."""

    return Handler
