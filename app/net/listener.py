"""The listening socket: gevent's StreamServer, which accepts a few clients at a time.

After each few, all greenlets that are ready run, and all sockets are polled. Other clients wait in
the kernel until then.
"""

from __future__ import annotations

import math
import socket as native
import time
from typing import Any

import gevent
import structlog
from gevent import GreenletExit
from gevent.server import StreamServer
from gevent.socket import socket
from typing_extensions import override

from app.bounds import (
    ACCEPT_BACKLOG,
    ACCEPTED_IN_A_ROW_MAX,
    KEEPALIVE_PROBE_SECONDS,
    KEEPALIVE_PROBES,
)
from app.errors import StartRefused
from app.values.addresses import parse_address

log = structlog.get_logger()

_QUIET_SECONDS = 10.0  # without a failing accept, before one is logged again


def listen(address: str, keepalive_seconds: int) -> socket:
    """Return a socket that listens at `[HOST:]PORT`. Accepted sockets inherit its options.

    After so many seconds of silence the kernel asks whether a client is there. Raises StartRefused
    when the address can't be had.
    """
    host, port = parse_address(address)
    try:
        family, kind, protocol, _, where = native.getaddrinfo(
            host, port, type=native.SOCK_STREAM, flags=native.AI_PASSIVE
        )[0]
        listener = socket(family, kind, protocol)
        listener.setsockopt(native.SOL_SOCKET, native.SO_REUSEADDR, 1)
        listener.setsockopt(native.IPPROTO_TCP, native.TCP_NODELAY, 1)
        # Urgent bytes of telnet (RFC 854, Synch) stay in their place; else they would be cut out.
        listener.setsockopt(native.SOL_SOCKET, native.SO_OOBINLINE, 1)
        _notice_who_is_gone(listener, keepalive_seconds)
        listener.bind(where)
        listener.listen(ACCEPT_BACKLOG)
    except OSError as error:
        raise StartRefused(
            f"can't listen on {address}: {error.strerror}; another port: manage.py runserver 8889"
        ) from error
    return listener


def _notice_who_is_gone(listener: socket, keepalive_seconds: int) -> None:
    """Have the kernel end connections whose other side is gone without a word.

    While bytes are unacknowledged, the kernel asks nothing. It sends them again for a quarter of an
    hour, and a room that talks would show users who are gone. So there is a limit for that, too. It
    overrides the number of questions (tcp(7)), so it must be the silence and all of them together.

    A peer with a shut window must take a byte in that time, though its kernel answers. Such a peer
    is behind by all that both kernels hold, stands still, and misses nothing when it comes back. A
    peer that pauses for less, or reads a little, is cut only by the bytes that it leaves unread.
    """
    listener.setsockopt(native.SOL_SOCKET, native.SO_KEEPALIVE, 1)
    gone_seconds = keepalive_seconds + KEEPALIVE_PROBES * KEEPALIVE_PROBE_SECONDS
    for name, value in (  # not all systems have these names
        ("TCP_KEEPIDLE", keepalive_seconds),
        ("TCP_KEEPINTVL", KEEPALIVE_PROBE_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", gone_seconds * 1_000),
    ):
        if hasattr(native, name):
            listener.setsockopt(native.IPPROTO_TCP, getattr(native, name), value)


class Listener(StreamServer):
    """Accepts clients until it is closed, and has `handle` serve each in a greenlet of its own.

    While accepting fails, gevent tries again after 10 ms, 20 ms, and so on up to a second.
    """

    max_accept = ACCEPTED_IN_A_ROW_MAX
    _failed_at = -math.inf  # time.monotonic

    @override
    def do_read(self) -> tuple[socket, Any]:
        try:
            return super().do_read()
        except OSError as error:  # no descriptors are left, or no memory
            before, self._failed_at = self._failed_at, time.monotonic()
            if self._failed_at - before > _QUIET_SECONDS:  # the first of several
                log.error("can't accept newcomers; they wait", reason=error.strerror)  # noqa: TRY400
            raise GreenletExit from error  # the one that gevent does not print before it waits

    @override
    def do_handle(self, client_socket: socket, address: Any) -> None:
        # gevent's own calls `handle(*args)`; the C frames of that take 370 bytes a client.
        gevent.spawn(self._handle_and_close, client_socket, address)

    def _handle_and_close(self, client_socket: socket, address: Any) -> None:
        try:
            self.handle(client_socket, address)
        finally:
            client_socket.close()
