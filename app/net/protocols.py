"""Recognise the protocol of a client by its first bytes, which stay to be read.

A person at telnet sends nothing before they have seen something. So a client that is silent for a
quarter of a second is greeted as a person; where there is TLS, after the time in which a lost
segment is sent again. All other clients begin with bytes that no person begins with.
"""

import time
from enum import Enum, auto
from socket import MSG_PEEK

import gevent
from gevent.socket import socket

from app.bounds import FIRST_BYTES, FIRST_BYTES_POLL_SECONDS, FIRST_BYTES_SECONDS_MAX
from app.wires import wires
from app.wires.wire import Wire

_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT")
_HTTP2_PREFACE = b"PRI"  # of a client that needs HTTP/2: the answer is in HTTP/1.1
_HTTP_WORDS = (*_METHODS, _HTTP2_PREFACE)
_BINARY = bytes(range(0x09))  # STUN, DNS, SOCKS, databases begin so; no person does
_TLS_HANDSHAKE = b"\x16"  # the type of the record in which a ClientHello comes


class Protocol(Enum):
    """Protocols at the port besides wires."""

    TLS = auto()
    HTTP = auto()
    NONE = auto()  # binary, and not spoken here


Spoken = Protocol | type[Wire]


def recognise(first_bytes: bytes) -> Spoken | None:
    """Return the protocol that begins so; None while it may be HTTP, as with "GE"."""
    for wire in wires.WIRES:
        if wire.begins(first_bytes):
            return wire
    if first_bytes.startswith(_TLS_HANDSHAKE):
        return Protocol.TLS
    if first_bytes and first_bytes[0] in _BINARY:
        return Protocol.NONE
    word, blank, _ = first_bytes.partition(b" ")
    if blank:
        return Protocol.HTTP if word in _HTTP_WORDS else wires.PEOPLE
    return None if any(each.startswith(word) for each in _HTTP_WORDS) else wires.PEOPLE


def look(client_socket: socket, seconds: float = FIRST_BYTES_SECONDS_MAX) -> Spoken:
    """Return a newcomer's protocol; a person's wire if it is silent so long. Switches.

    The socket's timeout is changed, and must be set again.
    """
    deadline = time.monotonic() + seconds
    first_bytes = _peek(client_socket, seconds)
    if not first_bytes:
        first_bytes = _peek(client_socket, 0)  # a busy hub looks at its clock first
    protocol = recognise(first_bytes) if first_bytes else wires.PEOPLE
    while protocol is None and time.monotonic() < deadline:
        gevent.sleep(FIRST_BYTES_POLL_SECONDS)
        protocol = recognise(_peek(client_socket, 0))
    return protocol or wires.PEOPLE


def recognise_now(client_socket: socket) -> Spoken:
    """Return a newcomer's protocol now; a person's wire if it has sent nothing.

    The socket's timeout is changed, and must be set again.
    """
    return recognise(_peek(client_socket, 0)) or wires.PEOPLE


def _peek(client_socket: socket, seconds: float) -> bytes:
    """Return the first bytes, once there are some; none if the peer is gone. Switches."""
    client_socket.settimeout(seconds)
    try:
        return client_socket.recv(FIRST_BYTES, MSG_PEEK)
    except OSError:  # the next read fails too
        return b""
