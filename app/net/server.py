"""The listener: accepts clients while there is room, whatever they speak, and sees them off."""

from __future__ import annotations

import ipaddress
import resource
import socket as native
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import gevent
import structlog
from gevent.server import StreamServer
from gevent.socket import socket

from app import events
from app.addresses import parse_address
from app.errors import StartRefused
from app.net.connection import Connection
from app.net.http import Http
from app.net.protocols import Protocol, look
from app.net.sockets import TlsSocket, format_address, never_blocking
from app.net.tls import HTTP
from app.settings import (
    ACCEPT_BACKLOG,
    DRAIN_POLL_SECONDS,
    DRAIN_SECONDS_MAX,
    KEEPALIVE_IDLE_SECONDS,
    KEEPALIVE_PROBE_SECONDS,
    KEEPALIVE_PROBES,
    RESERVED_DESCRIPTORS,
)
from app.wire.ndjson import NdjsonWire
from app.wire.text import TextWire

if TYPE_CHECKING:
    from app.chat.service import Service
    from app.net.tls import Tls
    from app.settings import Settings

# What is spoken in lines, and how; whoever speaks none of these is shown text.
_WIRES: dict[Protocol, type[TextWire] | type[NdjsonWire]] = {
    Protocol.TEXT: TextWire,
    Protocol.NDJSON: NdjsonWire,
}

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
        raise StartRefused(
            f"can't listen on {address}: {error.strerror}; another port: manage.py runserver 8889"
        ) from error
    return listener


def connections_possible(wanted: int) -> int:
    """Raise the limit of open files, and return how many connections fit: `wanted` at most."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = hard - RESERVED_DESCRIPTORS
    return min(wanted or possible, possible)


class Server:
    """Serves clients at a listening socket."""

    def __init__(
        self, listener: socket, service: Service, settings: Settings, tls: Tls | None = None
    ) -> None:
        self._service = service
        self._settings = settings
        self._tls = tls
        self._http = Http(service, listener.getsockname()[:2])
        self._connections_max = connections_possible(settings.connections_max)
        self._connections: set[Connection] = set()
        self._present = 0  # connections, and those of whom it is not known yet what they speak
        self._per_address: Counter[str] = Counter()
        self._listener = StreamServer(listener, self._serve)

    def start(self) -> None:
        """Begin to accept. Never switches."""
        self._listener.start()

    @property
    def address(self) -> str:
        """Where it listens, as HOST:PORT."""
        return format_address(self._listener.socket.getsockname())

    def stop(self) -> None:
        """Stop accepting, commit and show what was accepted, say goodbye to everyone. Switches."""
        self._listener.close()
        with suppress(gevent.Timeout), gevent.Timeout(DRAIN_SECONDS_MAX):
            self._service.journal.finish()
            goodbye = events.Noticed("The server is shutting down. Goodbye.")
            for connection in list(self._connections):
                connection.close(goodbye)
            while self._connections or self._http.requests_under_way:
                gevent.sleep(DRAIN_POLL_SECONDS)
        self._service.close()

    def _serve(self, client_socket: socket, peer: tuple[str, int]) -> None:
        """Serve one client, or tell it that there is no room. Runs in a greenlet of its own."""
        address = peer[0]
        limit = self._settings.connections_per_ip_max
        if self._present >= self._connections_max:
            self._refuse(client_socket, address, "the server is full; try again later")
            return
        if limit and self._per_address[address] >= limit:
            sentence = "too many connections from your address; close one first"
            self._refuse(client_socket, address, sentence)
            return
        self._present += 1
        self._per_address[address] += 1
        try:
            self._let_in(client_socket, address)
        finally:
            self._present -= 1
            self._per_address[address] -= 1
            if not self._per_address[address]:
                del self._per_address[address]

    def _refuse(self, client_socket: socket, address: str, sentence: str) -> None:
        """Tell a client, in its own words, that there is no room, and close. Switches."""
        protocol = look(client_socket)
        if protocol is Protocol.HTTP:
            self._http.refuse(client_socket, sentence)
        else:
            self._connection(client_socket, address, protocol).refuse(sentence)

    def _let_in(self, client_socket: socket, address: str) -> None:
        """Find out what a client speaks, and serve it until it is gone. Switches."""
        protocol = look(client_socket)
        if protocol is Protocol.TLS and self._tls is not None:
            try:
                client_socket = self._tls.shake_hands(client_socket)
            except OSError as error:
                log.info("TLS handshake failed", address=address, reason=str(error))
                return
            is_http = client_socket.selected_alpn_protocol() == HTTP
            protocol = Protocol.HTTP if is_http else look(client_socket)
        if self._listener.closed:
            client_socket.close()  # it came too late
        elif protocol is Protocol.HTTP:
            self._http.serve(client_socket, address)
        else:
            self._converse(client_socket, address, protocol)

    def _converse(self, client_socket: socket, address: str, protocol: Protocol) -> None:
        """Serve a client who speaks in lines. Switches."""
        connection = self._connection(client_socket, address, protocol)
        self._connections.add(connection)
        try:
            connection.serve()
        finally:
            self._connections.discard(connection)

    def _connection(self, client_socket: socket, address: str, protocol: Protocol) -> Connection:
        wire = _WIRES.get(protocol, TextWire)(self._settings.line_bytes_max)
        is_secure = isinstance(client_socket, TlsSocket) or _is_loopback(address)
        return Connection(
            never_blocking(client_socket), address, wire, self._service, self._settings, is_secure
        )


def _is_loopback(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback
