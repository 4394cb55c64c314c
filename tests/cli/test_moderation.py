"""manage.py kick, ban, mute and what undoes them: in a room or on the whole server."""

import json
import re
from collections.abc import Callable

from click.testing import Result

from tests.kit.commands import refused, said
from tests.kit.databases import insert

Run = Callable[..., Result]


# Whom the operator bans or mutes on the whole server is on the list, with why and until when, and
# the same whether a server runs or not. (More: conversations/29-server-bans.txt.)
def test_the_whole_server(run: Run, new_name) -> None:
    name = new_name("bob")
    run("createuser", name, "--password", "secret")
    told = said(run("ban", name.upper(), "2h", "too", "loud"))
    assert told == f"{name} is banned from this server for 2h; 0 sessions ended."
    said(run("ban", "2001:db8::1"))
    told = said(run("mute", "203.0.113.9/24", "caps"))
    assert told == "203.0.113.0/24 is muted on this server for good."
    rows = [line.split("\t") for line in said(run("bans")).split("\n")]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", rows[1].pop(2))
    assert rows == [
        ["2001:db8::/64", "banned", "for good", "(operator)", ""],
        [name, "banned", "(operator)", "too loud"],
        ["203.0.113.0/24", "muted", "for good", "(operator)", "caps"],
    ]
    listed = [json.loads(line) for line in said(run("bans", "--json")).split("\n")]
    banned = [each["user"] or each["network"] for each in listed if each["kind"] == "ban"]
    assert banned == ["2001:db8::/64", name]
    for whom in (name, "2001:db8::2"):
        said(run("unban", whom))
    told = said(run("unmute", "203.0.113.0/24"))
    assert told == "203.0.113.0/24 may speak on this server again."
    assert said(run("bans")) == ""


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
        assert refused(run(*arguments)) == sentence
    assert run("ban").exit_code == 2
    assert refused(run("ban", "10.0.0.1", "x" * 201)).startswith("bad reason: ")


# In a room, the operator does what its owner could: those who are there see who it was.
def test_a_room(server, run_here, new_name) -> None:
    room = new_name("room")
    alice = server.connect().register(new_name("alice")).join(room)
    bob = server.connect().register(new_name("bob")).name
    for words, told, shown in (
        (["mute", bob, "30m", "caps"], "muted in {} for 30m.", "muted by {} for 30m (caps)."),
        (["unmute", bob], "unmuted in {}.", "unmuted by {}."),
        (["ban", bob], "banned from {} for good.", "banned by {} for good."),
        (["unban", bob], "unbanned from {}.", "unbanned by {}."),
    ):
        answer = said(run_here(server.folder, *words, "--room", room))
        assert answer == f"{bob} was {told.format(room)}"
        alice.expect_lines(f"{bob} was {shown.format('(operator)')}")
    told = said(run_here(server.folder, "kick", alice.name, "so", "long", "--room", room))
    assert told == f"{alice.name} was kicked from {room}."
    alice.expect_lines(f"You were kicked from {room} by (operator) (so long).")


# A reason with a word that begins with a dash, or that has a span further on, is a reason.
def test_reasons(run: Run, new_name) -> None:
    name = new_name("bob")
    run("createuser", name, "--password", "secret")
    run("mute", name, "--", "-caps", "2h")
    assert said(run("bans")).endswith("\tfor good\t(operator)\t-caps 2h")
    run("unmute", name)


# A user whose name begins with a dash, from before that was refused, can still be managed.
def test_names_like_options(server, run_here) -> None:
    told = run_here(server.folder, "createuser", "--password", "secret", "--", "--help")
    assert refused(told) == "a name begins with a letter, a digit or _"
    names = ("--help", "-dash", "..")
    with server.database() as database:
        insert(database, "users", "name key skeleton", ([name] * 3 for name in names))
    for name in names:
        told = said(run_here(server.folder, "ban", "--", name, "2h"))
        assert told == f"{name} is banned from this server for 2h; 0 sessions ended."
        assert said(run_here(server.folder, "users", "disable", "--", name)).startswith(name)
        said(run_here(server.folder, "unban", "--", name))
