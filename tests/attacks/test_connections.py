"""Connections that do not read, do not speak, are too many, or speak something else."""

import socket
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from types import SimpleNamespace

import gevent
import pytest
from gevent import socket as cooperative

from app.bounds import LINES_IN_A_ROW_MAX, READ_BYTES_MIN, REPLAY_BYTES_MAX
from app.net import connection as connection_module
from app.net.connection import Connection
from app.net.listener import listen
from app.net.sockets import never_blocking
from app.protocol import rooms
from app.protocol.command import Command
from app.protocol.event import Event
from app.settings import Settings
from app.wires.ndjson.ndjson import NdjsonWire
from app.wires.text.text import TextWire
from tests.kit.client import WAIT_SECONDS_MAX, Client, wait_until
from tests.kit.prepared import name_of
from tests.kit.server_process import ServerProcess

OUTBOX_BYTES_MAX = 131_072
SERVER_SETTINGS = {"OUTBOX_BYTES_MAX": OUTBOX_BYTES_MAX}
MEMORY_GROWTH_MAX = 2 << 20  # the outbox, the lines of one read, and some noise of the allocator
LAST_WORDS = f"Error: you left over {OUTBOX_BYTES_MAX} bytes unread; come back and read on\r\n"
CUT = "cut a slow reader"  # in the log
LOGIN_SECONDS_MAX = 2
TOO_LATE = b"you took too long to log in; connect again"
HTTP_POST = b"POST /login HTTP/1.1\r\nHost: localhost\r\n\r\nname=bob\npassword=s3cret\n\n\n"
WEBDAV = b"PROPFIND /s3cret HTTP/1.1\r\nHost: localhost\r\n\r\n"
HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def client_hello() -> bytes:
    """Return what a browser or openssl s_client sends first."""
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def _flood_until_cut(server: ServerProcess, client: Client, data: bytes) -> None:
    """Send the same data again and again and never read, until the server has had enough of it."""
    cuts, left = server.log.count(CUT), b""

    def is_cut() -> bool:
        nonlocal left
        while sent := client.send_some(left := left or data):
            left = left[sent:]
        return server.log.count(CUT) > cuts

    wait_until(is_cut, "the flooder is cut")


# Who sends without end and never reads is cut when the outbox is full, logged in or not, in
# whatever words; it costs no memory, and others nothing (CVE-2025-21605).
@pytest.mark.parametrize(
    "flood",
    [b"/nonsense\n" * 1000, b"/help\n" * 100, b"\xff\xfd\x05" * 10_000, b"\xfe\n" * 1000],
    ids=["unknown commands", "help", "telnet requests", "bad UTF-8"],
)
def test_a_flood_before_login(server, new_name, flood: bytes) -> None:
    witness = server.connect().register(new_name("witness")).join(new_name("room"))
    for _ in range(2):  # the first time the server grows to what it needs; then it stays there
        grown = server.watch_memory()
        flooder = server.connect(receive_buffer_bytes=4096)
        _flood_until_cut(server, flooder, flood)
        assert flooder.receive_end().endswith(LAST_WORDS.encode())
    assert grown() < MEMORY_GROWTH_MAX
    witness.expect_nothing_more()


def _connection(wire: type, settings: Settings, user: str | None, handle: Callable | None = None):
    """Return a connection whose lines go to `handle`, and the socket at its other end."""
    near, far = cooperative.socketpair()
    service = SimpleNamespace(
        connect=lambda _: SimpleNamespace(tag=None, is_operator=False, user=user),
        disconnect=lambda _: None,
        check_may_ask=lambda *_: None,
        handle=handle,
        journal=SimpleNamespace(settle=lambda _: None),
    )
    plain = never_blocking(near)
    return Connection(plain, "127.0.0.1", wire(4096), service, settings, is_secure=False), far


def _serve(connection: Connection, far: socket.socket, sent: bytes) -> None:
    """Serve somebody who sends that, and reads what is answered."""
    sender = gevent.spawn(lambda: (far.sendall(sent), far.shutdown(socket.SHUT_WR)))
    reader = gevent.spawn(lambda: [None for _ in iter(lambda: far.recv(65536), b"")])
    with gevent.Timeout(WAIT_SECONDS_MAX):
        connection.serve()
    gevent.joinall([sender, reader])
    far.close()


