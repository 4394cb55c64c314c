"""The listening socket: takes newcomers in a few at a time, so that all others get their turns.

A newcomer is served in a greenlet of its own. However many come, a handful of them are accepted at
most before everybody else who has something to do gets a turn; the rest wait in the kernel.
"""

from __future__ import annotations

import socket as native
from collections.abc import Callable
from typing import Any

import gevent
import structlog
from gevent.socket import socket

from app.bounds import (
    ACCEPT_BACKLOG,
    ACCEPT_RETRY_SECONDS,
    ACCEPTED_IN_A_ROW_MAX,
    KEEPALIVE_PROBE_SECONDS,
    KEEPALIVE_PROBES,
)
from app.errors import StartRefused
from app.values.addresses import parse_address

Serve = Callable[[socket, Any], None]  # a client's socket, and where it comes from

log = structlog.get_logger()


def listen(address: str, keepalive_seconds: int) -> socket:
    """Return a socket that listens at `[HOST:]PORT`; its options pass on to what it accepts.

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
        # What telnet sends as urgent (RFC 854, Synch) stays where it stood, or it would be cut out.
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
    """Have the kernel end what is accepted when the other side is gone without a word.

    While something is unacknowledged it asks nothing, and would send that again for a quarter of an
    hour: a room that talks would have ghosts. So there is a time for that, too. It has to be the
    sum of the silence and of all questions after it, for it overrides their number (tcp(7)).

    In that time one whose window is shut has to take a byte, though its kernel answers: it is
    behind by all that both kernels hold, stands still, and misses nothing when it comes back. Who
    pauses for less, or reads a little, is cut by what it leaves unread alone.
    """
    listener.setsockopt(native.SOL_SOCKET, native.SO_KEEPALIVE, 1)
    gone_seconds = keepalive_seconds + KEEPALIVE_PROBES * KEEPALIVE_PROBE_SECONDS
    for name, value in (  # not everywhere by these names
        ("TCP_KEEPIDLE", keepalive_seconds),
        ("TCP_KEEPINTVL", KEEPALIVE_PROBE_SECONDS),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
        ("TCP_USER_TIMEOUT", gone_seconds * 1_000),
    ):
        if hasattr(native, name):
            listener.setsockopt(native.IPPROTO_TCP, getattr(native, name), value)


class Listener:
    """Accepts newcomers until it is closed."""

    def __init__(self, listening_socket: socket, serve: Serve) -> None:
        self.socket = listening_socket
        self.is_closed = False
        self._serve = serve
        self._is_failing = False

    def start(self) -> None:
        """Begin to accept. Never switches."""
        gevent.spawn(self._accept)

    def close(self) -> None:
        """Accept nobody any more."""
        self.is_closed = True
        self.socket.close()

    def _accept(self) -> None:
        while not self.is_closed:
            try:
                self._accept_some()
            except OSError as error:
                self._wait_for_better_times(error)
            else:
                gevent.sleep(0)  # behind all who have something to do now, the newcomers too

    def _accept_some(self) -> None:
        """Accept a handful of newcomers. Switches until there is one. Raises OSError."""
        for _ in range(ACCEPTED_IN_A_ROW_MAX):
            client_socket, peer = self.socket.accept()
            self._is_failing = False
            gevent.spawn(self._serve_and_close, client_socket, peer)

    def _serve_and_close(self, client_socket: socket, peer: Any) -> None:
        try:
            self._serve(client_socket, peer)
        finally:
            client_socket.close()

    def _wait_for_better_times(self, error: OSError) -> None:
        """Say once that newcomers have to wait: there are no descriptors left, or no memory."""
        if self.is_closed:
            return
        if not self._is_failing:
            log.error("can't accept newcomers; they wait", reason=error.strerror)
        self._is_failing = True
        gevent.sleep(ACCEPT_RETRY_SECONDS)
