"""The control socket: manage.py asks a running server here, with the rights of its operator.

It is a Unix socket in the data directory, which no other user can open, and speaks NDJSON. The
kernel tells the user of each peer, and others than the operator and root are refused.
"""

from __future__ import annotations

import os
import socket as native
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from gevent.socket import socket
from typing_extensions import override

from app.bounds import CONTROL_CONNECTIONS_MAX, CONTROL_LINE_BYTES_MAX
from app.database.disk import make_private_folder
from app.errors import StartRefused
from app.net.connection import Connection
from app.net.listener import Listener
from app.net.sockets import never_blocking
from app.protocol import server
from app.values.addresses import short_path
from app.wires.ndjson.ndjson import NdjsonWire

if TYPE_CHECKING:
    from pathlib import Path

    from app.chat.service import Service
    from app.settings import Settings

_PEER_CREDENTIALS = struct.Struct("3i")  # process, user and group (unix(7), SO_PEERCRED)
_ROOT = 0

log = structlog.get_logger()


class Control(Listener):
    """Serves the operator at a Unix socket.

    `stop` accepts no other questions, and ends those that are being answered. Never switches.
    """

    def __init__(self, path: Path, service: Service, settings: Settings) -> None:
        """Listen at a path. Raises StartRefused when another server does, or it can't be had."""
        super().__init__(_listen(path))
        self._path = path
        self._service = service
        self._settings = settings
        self._connections: set[Connection] = set()

    @override
    def stop(self, timeout: float | None = None) -> None:
        self.close()
        self._path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.close(server.Stopped(says_goodbye=False))

    @override
    def handle(self, client_socket: socket, _peer: str) -> None:
        user_id = _user_id_of(client_socket)
        if user_id not in (os.geteuid(), _ROOT):
            log.warning("control socket refused", uid=user_id)
            client_socket.close()
            return
        connection = Connection(
            never_blocking(client_socket),
            "control socket",
            NdjsonWire(CONTROL_LINE_BYTES_MAX),
            self._service,
            self._settings,
            is_secure=True,
        )
        if len(self._connections) >= CONTROL_CONNECTIONS_MAX:
            connection.refuse(server.Refused("full", "too many of you are here; try again later"))
            return
        self._connections.add(connection)
        try:
            connection.serve_operator()
        finally:
            self._connections.discard(connection)


def _listen(path: Path) -> socket:
    """Return a socket that listens at a path, for us alone. Raises StartRefused."""
    try:
        make_private_folder(path.parent)
        with short_path(path) as name:
            if _is_in_use(name):
                raise StartRefused(f"another Greenroom runs in {path.parent}; stop that one first")
            path.unlink(missing_ok=True)
            return _listen_privately(name)
    except OSError as error:
        raise StartRefused(f"can't make {path}: {error.strerror or error}") from error


def _listen_privately(name: str) -> socket:
    listener = socket(native.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(name)
        listener.listen()
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener


def _is_in_use(name: str) -> bool:
    """Whether a server listens there. After a crash the file is there, and no server."""
    with native.socket(native.AF_UNIX) as probe, suppress(OSError):
        probe.connect(name)
        return True
    return False


def _user_id_of(client_socket: socket) -> int:
    """Return the peer's user id: SO_PEERCRED on Linux, else our own."""
    if not hasattr(native, "SO_PEERCRED"):
        return os.geteuid()  # only the socket's mode protects it there
    size = _PEER_CREDENTIALS.size
    credentials = client_socket.getsockopt(native.SOL_SOCKET, native.SO_PEERCRED, size)
    _, user_id, _ = _PEER_CREDENTIALS.unpack(credentials)
    return int(user_id)
