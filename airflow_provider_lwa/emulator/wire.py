"""From a request to an answer that goes over the wire, whole or broken: the emulator as an ASGI application.

The rules of each part of Amazon are pure functions from a request to an answer. This module reads the
request, asks the schedule of faults, keeps the journal, and sends. A fault that breaks an answer is real: the
connection is reset, the body ends early or never, byte by byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_lwa.emulator import controls, downloads, login, selling_partner
from airflow_provider_lwa.emulator.content import chunks
from airflow_provider_lwa.emulator.exchange import Answer, Call, Facts, Refused, text_answer
from airflow_provider_lwa.emulator.faults import Fault, answer_instead
from airflow_provider_lwa.emulator.journal import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from airflow_provider_lwa.emulator.world import World

_PREFIX = re.compile(r"(/sandbox)?(?:/(north_america|europe|far_east))?(?=/)")
_BODILESS = frozenset({204, 304})
_SLOW_PAUSE = 0.2
_ENDLESS_PAUSE = 0.001
_DRAIN_PAUSE = 0.01
_ENDLESS_PIECE = b" " * 16384
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Protocol(H11Protocol):
    """uvicorn's HTTP/1.1, with a way to the connection itself and no log of URLs, which hold signatures."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """
        Take a connection.

        :param transport: the connection
        """
        super().connection_made(transport)  # type: ignore[arg-type] # because uvicorn narrows it
        self.access_log = False
        self.app_state = {**self.app_state, "transport": transport}


class Part(NamedTuple):
    """A part of Amazon: what the journal calls its requests, and how it describes and answers them."""

    kind: str
    describe: Callable[[World, Call], Facts]
    answer: Callable[[World, Call], Answer]


_LOGIN = Part("token", login.describe, login.answer)
_DOWNLOADS = Part("download", downloads.describe, downloads.answer)
_CONTROLS = Part("control", controls.describe, controls.answer)
_SELLING_PARTNER = Part("api", selling_partner.describe, selling_partner.answer)


def _part_of(path: str) -> Part:
    if path.lower() == login.PATH:
        return _LOGIN
    if path.startswith(downloads.PATH):
        return _DOWNLOADS
    if path.startswith(controls.PATH):
        return _CONTROLS
    return _SELLING_PARTNER


class Gone(Exception):
    """The caller has left, or the emulator has closed the connection."""


def application(world: World) -> Callable[[Scope, Receive, Send], Any]:
    """
    Make the ASGI application of a world.

    :param world: the world
    :return: the application
    """

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope, receive, send)
        try:
            call = await _read(Request(scope, receive))
            reply = _decide(world, call)
            if reply.latency:
                await connection.pause(reply.latency)
            await _BREAKERS.get(reply.broken_by, _whole)(connection, reply)
        except (Gone, ClientDisconnect):
            await connection.abort()

    return respond


async def _read(request: Request) -> Call:
    path, query = request.scope["path"], request.scope["query_string"].decode()
    prefix = _PREFIX.match(path)
    sandbox, region = prefix.groups() if prefix else (None, None)
    return Call(
        method=request.method,
        path=path[prefix.end() :] if prefix else path,
        target=request.scope["raw_path"].decode() + (f"?{query}" if query else ""),
        query=_joined(query),
        headers=dict(request.headers),
        body=await request.body(),
        origin=f"http://{request.headers.get('host', '')}",
        region=region,
        sandbox=sandbox is not None,
    )


def _joined(query: str) -> Mapping[str, str]:
    values: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        values[name] = f"{values[name]},{value}" if name in values else value
    return values


class Reply(NamedTuple):
    """
    What goes over the wire.

    :param answer: the answer
    :param broken_by: the kind of fault that breaks it
    :param passing: how many bytes of its body pass before that
    :param pause: the pause that the fault makes
    :param latency: how long the answer waits before it leaves
    """

    answer: Answer
    broken_by: str = ""
    passing: int = 0
    pause: float | None = None
    latency: float = 0


def _decide(world: World, call: Call) -> Reply:
    """Let the request take effect, note it, and say what goes over the wire."""
    if not _is_loopback(call.headers.get("host", "")):
        return Reply(text_answer(421, "The emulator answers on loopback only.\n", "text/plain"))
    part = _part_of(call.path)
    if part is _CONTROLS:
        return _control(world, call)
    with world.lock:
        facts = part.describe(world, call)
        fault = world.faults.take({part.kind, facts.operation or part.kind, facts.grant_type or part.kind})
        reply = _reply(world, part, call, fault)
        world.record(_entry(world, part.kind, call, facts, reply, fault.kind if fault else None))
        latency = world.latency.get(facts.operation or part.kind, world.latency.get(part.kind, 0))
    return reply._replace(latency=latency)


def _control(world: World, call: Call) -> Reply:
    facts = controls.describe(world, call)
    with world.lock:
        reply = _reply(world, _CONTROLS, call, None)
        if call.method != "GET" and facts.operation != "reset":
            world.record(_entry(world, _CONTROLS.kind, call, facts, reply, None))
    return reply


def _reply(world: World, part: Part, call: Call, fault: Fault | None) -> Reply:
    if fault is None:
        return Reply(_answered(world, part, call))
    true_answer = _answered(world, part, call) if fault.takes_effect else None
    answer = answer_instead(fault, part.kind, call, true_answer)
    broken_by = fault.kind if fault.kind in _BREAKERS else ""
    return Reply(answer, broken_by, fault.passing(part.kind, answer.content.size), fault.seconds)


def _answered(world: World, part: Part, call: Call) -> Answer:
    try:
        return part.answer(world, call)
    except Refused as refused:
        return refused.answer


def _entry(
    world: World, kind: str, call: Call, facts: Facts, reply: Reply, fault: str | None
) -> JournalEntry:
    unanswered = reply.broken_by == "hang" or (reply.broken_by == "reset" and not reply.passing)
    return JournalEntry(
        at=world.clock.now(),
        kind=kind,
        method=call.method,
        host=call.headers.get("host", ""),
        path=call.path,
        region=call.region,
        operation=facts.operation,
        status=None if unanswered else reply.answer.status,
        fault=fault,
        grant_type=facts.grant_type,
        client_id=facts.client_id,
        credential=facts.credential,
        api_headers_sent=call.api_headers_sent,
        user_agent=call.headers.get("user-agent", ""),
        report_id=reply.answer.report_id or facts.report_id,
    )


def _is_loopback(host: str) -> bool:
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


class Connection:
    """
    One request's way back.

    :param scope: ASGI's description of the request
    :param receive: ASGI's way to hear from the caller
    :param send: ASGI's way to tell the caller
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._transport: asyncio.Transport = scope["state"]["transport"]
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]

    async def start(self, answer: Answer, size: int | None) -> None:
        """
        Send the status and the headers.

        :param answer: the answer
        :param size: its Content-Length; ``None`` to send it in chunks
        """
        headers = {**answer.headers}
        if size is not None and answer.status not in _BODILESS:
            headers["content-length"] = str(size)
        await self._send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
                ],
            }
        )

    async def write(self, data: bytes, *, more: bool = True) -> None:
        """
        Send a piece of the body.

        :param data: the piece
        :param more: whether more follows
        :raises Gone: if there is nobody to send it to
        """
        if self._transport.is_closing():
            raise Gone
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def pause(self, seconds: float | None) -> None:
        """
        Let time pass, in real time.

        :param seconds: how much; ``None`` until the caller leaves
        :raises Gone: as soon as the caller leaves
        """
        try:
            await asyncio.wait_for(self._caller_leaves(), seconds)
        except TimeoutError:
            return
        raise Gone

    async def _caller_leaves(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def drained(self) -> None:
        """Wait until the operating system has taken what was written."""
        while self._transport.get_write_buffer_size():
            await self.pause(_DRAIN_PAUSE)
        await self.pause(_DRAIN_PAUSE)

    async def abort(self, *, reset: bool = False) -> None:
        """
        Close the connection without finishing the answer.

        :param reset: by a TCP reset instead of an orderly end
        """
        if reset:
            with contextlib.suppress(OSError):
                raw = self._transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()
        # uvicorn learns of it in the next turn of the loop; before that, it would report a missing answer.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def _whole(connection: Connection, reply: Reply) -> None:
    content = reply.answer.content
    await connection.start(reply.answer, content.size)
    if connection.method != "HEAD":
        for piece in chunks(content):
            await connection.write(piece)
    await connection.write(b"", more=False)


async def _truncated(connection: Connection, reply: Reply) -> None:
    await _first_part(connection, reply)
    await connection.abort()


async def _reset(connection: Connection, reply: Reply) -> None:
    if reply.passing:
        await _first_part(connection, reply)
    await connection.abort(reset=True)


async def _first_part(connection: Connection, reply: Reply) -> None:
    await connection.start(reply.answer, reply.answer.content.size)
    for piece in chunks(reply.answer.content, 0, reply.passing):
        await connection.write(piece)
    await connection.drained()


async def _hang(connection: Connection, reply: Reply) -> None:
    await connection.pause(reply.pause)
    await connection.abort()


async def _slow_body(connection: Connection, reply: Reply) -> None:
    content = reply.answer.content
    await connection.start(reply.answer, content.size)
    for position in range(content.size):
        await connection.write(content.read(position, position + 1))
        await connection.pause(_SLOW_PAUSE if reply.pause is None else reply.pause)
    await connection.write(b"", more=False)


async def _endless(connection: Connection, reply: Reply) -> None:
    await connection.start(reply.answer, None)
    for piece in chunks(reply.answer.content):
        await connection.write(piece)
    while True:
        await connection.write(_ENDLESS_PIECE)
        await connection.pause(_ENDLESS_PAUSE if reply.pause is None else reply.pause)


_BREAKERS: dict[str, Callable[[Connection, Reply], Awaitable[None]]] = {
    "truncated": _truncated,
    "reset": _reset,
    "hang": _hang,
    "slow_body": _slow_body,
    "endless": _endless,
}
