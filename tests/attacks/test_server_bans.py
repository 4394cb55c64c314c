"""Getting around a ban from the whole server: every way in is shut at once, and stays so."""

import json
import re
from contextlib import closing
from functools import partial

import pytest

from app.bounds import FILE_CHUNK_BYTES
from tests.kit.client import SilentClient, at_once, wait_until
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import ask_url, begin_put, begun_files, request, send_raw, share, status_of

SERVER_SETTINGS = {"DURABILITY": "normal"}  # it commits four times a round
HEALTHZ = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r"  # but for the last LF
BANNED = "you are banned from this server (go away)"
ADDRESS_BANNED = r"your address is banned from this server until \d{4}-\d\d-\d\d \d\d:\d\d UTC"


@pytest.fixture
def operator(server) -> Program:
    return server.control()


def _login(server: ServerProcess, line: str) -> str:
    """Connect as a person, try to log in, and return the answer."""
    client = server.newcomer()
    client.type(line)
    return client.expect_line()


# Of the banned every session ends, and nothing opens any more: no spelling, no password, no token.
# Who does not know the password is not told. (What was in hand: chat/accounts/test_endings.py.)
def test_every_way_is_shut(server, pair, operator: Program, new_name) -> None:
    alice, bob = pair
    name = bob.name
    outside = server.connect().log_in(name)
    bot = server.program().log_in(name, remember="bot").join(new_name("den"))
    outside.expect_nothing_more()

    sentence = operator.call("server.ban", target=name.upper(), reason="go away")["sentence"]
    assert sentence == f"{name} is banned from this server for good; 3 sessions ended."
    for session in (bob, outside):
        assert session.expect_end() == f"Error: {BANNED}\r\n"
    assert json.loads(bot.receive_end())["error"] == "banned"
    alice.expect_lines(f"{name} has disconnected.")

    for spelling in (name, name.upper(), name.replace("r", "\uff52")):
        assert _login(server, f"/login {spelling} secret") == f"Error: {BANNED}"
    wrong = _login(server, f"/login {name} guess")
    assert wrong == _login(server, f"/login {new_name('nobody')} guess")
    assert server.program().refused("login", token=bot.token) == "login_refused"
    assert server.program().refused("login", name=name, password="secret") == "banned"
    alice.exchange(f"/msg {name} come back", f"[private to {name}] come back")
    alice.expect_nothing_more()

    server.restart()
    assert _login(server, f"/login {name} secret") == f"Error: {BANNED}"
    server.operate("server.unban", target=name)
    assert server.program().refused("login", token=bot.token) == "login_refused"
    server.program().log_in(name)


# Of a banned prefix every connection ends, whatever it speaks and however far it came; and whoever
# comes is told so in their own words, and disconnected.
def test_a_network_is_shut(server, operator: Program, new_name) -> None:
    there = "127.0.0.7"
    person = server.connect(source=there).register(new_name("person"))
    bot = server.program(source=there).register(new_name("bot"))
    silent = server.newcomer(source=there)
    visitor = server.connect(source=there)
    visitor.type(HEALTHZ)
    visitor.expect("ok\n")
    begun = server.connect(source=there)
    begun.type("PUT /f/x HTTP/1.1\r\nHost: localhost\r")
    neighbour = server.connect(source="127.0.0.8").register(new_name("neighbour"))
    with closing(SilentClient(server.port, source=there)) as newcomer:  # is being looked at
        operator.call("server.ban", target="127.0.0.6/31", seconds=3600)
        for session in (person, silent, newcomer):
            assert re.search(rf"(^|\n)Error: {ADDRESS_BANNED}\r\n$", session.expect_end())
    assert json.loads(bot.receive_end())["error"] == "banned"
    for connection in (visitor, begun):
        assert connection.receive_end() == b""
    neighbour.expect_nothing_more()

    late = server.connect(source=there)
    late.greet()
    assert re.fullmatch(rf"Error: {ADDRESS_BANNED}\r\n", late.expect_end())
    answer = json.loads(send_raw(server, b'{"id": 1, "op": "ping"}\n', source=there))
    assert (answer["id"], answer["error"]) == (None, "banned")
    answer = send_raw(server, f"{HEALTHZ}\n".encode(), source="127.0.0.6").decode()
    head, _, text = answer.partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 403 Forbidden\r\n")
    assert re.fullmatch(rf"{ADDRESS_BANNED}\n", text)

    operator.call("server.unban", target="127.0.0.6/31")
    server.connect(source=there).log_in(person.name)


# Who is muted shares no file either that they were just about to share, with nobody.
def test_a_mute_takes_files_back(server, pair, operator: Program) -> None:
    alice, bob = pair
    number = share(server, alice, "a.txt", b"secret")
    bob.expect_line(".* shares .*")
    fetch, bring = ask_url(bob, f"/get {number}"), ask_url(bob, f"/send b.txt to {alice.name}")
    coming = begin_put(server, ask_url(bob, "/send c.txt"), FILE_CHUNK_BYTES + 1, b"x")
    wait_until(lambda: begun_files(server) == 1, "it has begun")
    operator.call("server.mute", target=bob.name)
    bob.expect_lines("You are muted on this server.")
    coming.sendall(b"x" * FILE_CHUNK_BYTES)
    assert status_of(coming) == 403
    assert request(server, "PUT", bring, b"x").status == 404
    assert request(server, "GET", fetch).body == b"secret"
    alice.expect_nothing_more()


# Banned at the very moment in which they log in, enter and speak, somebody is sent away or not let
# in; and what is said in the room once the ban is told comes after all that is seen of them.
def test_ban_and_login(server, operator: Program, new_name, rounds) -> None:
    witness = server.program().register(new_name("witness")).join(new_name("room"))
    name = new_name("guest")
    bot = server.program().register(name, remember="bot")
    bot.close()
    asked = [
        {"op": "login", "token": bot.token},
        {"op": "join", "room": witness.room},
        *({"op": "say", "body": f"word {number}"} for number in range(3)),
        {"op": "quit"},
    ]
    lines = [json.dumps({"id": number, **each}) for number, each in enumerate(asked)]
    for _ in range(rounds):
        guest = server.program()
        guest.call("ping")  # so that it is no person, however late it is
        at_once(partial(operator.call, "server.ban", target=name), partial(guest.type, *lines))
        witness.say("they are banned")
        *seen, last = [line["event"] for line in witness.catch_up()]
        guest.receive_end()
        witness.expect_nothing_more()
        assert last == "message"
        assert not seen or seen == ["joined", *["message"] * (len(seen) - 2), "disconnected"]
        assert operator.refused("server.kick", target=name) == "not_here"
        operator.call("server.unban", target=name)
        guest.close()
