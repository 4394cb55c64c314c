"""A reader in a process of its own, that can be stopped: `slow.py` runs it.

    python bench/stopped.py PORT DIALECT NAME ROOM

It says `there` when it is in the room, and `cut` when the server has closed the connection. Its
segments are as small as on a network, or else the kernel would hold megabytes for it on loopback.
"""

import socket
import sys

import dialects
from dialects import Exchange
from process import HOST

SEGMENT_BYTES_MAX = 1_460  # of Ethernet; loopback's are 65,483
RECEIVE_BUFFER_BYTES = 4_096
READ_BYTES = 65_536


def main() -> None:
    """Join and read, until cut."""
    port, kind, name, room = sys.argv[1:]
    dialect: dialects.Dialect = getattr(dialects, kind)()
    with socket.socket() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES_MAX)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        connection.connect((HOST, int(port)))
        ask(connection, dialect.hello(name))
        ask(connection, dialect.join(room))
        print("there", flush=True)
        read_to_the_end(connection)
        print("cut", flush=True)


def ask(connection: socket.socket, exchange: Exchange) -> None:
    """Send a request, and read until its answer has come."""
    connection.sendall(exchange.request)
    heard = b""
    while exchange.answer not in heard:
        data = connection.recv(READ_BYTES)
        if not data:
            sys.exit(f"cut after {heard!r}")
        heard += data


def read_to_the_end(connection: socket.socket) -> None:
    """Read until the server closes."""
    try:
        while connection.recv(READ_BYTES):
            pass
    except ConnectionError:
        return


if __name__ == "__main__":
    main()
