"""The ceiling: a stand-in server that copies what it reads to a whole room without looking at it.

It does what any server must (read once, send once a reader) and nothing else, so what the generator
counts from it is what generator and loopback can carry at most. It is no chat server: one thread,
blocking sends, no bounds; clients must keep reading. `python bench/relay.py PORT` runs it.
"""

import contextlib
import select
import socket
import sys

CHUNK_BYTES = 65_536  # what Greenroom reads at once, too
BACKLOG = 4_096


class Relay:
    """Who is connected, and in which room."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._clients: dict[int, socket.socket] = {}
        self._rooms: dict[bytes, set[socket.socket]] = {}
        self._room_of: dict[socket.socket, set[socket.socket]] = {}

    def run(self) -> None:
        """Serve until killed."""
        while True:
            for descriptor, _ in self._epoll.poll():
                if descriptor == self._listener.fileno():
                    self._accept()
                    continue
                client = self._clients[descriptor]
                chunk = self._receive(client)
                if not chunk:
                    self._forget(client)
                elif chunk.startswith(b"/"):
                    self._obey(client, chunk)
                else:
                    for member in self._room_of[client]:
                        member.sendall(chunk)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._clients[client.fileno()] = client
        self._epoll.register(client, select.EPOLLIN)

    def _receive(self, client: socket.socket) -> bytes:
        with contextlib.suppress(ConnectionError):
            return client.recv(CHUNK_BYTES)
        return b""

    def _obey(self, client: socket.socket, chunk: bytes) -> None:
        """Do what the command says. Commands come alone: who sends one waits for the answer."""
        match chunk.split():
            case [b"/join", room]:
                self._room_of[client] = self._rooms.setdefault(room, set())
                self._room_of[client].add(client)
                client.sendall(b"joined\n")
            case [b"/leave"]:
                self._room_of.pop(client).discard(client)
                client.sendall(b"left\n")
            case _:
                client.sendall(b"hello\n")

    def _forget(self, client: socket.socket) -> None:
        self._room_of.pop(client, set()).discard(client)
        del self._clients[client.fileno()]
        client.close()


if __name__ == "__main__":
    Relay(int(sys.argv[1])).run()
