"""What many clients need of sockets: enough of them, and to go without a goodbye."""

import resource
import socket
import struct

_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER, socket(7)


def reset_on_close(plain: socket.socket) -> None:
    """Let a connection end with RST when it is closed, as of a machine that has just crashed."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


def raise_descriptor_limit() -> None:
    """Let this process, and its children, have a socket for each client."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
