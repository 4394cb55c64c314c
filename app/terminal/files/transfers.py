"""Transfer files over HTTP, on the chat's own port.

They go a piece at a time, and their sums are compared. Functions block: they are for threads of
their own. A fetched file gets its name when it is whole.
"""

import hashlib
import http.client
import json
import os
import ssl
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from app.terminal.files.filenames import reserve
from app.values.addresses import parse_address

PIECE_BYTES = 64 << 10  # between two looks at the progress
_SILENCE_SECONDS_MAX = 30  # of the server, before giving a transfer up

Progress = Callable[[int, int], None]  # called with the bytes done, and all


class TransferFailed(Exception):
    """A file was not transferred whole; the text says why."""


class Server(NamedTuple):
    """The server: files are at the chat's own address."""

    address: str
    tls: ssl.SSLContext | None = None

    @property
    def safety(self) -> int:
        """Return how safe a line is: 0, 1 or 2.

        A token sent there is known to: 0 any listener; 1 the one that answers, by TLS; 2 the server
        alone.
        """
        if self.tls is None:
            return 0
        return 1 if self.tls.verify_mode is ssl.CERT_NONE else 2

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        host, port = parse_address(self.address)
        if self.tls is None:
            return http.client.HTTPConnection(host, port, timeout=_SILENCE_SECONDS_MAX)
        return http.client.HTTPSConnection(
            host, port, timeout=_SILENCE_SECONDS_MAX, context=self.tls
        )


def upload(server: Server, url: str, path: Path, progress: Progress) -> str:
    """PUT a file; return the server's answer.

    Raises TransferFailed if it did not arrive whole, OSError for the file.
    """
    with path.open("rb") as file, _answer_to(server) as connection:
        size, digest = os.fstat(file.fileno()).st_size, hashlib.sha256()
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        pieces = _pieces(file, size, digest.update, progress)
        with suppress(BrokenPipeError, ConnectionResetError):  # a refusal may come before the end
            connection.request("PUT", url, body=pieces, headers=headers)
        response = connection.getresponse()
        told = response.read(PIECE_BYTES)
        _check_status(response, told)
        arrived = _sum_in(told)
        if arrived and arrived != digest.hexdigest():
            raise TransferFailed("it changed on its way")
        return told.decode(errors="replace")


def download(
    server: Server,
    url: str,
    folder: Path,
    name: str,
    size: int,
    sha256: str,
    progress: Progress,
    opened: Callable[[Iterable[bytes]], Iterable[bytes]] = iter,
) -> Path:
    """GET a file into a folder; return its path.

    Its name is safe, and was free. `size` and `sha256` are those of the bytes that come; what
    `opened` makes of them is kept. Raises TransferFailed if they did not arrive whole, OSError for
    the folder.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False) as file:
        try:
            with _answer_to(server) as connection:
                connection.request("GET", url)
                response = connection.getresponse()
                if response.status != http.client.OK:
                    _check_status(response, response.read(PIECE_BYTES))
                digest = hashlib.sha256()
                for piece in opened(_pieces(response, size, digest.update, progress)):
                    file.write(piece)
                if response.read(1) or digest.hexdigest() != sha256:
                    raise TransferFailed("what came is not what was sent")
            file.close()
            path = reserve(folder, name)
            return Path(file.name).replace(path)
        finally:
            Path(file.name).unlink(missing_ok=True)


def _pieces(
    file: IO[bytes] | http.client.HTTPResponse,
    size: int,
    see: Callable[[bytes], None],
    progress: Progress,
) -> Iterator[bytes]:
    """Yield `size` bytes in pieces, and show them to `see`.

    Raises TransferFailed if there are fewer.
    """
    done = 0
    while done < size:
        piece = file.read(min(PIECE_BYTES, size - done))
        if not piece:
            raise TransferFailed("it ended before its end")
        see(piece)
        yield piece
        done += len(piece)
        progress(done, size)


@contextmanager
def _answer_to(server: Server) -> Iterator[http.client.HTTPConnection]:
    connection = server.connection()
    try:
        yield connection
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise TransferFailed(f"the connection failed: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _check_status(response: http.client.HTTPResponse, told: bytes) -> None:
    if response.status not in (http.client.OK, http.client.CREATED, http.client.NO_CONTENT):
        sentence = told.decode(errors="replace").strip() or response.reason
        raise TransferFailed(f"the server refused it ({response.status}): {sentence[:200]}")


def _sum_in(told: bytes) -> str:
    """Return the SHA-256 in an answer, or "". It is in JSON, or a word of 64 digits."""
    with suppress(ValueError, AttributeError):
        return str(json.loads(told).get("sha256", ""))
    words = told.decode(errors="replace").replace(":", " ").replace("=", " ").split()
    return next((word for word in words if len(word) == 64 and word.isalnum()), "")
