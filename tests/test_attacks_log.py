"""The log tells what happened, a record a line, and nothing of what people say or keep secret."""

import json

import pytest
import structlog

from app import log
from app.settings import LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX, LOG_RECORDS_A_MINUTE_MAX

SECRET = "hunter2"
SPOKEN = "swordfish"


def _talk(server) -> None:
    """Say and type everything that is nobody's business, also where it does not belong."""
    alice = server.connect().register("alice", f"{SECRET}-1")
    alice.type(f"/passwd {SECRET}-1 {SECRET}-2", f"/passwd {SECRET}-1 {SECRET}-2")
    alice.type("/passwd", f"{SECRET}-2", f"{SECRET}-3")
    alice.receive_through(b"Your password is changed.\r\n")
    alice.receive_through(b"Your password is changed.\r\n")
    bob = server.connect().register("bob", f"{SECRET}-4").join("room")
    alice.join("room")
    for typed in (f"{SPOKEN}", f"/me {SPOKEN}", f"/msg alice {SPOKEN}", f"/topic {SPOKEN}"):
        bob.type(typed)
    for typed in (f"/away {SPOKEN}", f"/mute alice 1m {SPOKEN}", f"/kick alice {SPOKEN}"):
        bob.type(typed)
    for typed in (f"/{SPOKEN}", f"/history {SPOKEN}", f"/join {SPOKEN}!", f"/ban alice {SPOKEN}"):
        bob.type(typed)
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


# A record is one line of plain text, whatever it is about (CVE-2017-9868).
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_record_is_one_line(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    log.configure(log_format)
    try:
        structlog.get_logger().info("came", user="bob\n2026 [info] root came", why="\x1b[2J\x9b")
    finally:
        structlog.reset_defaults()
    written = capsys.readouterr().err
    assert written.endswith("\n")
    assert written.removesuffix("\n").isprintable()
    if log_format == "json":
        assert json.loads(written)["user"].startswith("bob\n")


def _fail(sentence: str) -> None:
    raise ValueError(sentence)


# So is what is written of an exception, but for its lines.
@pytest.mark.parametrize("log_format", ["console", "json"])
def test_an_exception_is_plain_text(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    log.configure(log_format)
    try:
        _fail("\x1b[2J\x9b\r")
    except ValueError:
        structlog.get_logger().exception("failed")
    finally:
        structlog.reset_defaults()
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
    assert written.write("2001:db8::1", "registered") == {
        "event": "registered",
        "address": "2001:db8::1",
    }
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
        stranger = server.connect()
        stranger.send(b"GET / HTTP/9.9\r\n\r\n")
        assert stranger.receive_end().startswith(b"HTTP/1.1 400 ")
    assert server.log.count("bad http request") == LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX
