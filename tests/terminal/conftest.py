"""The stage on which scenes are played, keys that are made quickly, and a server of files."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from app.terminal.files.transfers import Server
from tests.encryption.conftest import in_a_hurry as in_a_hurry
from tests.kit.terminal_stage import play_fixture as play_fixture


class _Files(BaseHTTPRequestHandler):
    """Keeps what is PUT, and gives what is there; `spoil` changes what is given."""

    files: dict[str, bytes]
    spoil: Callable[[bytes], bytes]

    def do_PUT(self) -> None:
        if self.path == "/f/refused":
            self._answer(413, b"it is too large\n")
            return
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.files[self.path] = data
        kept = hashlib.sha256(type(self).spoil(data)).hexdigest()
        self._answer(201, f"shared as 17: a, {len(data)} bytes, sha256 {kept}\n".encode())

    def do_GET(self) -> None:
        if self.path in self.files:
            self._answer(200, type(self).spoil(self.files[self.path]))
        else:
            self._answer(404, b"there is no such file")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def http() -> Iterator[type[_Files]]:
    """A server of files, at `http.server`."""

    class Files(_Files):
        files: ClassVar[dict[str, bytes]] = {}
        spoil = staticmethod(lambda data: data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        Files.server = Server(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Files
        server.shutdown()
        thread.join()
