"""Files over HTTP, as curl would bring and fetch them, and as nobody should."""

import hashlib
import http.client
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from tests.kit.client import WAIT_SECONDS_MAX, Client
from tests.kit.server_process import ServerProcess


class Answer(NamedTuple):
    """What was answered over HTTP."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def request(
    server: ServerProcess,
    method: str,
    url: str,
    body: object = None,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Answer:
    """Send a request on a connection of its own; an iterable of pieces goes chunked."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS_MAX)
    try:
        connection.request(method, url, body, headers)
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def send_raw(
    server: ServerProcess, data: bytes, *, is_all: bool = False, **options: object
) -> bytes:
    """Return all that is answered to some bytes; `is_all`: say that no more will come."""
    client = server.connect(**options)
    client.send(data)
    if is_all:
        client.half_close()
    return client.receive_end()


def ask_url(client: Client, line: str) -> str:
    """Type a /send or /get, and return where to go with it: /f/TOKEN. What came before is lost."""
    client.type(line)
    client.expect("curl -")
    url = re.fullmatch(r"(?:T|f -o) .* http://[^/]+(/f/\S+)", client.expect_line())[1]
    if line.startswith("/get"):
        client.expect_line(r"  \d+ bytes, sha256 [0-9a-f]{64}")
    return url


def share(server: ServerProcess, client: Client, name: str, data: bytes, to: str = "") -> int:
    """Share a file, past what its sender is shown, and return its number."""
    url = ask_url(client, f"/send {name}{to}")
    answer = request(server, "PUT", url, data)
    assert answer.status == 201, answer
    number = re.match(rb"shared as (\d+): ", answer.body)[1].decode()
    client.expect_line(rf".*shares .*: /get {number}")
    return int(number)


def begin_put(server: ServerProcess, url: str, size: int, sent: bytes = b"") -> socket.socket:
    """Begin to bring a file of a size, and return the connection on which the rest may follow."""
    connection = socket.create_connection(("127.0.0.1", server.port), WAIT_SECONDS_MAX)
    head = f"PUT {url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n"
    connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + sent)
    return connection


def begin_get(server: ServerProcess, url: str) -> BinaryIO:
    """Begin to fetch a file that is larger than what is taken of it; return what follows."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(WAIT_SECONDS_MAX)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        reading = connection.makefile("rb")
    assert reading.readline() == b"HTTP/1.1 200 OK\r\n"
    return reading


def status_of(connection: socket.socket) -> int:
    """Return the status that is answered on a connection, 0 for no answer, and close it."""
    with connection:
        try:
            first_line = connection.makefile("rb").readline()
        except ConnectionResetError:
            return 0
        return int(first_line.split()[1]) if first_line else 0


def begun_files(server: ServerProcess) -> int:
    """Return of how many files there is something, but not all."""
    with server.database() as database:
        count = "SELECT count(*) FROM files WHERE sha256 IS NULL"
        return database.execute(count).fetchone()[0]


def chunks(server: ServerProcess) -> int:
    """Return how many chunks of files there are."""
    with server.database() as database:
        return database.execute("SELECT count(*) FROM file_chunks").fetchone()[0]


def run_in_terminal(line: str, folder: Path, exit_code: int = 0) -> str:
    """Run a line that the server said to paste, which exits so, and return what it prints."""
    words = shlex.split(line)
    assert words[0] == "curl"
    if not shutil.which("curl"):
        return _instead_of_curl(words, folder)
    ran = subprocess.run(
        ["curl", "-sS", *words[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
    )
    assert ran.returncode == exit_code, ran.stderr
    return ran.stdout


def _instead_of_curl(words: list[str], folder: Path) -> str:
    address, url = re.fullmatch(r"http://([^/]+)(/.*)", words[-1]).groups()
    connection = http.client.HTTPConnection(address, timeout=WAIT_SECONDS_MAX)
    path = folder / words[words.index("-o" if "-o" in words else "-T") + 1]
    if words[1] == "-T":
        connection.request("PUT", url, path.read_bytes())
        return connection.getresponse().read().decode()
    connection.request("GET", url)
    response = connection.getresponse()
    if response.status < 400 or "-f" not in words:
        path.write_bytes(response.read())
    return ""
