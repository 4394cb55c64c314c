"""What a client speaks, told by the first bytes that it sends; they are left to be read.

A person at telnet sends nothing until they have seen something, so who is silent for a quarter of a
second is greeted as a person; where there is TLS, for as long as it takes to send a lost segment
again. Everybody else begins with something that no person begins with.
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
_HTTP2_PREFACE = b"PRI"  # of a client that speaks nothing older: it is answered in HTTP/1.1
_HTTP_WORDS = (*_METHODS, _HTTP2_PREFACE)
_BINARY = bytes(range(0x09))  # begins STUN, DNS, SOCKS, databases; and nothing that a person types
_TLS_HANDSHAKE = b"\x16"  # the type of the record in which a ClientHello comes


class Protocol(Enum):
    """What the port is spoken to in, besides wires."""

    TLS = auto()
    HTTP = auto()
    NONE = auto()  # it is binary, and nothing that is spoken here


Spoken = Protocol | type[Wire]


def recognise(first_bytes: bytes) -> Spoken | None:
    """Return what begins so, or None while it could become HTTP: "GE" is a person or a program."""
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
    """Return what a newcomer speaks; a person's wire when it is silent so long. Switches.

    The socket comes back with a timeout of its own, which is to be set anew.
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
    """Return what a newcomer speaks by what it has sent already; a person's wire when it is silent.

    The socket comes back with a timeout of its own, which is to be set anew.
    """
    return recognise(_peek(client_socket, 0)) or wires.PEOPLE


def _peek(client_socket: socket, seconds: float) -> bytes:
    """Return what there is to read, or will be so soon; nothing when the peer is gone. Switches."""
    client_socket.settimeout(seconds)
    try:
        return client_socket.recv(FIRST_BYTES, MSG_PEEK)
    except OSError:  # whoever reads it next finds out
        return b""