# However many lines come in one read, others get their turn between them: where each is answered
# with what may be long, and where nobody has logged in, between each two.
@pytest.mark.parametrize(
    ("in_a_row", "user", "answer"),
    [
        (LINES_IN_A_ROW_MAX, "alice", None),
        (1, "alice", rooms.RoomsListed([], False)),
        (1, None, None),
    ],
)
def test_others_get_a_turn(in_a_row: int, user: str | None, answer: Event | None) -> None:
    count, handled, seen = 5 * in_a_row, [], []

    def handle(_: object, command: Command) -> None:
        handled.append(command)
        if answer is not None:
            connection.show_at_leisure(answer)

    def take_turns() -> None:
        while len(handled) < count:
            seen.append(len(handled))
            gevent.sleep(0)

    connection, far = _connection(TextWire, Settings(message_rate="0"), user, handle)
    other = gevent.spawn(take_turns)
    _serve(connection, far, b"/ping\n" * count)
    other.join(WAIT_SECONDS_MAX)
    assert set(seen) >= set(range(max(1, in_a_row - 1), count, in_a_row))


LOOSE = {
    "a subnegotiation": b"\xff\xfa" + b"x" * (1 << 18),
    "telnet commands": b"\xff\xf1" * (1 << 17),
    "half a line": b"x" * (1 << 18),
    "erased": b"x\x08" * (1 << 17),
    "NUL": b"\0" * (1 << 18),
    "blank lines": b"\n" * 100,
    "junk": b"\xfe\n" * 100,
}


def _slowed_down(monkeypatch, wire: type, flood: bytes) -> int:
    """Return how often somebody is slowed down who sends that, and has not logged in."""
    slowed: list[bool] = []
    monkeypatch.setattr(connection_module.TokenBucket, "take", lambda *_: slowed.append(True) or 0)
    _serve(*_connection(wire, Settings(), None), flood)
    return len(slowed)


