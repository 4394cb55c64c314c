"""The server: gives each client its protocol, refuses those that don't fit, and stops."""

from __future__ import annotations

import resource
import socket as native
import time
from collections import Counter
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

import gevent
import structlog
from gevent.socket import socket
from typing_extensions import override

from app.bounds import (
    DRAIN_POLL_SECONDS,
    DRAIN_SECONDS_MAX,
    FIRST_BYTES_SECONDS_MAX,
    FIRST_BYTES_TLS_SECONDS_MAX,
    LAST_WORDS_SECONDS_MAX,
    RECEIVE_BYTES_MAX,
    REFUSED_WITH_PATIENCE_MAX,
    RESERVED_DESCRIPTORS,
)
from app.errors import StartRefused
from app.measures import metrics
from app.net.connection import Connection
from app.net.hosts import KnownHosts
from app.net.http import Http
from app.net.listener import Listener
from app.net.protocols import Protocol, Spoken, look, recognise_now
from app.net.sockets import TlsSocket, never_blocking
from app.net.tls import HTTP, NO_HANDSHAKE
from app.protocol import server
from app.values.networks import origin, plain_address, read_address
from app.wires import wires

if TYPE_CHECKING:
    from app.chat.service import Service
    from app.net.tls import Tls
    from app.settings import Settings
    from app.wires.wire import Wire

log = structlog.get_logger()


def _wire_of(spoken: Spoken) -> type[Wire]:
    """Return the wire of a protocol; people's for TLS where there is none."""
    return wires.PEOPLE if isinstance(spoken, Protocol) else spoken


