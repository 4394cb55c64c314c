"""What ends with a ban, a disabled account and a new password: all that the account had in hand."""

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest

from app.bounds import FILE_CHUNK_BYTES
from tests.kit.client import wait_until
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import (
    ask_url,
    begin_get,
    begin_put,
    begun_files,
    request,
    share,
    status_of,
)

SERVER_SETTINGS = {"DURABILITY": "normal"}


def _passwd(server: ServerProcess, name: str) -> None:
    """Change a password as its user does, who goes on in the session that asked."""
    own = server.program().log_in(name)
    own.call("passwd", old="secret", new="other")
    assert [each["is_this"] for each in own.call("sessions")["sessions"]] == [True]


class _Ending(NamedTuple):
    """An act that ends what an account may, and what its sessions are told."""

    act: Callable[[ServerProcess, str], object]
    code: str
    undo: Callable[[ServerProcess, str], object] | None


def _operator(op: str, **fields: object) -> Callable[[ServerProcess, str], object]:
    field = "target" if op.startswith("server.") else "user"
    return lambda server, name: server.operate(op, **{field: name}, **fields)


UNBAN, BACK = _operator("server.unban"), _operator("user.password", password="secret")
ENDINGS = {
    "ban": _Ending(_operator("server.ban"), "banned", UNBAN),
    "timed ban": _Ending(_operator("server.ban", seconds=3600), "banned", UNBAN),
    "disable": _Ending(_operator("user.disable"), "disabled", _operator("user.enable")),
    "new password": _Ending(_operator("user.password", password="other"), "login_required", BACK),
    "own new password": _Ending(_passwd, "login_required", BACK),
    "deleted": _Ending(_operator("user.delete"), "deleted", None),
}
every_ending = pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)


# Addresses of files are good no more, uploads that are under way are shown to nobody, all sessions
# are told why they end, and no token logs in: not when the account may log in again either.
@every_ending
def test_all_that_was_in_hand(server: ServerProcess, pair, new_name, ending: _Ending) -> None:
    alice, bob = pair
    number = share(server, alice, "a.txt", b"secret")
    bob.expect_line(".* shares .*")
    bot = server.program()
    token = bot.call("login", name=bob.name, password="secret", remember="bot")["token"]
    bot.join(new_name("den"))
    fetch, bring = ask_url(bob, f"/get {number}"), ask_url(bob, "/send b.txt")
    coming = [
        begin_put(server, ask_url(bob, f"/send c.txt{recipient}"), FILE_CHUNK_BYTES + 1, b"x")
        for recipient in ("", f" to {alice.name}")
    ]
    wait_until(lambda: begun_files(server) == len(coming), "they have begun")

    ending.act(server, bob.name)
    assert bob.expect_end().startswith("Error: you")
    assert json.loads(bot.receive_end())["error"] == ending.code
    alice.expect_lines(f"{bob.name} has disconnected.")
    for each in coming:
        each.sendall(b"x" * FILE_CHUNK_BYTES)
        assert status_of(each) == 403
    for method, url in (("GET", fetch), ("HEAD", fetch), ("PUT", bring)):
        assert request(server, method, url, b"" if method == "PUT" else None).status == 404
    assert server.program().refused("login", token=token) == "login_refused"

    if ending.undo is None:
        return
    ending.undo(server, bob.name)
    assert server.program().refused("login", token=token) == "login_refused"
    assert request(server, "GET", fetch).status == 404
    back = server.program().log_in(bob.name)
    assert back.call("tokens")["tokens"] == []
    alice.expect_nothing_more()


# A file that is being fetched breaks off.
@every_ending
def test_a_file_on_its_way_out(server: ServerProcess, pair, ending: _Ending) -> None:
    alice, bob = pair
    size = 8 << 20
    number = share(server, alice, "large.bin", b"x" * size)
    bob.expect_line(".* shares .*")
    with begin_get(server, ask_url(bob, f"/get {number}")) as fetching:
        ending.act(server, bob.name)
        bob.expect_end()
        assert len(fetching.read()) < size


# Who only had a kick, or came from a network that is shut out, keeps what logs in from elsewhere.
@pytest.mark.parametrize("op", ["server.kick", "server.ban"])
def test_what_a_kick_and_a_banned_network_leave(server: ServerProcess, new_name, op: str) -> None:
    there = "127.0.0.9"
    bob = server.program(source=there)
    token = bob.call("register", name=new_name("bob"), password="secret", remember="x")["token"]
    server.operate(op, target=there)
    bob.receive_end()
    assert server.program().call("login", token=token)["ok"]
    if op == "server.ban":
        server.operate("server.unban", target=there)
