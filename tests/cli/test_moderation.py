"""manage.py kick, ban, mute and what undoes them: in a room or on the whole server."""

import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing

from click.testing import Result

from tests.kit.server_process import ServerProcess

Run = Callable[..., Result]


def _said(result: Result) -> str:
    """Return the line in which a command says that it has done its work."""
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.removesuffix("\n")


def _refused(result: Result) -> str:
    """Return the line in which a command says why it has not done its work."""
    assert (result.exit_code, result.stdout) == (1, "")
    return result.stderr.removeprefix("Error: ").removesuffix("\n")


# Whom the operator bans or mutes on the whole server is on the list, with why and until when.
def test_the_whole_server(run: Run, new_name) -> None:
    name = new_name("bob")
    run("createuser", name, "--password", "secret")
    everywhere = "from this server"
    assert _said(run("ban", name.upper(), "2h", "too", "loud")) == (
        f"{name} is banned {everywhere} for 2h; 0 sessions ended."
    )
    assert _said(run("ban", "2001:db8::1")) == (
        f"2001:db8::/64 is banned {everywhere} for good; 0 sessions ended."
    )
    assert _said(run("mute", "203.0.113.9/24", "caps")) == (
        "203.0.113.0/24 is muted on this server for good."
    )
    rows = [line.split("\t") for line in _said(run("bans")).split("\n")]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", rows[1].pop(2))
    assert rows == [
        ["2001:db8::/64", "banned", "for good", "(operator)", ""],
        [name, "banned", "(operator)", "too loud"],
        ["203.0.113.0/24", "muted", "for good", "(operator)", "caps"],
    ]
    listed = [json.loads(line) for line in _said(run("bans", "--json")).split("\n")]
    banned = [each["user"] or each["network"] for each in listed if each["kind"] == "ban"]
    assert banned == ["2001:db8::/64", name]
    assert _refused(run("kick", name)) == f"there is no session of {name}"
    assert _said(run("unban", name)) == f"{name} may come to this server again."
    assert _refused(run("unban", name)) == f"there is no ban on {name}"
    run("unban", "2001:db8::2")
    assert _said(run("unmute", "203.0.113.0/24")) == (
        "203.0.113.0/24 may speak on this server again."
    )
    assert _said(run("bans")) == ""
    acts = [line.split("\t")[1:] for line in _said(run("audit", "--user", name)).split("\n")]
    assert acts[1:] == [
        ["(operator)", "server ban", name, "", "too loud"],
        ["(operator)", "server unban", name, "", ""],
    ]


# What can't be done is refused in one line that says what is wrong.
def test_refusals(run: Run, new_name) -> None:
    for arguments, sentence in (
        (("ban", "nobody"), "there is no user nobody"),
        (("ban", "bob", "9999d"), "9999d is too long or too short; it is from 1s to 3650d"),
        (("ban", "0.0.0.0/0"), "0.0.0.0/0 is too wide; the widest is a /8"),
        (
            ("mute", "2001:db8::/129"),
            "that is no address; write 203.0.113.7, 203.0.113.0/24 or 2001:db8::/48",
        ),
        (("kick", "bob", "--room", "nowhere"), "there is no room nowhere"),
        (("bans", "--room", "nowhere"), "there is no room nowhere"),
        (("ban", "bob", "--room", "no/room"), "a name has letters, digits, _, - and . only"),
    ):
        assert _refused(run(*arguments)) == sentence
    assert run("ban").exit_code == 2
    assert _refused(run("ban", "10.0.0.1", "x" * 201)).startswith("bad reason: ")


# In a room, the operator does what its owner could: those who are there see who it was.
def test_a_room(server: ServerProcess, run_here, new_name) -> None:
    room = new_name("room")
    alice = server.connect().register(new_name("alice")).join(room)
    bob = server.connect().register(new_name("bob")).join(room)
    alice.expect_lines(f"{bob.name} has joined the room.")

    def run(*arguments: str) -> str:
        return _said(run_here(server.folder, *arguments, "--room", room))

    assert run("mute", bob.name, "30m", "caps") == f"{bob.name} was muted in {room} for 30m."
    for client in (alice, bob):
        client.expect_lines(f"{bob.name} was muted by (operator) for 30m (caps).")
    assert run("unmute", bob.name) == f"{bob.name} was unmuted in {room}."
    for client in (alice, bob):
        client.expect_lines(f"{bob.name} was unmuted by (operator).")
    assert run("kick", bob.name, "so", "long") == f"{bob.name} was kicked from {room}."
    bob.expect_lines(f"You were kicked from {room} by (operator) (so long).")
    alice.expect_lines(f"{bob.name} was kicked by (operator) (so long).")
    assert run("ban", alice.name) == f"{alice.name} was banned from {room} for good."
    alice.expect_lines(f"You were banned from {room} by (operator) for good.")
    assert run("bans") == f"{alice.name}\tbanned\tfor good\t(operator)\t"
    assert run("unban", alice.name) == f"{alice.name} was unbanned from {room}."
    assert run("bans") == ""
    alice.join(room)


# A reason with a word that begins with a dash, or that has a span further on, is a reason.
def test_reasons(run: Run, new_name) -> None:
    name = new_name("bob")
    run("createuser", name, "--password", "secret")
    run("mute", name, "--", "-caps", "2h")
    assert _said(run("bans")).endswith("\tfor good\t(operator)\t-caps 2h")
    run("unmute", name)


# A user whose name begins with a dash, from before that was refused, can still be managed.
def test_names_like_options(server: ServerProcess, run_here) -> None:
    refused = run_here(server.folder, "createuser", "--password", "secret", "--", "--help")
    assert _refused(refused) == "a name begins with a letter, a digit or _"
    with closing(sqlite3.connect(server.folder / "var" / "greenroom.db")) as connection, connection:
        for name in ("--help", "-dash", ".."):
            connection.execute(
                "INSERT INTO users (name, key, skeleton, password_hash, is_admin, is_disabled,"
                " private_seen_id, created_at) VALUES (?, ?, ?, 'x', 0, 0, 0, 0)",
                (name, name, name),
            )
    for name in ("--help", "-dash", ".."):
        said = _said(run_here(server.folder, "ban", "--", name, "2h"))
        assert said == f"{name} is banned from this server for 2h; 0 sessions ended."
        said = _said(run_here(server.folder, "users", "disable", "--", name))
        assert said.startswith(name)
        _said(run_here(server.folder, "unban", "--", name))
