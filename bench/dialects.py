"""What to say to each server: bytes to send, and the bytes its answer holds. No sockets here.

Every message of the bench has one MARKER in its body, and no server writes that character of its
own: counting markers is counting deliveries. (`~` would not do: ngIRCd puts one before user names.)
"""

import re
from typing import NamedTuple, Protocol

MARKER = b"^"
BODY_BYTES = 32  # a short sentence of chat
STAMP = re.compile(rb"\^(\d{19})")
PASSWORD = "greenroom-4-the-bench"  # of accounts that live for one run, on loopback


def body(number: int, size_bytes: int = BODY_BYTES) -> bytes:
    """Return a message body that carries `number`, a sequence number or a time."""
    return (b"%s%019d" % (MARKER, number)).ljust(size_bytes, b".")


def numbers(data: bytes) -> list[int]:
    """Return the numbers of the whole bodies in `data`."""
    return [int(digits) for digits in STAMP.findall(data)]


class Exchange(NamedTuple):
    """A request, and bytes that nothing but the answer to it holds."""

    request: bytes
    answer: bytes


class Dialect(Protocol):
    """How to log in, join, leave and speak."""

    echoes: bool  # whether speakers get their own messages
    speaks_apart: bool  # whether a connection that reads a room cannot speak
    greets_before_tls: bool  # whether the server has the first word, before the handshake
    refusal: bytes  # starts the server's complaints

    def hello(self, name: str) -> Exchange:
        """Return what a new connection says."""
        ...

    def join(self, room: str) -> Exchange:
        """Return what makes the connection a reader of the room."""
        ...

    def leave(self, room: str) -> Exchange:
        """Return what ends that."""
        ...

    def say(self, room: str, body: bytes) -> bytes:
        """Return the request to send `body` to the room. Its answer is the delivery."""
        ...


class Greenroom:
    """The text protocol of this repository, as a person would type it."""

    echoes = True
    speaks_apart = False
    greets_before_tls = False
    refusal = b"Error: "

    def hello(self, name: str) -> Exchange:
        """Make the account, which also logs in."""
        return Exchange(f"/register {name} {PASSWORD}\n".encode(), f"Hello, {name}".encode())

    def login(self, name: str) -> Exchange:
        """Log in to an account that is there."""
        return Exchange(f"/login {name} {PASSWORD}\n".encode(), f"Hello, {name}".encode())

    def join(self, room: str) -> Exchange:
        """Enter the room."""
        return Exchange(f"/join {room}\n".encode(), f"Welcome to room {room}!".encode())

    def leave(self, room: str) -> Exchange:
        """Leave the room one is in."""
        return Exchange(b"/leave\n", f"You have left {room}.".encode())

    def say(self, room: str, body: bytes) -> bytes:
        """Speak where one is."""
        return body + b"\n"


class Ndjson:
    """What programs speak in this repository. A body has nothing that JSON would escape."""

    echoes = True
    speaks_apart = False
    greets_before_tls = False
    refusal = b'"ok":false'

    def hello(self, name: str) -> Exchange:
        """Make the account, which also logs in."""
        request = f'{{"op":"register","name":"{name}","password":"{PASSWORD}"}}\n'
        return Exchange(request.encode(), f'"ok":true,"user":"{name}"'.encode())

    def login(self, token: str) -> Exchange:
        """Log in by a token."""
        return Exchange(f'{{"op":"login","token":"{token}"}}\n'.encode(), b'"ok":true,"user":')

    def join(self, room: str) -> Exchange:
        """Enter the room."""
        request = f'{{"op":"join","room":"{room}"}}\n'
        return Exchange(request.encode(), f'"ok":true,"room":"{room}"'.encode())

    def leave(self, room: str) -> Exchange:
        """Leave the room."""
        request = f'{{"op":"leave","room":"{room}"}}\n'
        return Exchange(request.encode(), f'"ok":true,"room":"{room}"'.encode())

    def say(self, room: str, body: bytes) -> bytes:
        """Speak; the answer that says that it is stored is read and not counted."""
        return b'{"op":"say","room":"%s","body":"%s"}\n' % (room.encode(), body)

    def page(self, room: str, before_id: int, count: int) -> Exchange:
        """Ask for a page of history; its `last_id` is what comes last of it."""
        request = f'{{"op":"history","room":"{room}","before":{before_id},"count":{count}}}\n'
        return Exchange(request.encode(), b'"last_id":')


