"""A program at the NDJSON wire, for asyncio: lines, requests and their answers."""

import asyncio
import json
import socket
import ssl
from collections.abc import Callable
from typing import Any

from tests.kit.ndjson import request_line
from tests.kit.sockets import reset_on_close

ANSWER_SECONDS_MAX = 30  # for whatever is asked; a server that is locked or starved takes a while
HANDSHAKE_SECONDS_MAX = 20  # of TLS, with all others who come back at once

Line = dict[str, Any]


class Refused(Exception):
    """The server refused what was asked: `str(refusal)` is the code."""


class Lines(asyncio.Protocol):
    """Hands each line that comes to whoever listens; `lost` is done when no more will come."""

    def __init__(self, on_line: Callable[[bytes], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self.transport: asyncio.Transport
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    def write(self, data: bytes) -> None:
        """Send, if that still makes sense."""
        if not self.lost.done():
            self.transport.write(data)

    def reset(self) -> None:
        """Hang up as a machine does that has just crashed: with RST, and without a word."""
        plain = self.transport.get_extra_info("socket")
        if plain is not None and not self.transport.is_closing():
            reset_on_close(plain)
        self.transport.abort()


async def open_socket(port: int, source: str, receive_buffer_bytes: int = 0) -> socket.socket:
    """Connect from a loopback address. Raises OSError."""
    plain = socket.socket()
    try:
        plain.setblocking(False)
        if receive_buffer_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        plain.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    except BaseException:
        plain.close()
        raise
    return plain


async def open_lines(
    port: int, source: str, tls: ssl.SSLContext | None, on_line: Callable[[bytes], None]
) -> Lines:
    """Connect from a loopback address, over TLS if asked. Raises OSError."""
    plain = await open_socket(port, source)
    options: dict[str, Any] = {}
    if tls is not None:
        options = {
            "ssl": tls,
            "server_hostname": "localhost",
            "ssl_handshake_timeout": HANDSHAKE_SECONDS_MAX,
        }
    loop = asyncio.get_running_loop()
    try:
        _, lines = await loop.create_connection(lambda: Lines(on_line), sock=plain, **options)
    except BaseException:
        plain.close()
        raise
    return lines


class Program:
    """Asks, and is told answers and events. One that was cut off is of no use any more."""

    def __init__(self, on_event: Callable[[Line], None] = lambda event: None) -> None:
        self._on_event = on_event
        self._asked: dict[int, asyncio.Future[Line]] = {}
        self._count = 0
        self.last_words = ""
        self.strays = 0  # answers to what has an answer already, or was never asked
        self.lines: Lines

    async def connect(self, port: int, source: str, tls: ssl.SSLContext | None) -> None:
        """Connect. Raises OSError."""
        self.lines = await open_lines(port, source, tls, self._on_line)
        self.lines.lost.add_done_callback(self._on_lost)

    def _on_line(self, data: bytes) -> None:
        if not data.startswith(b"{"):  # of a server that does not know yet who is there
            self.last_words = data.decode().strip()
            return
        line = json.loads(data)
        if "event" in line:
            self._on_event(line)
            return
        asked = self._asked.pop(line["id"], None)
        if asked is None:
            self.last_words = line.get("error", "")
            self.strays += line["id"] is not None
        elif not asked.done():
            asked.set_result(line)

    def _on_lost(self, _lost: object) -> None:
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(ConnectionResetError(f"lost: {self.last_words}"))
                asked.exception()  # whoever asked may be gone, too
        self._asked.clear()

    @property
    def is_lost(self) -> bool:
        """Whether it was cut off."""
        return self.lines.lost.done()

    def ask(self, op: str, **fields: object) -> asyncio.Future[Line]:
        """Ask; the answer, or a refusal, comes in its time. It raises ConnectionResetError."""
        self._count += 1
        asked: asyncio.Future[Line] = asyncio.get_running_loop().create_future()
        if self.is_lost:
            asked.set_exception(ConnectionResetError("lost"))
            asked.exception()
            return asked
        self._asked[self._count] = asked
        self.lines.write(request_line(op, id=self._count, **fields))
        return asked

    async def call(self, op: str, **fields: object) -> Line:
        """Ask, and wait for the answer. Raises Refused, OSError (TimeoutError is one)."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            answer = await self.ask(op, **fields)
        if not answer["ok"]:
            raise Refused(answer["error"])
        return answer
