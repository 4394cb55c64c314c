"""The log tells what happened, a record a line, and nothing of what people say or keep secret."""

import fcntl
import json
import os
import signal
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import structlog

from app import log
from app.bounds import LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX, LOG_RECORDS_A_MINUTE_MAX
from tests.kit.client import wait_until
from tests.kit.server_process import run_to_end
from tests.kit.transfers import send_raw

SECRET = "hunter2"
SPOKEN = "swordfish"


def _talk(server) -> None:
    """Say and type everything that is nobody's business, also where it does not belong."""
    alice = server.connect().register("alice", f"{SECRET}-1")
    alice.type(*[f"/passwd {SECRET}-1 {SECRET}-2"] * 2, "/passwd", f"{SECRET}-2", f"{SECRET}-3")
    for _ in range(2):
        alice.receive_through(b"Your password is changed.\r\n")
    bob = server.connect().register("bob", f"{SECRET}-4").join("room")
    alice.join("room")
    for typed in (
        *("{}", "/me {}", "/msg alice {}", "/topic {}", "/away {}", "/mute alice 1m {}"),
        *("/kick alice {}", "/{}", "/history {}", "/join {}!", "/ban alice {}"),
    ):
        bob.type(typed.format(SPOKEN))
    bob.catch_up()
    guesser = server.connect()
    for typed in (f"/login alice {SECRET}", "alice", f"{SECRET}-5", f"{SECRET}-3", f"{SECRET}-6"):
        guesser.type(typed)
    guesser.receive_end()


# Neither a word of anybody nor a password is in the log: not when all goes well, not when a login
# fails, not when the database breaks.
def test_nothing_private_is_logged(start_server) -> None:
    server = start_server()
    _talk(server)
    carol = server.connect().register("carol", f"{SECRET}-7").join("other")
    with server.database() as database:
        database.execute("DROP TABLE messages")
        database.execute("DROP TABLE moderators")
    for typed in (SPOKEN, f"/msg bob {SPOKEN}", f"/topic {SPOKEN}", "/history", "/promote bob"):
        carol.type(typed)
    carol.catch_up()
    assert server.stop() == 0
    for what in ("registered", "login failed", "not stored"):
        assert what in server.log
    assert SECRET not in server.log
    assert SPOKEN not in server.log


every_format = pytest.mark.parametrize("log_format", ["console", "json"])


@contextmanager
def _logging(log_format: str) -> Iterator[structlog.stdlib.BoundLogger]:
    log.configure(log_format)
    try:
        yield structlog.get_logger()
    finally:
        structlog.reset_defaults()


# A record is one line of plain text, whatever it is about (CVE-2017-9868).
@every_format
def test_a_record_is_one_line(capsys, log_format: str) -> None:
    with _logging(log_format) as logger:
        logger.info("came", user="bob\n2026 [info] root came", why="\x1b[2J\x9b")
    written = capsys.readouterr().err
    assert written.endswith("\n")
    assert written.removesuffix("\n").isprintable()
    if log_format == "json":
        assert json.loads(written)["user"].startswith("bob\n")


# So is what is written of an exception, but for its lines.
@every_format
def test_an_exception_is_plain_text(capsys, log_format: str) -> None:
    with _logging(log_format) as logger:
        try:
            int("\x1b[2J\x9b\r")
        except ValueError as error:
            error.args = ("\x1b[2J\x9b\r",)
            logger.exception("failed")
    written = capsys.readouterr().err
    assert "ValueError" in written
    assert written.replace("\n", "").isprintable()


class _Log:
    """What is written of failed logins. Time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self._thinner = log.Thinner(lambda: self.now)

    def write(self, address: str = "", event: str = "login failed") -> dict[str, object] | None:
        record = {"event": event} | ({"address": address} if address else {})
        try:
            return self._thinner(None, "info", record)
        except structlog.DropEvent:
            return None


# What one address does again and again is written so many times a minute, and then counted; what
# others do is written all the while; what comes from nobody, as often as from all together.
def test_one_address_cant_fill_the_log() -> None:
    written = _Log()
    for _ in range(LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX):
        assert written.write("2001:db8::1")
    for number in range(1000):
        assert written.write(f"2001:db8::{number}") is None
    another = {"event": "registered", "address": "2001:db8::1"}
    assert written.write("2001:db8::1", "registered") == another
    for _ in range(LOG_RECORDS_A_MINUTE_MAX):
        assert written.write(event="not stored")
    assert written.write(event="not stored") is None
    written.now = 60
    assert written.write("2001:db8::1")["unwritten"] == 1000
    assert "unwritten" not in written.write("2001:db8::1")


# Nor can many addresses together.
def test_many_addresses_cant_fill_the_log() -> None:
    written, count = _Log(), 2 * LOG_RECORDS_A_MINUTE_MAX
    lines = [written.write(f"192.0.{number // 256}.{number % 256}") for number in range(count)]
    assert sum(line is not None for line in lines) == LOG_RECORDS_A_MINUTE_MAX
    written.now = 60
    assert written.write("192.0.2.1")["unwritten"] == count - LOG_RECORDS_A_MINUTE_MAX


# A flood leaves as much in a server's log as that.
def test_a_flood_leaves_few_records(start_server) -> None:
    server = start_server()
    for _ in range(LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX + 20):
        assert send_raw(server, b"GET / HTTP/9.9\r\n\r\n").startswith(b"HTTP/1.1 400 ")
    assert server.stop() == 0  # its log is complete
    assert server.log.count("bad http request") == LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX


def _fill(descriptor: int) -> None:
    """Write into a pipe until it takes no more."""
    os.set_blocking(descriptor, False)
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x" * 4096)
    os.set_blocking(descriptor, True)


@pytest.fixture
def full_pipe(tmp_path) -> Iterator[Path]:
    """A pipe by name that is full, and that nobody reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    end = os.open(path, os.O_RDWR)
    _fill(end)
    yield path
    os.close(end)


