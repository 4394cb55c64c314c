"""Sockets of connections: a plain one, and one that speaks TLS. Neither ever blocks.

A watcher tells of bytes that the kernel has for a socket. It does not tell of bytes that TLS has
decrypted already. So a read takes all of those.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gevent import ssl

from app.bounds import TLS_RECORD_BYTES_MAX
from app.values.networks import plain_address

if TYPE_CHECKING:
    import gevent.socket
    from _typeshed import ReadableBuffer


def format_address(address: tuple[Any, ...]) -> str:
    """Return an address of IPv4 or IPv6 as HOST:PORT."""
    host, port = plain_address(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class PlainSocket(socket.socket):
    """A socket of the standard library: smaller than gevent's, and faster to send."""

    __slots__ = ()

    begun_bytes = 0  # see TlsSocket


class TlsSocket(ssl.SSLSocket):
    """A gevent socket that speaks TLS, with first bytes that can be looked at.

    A connection has it with a timeout of 0, HTTP with another. A handshake in mid-stream would need
    to write before it reads, or to read before it writes. That ends the connection, as an error
    does: no chat client asks for it, and waiting for it could spin.
    """

    _peeked = b""  # decrypted, looked at, and not read yet
    begun_bytes = 0  # of the next piece to send: encrypted already, so it must go out as it is

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Return decrypted bytes: all there are, if a record fits. Switches, if it may wait.

        With MSG_PEEK it returns the first bytes, and the next call returns them again. Raises
        BlockingIOError when nothing is there, and OSError.
        """
        try:
            if flags & socket.MSG_PEEK:
                self._peeked = self._peeked or super().recv(buflen)
                return self._peeked
            data, self._peeked = self._peeked[:buflen], self._peeked[buflen:]
            data = data or super().recv(buflen)
            if self.pending() and len(data) < buflen:
                data += super().recv(buflen - len(data))
        except ssl.SSLWantReadError as error:
            raise BlockingIOError from error
        return data

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read into a buffer. Switches. Raises OSError."""
        if not self._peeked:
            return super().recv_into(buffer, nbytes, flags)
        data = self.recv(nbytes or len(buffer), flags)
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: ReadableBuffer, flags: int = 0, **timeout: Any) -> int:
        """Send bytes, and return how many went out. Switches, if it may wait.

        It sends record by record: OpenSSL tells how much went out only of a single one. The first
        `begun_bytes` of the rest are encrypted already, so the next call must begin with the same
        ones. Raises BlockingIOError when nothing went out, and OSError.
        """
        if self.timeout != 0:
            return super().send(data, flags, **timeout)
        sent, view = 0, memoryview(data)
        try:
            while sent < len(view):
                sent += self.write(view[sent : sent + TLS_RECORD_BYTES_MAX])
            self.begun_bytes = 0
        except ssl.SSLWantWriteError:
            self.begun_bytes = len(view[sent : sent + TLS_RECORD_BYTES_MAX])
            if not sent:
                raise BlockingIOError from None
        return sent

    def shutdown(self, how: int) -> None:
        """End TLS in good order, and send no more."""
        with suppress(OSError):  # the peer's own end is not waited for
            self.unwrap()
        super().shutdown(how)


def never_blocking(client_socket: gevent.socket.socket) -> PlainSocket | TlsSocket:
    """Return the socket of a connection, made of an accepted one: it has its own watchers."""
    client_socket.settimeout(0)
    if isinstance(client_socket, TlsSocket):
        return client_socket
    family, kind, protocol = client_socket.family, client_socket.type, client_socket.proto
    plain = PlainSocket(family, kind, protocol, client_socket.detach())
    plain.setblocking(False)
    return plain
