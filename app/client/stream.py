"""A socket to a server; one thread reads, any thread writes.

It is plain, or has TLS. An SSL object bears one thread at a time, so no thread waits while it uses
the object: the socket never blocks, and waiting is done outside the lock. A writer that waits for
the server never keeps the reader from reading.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.values.addresses import parse_server, short_path

UNIX = "unix:"  # the beginning of a control socket's address

CONNECT_SECONDS_MAX = 10  # of connecting, and again of the TLS handshake
SEND_SECONDS_MAX = 60  # without the server taking a byte: longer than it ever slows a speaker down
RECEIVE_BYTES_MAX = 1 << 16  # read at once

_CONNECT_TIME = struct.pack("ll", 5, 0)  # seconds (socket(7), SO_SNDTIMEO), at a Unix socket
_PEER_CREDENTIALS = struct.Struct("3i")  # process, user and group (unix(7), SO_PEERCRED)

_Result = TypeVar("_Result")
_WANTED: dict[type[OSError], int] = {
    ssl.SSLWantReadError: selectors.EVENT_READ,
    ssl.SSLWantWriteError: selectors.EVENT_WRITE,
}


def _connect_tcp(address: str, tls: ssl.SSLContext | None) -> socket.socket:
    host, port = parse_server(address)
    connected = socket.create_connection((host, port), CONNECT_SECONDS_MAX)
    if tls is not None:
        connected = tls.wrap_socket(connected, server_hostname=host)
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connected


def _connect_unix(path: Path) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    try:
        # A server that hangs, and whose backlog is full, is waited for so long.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _CONNECT_TIME)
        with short_path(path) as name:
            connected.connect(name)
    except OSError:
        connected.close()
        raise
    return connected


class Stream:
    """Bytes to and from a server."""

    def __init__(self, address: str, tls: ssl.SSLContext | None) -> None:
        """Connect to `[HOST][:PORT]`, or to `unix:PATH`.

        The latter is a control socket. Raises OSError; ValueError for a text that is no address.
        """
        if address.startswith(UNIX):
            self._socket = _connect_unix(Path(address.removeprefix(UNIX)))
        else:
            self._socket = _connect_tcp(address, tls)
        self._socket.setblocking(False)
        self._using = threading.Lock()
        self._sending = threading.Lock()

    def peer_user_id(self) -> int | None:
        """Return the user id of a Unix socket's listener.

        It is SO_PEERCRED, on Linux; else None.
        """
        if self._socket.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
            return None
        size = _PEER_CREDENTIALS.size
        credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return int(_PEER_CREDENTIALS.unpack(credentials)[1])

    def receive(self, seconds: float | None) -> bytes:
        """Return the bytes that come next; none at the end.

        Raises TimeoutError after so many seconds without any; OSError.
        """
        act = partial(self._socket.recv, RECEIVE_BYTES_MAX)
        return self._when_ready(act, selectors.EVENT_READ, seconds)

    def send(self, data: bytes) -> None:
        """Send all of the data, unmixed with other threads' data.

        Raises OSError, such as TimeoutError when the server takes no byte for SEND_SECONDS_MAX.
        """
        left = memoryview(data)
        with self._sending:
            while left:
                act = partial(self._socket.send, left)
                sent = self._when_ready(act, selectors.EVENT_WRITE, SEND_SECONDS_MAX)
                left = left[sent:]

    def _when_ready(
        self, act: Callable[[], _Result], wanted: int, seconds: float | None
    ) -> _Result:
        while True:
            try:
                with self._using:
                    return act()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as not_ready:
                self._wait(_WANTED.get(type(not_ready), wanted), seconds)

    def _wait(self, wanted: int, seconds: float | None) -> None:
        with selectors.DefaultSelector() as selector:
            try:
                selector.register(self._socket, wanted)
            except ValueError as error:  # its reader has closed it
                raise ConnectionResetError("closed") from error
            if not selector.select(seconds):
                raise TimeoutError("the server is silent")

    def shut(self) -> None:
        """End reading and writing in all threads. Any thread may call it."""
        try:
            # Not SSLSocket's own shutdown: its reader would go on without TLS.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            return  # the other side was first

    def close(self) -> None:
        """Give the socket back. For the thread that reads, when it has read its last."""
        self._socket.close()
