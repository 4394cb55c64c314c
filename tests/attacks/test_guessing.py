"""Guessing passwords: a few a minute, whoever guesses, from wherever, and however many at once."""

from functools import partial

from tests.kit.client import at_once
from tests.kit.server_process import ServerProcess

SERVER_SETTINGS = {"LOGIN_ATTEMPTS": 3}  # that fail, a minute, for each account and each address
WRONG = "Error: wrong name or password"
MINE = "correct horse"


def _make_accounts(server: ServerProcess, *names: str) -> None:
    for name in names:
        server.connect(source="127.0.0.9").register(name, MINE).close()


# After so many failures an account is closed to guesses from everywhere, and an address to guesses
# at every account, also when the guess is right; others log in as ever.
def test_guesses_are_slowed_down(server) -> None:
    _make_accounts(server, "alice", "bob")
    guesser = server.newcomer()
    for _ in range(3):
        guesser.type("/login alice guess")
    guesser.expect_end()
    for name, source in (("ALICE", "127.0.0.2"), ("alice", "127.0.0.1"), ("bob", "127.0.0.1")):
        client = server.newcomer(source=source)
        client.type(f"/login {name} {MINE}")
        client.expect_line(r"Error: too many failed logins; wait \d+ seconds and try again")
    server.connect(source="127.0.0.2").log_in("bob", MINE)


# Guessing on many connections at the same time gets no more guesses than one after the other.
def test_guesses_at_once_are_slowed_down(server) -> None:
    _make_accounts(server, "carol")
    sources = [f"127.0.0.{number}" for number in range(10, 30)]
    guessers = [server.newcomer(source=source) for source in sources]
    at_once(*(partial(client.type, "/login carol guess") for client in guessers))
    answers = [client.expect_line("Error: .*") for client in guessers]
    assert answers.count(WRONG) == 3


# Nor is a session that somebody left open a way around it: /passwd asks for the old password.
def test_guesses_in_an_open_session_are_slowed_down(server) -> None:
    session = server.connect(source="127.0.0.40").register("dave", MINE)
    guessers = [server.newcomer(source=f"127.0.0.{number}") for number in range(41, 44)]
    for guesser in guessers:
        guesser.exchange("/login dave guess", WRONG)
    session.type(f"/passwd {MINE.split()[0]} guess")
    session.expect_line("Error: too many failed logins; wait .*")


# What is refused counts as well, whatever was wrong: a name, a password, a name that is taken.
def test_refused_registrations_are_slowed_down(server) -> None:
    _make_accounts(server, "erin")
    lines = ("/register -x y", "/register Error y", "/register frank \x01", "/register erin y")
    for source, line in enumerate(lines, 50):
        client = server.newcomer(source=f"127.0.0.{source}")
        for _ in range(3):
            client.type(line)
            client.expect_line(r"(login: )*Error: (?!too many).*")
        for again in (line, f"/login erin {MINE}"):
            client.type(again)
            client.expect_line(r"(login: )*Error: too many failed logins; wait \d+ seconds.*")
