"""The log tells what happened, a record a line, and nothing of what people say or keep secret."""

import json

import pytest
import structlog

from app import log

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