# What is no line is counted as well, before anybody is logged in, or it would cost us most.
@pytest.mark.parametrize("wire", [TextWire, NdjsonWire])
@pytest.mark.parametrize("flood", LOOSE.values(), ids=LOOSE.keys())
def test_bytes_that_are_no_line_count(monkeypatch, wire: type, flood: bytes) -> None:
    slowed = _slowed_down(monkeypatch, wire, flood)
    assert slowed >= min(len(flood) // 4096, 100) * 3 // 4  # what is read with a line is free


# Each record of TLS is a read of its own, and may bring one byte.
@pytest.mark.parametrize("wire", [TextWire, NdjsonWire])
def test_bytes_that_come_alone_count(monkeypatch, wire: type) -> None:
    monkeypatch.setattr(connection_module, "RECEIVE_BYTES_MAX", 1)
    assert _slowed_down(monkeypatch, wire, b"x" * 4096) == READ_BYTES_MIN


def _line(number: int) -> str:
    return f"{number} " + "x" * 4000


def _replayed(lines: list[str]) -> list[str]:
    """Return those lines that come with the time when they were said, without it."""
    return [line.partition("] ")[2] for line in lines if line.startswith("[")]


def _talk_until_cut(talker: Client, listener: Client, slow: Client) -> int:
    """Let the talker talk until the slow one is gone, and return how many messages it took.

    The talker and the listener must see every message, in order.
    """
    gone = f"{slow.name} has disconnected."
    for first in range(0, 3200, 16):
        lines = [_line(number) for number in range(first, first + 16)]
        talker.type(*lines)
        are_told = []
        for client in (talker, listener):
            seen = [client.expect_line() for _ in lines]
            are_told.append(gone in seen)
            if gone in seen:
                seen.remove(gone)
                seen.append(client.expect_line())
            assert seen == [f"{talker.name}: {line}" for line in lines]
        if any(are_told):
            for client, is_told in zip((talker, listener), are_told, strict=True):
                assert is_told or client.expect_line() == gone
            return first + 16
    raise AssertionError("was never cut")


# Who stops reading is cut when the outbox is full. Its last line says why, and those before it are
# whole and in order; the others miss nothing.
# Who was cut comes back, and finds what it missed in the history, without a gap.
def test_a_slow_reader(server) -> None:
    talker = server.connect().register("talker").join("stage")
    listener = server.connect().register("listener").join("stage")
    slow = server.connect(receive_buffer_bytes=4096).register("slow").join("stage")
    for client in (talker, listener):
        client.catch_up()
    count = _talk_until_cut(talker, listener, slow)

    rest = slow.expect_end()
    assert rest.endswith(LAST_WORDS)
    seen = rest.removesuffix(LAST_WORDS).split("\r\n")[:-1]
    assert seen == [f"talker: {_line(number)}" for number in range(len(seen))]
    assert len(seen) < count

    returned = server.connect().log_in("slow").join("stage")
    said = [f"talker: {_line(number)}" for number in range(count)]
    assert _replayed(returned.catch_up()) == said[-20:]
    past: list[str] = []
    while len(past) < count:
        returned.type("/history 1000")
        page = _replayed(returned.catch_up())
        assert page
        past = page + past
    assert past == said
    server.hang_up()


# Who asks for much and reads it slowly gets all of it, in order, and in order with what is said
# meanwhile.
def test_a_slow_reader_of_history(server) -> None:
    talker = server.connect().register("teller").join("archive")
    talker.type(*map(_line, range(400)))
    talker.catch_up()
    slow = server.connect(receive_buffer_bytes=4096).register("patient").join("archive")
    slow.catch_up()
    for _ in range(14):  # far more than fits into the buffers on the way
        slow.type("/history 90", "/topic")
    live = [f"teller: meanwhile {number}" for number in range(40)]
    for line in live:
        talker.type(line.removeprefix("teller: "))
        talker.expect(f"{line}\r\n")
    said = [f"teller: {_line(number)}" for number in range(400)] + live
    lines = slow.catch_up()
    assert [line for line in lines if line.startswith("teller: ")] == live
    past = _replayed(lines)
    assert len(past) == 1260
    for page in (past[start : start + 90] for start in range(0, 1260, 90)):
        first = said.index(page[0])
        assert page == said[first : first + 90]
    server.hang_up()


# Who does not log in is cut when nothing came for a time: silent, or in the middle of it. Who
# still types at the prompt is not, for minutes; who did log in stays.
def test_no_login_for_too_long(start_server) -> None:
    server = start_server(LOGIN_SECONDS_MAX=LOGIN_SECONDS_MAX)
    here = server.connect().register("here").join("room")
    waiting = [server.connect() for _ in range(20)]
    waiting[0].send(b"here\n")
    waiting[1].send(b"\xff\xfa/login here")
    talkative = server.newcomer()
    with ThreadPoolExecutor(1) as thread:
        ends = thread.submit(lambda: [client.receive_end() for client in waiting])
        while not ends.done():
            talkative.type("/nonsense")
            talkative.expect("Error: ")
            talkative.expect("login: ")
    talkative.type("/register talkative secret")
    talkative.expect("Hello, talkative.")
    for end in ends.result():
        assert end.endswith(b"Error: " + TOO_LATE + b"\r\n")
    here.exchange("still here", "here: still here")


# Whoever speaks what is not spoken here (TLS without a certificate, methods that nobody knows), or
# speaks too late, is closed; it is not taken for somebody who guesses passwords, and leaves one
# record in the log at most (Ergo 2239).
@pytest.mark.parametrize(
    ("greeting", "is_late"),
    [(WEBDAV, False), (HTTP_POST, True), (HTTP2, False), (client_hello(), False)],
    ids=["WebDAV", "late POST", "HTTP/2", "TLS"],
)
def test_other_protocols(server, new_name, greeting: bytes, is_late: bool) -> None:
    witness = server.connect().register(new_name("witness"))
    server.expect_logged(f"user={witness.name}")
    before = server.log
    stranger = server.connect()
    if is_late:
        stranger.expect("login: ")
    stranger.send(greeting)
    assert stranger.receive_end()
    witness.expect_nothing_more()
    new_records = server.log.removeprefix(before)
    assert new_records.count("\n") <= 1
    assert "s3cret" not in new_records


# Who says much at once is read more slowly, and loses nothing; others are heard in between.
def test_a_flood_of_messages(start_server) -> None:
    server = start_server(MESSAGE_RATE="10/10")
    talker = server.connect().register("talker").join("room")
    other = server.connect().register("other").join("room")
    flood = [f"{number}" for number in range(20)]
    talker.type(*flood)
    other.expect_lines(f"talker: {flood[0]}")
    other.type("one word, please")
    seen = [other.expect_line() for _ in flood]
    assert "other: one word, please" in seen[:-1]
    seen.remove("other: one word, please")
    assert seen == [f"talker: {each}" for each in flood[1:]]


def ask_soon() -> None:
    """Let a process ask who is silent once, for a second; see tests/kit/prepared.py."""
    from app.net import listener

    listener.KEEPALIVE_PROBE_SECONDS, listener.KEEPALIVE_PROBES = 1, 1


# Whose network is gone, without a word, is gone some time, and the others are told: from a room
# where nobody speaks, and from one that talks, where the kernel waits for what it sent to arrive
# and asks nothing. Who is silent, and there, stays.
@pytest.mark.skipif(sys.platform != "linux", reason="what arrives is dropped with Linux's filters")
def test_who_is_gone_without_a_word(start_server) -> None:
    server = start_server(KEEPALIVE_SECONDS=1, prepared_by=name_of(ask_soon))
    witnesses, leavers = [], []
    for room in ("silent", "talking"):
        witnesses.append(server.connect().register(f"here-{room}").join(room))
        leavers.append(server.connect().register(f"gone-{room}").join(room))
        witnesses[-1].expect_lines(f"{leavers[-1].name} has joined the room.")
    for leaver in leavers:
        leaver.catch_up()
        leaver.lose_network()
    silent, talking = witnesses
    talking.exchange("hello?", "here-talking: hello?", "gone-talking has disconnected.")
    silent.expect_lines("gone-silent has disconnected.")
    for each in witnesses:
        each.expect_nothing_more()


# After how long that is, is a setting: the silence, and all questions after it.
@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="elsewhere the system decides")
def test_keepalive() -> None:
    listener = listen("127.0.0.1:0", keepalive_seconds=7)
    with closing(listener), socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with closing(accepted):
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 67_000