class Redis:
    """RESP2, raw. A subscribed connection may not publish, so speakers have a second one."""

    echoes = True
    speaks_apart = True
    greets_before_tls = False
    refusal = b"-ERR"

    def hello(self, name: str) -> Exchange:
        """See that somebody is there."""
        return Exchange(_resp(b"PING"), b"PONG")

    def join(self, room: str) -> Exchange:
        """Subscribe to the room."""
        return Exchange(_resp(b"SUBSCRIBE", room.encode()), b"\r\nsubscribe\r\n")

    def leave(self, room: str) -> Exchange:
        """End the subscription."""
        return Exchange(_resp(b"UNSUBSCRIBE", room.encode()), b"\r\nunsubscribe\r\n")

    def say(self, room: str, body: bytes) -> bytes:
        """Publish."""
        return _resp(b"PUBLISH", room.encode(), body)


class Nats:
    """Core NATS. Nothing is acknowledged, so a PING after each request asks for the answer."""

    echoes = True
    speaks_apart = False
    greets_before_tls = True
    refusal = b"-ERR"

    def hello(self, name: str) -> Exchange:
        """Connect, with one's own messages wanted back."""
        return Exchange(b'CONNECT {"verbose":false,"echo":true}\r\nPING\r\n', b"PONG\r\n")

    def join(self, room: str) -> Exchange:
        """Subscribe to the room."""
        return Exchange(f"SUB {room} 1\r\nPING\r\n".encode(), b"PONG\r\n")

    def leave(self, room: str) -> Exchange:
        """End the subscription."""
        return Exchange(b"UNSUB 1\r\nPING\r\n", b"PONG\r\n")

    def say(self, room: str, body: bytes) -> bytes:
        """Publish."""
        return b"PUB %s %d\r\n%s\r\n" % (room.encode(), len(body), body)


class Irc:
    """IRC. Speakers do not hear themselves: one delivery fewer a message."""

    echoes = False
    speaks_apart = False
    greets_before_tls = False
    refusal = b"ERROR "

    def hello(self, name: str) -> Exchange:
        """Register the nickname; 376 ends the message of the day, which ends the greeting."""
        return Exchange(f"NICK {name}\r\nUSER {name} 0 * :bench\r\n".encode(), b" 376 ")

    def join(self, room: str) -> Exchange:
        """Join; 366 ends the list of members, which ends the answer."""
        return Exchange(f"JOIN #{room}\r\n".encode(), b" 366 ")

    def leave(self, room: str) -> Exchange:
        """Part."""
        return Exchange(f"PART #{room}\r\nPING :left-{room}\r\n".encode(), f":left-{room}".encode())

    def say(self, room: str, body: bytes) -> bytes:
        """Speak to the room."""
        return b"PRIVMSG #%s :%s\r\n" % (room.encode(), body)


class Relay:
    """What `relay.py` understands: rooms, and nothing in them."""

    echoes = True
    speaks_apart = False
    greets_before_tls = False
    refusal = b"Error: "

    def hello(self, name: str) -> Exchange:
        """See that somebody is there."""
        return Exchange(b"/hello\n", b"hello\n")

    def join(self, room: str) -> Exchange:
        """Be relayed to and from this room."""
        return Exchange(f"/join {room}\n".encode(), b"joined\n")

    def leave(self, room: str) -> Exchange:
        """Be alone again."""
        return Exchange(b"/leave\n", b"left\n")

    def say(self, room: str, body: bytes) -> bytes:
        """Send a line."""
        return body + b"\n"


def _resp(*words: bytes) -> bytes:
    """Return a RESP array of bulk strings."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