def connections_possible(wanted: int) -> int:
    """Raise the limit of open files, and return how many connections fit.

    They are `wanted` at most. Raises StartRefused when not even one fits.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    possible = hard - RESERVED_DESCRIPTORS
    if possible < 1:
        raise StartRefused(
            f"{hard} open files are too few: the server needs {RESERVED_DESCRIPTORS} for itself, "
            f"and one for each client; raise the limit: ulimit -n 4096"
        )
    return min(wanted or possible, possible)


class Server(Listener):
    """Serves clients at a listening socket.

    `stop` accepts no more clients, commits and shows all accepted messages, and says goodbye to all
    clients. Requests over HTTP have as long to end as others have to read that. Switches.
    """

    def __init__(
        self,
        listener: socket,
        service: Service,
        settings: Settings,
        connections_max: int,
        tls: Tls | None = None,
    ) -> None:
        super().__init__(listener)
        self._service = service
        self._settings = settings
        self._tls = tls
        hosts = KnownHosts(settings, tls.names if tls else frozenset)
        self._http = Http(service, listener.getsockname()[:2], hosts, settings.metrics_token)
        self._connections_max = connections_max
        self._connections: set[Connection] = set()
        self._present = 0  # connections, and clients whose protocol is not known yet
        self._per_address: Counter[str] = Counter()
        metrics.CONNECTIONS.set_function(lambda: self._present)
        metrics.CONNECTIONS_MAX.set(connections_max)
        self._patience = REFUSED_WITH_PATIENCE_MAX  # so many more are heard before a refusal

    @override
    def stop(self, timeout: float | None = None) -> None:
        self.close()
        with suppress(gevent.Timeout), gevent.Timeout(timeout or DRAIN_SECONDS_MAX):
            self._service.journal.finish()
            goodbye = server.Stopped()
            for connection in list(self._connections):
                connection.close(goodbye)
            cut_at = time.monotonic() + LAST_WORDS_SECONDS_MAX
            while self._connections or self._http.requests_under_way:
                if time.monotonic() >= cut_at:
                    self._http.cut_all()
                    cut_at = inf
                gevent.sleep(DRAIN_POLL_SECONDS)
        self._service.close()

    @override
    def handle(self, client_socket: socket, peer: tuple[str, int]) -> None:
        address = plain_address(peer[0])
        if refused := self._refusal(address):
            self._refuse(client_socket, address, refused)
            return
        counted = origin(address)
        self._present += 1
        self._per_address[counted] += 1
        try:
            self._let_in(client_socket, address)
        finally:
            self._present -= 1
            self._per_address[counted] -= 1
            if not self._per_address[counted]:
                del self._per_address[counted]

    def _refusal(self, address: str) -> server.Rejection | None:
        """Return why a newcomer from an address is refused; None if it is not."""
        limit = self._settings.connections_per_ip_max
        if self._present >= self._connections_max:
            return server.Refused("full", "the server is full; try again later")
        if limit and self._per_address[origin(address)] >= limit:
            sentence = "too many connections from your address; close one first"
            return server.Refused("full", sentence)
        return self._service.sanctions.ban_of(address)

    def _refuse(self, client_socket: socket, address: str, refused: server.Rejection) -> None:
        """Tell a newcomer why it is refused, and close. May switch.

        A few are heard before that, so that each is told in its own protocol, also inside TLS. Any
        more are told at once, so that they do not take the descriptors that the server needs.
        """
        metrics.CONNECTIONS_REFUSED.inc()
        if self._patience <= 0:
            self._refuse_at_once(client_socket, refused)
            return
        self._patience -= 1
        try:
            newcomer = self._hear(client_socket, address)
            if newcomer is not None:
                client_socket, protocol = newcomer
                self._tell(client_socket, address, protocol, refused)
        finally:
            self._patience += 1

    def _tell(
        self, client_socket: socket, address: str, protocol: Spoken, refused: server.Rejection
    ) -> None:
        """Tell a client why it is refused, in its protocol, and close. Switches."""
        if protocol is Protocol.HTTP:
            metrics.REFUSALS.labels(refused.code).inc()
            self._http.refuse(client_socket, refused)
        else:
            self._connection(client_socket, address, protocol).refuse(refused)

    def _refuse_at_once(self, client_socket: socket, refused: server.Rejection) -> None:
        """Tell a newcomer why it is refused, in the protocol of its bytes so far."""
        metrics.REFUSALS.labels(refused.code).inc()
        protocol = recognise_now(client_socket)
        client_socket.settimeout(0)
        with suppress(OSError):  # it is gone, or does not read
            if protocol is Protocol.TLS and self._tls is not None:
                client_socket.send(NO_HANDSHAKE)
            elif protocol is Protocol.HTTP:
                client_socket.send(self._http.refusal(refused))
            else:
                wire = _wire_of(protocol)(self._settings.line_bytes_max)
                client_socket.send(wire.show_last(refused))
            client_socket.shutdown(native.SHUT_WR)
            client_socket.recv(RECEIVE_BYTES_MAX)  # with unread input, a close could lose that

    def _hear(self, client_socket: socket, address: str) -> tuple[socket, Spoken] | None:
        """Return a newcomer's socket and protocol; None if it has none. Switches."""
        patience = FIRST_BYTES_TLS_SECONDS_MAX if self._tls else FIRST_BYTES_SECONDS_MAX
        protocol = look(client_socket, patience)
        if protocol is Protocol.TLS and self._tls is not None:
            try:
                client_socket = self._tls.shake_hands(client_socket)
            except OSError as error:
                log.info("TLS handshake failed", address=address, reason=str(error))
                return None
            is_http = client_socket.selected_alpn_protocol() == HTTP
            protocol = Protocol.HTTP if is_http else look(client_socket)
        if protocol is not Protocol.NONE:
            return client_socket, protocol
        metrics.REFUSALS.labels("other_protocol").inc()
        with suppress(OSError):
            client_socket.recv(RECEIVE_BYTES_MAX)  # with unread input, a close looks like a fault
        client_socket.close()
        return None

    def _let_in(self, client_socket: socket, address: str) -> None:
        """Find out a client's protocol, and serve it until it is gone. Switches."""
        newcomer = self._hear(client_socket, address)
        if newcomer is None:
            return
        client_socket, protocol = newcomer
        if self.closed:
            client_socket.close()  # the server is stopping
        elif refused := self._service.sanctions.ban_of(address):  # since it came
            self._tell(client_socket, address, protocol, refused)
        elif protocol is Protocol.HTTP:
            self._http.serve(client_socket, address)
        else:
            self._converse(client_socket, address, protocol)

    def _converse(self, client_socket: socket, address: str, protocol: Spoken) -> None:
        """Serve a client of a wire. Switches."""
        connection = self._connection(client_socket, address, protocol)
        self._connections.add(connection)
        try:
            connection.serve()
        finally:
            self._connections.discard(connection)

    def _connection(self, client_socket: socket, address: str, protocol: Spoken) -> Connection:
        wire = _wire_of(protocol)(self._settings.line_bytes_max)
        is_secure = isinstance(client_socket, TlsSocket) or read_address(address).is_loopback
        return Connection(
            never_blocking(client_socket), address, wire, self._service, self._settings, is_secure
        )