# Who hangs up behind a heap of blank lines is gone at once, not when they are read at last.
def test_no_ghosts(start_server) -> None:
    server = start_server(MESSAGE_RATE="10/20")
    here = server.connect().register("here").join("room")
    ghost = server.connect().register("ghost").join("room")
    here.expect_lines("ghost has joined the room.")
    ghost.send(b"\n" * 4000)
    ghost.close()
    here.expect_lines("ghost has disconnected.")


# Who asks for much and reads none of it is cut like others, and gone for all to see.
def test_a_reader_that_stops_in_the_middle_of_an_answer(server, new_name) -> None:
    room = new_name("room")
    talker = server.connect().register(new_name("talker")).join(room)
    talker.type(*(_line(number) for number in range(90)))
    talker.expect(f"{_line(89)}\r\n")
    slow = server.connect(receive_buffer_bytes=4096).register(new_name("slow")).join(room)
    talker.expect_lines(f"{slow.name} has joined the room.")
    slow.type(*["/history 90", "/who"] * 20)  # more than the kernel takes for it
    gone = f"{slow.name} has disconnected."
    for number in range(200):
        talker.type(_line(number))
        if talker.expect_line() == gone:
            return
    raise AssertionError("it is never gone")


# What many ask for and do not read is not kept for them, but for as much as is shown at once.
def test_readers_who_stop_in_the_middle_of_a_long_answer(server, new_name) -> None:
    room, wide = new_name("room"), "\U0001f600" + "x" * 4000  # in memory it is four times as long
    talker = server.program().register(new_name("talker")).join(room)
    talker.say(*[wide] * 700)
    readers = []
    grown = server.watch_memory()
    for _ in range(20):
        reader = server.program(receive_buffer_bytes=4096).register(new_name("reader")).join(room)
        for _ in range(20):  # more than the kernel takes for it
            reader.ask("history", count=1000)
        readers.append(reader)
    for reader in readers:
        reader.receive_through(b'"messages":')
    assert grown() < len(readers) * 8 * REPLAY_BYTES_MAX
