"""Getting in as somebody else: odd passwords, guessing, acting before login, look-alike names."""

import re
from dataclasses import fields
from itertools import chain
from typing import get_type_hints

import pytest

from app.chat.accounts import passwords
from app.protocol import COMMANDS
from app.protocol.command import Command, Level, Shape
from tests.kit.client import Client
from tests.kit.fakes import FakeClient
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import request

WRONG = "Error: wrong name or password"
MINE = "correct horse"  # a password that nobody types by chance

GARBAGE_HASHES = (
    *("", "correct horse", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$!!!$!!!"),
    "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ",
    "$argon2id$v=999$m=8,t=1,p=1$c29tZXNhbHQ$YWFhYWFhYWFhYWFhYWFhYQ",
    *("$2b$12$" + "a" * 53, "\x00", b"\xff\xfe", "x" * 1_000_000),
)
every_lookalike = pytest.mark.parametrize("name", ["alice", "strasse", "bób", "ace", "ismail"])


# A password may be long and strange; whoever sets it logs in with it.
@pytest.mark.parametrize("password", ["x" * 1024, "pass  wörd \N{HOT BEVERAGE}", "/quit"], ids=len)
def test_strange_passwords(server, new_name, password: str) -> None:
    name = new_name("strange")
    server.connect().register(name, password)
    server.connect().log_in(name, password)


# It is not endless, and has no control characters; refused as a new one, it is wrong as an old one.
@pytest.mark.parametrize(
    ("answer", "password"),
    [
        *(("a password has at most 1024 bytes", "x" * size) for size in (1025, 4000)),
        ("a password has at most 1024 bytes", "\N{HOT BEVERAGE}" * 342),
        ("a password is not empty and has no control characters", "bel\abel"),
        ("a password is not empty and has no control characters", "\x1b[2J"),
        ("a line has at most 4096 bytes; yours was not used", "x" * (1 << 20)),
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_impossible_passwords(server, new_name, password: str, answer: str) -> None:
    name, client = new_name("odd"), server.newcomer()
    client.exchange(f"/register {name} {password}", f"Error: {answer}")
    client.register(name, MINE)
    told = f"Error: {answer}" if len(password) > 4096 else WRONG
    server.newcomer().exchange(f"/login {name} {password}", told)


# An odd password at the prompt is as wrong as any other, and the right one works after it.
@pytest.mark.parametrize(
    "password", ["x" * 4000, "nul\0nul", "\x1b[2J", "", " "], ids=lambda value: ascii(value)[:20]
)
def test_odd_passwords_at_the_prompt(server, new_name, password: str) -> None:
    name = new_name("odd")
    server.connect().register(name, MINE)
    client = server.newcomer()
    for typed, answer in ((password, WRONG.encode()), (MINE, b"Hello, ")):
        client.type(name, typed)
        client.receive_through(b"\xff\xfb\x01password: ")
        client.receive_through(b"\xff\xfc\x01\r\n" + answer)


# Whatever stands in the database in place of a hash, nobody gets in with it, and nothing breaks.
def test_garbage_in_place_of_a_hash(server, new_name) -> None:
    name, other = new_name("broken"), new_name("whole")
    for each in (name, other):
        server.connect().register(each, MINE)
    for garbage in GARBAGE_HASHES:
        with server.database() as database:
            change = "UPDATE users SET password_hash = ? WHERE name = ?"
            assert database.execute(change, (garbage, name)).rowcount == 1
        client = server.newcomer()
        client.exchange(f"/login {name} {MINE}", WRONG)
        client.log_in(other, MINE).close()
    assert "Traceback" not in server.log


def _guess(server: ServerProcess, name: str) -> bytes:
    """Return all that somebody sees who guesses passwords until they are thrown out."""
    client = server.connect()
    client.type(
        f"/login {name} guess-1", f"/login {name}", "guess-2", f"/login {name} \x01", "/rooms"
    )
    return client.receive_end()


# A name that nobody has is refused as one that somebody has, to the letter (CVE-2018-15473).
def test_guessing_who_exists(server, run_here, new_name) -> None:
    known, disabled = new_name("known"), new_name("disabled")
    for name in (known, disabled):
        server.connect().register(name, MINE)
    assert run_here(server.folder, "users", "disable", disabled).exit_code == 0
    answer = _guess(server, known)
    assert answer.count(WRONG.encode()) == 3
    for name in (disabled, known.upper(), new_name("unknown"), "b@d", "бob", "x" * 33, "\x1b[2J"):
        assert _guess(server, name) == answer


# ... and in the same time: a name that nobody has, a broken hash and an impossible password cost
# one hash each, like a wrong password.
@pytest.mark.parametrize("stored", [None, "garbage", "$argon2id$v=19$m=8$!", "right"])
def test_every_guess_costs_a_hash(monkeypatch, stored: str | None) -> None:
    hashed, context = [], passwords._context
    stored = context.hash(MINE) if stored == "right" else stored

    class Spy:
        def verify_and_update(self, *arguments: str) -> object:
            answer = context.verify_and_update(*arguments)
            hashed.append("verify")
            return answer

        def dummy_verify(self) -> None:
            hashed.append("dummy")
            context.dummy_verify()

    monkeypatch.setattr(passwords, "_context", Spy())
    hasher, client = passwords.Hasher(waiting_max=1), FakeClient()
    assert hasher.verify(client, "a guess", lambda: stored) == (False, None)
    assert hasher.verify(client, "nul\0nul", lambda: stored) == (False, None)
    hasher.close()
    assert len(hashed) == 2


# Who sends a login and hangs up does not keep others waiting: they are served before it, and that
# there were many makes no difference. All of them are there before the first is looked at.
def test_abandoned_logins(server, new_name) -> None:
    name, count = new_name("real"), 60
    server.connect().register(name, MINE)

    def refused() -> float:
        page = request(server, "GET", "/metrics").body.decode()
        return float(re.search(r'logins_total{result="login_refused"} (\S+)', page)[1])

    before = refused()
    with server.held():
        for _ in range(count):
            client = server.connect()
            client.type(f"/login {name} wrong")
            client.close()
        real = server.connect()
        real.type(f"/login {name} {MINE}")
    real.expect(f"Hello, {name}.")
    assert refused() - before < count / 2


# When too many passwords wait to be checked, whoever comes is told that the server is busy, and may
# try again; those who wait are served.
def test_too_many_logins_at_once(start_server) -> None:
    server = start_server(LOGINS_WAITING_MAX=1)
    server.connect().register("alice", MINE)
    clients = [server.newcomer(source=f"127.0.0.{number}") for number in range(2, 12)]
    with server.held():
        for client in clients:
            client.type(f"/login alice {MINE}")
    answers = [client.expect_line() for client in clients]
    busy = "Error: the server is busy; try again in a minute"
    hello = "Hello, alice. Enter a room with /join ROOM; /rooms shows them, /help the rest."
    assert set(answers) == {busy, hello}
    for client, answer in zip(clients, answers, strict=True):
        if answer == busy:
            client.log_in("alice", MINE)


def _typed(kind: type[Command], name: str) -> str:
    """Return a command as it might be typed, with every argument; names in it are `name`."""
    samples = {"Word": name, "Rest": "text", "Count": "5", "Span": "30m", "End": "end 5"}
    samples |= {"Path": "text", "Addressee": f"to {name}"}
    hints = get_type_hints(kind, include_extras=True)
    parts = chain(*(getattr(hints[field.name], "__metadata__", ()) for field in fields(kind)))
    found = (type(each).__name__ for each in parts if isinstance(each, Shape))
    return " ".join([f"/{kind.word}", *(samples[shape] for shape in found)])


def _expect_nothing_done(pair: tuple[Client, Client]) -> None:
    """Check that nobody saw anything, and that nobody was thrown out, banned, or named for it."""
    writer, reader = pair
    for client in pair:
        client.expect_nothing_more()
    writer.type("/rooms", "/bans")
    seen = writer.catch_up()
    assert not any(reader.name in line for line in seen)


CLOSED = [
    kind for kind in COMMANDS.values() if kind.is_typed and Level.USER <= kind.least <= Level.ADMIN
]


# Before login no command does anything, but those that are for strangers.
def test_every_command_before_login(server, pair) -> None:
    stranger = server.newcomer()
    for kind in CLOSED:
        stranger.exchange(
            _typed(kind, pair[1].name), "Error: log in first: /login NAME, or /register NAME"
        )
        stranger.expect("login: ")
    assert len(CLOSED) > 20
    _expect_nothing_done(pair)
    stranger.close()


# Where a password is asked for, each is a password, and a wrong one.
def test_every_command_for_a_password(server, pair) -> None:
    for kind in CLOSED:
        stranger = server.newcomer()
        stranger.type(pair[1].name, _typed(kind, pair[1].name))
        stranger.receive_through(b"\xff\xfb\x01password: \xff\xfc\x01\r\n")
        stranger.expect_lines(WRONG)
        stranger.expect("login: ")
        stranger.close()
    _expect_nothing_done(pair)


# Who failed to log in is nobody, though everything was typed at once; who did log in stays who
# they are.
def test_no_confusion_of_identities(server, pair, new_name) -> None:
    writer, reader = pair
    intruder = server.newcomer()
    intruder.type(f"/login {writer.name} wrong", f"/msg {reader.name} it is me", "/who")
    intruder.expect_lines(WRONG)
    for _ in range(2):
        intruder.expect("login: Error: log in first: /login NAME, or /register NAME\r\n")
    intruder.expect("login: ")
    intruder.close()
    already = f"Error: you are logged in as {reader.name} already"
    for attempt in (f"/login {writer.name} secret", f"/register {new_name('another')} secret"):
        reader.exchange(attempt, already)
    reader.type("it is me")
    writer.expect_lines(f"{reader.name}: it is me")


# One account however its name is spelled; what only looks like it can't be had.
@every_lookalike
def test_lookalikes_of_users(server, name: str) -> None:
    server.connect().register(name, MINE)
    spellings, lookalikes = LOOKALIKES[name]
    for spelling in spellings:
        client = server.newcomer()
        client.type(f"/register {spelling} secret", f"/login {spelling} {MINE}")
        client.expect_line("Error: the name .* is taken; choose another")
        client.expect(f"login: Hello, {name}. ")
        client.close()
    client = server.newcomer()
    for lookalike in lookalikes:
        client.type(f"/register {lookalike} secret")
        client.expect_line("Error: (the name .* is taken; choose another|a name has .*)")
        client.expect("login: ")
    client.close()


# The same holds for rooms.
@every_lookalike
def test_lookalikes_of_rooms(pair, name: str) -> None:
    writer, reader = pair
    writer.join(name)
    reader.expect_lines(f"{writer.name} has left the room.")
    spellings, lookalikes = LOOKALIKES[name]
    for spelling in spellings:
        reader.type(f"/join {spelling}", "/leave")
        reader.expect(f"Welcome to room {name}!\r\n")
        reader.expect(f"You have left {name}.\r\n")
    for lookalike in lookalikes:
        reader.type(f"/join {lookalike}")
        reader.expect_line("Error: (the name .* looks too much like .*|a name has .*)")


# A name: spellings of it, and what looks like it.
LOOKALIKES = {
    "alice": (
        ["Alice", "ALICE", "\uff41\uff4c\uff49\uff43\uff45", "alice\u00a0", "\u3000alice"],
        ["\u0430lice", "ali\u0441e", "\u0251lice", "alice\u200b", "ali\u00adce", "al\u0456ce"],
    ),
    "strasse": (["Stra\N{LATIN SMALL LETTER SHARP S}e", "STRASSE"], ["stra\u00dfe\u200d"]),
    "bób": (["bo\u0301b", "B\u00d3B", "BO\u0301B"], ["bo\u0301\u0301b", "b\u03ccb"]),
    "ace": ([], ["\u0430\u0441\u0435", "\u0410\u0421\u0415"]),
    "ismail": (["\u0049SMAIL", "\u0130smail"], ["i\u0307smail", "\u0131smail", "\u2170smail"]),
}
