"""Deleting accounts: what ends, what stays, and who has what was theirs."""

import pytest

from tests.kit.program import Program
from tests.kit.server_process import ServerProcess
from tests.kit.signing import Device

SERVER_SETTINGS = {"MESSAGE_RATE": 0, "LOGIN_ATTEMPTS": 0}


def _delete(server: ServerProcess, program: Program, how: str) -> None:
    if how == "operator":
        server.operate("user.delete", user=program.name)
    else:
        assert program.refused("unregister", password="guess") == "login_refused"
        program.call("unregister", password="secret")


by_whom = pytest.mark.parametrize("how", ["operator", "owner"])


# The name is nobody's any more, in no spelling, also after a restart; all that was said stays.
@by_whom
def test_the_name_is_never_given_again(server: ServerProcess, new_name, how: str) -> None:
    room, name = new_name("room"), new_name("Bob")
    alice = server.program().register(new_name("alice")).join(room)
    bob = server.program().register(name).join(room)
    bob.say("remember me")
    bob.call("msg", user=alice.name, body="in private")
    alice.catch_up()
    _delete(server, bob, how)
    for _ in range(2):
        for spelling in (name, name.lower(), name.replace("B", "\uff22")):
            refused = server.program().refused("register", name=spelling, password="mine")
            assert refused == "name_taken"
            assert server.program().refused("login", name=spelling, password="secret")
        assert server.refuse("user.create", user=name, password="x") == "name_taken"
        for op in ("user.enable", "user.password", "user.delete", "user.admin"):
            fields = {"password": "x"} if op == "user.password" else {}
            assert server.refuse(op, user=name, **fields) == "no_such_user"
        server.restart()
        alice = server.program().log_in(alice.name).join(room)
    bodies = [each["body"] for each in alice.call("history")["messages"]]
    assert bodies == ["remember me"]
    assert server.operate("purge", user=name)["sentence"].startswith("Removed 2 messages")


# Roles, bans, mutes, membership and devices go, in live rooms and in those that are not.
@by_whom
@pytest.mark.parametrize("is_live", [True, False])
def test_what_goes(server: ServerProcess, new_name, how: str, is_live: bool) -> None:
    room, secret = new_name("room"), new_name("secret")
    alice = server.program().register(new_name("alice")).join(room)
    Device(alice).put()
    bob = server.program().register(new_name("bob")).join(room)
    alice.call("promote", user=bob.name, room=room)
    alice.join(secret).call("room.encrypt", room=secret)
    bob.join(secret)
    for each in (room, secret):
        server.operate("mute", user=bob.name, room=each)
    server.operate("server.mute", target=bob.name)
    if not is_live:
        alice.close()
    _delete(server, bob, how)
    if not is_live:
        alice = server.program().log_in(alice.name).join(room)
        alice.join(secret)
    assert alice.call("room.roster", room=secret)["members"] == [alice.name]
    assert alice.call("room.roster", room=secret)["rev"] == 3
    for each in (room, secret):
        assert alice.call("bans", room=each)["mutes"] == []
    assert alice.refused("demote", user=bob.name, room=room) == "no_such_user"
    assert alice.refused("say", room=secret, body="hello") == "e2ee_required"
    assert server.operate("server.bans")["mutes"] == []


# A room goes to the moderator whose account is the oldest, who is there or not; else to nobody.
@by_whom
@pytest.mark.parametrize("is_live", [True, False])
def test_rooms_of_theirs(server: ServerProcess, new_name, how: str, is_live: bool) -> None:
    oldest = server.program().register(new_name("oldest"))
    newer = server.program().register(new_name("newer"))
    bob = server.program().register(new_name("bob"))
    own, other = new_name("own"), new_name("other")
    bob.join(own).join(other)
    for each in (newer, oldest):
        bob.call("promote", user=each.name, room=own)
    if is_live:
        newer.join(own)
        newer.join(other)
    else:
        bob.call("leave", room=own)
        bob.call("leave", room=other)
    _delete(server, bob, how)
    owners = {each["name"]: each["owner"] for each in server.operate("room.list")["rooms"]}
    assert (owners[own], owners[other]) == (oldest.name, "")
    oldest.join(own)
    if not is_live:
        newer.join(other)
    roles = {each["name"]: each["role"] for each in oldest.call("who", room=own)["people"]}
    assert roles[oldest.name] == "owner"
    oldest.call("topic", room=own, text="mine now")
    assert newer.refused("topic", room=other, text="mine") == "not_allowed"
    server.operate("room.owner", room=other, user=newer.name)
    newer.call("topic", room=other, text="mine")
