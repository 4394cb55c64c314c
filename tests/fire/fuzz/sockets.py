"""Bytes for HTTP, and lines for the operator's socket and for a user's: all get their answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import gevent
from gevent import socket
from hypothesis import strategies as st

from app.errors import NotPossible, Refusal
from app.net.hosts import KnownHosts
from app.net.http import Http
from app.protocol import accounts, rooms
from app.protocol.command import Command
from app.protocol.files import SharedFile
from app.settings import Settings
from tests.fire.fuzz.fuzzers import fuzzer
from tests.fire.fuzz.streams import JUNK, requests
from tests.fire.fuzz.table import pieces
from tests.fire.fuzz.world import Terminal, World, in_a_hurry
from tests.kit.ndjson import request_line
from tests.kit.program import check, check_sent

_SECONDS_MAX = 10  # an answer takes a millisecond: this one does not come
_NOW = 1_795_348_800_000

# HTTP.


class _Files:
    """Stands for app.chat.files.files: it has one file, and takes one."""

    _FILE = SharedFile(1, 'a "b".txt', 3, "00", "bob", None, _NOW)

    def receive(self, token: str, size: int | None, read) -> SharedFile:
        self._check(token)
        while read(1 << 16):
            pass
        return self._FILE

    def offered(self, token: str) -> SharedFile:
        self._check(token)
        return self._FILE

    def fetch(self, token: str) -> Iterator[bytes]:
        self._check(token)
        yield b"abc"

    @staticmethod
    def _check(token: str) -> None:
        if token != "good":
            raise NotPossible("there is nothing here", code="no_such_transfer")


def _answers(http: Http, parts: Iterable[bytes]) -> bytes:
    """Return all that comes back for bytes which come in parts, and then no more."""
    ours, theirs = socket.socketpair()
    serving = gevent.spawn(http.serve, theirs, "192.0.2.1")
    sent = b""
    with ours, gevent.Timeout(_SECONDS_MAX, AssertionError("no answer")):
        try:
            for part in parts:
                ours.sendall(part)
                gevent.sleep(0)
            ours.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was answered, and closed
        try:
            while data := ours.recv(1 << 16):
                sent += data
        except ConnectionError:
            pass
        serving.get()
    theirs.close()
    return re.sub(rb"\r\nDate: [^\r]*", b"", sent)


_http: list[Http] = []


@contextmanager
def _serving() -> Iterator[None]:
    service = SimpleNamespace(
        files=_Files(), visitors=set(), status=SimpleNamespace(illness=lambda _now: "")
    )
    with in_a_hurry():
        _http.append(Http(service, ("127.0.0.1", 8888), KnownHosts(Settings())))
        try:
            yield
        finally:
            assert not service.visitors
            _http.pop()


_heads = st.builds(
    lambda line, headers, body: b"\r\n".join([line, *headers, b"", body]),
    st.sampled_from(
        [
            *(b"GET /healthz HTTP/1.1", b"HEAD /healthz HTTP/1.1", b"GET /metrics HTTP/1.0"),
            *(b"PUT /f/good HTTP/1.1", b"PUT /f/bad HTTP/1.1", b"GET /f/good HTTP/1.1"),
            *(b"POST /f/good/name HTTP/1.1", b"DELETE / HTTP/1.1", b"GET %2f HTTP/1.1"),
        ]
    ),
    st.lists(
        st.sampled_from(
            [
                *(
                    b"Host: localhost",
                    b"Content-Length: 3",
                    b"Content-Length: -1",
                    b"Content-Length: x",
                ),
                *(b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Connection: close"),
                *(b"Authorization: Bearer token", b"Range: bytes=0-", b": x", b"x", b"A:" * 300),
            ]
        ),
        max_size=4,
    ),
    st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n"]),
)

_MORE = [*JUNK, b"\r\n\r\n", b"Content-Length: 5\r\n", b"%", b"\xff", b"HTTP/9.9", b"z" * 9_000]


@fuzzer("http", _heads, _MORE, _serving, variants=12, is_cut=True)
def check_http(data: bytes, cuts: Sequence[int]) -> None:
    """Whatever comes as HTTP is answered or cut, in the same way however it is cut."""
    whole = _answers(_http[0], [data])
    assert not whole or whole.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), whole
    assert not re.search(rb"HTTP/1.[01] 500", whole), whole
    if cuts:
        cut = _answers(_http[0], pieces(data, cuts))
        assert cut == whole, (cut, whole)


# Lines that a whole service is asked.

_worlds: list[tuple[World, dict[str, Terminal]]] = []


@contextmanager
def _world() -> Iterator[None]:
    with in_a_hurry():
        world = World(_NOW)
        _worlds.append((world, {}))
        try:
            yield
        finally:
            _worlds.pop()
            world.close()


def _terminal(which: str) -> tuple[World, Terminal]:
    """Return who asks: the operator, or a user who is in a room."""
    world, terminals = _worlds[0]
    terminal = terminals.get(which)
    if terminal is not None and not terminal.is_closing:
        return world, terminal
    if which == "operator":
        terminal = world.connect_operator()
    else:
        world.now += 86_400_000 * 4_000  # no ban holds for as long
        found = world.connect("ndjson", "10.0.0.1")
        assert found is not None
        terminal = found
        operator = world.connect_operator()
        for op, more in (
            ("user.create", {"password": "x", "is_admin": True}),
            ("user.password", {"password": "x"}),
            ("user.enable", {}),
        ):
            operator.feed(world.service, [request_line(op, user="root", **more)])
        for command in (accounts.Login("root", "x"), rooms.Join("lobby")):
            with suppress(Refusal):
                world.service.handle(terminal.session, command)
    terminals[which] = terminal
    terminal.take()
    return world, terminal


def _check_asked(which: str, data: bytes, cuts: Sequence[int]) -> None:
    """Check that each line is answered once, and as the schema says."""
    world, terminal = _terminal(which)
    asked = terminal.feed(world.service, pieces(data, cuts))
    if data[-1:] != b"\n":
        asked += terminal.feed(world.service, [b"\n"])
    with gevent.Timeout(_SECONDS_MAX, AssertionError("not settled")):
        world.settle()
    was_closed = terminal.is_closing
    _, sent = terminal.take()
    op = asked[0].op if len(asked) == 1 and isinstance(asked[0], Command) else None
    answers = 0
    for line in sent.splitlines():
        told = json.loads(line)
        if op is not None and told.get("ok"):
            check(f"answer_{op}", told)
        else:
            check_sent(told, None)
        assert told.get("error") != "internal", told
        answers += "event" not in told
    assert was_closed or answers == len(asked), (asked, sent)


@fuzzer("control", requests().map(lambda line: line + b"\n"), JUNK, _world)
def check_control(data: bytes, cuts: Sequence[int]) -> None:
    """Whatever the operator's socket is asked, it answers, once a line."""
    _check_asked("operator", data, cuts)


@fuzzer("service", requests().map(lambda line: line + b"\n"), JUNK, _world)
def check_service(data: bytes, cuts: Sequence[int]) -> None:
    """Whatever an admin asks of a service, it answers, once a line."""
    _check_asked("user", data, cuts)


FUZZERS = [check_http, check_control, check_service]
