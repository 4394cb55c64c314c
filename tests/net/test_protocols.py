"""One port for every client: what each speaks is told by its first bytes."""

import http.client
import socket
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
from tests.kit.transfers import send_raw


# What begins so could be nothing else; of a method of HTTP, only the blank behind it decides.
@pytest.mark.parametrize(
    ("protocol", "first_bytes"),
    [
        *((NdjsonWire, begun) for begun in (b'{"op": "ping"}', b"{")),
        *((Protocol.TLS, begun) for begun in (b"\x16\x03\x01", b"\x16")),
        *((Protocol.HTTP, f"{word} /f".encode()) for word in ("GET", "PUT", "HEAD", "POST")),
        *((Protocol.HTTP, f"{word} *".encode()) for word in ("DELETE", "OPTIONS", "PRI")),
        *((None, begun) for begun in (b"O", b"OPTIONS")),
        *((TextWire, begun) for begun in (b" {", b"GETTER ", b"get /", b"GET\r\n", b"/login bob")),
        *((TextWire, begun) for begun in (b"\r\n", b"\xff\xfd\x03", b"\t", b"\xef\xbb\xbf{")),
        *((Protocol.NONE, bytes([byte, 1])) for byte in range(9)),  # STUN, DNS, SOCKS
    ],
)
def test_first_bytes(protocol: Spoken | None, first_bytes: bytes) -> None:
    assert recognise(first_bytes) is protocol


# A person who waits to be greeted is greeted; so is one who has typed a letter or two that a method
# begins with, and may have a name that begins so.
@pytest.mark.parametrize("typed", ["", "GE"])
def test_a_slow_typist(server, new_name, typed: str) -> None:
    name = new_name("GET")
    server.connect().register(name)
    person = SilentClient(server.port)
    person.send(typed.encode())
    assert person.receive_through(b"\r\n") == b"Greenroom: a chat server that remembers."
    person.expect("login: ")
    person.type(name.removeprefix(typed), "secret")
    person.receive_through(f"Hello, {name}.".encode())
    person.close()


# What is binary, and nothing that is spoken here, is closed without a word.
def test_binary_is_closed(server) -> None:
    for byte in range(9):
        assert send_raw(server, bytes([byte]) + b"\x01\0\0") == b""


# A newcomer waits longer where there may come a ClientHello that was lost once.
def test_patience_with_tls() -> None:
    assert FIRST_BYTES_SECONDS_MAX < 1 < FIRST_BYTES_TLS_SECONDS_MAX
    near, far = cooperative.socketpair()
    with closing(near), closing(far):
        gevent.spawn_later(2 * FIRST_BYTES_SECONDS_MAX, far.sendall, b"\x16")
        assert look(near, FIRST_BYTES_TLS_SECONDS_MAX) is Protocol.TLS


# Lines that come at once, with the end behind them, are all answered: `printf ... | nc -N`.
def test_lines_at_once(server, new_name) -> None:
    name = new_name("printf")
    client = server.connect()
    client.type(f"/register {name} secret", "/join pipe", "hello", "/leave")
    client.half_close()
    assert client.expect_end().endswith(f"{name}: hello\r\nYou have left pipe.\r\n")


# HTTP is served where chat is; one connection carries several requests.
def test_http(server) -> None:
    opened = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_SECONDS_MAX)
    with closing(opened) as connection:
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
def test_http_in_pieces(server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"G", b"E", b"T /healthz HTTP/1.1\r\nHost: localhost\r\nConn", b"ection: "):
            connection.sendall(piece)
        connection.sendall(b"close\r\n\r\n")
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
def test_bad_requests(server, request_bytes: bytes) -> None:
    before = server.log
    assert send_raw(server, request_bytes).startswith(b"HTTP/1.1 400 ")
    server.expect_logged("bad http request", before.count("bad http request") + 1)
    record = server.log.removeprefix(before)
    assert (record.count("\n"), record.count("bad http request")) == (1, 1)
    assert "s3cret" not in record


def _http() -> Http:
    return Http(SimpleNamespace(visitors=set()), ("127.0.0.1", 8888), KnownHosts(Settings()))


# Who begins a request and does not end it is cut in time, wherever it stopped.
@pytest.mark.parametrize("begun", [b"GET ", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_half_a_request(monkeypatch, begun: bytes) -> None:
    monkeypatch.setattr("app.net.http.HTTP_REQUEST_SECONDS_MAX", 0.05)
    near, far = cooperative.socketpair()
    far.sendall(begun)
    bad = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    with gevent.Timeout(WAIT_SECONDS_MAX):
        _http().serve(near, "127.0.0.1")
        assert far.makefile("rb").read() in (b"", bad)
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
def test_http_without_end(monkeypatch, request_bytes: bytes, least: int) -> None:
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
