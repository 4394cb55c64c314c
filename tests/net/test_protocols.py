"""One port for every client: what each speaks is told by its first bytes."""

import http.client
import socket
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace

import gevent
import pytest
from gevent import socket as cooperative

from app.bounds import FIRST_BYTES_SECONDS_MAX, FIRST_BYTES_TLS_SECONDS_MAX
from app.net.hosts import KnownHosts
from app.net.http import Http
from app.net.protocols import Protocol, Spoken, look, recognise
from app.settings import Settings
from app.wires.ndjson.ndjson import NdjsonWire
from app.wires.text.text import TextWire
from tests.kit.client import WAIT_SECONDS_MAX, SilentClient
from tests.kit.server_process import ServerProcess

BANNER = b"Greenroom: a chat server that remembers.\r\n"


def _ask(server: ServerProcess, request: bytes) -> bytes:
    """Send a request, and return all that is answered until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _status(server: ServerProcess) -> tuple[int, bytes]:
    """Return what the server says of its health."""
    with closing(
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS_MAX)
    ) as connection:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        return answer.status, answer.read()


# What begins so could be nothing else; of a method of HTTP, only the blank behind it decides.
@pytest.mark.parametrize(
    ("first_bytes", "protocol"),
    [
        (b'{"op": "ping"}', NdjsonWire),
        (b"{", NdjsonWire),
        (b" {", TextWire),
        (b"\x16\x03\x01", Protocol.TLS),
        (b"\x16", Protocol.TLS),
        *((f"{word} /f".encode(), Protocol.HTTP) for word in ("GET", "PUT", "HEAD", "POST")),
        *((f"{word} *".encode(), Protocol.HTTP) for word in ("DELETE", "OPTIONS", "PRI")),
        (b"O", None),
        (b"OPTIONS", None),
        (b"GETTER ", TextWire),
        (b"get /", TextWire),
        (b"GET\r\n", TextWire),
        (b"/login bob", TextWire),
        (b"\r\n", TextWire),
        (b"\xff\xfd\x03", TextWire),  # telnet
        *((bytes([byte, 1]), Protocol.NONE) for byte in range(9)),  # STUN, DNS, SOCKS
        (b"\t", TextWire),
        (b"\xef\xbb\xbf{", TextWire),
    ],
)
def test_first_bytes(first_bytes: bytes, protocol: Spoken | None) -> None:
    assert recognise(first_bytes) is protocol


# A person who waits to be greeted is greeted.
def test_silence(server: ServerProcess) -> None:
    person = SilentClient(server.port)
    assert person.receive_exactly(len(BANNER)) == BANNER
    person.close()


# A person who has typed a letter or two that a method begins with is greeted as well, and may have
# a name that begins so.
def test_a_slow_typist(server: ServerProcess, new_name) -> None:
    name = new_name("GET")
    server.connect().register(name).close()
    person = SilentClient(server.port)
    person.send(b"GE")
    person.expect("login: ")
    person.send(name.removeprefix("GE").encode() + b"\nsecret\n")
    person.receive_through(f"Hello, {name}.".encode())
    person.close()


# What is binary, and nothing that is spoken here, is closed without a word.
def test_binary_is_closed(server: ServerProcess) -> None:
    for byte in range(9):
        assert _ask(server, bytes([byte]) + b"\x01\0\0") == b""


# A newcomer waits longer where there may come a ClientHello that was lost once.
def test_patience_with_tls() -> None:
    assert FIRST_BYTES_SECONDS_MAX < 1 < FIRST_BYTES_TLS_SECONDS_MAX
    near, far = cooperative.socketpair()
    with closing(near), closing(far):
        gevent.spawn_later(2 * FIRST_BYTES_SECONDS_MAX, far.sendall, b"\x16")
        assert look(near, FIRST_BYTES_TLS_SECONDS_MAX) is Protocol.TLS


# Lines that come at once, with the end behind them, are all answered: `printf ... | nc -N`.
def test_lines_at_once(server: ServerProcess, new_name) -> None:
    name = new_name("printf")
    client = server.connect()
    client.type(f"/register {name} secret", "/join pipe", "hello", "/leave")
    client.half_close()
    assert client.expect_end().endswith(f"{name}: hello\r\nYou have left pipe.\r\n")


# HTTP is served where chat is; one connection carries several requests.
def test_http(server: ServerProcess) -> None:
    with closing(
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS_MAX)
    ) as connection:
        for method, path, status, body in [
            ("GET", "/healthz", 200, b"ok\n"),
            ("HEAD", "/healthz", 200, b""),
            ("GET", "/healthz?verbose", 200, b"ok\n"),
            ("POST", "/healthz", 405, b"only GET and HEAD\n"),
            ("GET", "/", 404, b"there is nothing here\n"),
        ]:
            connection.request(method, path, body=b"x" * 10 if method == "POST" else None)
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (status, body)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


# A request that comes in pieces is one, also when the first ends within the method.
def test_http_in_pieces(server: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (
            b"G",
            b"E",
            b"T /healthz HTTP/1.1\r\nHost: localhost\r\nConn",
            b"ection: close\r\n\r\n",
        ):
            connection.sendall(piece)
        assert connection.makefile("rb").read().endswith(b"\r\n\r\nok\n")


# A bad request is answered as one, and the log has one line of it, without what was asked.
@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /f/s3cret HTTP/9.9\r\n\r\n",
        b"POST\x20\r\n\r\n",
        b"GET /f/s3cret HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=["version", "no path", "length", "HTTP/2"],
)
def test_bad_requests(server: ServerProcess, request_bytes: bytes) -> None:
    before = server.log
    assert _ask(server, request_bytes).startswith(b"HTTP/1.1 400 ")
    server.expect_logged("bad http request", before.count("bad http request") + 1)
    record = server.log.removeprefix(before)
    assert (record.count("\n"), record.count("bad http request")) == (1, 1)
    assert "s3cret" not in record


# The server says that it is ill while messages can't be stored, and that it is well again after.
def test_health(server: ServerProcess, new_name) -> None:
    talker = server.connect().register(new_name("talker")).join(new_name("room"))
    server.limit_files(0)
    talker.type("lost")
    talker.expect("Error: not stored: ")
    assert _status(server) == (503, b"messages can't be stored now\n")
    server.limit_files(None)
    talker.type("kept")
    talker.expect("kept\r\n")
    assert _status(server) == (200, b"ok\n")


# When the server is full, HTTP is told so in HTTP.
def test_http_when_full(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server(CONNECTIONS_MAX=1)
    server.connect().register("alice")
    assert _status(server) == (503, b"the server is full; try again later\n")


def _http() -> Http:
    return Http(SimpleNamespace(visitors=set()), ("127.0.0.1", 8888), KnownHosts(Settings()))


# Who begins a request and does not end it is cut in time, wherever it stopped.
@pytest.mark.parametrize("begun", [b"GET ", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_half_a_request(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr("app.net.http.HTTP_REQUEST_SECONDS_MAX", 0.05)
    near, far = cooperative.socketpair()
    far.sendall(begun)
    with gevent.Timeout(WAIT_SECONDS_MAX):
        _http().serve(near, "127.0.0.1")
        assert far.makefile("rb").read() in (b"", _bad_request())
    far.close()


# Who sends requests without end, or one that has none, does not keep others from their turn.
@pytest.mark.parametrize(
    ("request_bytes", "least"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200, 200),
        (b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + b"x" * 60_000, 3),
    ],
    ids=["requests", "body"],
)
def test_http_without_end(
    monkeypatch: pytest.MonkeyPatch, request_bytes: bytes, least: int
) -> None:
    monkeypatch.setattr(Http, "_answer", lambda *_: [])
    near, far = cooperative.socketpair()
    for each in (near, far):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    far.sendall(request_bytes)
    far.shutdown(socket.SHUT_WR)
    turns = 0

    def take_turns() -> None:
        nonlocal turns
        while True:
            gevent.sleep(0)
            turns += 1

    other = gevent.spawn(take_turns)
    with gevent.Timeout(WAIT_SECONDS_MAX):
        _http().serve(near, "127.0.0.1")
    other.kill()
    far.close()
    assert turns >= least


def _bad_request() -> bytes:
    return b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
