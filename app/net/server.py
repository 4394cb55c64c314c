"""The listener: accepts clients while there is room for them, and sees them off at the end."""

from __future__ import annotations

import resource
import socket as native
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import gevent
import structlog
from gevent.server import StreamServer
from gevent.socket import socket, wait_read

from app import events
from app.errors import StartRefused
from app.net.connection import Connection
from app.settings import (
    ACCEPT_BACKLOG,
    DRAIN_SECONDS_MAX,
    KEEPALIVE_IDLE_SECONDS,
    KEEPALIVE_PROBE_SECONDS,
    KEEPALIVE_PROBES,
    RESERVED_DESCRIPTORS,
    parse_address,
)
from app.wire.ndjson import NdjsonWire
from app.wire.text import TextWire

if TYPE_CHECKING:
    from app.chat.service import Service
    from app.settings import Settings

log = structlog.get_logger()


def listen(address: str) -> socket:
    """Return a socket that listens at `[HOST:]PORT`; its options pass on to what it accepts.

    Raises StartRefused when the address can't be had.
    """
    host, port = parse_address(address)
    try:
        family, kind, protocol, _, where = native.getaddrinfo(
            host, port, type=native.SOCK_STREAM, flags=native.AI_PASSIVE
        )[0]
        listener = socket(family, kind, protocol)
        listener.setsockopt(native.SOL_SOCKET, native.SO_REUSEADDR, 1)
        listener.setsockopt(native.IPPROTO_TCP, native.TCP_NODELAY, 1)
        listener.setsockopt(native.SOL_SOCKET, native.SO_KEEPALIVE, 1)
        if hasattr(native, "TCP_KEEPIDLE"):  # not everywhere by this name
            for option, value in (
                (native.TCP_KEEPIDLE, KEEPALIVE_IDLE_SECONDS),
                (native.TCP_KEEPINTVL, KEEPALIVE_PROBE_SECONDS),
                (native.TCP_KEEPCNT, KEEPALIVE_PROBES),
            ):
                listener.setsockopt(native.IPPROTO_TCP, option, value)
        listener.bind(where)
        listener.listen(ACCEPT_BACKLOG)
    except OSError as error:
        raise StartRefused(f"can't listen on {address}: {error.strerror}") from error
    return listener


def connections_possible(wanted: int) -> int:
    """Raise the limit of open files, and return how many connections fit: `wanted` at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = hard - RESERVED_DESCRIPTORS
    return min(wanted or possible, possible)


class Server:
    """Serves clients at a listening socket."""

    def __init__(self, listener: socket, service: Service, settings: Settings) -> None:
        self._service = service
        self._settings = settings
        self._connections_max = connections_possible(settings.connections_max)
        self._connections: set[Connection] = set()
        self._per_address: Counter[str] = Counter()
        self._listener = StreamServer(listener, self._serve)

    def start(self) -> None:
        """Begin to accept. Never switches."""
        self._listener.start()

    @property
    def address(self) -> str:
        """Where it listens, as HOST:PORT."""
        host, port = self._listener.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def stop(self) -> None:
        """Stop accepting, commit and show what was accepted, say goodbye to everyone. Switches."""
        self._listener.close()
        with suppress(gevent.Timeout), gevent.Timeout(DRAIN_SECONDS_MAX):
            self._service.journal.finish()
            goodbye = events.Noticed("The server is shutting down. Goodbye.")
            for connection in list(self._connections):
                connection.close(goodbye)
            while self._connections:
                gevent.sleep(0.02)
        self._service.close()

    def _serve(self, client_socket: socket, peer: tuple[str, int]) -> None:
        """Serve one client, or tell it that there is no room. Runs in a greenlet of its own."""
        address = peer[0]
        wire_kind = NdjsonWire if _first_byte(client_socket) == b"{" else TextWire
        wire = wire_kind(self._settings.line_bytes_max)
        # A connection waits on watchers of its own, so it needs no socket that can wait; the plain
        # one is a third of the size, and sends with less ado.
        family, kind, protocol = client_socket.family, client_socket.type, client_socket.proto
        plain = native.socket(family, kind, protocol, client_socket.detach())
        plain.setblocking(False)
        connection = Connection(plain, address, wire, self._service, self._settings)
        limit = self._settings.connections_per_ip_max
        if len(self._connections) >= self._connections_max:
            connection.refuse("the server is full; try again later")
        elif limit and self._per_address[address] >= limit:
            connection.refuse("too many connections from your address; close one first")
        else:
            self._connections.add(connection)
            self._per_address[address] += 1
            try:
                connection.serve()
            finally:
                self._connections.discard(connection)
                self._per_address[address] -= 1
                if not self._per_address[address]:
                    del self._per_address[address]


def _first_byte(client_socket: socket) -> bytes:
    """Look at how a client begins, without consuming it; nothing when it waits. Switches."""
    try:
        wait_read(client_socket.fileno(), 0.25)
        return client_socket.recv(1, native.MSG_PEEK)
    except OSError:
        return b""