@pytest.fixture
def stopped_terminal() -> Iterator[Path]:
    """A terminal in which Ctrl-S was typed."""
    ours, theirs = os.openpty()
    termios.tcflow(theirs, termios.TCOOFF)
    yield Path(os.ttyname(theirs))
    termios.tcflow(theirs, termios.TCOON)
    os.close(theirs)
    os.close(ours)


# Nobody waits for the log: not while its reader reads nothing, nor when it can't be written at all.
# The server starts, serves, and ends.
@pytest.mark.parametrize("where", ["full_pipe", "stopped_terminal", "full disk", "closed"])
def test_a_log_that_cant_be_written(start_server, request, where: str) -> None:
    if where == "closed":
        server = start_server(redirected="2>&-")
    else:
        path = Path("/dev/full") if where == "full disk" else request.getfixturevalue(where)
        server = start_server(error_path=path)
    alice = server.connect().register("alice", SECRET).join("room")
    assert server.program().refused("login", name="alice", password="wrong") == "login_refused"
    alice.exchange("hello", "alice: hello")
    assert server.stop() == 0


# When it is read again, what waited is there, and then what happens.
def test_a_log_that_is_read_again(start_server, full_pipe: Path) -> None:
    server = start_server(error_path=full_pipe)
    server.connect().register("alice", SECRET)
    reader, read = os.open(full_pipe, os.O_RDONLY | os.O_NONBLOCK), b""

    def has_come(event: bytes) -> bool:
        nonlocal read
        with suppress(BlockingIOError):
            read += os.read(reader, 1 << 16)
        return event in read

    wait_until(lambda: has_come(b"registered"), "what waited is read")
    assert server.stop() == 0
    wait_until(lambda: has_come(b"stopped"), "the last record is read")
    os.close(reader)


# Beyond a bound it is dropped and counted. When it is read again, what had waited is whole, and one
# record says how many are missing before what comes then.
def test_records_that_are_dropped(monkeypatch) -> None:
    monkeypatch.setattr(log, "LOG_BYTES_WAITING_MAX", 100)
    before = log.metrics.LOG_RECORDS_DROPPED._value.get()
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    _fill(write_end)
    relay = log.Relay(write_end)
    with structlog.testing.capture_logs() as records:
        for number in range(15):
            relay.write(b"record %02d\n" % number)
        assert log.metrics.LOG_RECORDS_DROPPED._value.get() - before == 5
        read = b""
        while b"record 09" not in read:
            read += os.read(read_end, 1 << 16)
        wait_until(lambda: records, "it is told")
        relay.write(b"afterwards\n")
        relay.finish(time.monotonic() + 10)
        read += os.read(read_end, 1 << 16)
    waited = "".join(f"record {number:02}\n" for number in range(10))
    assert read.lstrip(b"x").decode() == f"{waited}afterwards\n"
    (record,) = records
    assert (record["event"], record["count"]) == ("records of the log were dropped", 5)


_LAST_WORDS = {
    "gevent": "gevent.spawn(fail).join()",
    "a thread": "(t := threading.Thread(target=fail)).start(); t.join()",
    "a warning": "warnings.warn('x' * 99)",
    "print": "print('x' * 99, file=sys.stderr); print('x' * 99)",
    "a loss": "type('Lost', (), {'__del__': lambda _: fail()})()",
    "the end": "fail()",
    "a crash": "os.kill(os.getpid(), signal.SIGSEGV)",
}
_PROGRAM = """
import faulthandler, os, signal, sys, threading, warnings
import gevent
from app.log import wait_for_nobody
faulthandler.enable()
wait_for_nobody()
def fail():
    raise RuntimeError("x" * 99)
"""


# Nobody else who writes there, or to standard output, waits either: not gevent and not Python with
# their tracebacks and warnings, not even in a crash.
@pytest.mark.parametrize("words", _LAST_WORDS)
def test_other_words(full_pipe: Path, words: str) -> None:
    with full_pipe.open("r+b", buffering=0) as end:
        command = [sys.executable, "-c", f"{_PROGRAM}{_LAST_WORDS[words]}"]
        code = run_to_end(command, stdout=end, stderr=end).returncode
    assert code == {"a crash": -signal.SIGSEGV, "the end": 1}.get(words, 0)
