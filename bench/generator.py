"""The crowd: thousands of clients read and written by one thread through one epoll.

It logs in, joins, leaves and reads; what it is made to carry is in `loads.py`. It knows sockets and
a dialect, and no server. Whatever waits here has a deadline, and raises BenchError beyond it.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from dialects import MARKER, Dialect, Exchange
from process import HOST, BenchError

IN_FLIGHT = 100  # questions unanswered at a time; ngIRCd answers some only once a second
READ_BYTES = 65_536  # read from a client at once
READY_MAX = 64  # clients read in a row before the caller gets to look at the time
CONNECT_SECONDS_MAX = 10
ANSWER_SECONDS_MAX = 60  # without any answer
QUIET_SECONDS = 0.3  # without a byte: the joins and leaves of a crowd are through
SETTLE_SECONDS_MAX = 60
HEARD_BYTES = 128  # kept of what was read: longer than any answer that is looked for


class Door(NamedTuple):
    """How clients come in: what they speak, and whether over TLS."""

    dialect: Dialect
    tls: ssl.SSLContext | None = None


def unchecked_tls() -> ssl.SSLContext:
    """Return what speaks TLS with a server whose certificate nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@dataclass(slots=True, eq=False)
class Client:
    """A connection. It speaks through itself, or through another where readers may not speak."""

    name: str
    socket: socket.socket
    dialect: Dialect
    awaited: bytes = b""  # what the answer to its question holds; empty: nothing was asked
    heard: bytes = b""  # the end of what was read while waiting for the answer
    partial_line: bytes = b""  # the end of what was read, up to which its reader has used it
    speaker: "Client" = field(init=False)

    def __post_init__(self) -> None:
        self.speaker = self

    def send(self, data: bytes) -> None:
        """Send all of a short request. Raises BenchError when the server has stopped reading."""
        try:
            sent = self.socket.send(data)
        except (BlockingIOError, ssl.SSLWantWriteError):
            sent = 0
        except ConnectionError as error:
            raise BenchError(f"{self.name} was cut: {error}") from None
        if sent < len(data):
            raise BenchError(f"the server does not keep up with reading what {self.name} sends")


class Crowd:
    """All clients of one run of a server. Use as a context manager: it closes them."""

    def __init__(self, door: Door, port: int) -> None:
        self.dialect = door.dialect
        self.epoll = select.epoll()  # before any client: select() takes descriptors below 1,024
        self.clients: dict[int, Client] = {}
        self.unanswered = 0
        self._door = door
        self._port = port

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for client in self.clients.values():
            client.socket.close()
        self.epoll.close()

    def connect(self, name: str, door: Door | None = None) -> Client:
        """Return a new, silent client, that came in by the crowd's door or another."""
        dialect, tls = door or self._door
        connection = socket.create_connection((HOST, self._port), CONNECT_SECONDS_MAX)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            connection = _secured(connection, tls, dialect)
        connection.setblocking(False)
        client = Client(name, connection, dialect)
        self.clients[connection.fileno()] = client
        self.epoll.register(connection, select.EPOLLIN)
        return client

    def hang_up(self, client: Client) -> None:
        """Close a client."""
        del self.clients[client.socket.fileno()]
        client.socket.close()

    def log_in(
        self, names: Iterable[str], hello: Callable[[str], Exchange], door: Door | None = None
    ) -> list[Client]:
        """Connect a client for each name and log it in; return them in order."""
        return self._ask_each((self.connect(name, door), hello(name)) for name in names)

    def join(self, members: Iterable[Client], room: str) -> None:
        """Let the members into the room; returns when each was told so."""
        self._ask_each((member, member.dialect.join(room)) for member in members)

    def leave(self, members: Iterable[Client], room: str) -> None:
        """Let the members out of the room; returns when each was told so."""
        self._ask_each((member, member.dialect.leave(room)) for member in members)

    def speaker(self, member: Client) -> Client:
        """Return the client through which the member speaks, connected when it needs one."""
        if member.dialect.speaks_apart and member.speaker is member:
            member.speaker = self.connect(member.name)
        return member.speaker

    def ask(self, client: Client, exchange: Exchange) -> None:
        """Send a request. `receive` sees to its answer."""
        client.awaited = exchange.answer
        client.heard = b""
        self.unanswered += 1
        client.send(exchange.request)

    def await_answers(self, unanswered_max: int = 0) -> None:
        """Read until no more than `unanswered_max` clients wait for an answer."""
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while self.unanswered > unanswered_max:
            if time.monotonic() > deadline:
                waiting = next(client for client in self.clients.values() if client.awaited)
                raise BenchError(
                    f"{waiting.name} has waited {ANSWER_SECONDS_MAX} s for {waiting.awaited!r};"
                    f" last read: {waiting.heard!r}"
                )
            for _ in self.receive(1):
                pass

    def settle(self) -> int:
        """Read until nothing comes any more; return how many messages were among it."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        messages = 0
        while time.monotonic() < deadline:
            read = [data for _, data in self.receive(QUIET_SECONDS)]
            if not read:
                return messages
            messages += sum(data.count(MARKER) for data in read)
        raise BenchError(f"still noise {SETTLE_SECONDS_MAX} s after the last request")

    def rest(self, seconds: float) -> None:
        """Do nothing but read for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for _ in self.receive(left):
                pass

    def receive(self, seconds_max: float) -> Iterator[tuple[Client, bytes]]:
        """Wait for something to read, and yield what came, a client at a time.

        select() waits to the microsecond, where epoll rounds up to the next millisecond: at 2,000
        messages a second that would send them in bunches.
        """
        if seconds_max > 0:
            select.select([self.epoll], [], [], seconds_max)
        for descriptor, _ in self.epoll.poll(0, READY_MAX):
            client = self.clients[descriptor]
            data = self._read(client)
            if client.awaited:
                self._note_answer(client, data)
            yield client, data

    def _ask_each(self, questions: Iterable[tuple[Client, Exchange]]) -> list[Client]:
        """Ask, a bounded number at a time, until all is answered; return who was asked, in order.

        A lazy iterable of questions may connect each client just before it is asked.
        """
        asked = []
        for client, exchange in questions:
            self.ask(client, exchange)
            asked.append(client)
            self.await_answers(IN_FLIGHT - 1)
        self.await_answers()
        return asked

    def _read(self, client: Client) -> bytes:
        try:
            data = client.socket.recv(READ_BYTES)
        except ssl.SSLWantReadError:  # a part of a record, or none of our business
            return b""
        except ConnectionError as error:
            raise BenchError(f"{client.name} was cut: {error}") from None
        if not data:
            last_words = f" after {client.heard!r}" if client.heard else ""
            raise BenchError(f"{client.name} was cut{last_words}")
        return data

    def _note_answer(self, client: Client, data: bytes) -> None:
        read = client.heard + data
        if client.awaited in read:
            client.awaited = b""
            client.heard = b""
            self.unanswered -= 1
        elif client.dialect.refusal in read:
            raise BenchError(f"{client.name} was refused: {read[-HEARD_BYTES:]!r}")
        else:
            client.heard = read[-HEARD_BYTES:]


def _secured(connection: socket.socket, tls: ssl.SSLContext, dialect: Dialect) -> ssl.SSLSocket:
    """Shake hands, and return the socket that speaks TLS. What is read is read a record at once:
    nothing is left in it that epoll would not tell of.
    """
    if dialect.greets_before_tls:
        connection.recv(READ_BYTES)
    return tls.wrap_socket(connection)
