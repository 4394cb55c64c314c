"""Rooms that are renamed, given away and deleted: what happens to what is under way there."""

import gevent
import pytest

from app.errors import NotPossible, Refusal
from app.protocol import moderation, rooms
from app.protocol.command import Command
from app.values.names import parse_name
from tests.kit.house import House
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import request


# What is said before a room is renamed and after is its one history, live and replayed.
def test_a_room_is_renamed(server: ServerProcess, run_here, new_name) -> None:
    room, new = new_name("lobby"), new_name("garden")
    bot = server.program().register(new_name("bot")).join(room)
    bot.say("before")
    bot.event(room=room, body="before")
    assert run_here(server.folder, "rooms", "rename", room, new).exit_code == 0
    bot.event("renamed", room=room, name=new)
    bot.say("after", room=new)
    bot.event(room=new, body="after")
    assert bot.refused("say", room=room, body="lost") == "no_room"
    late = server.program().register(new_name("late"))
    late.call("join", room=new, since=0)
    assert [late.event(room=new)["body"] for _ in range(2)] == ["before", "after"]
    messages = late.call("history", room=new)["messages"]
    assert [(each["room"], each["body"]) for each in messages] == [(new, "before"), (new, "after")]


# A name is free as soon as its room is renamed: who joins it then makes another one.
def test_the_old_name_is_free(server: ServerProcess, run_here, new_name) -> None:
    room, new = new_name("lobby"), new_name("garden")
    bot = server.program().register(new_name("bot")).join(room)
    run_here(server.folder, "rooms", "rename", room, new)
    bot.event("renamed")
    assert bot.call("join", room=room)["users"] == [bot.name]
    run_here(server.folder, "rooms", "rename", room, room.upper())
    bot.event("renamed", room=room, name=room.upper())
    assert {each["name"] for each in bot.call("rooms")["rooms"]} >= {new, room.upper()}


# A file that was offered before its room was renamed is shared there; into one that was deleted,
# and made again, it is not, nor is what was there given out.
def test_a_file_under_way(server: ServerProcess, run_here, new_name) -> None:
    room, new = new_name("lobby"), new_name("garden")
    bot = server.program().register(new_name("bot")).join(room)
    first, second = (bot.call("file.offer", name=name)["url"] for name in ("a.txt", "b.txt"))
    run_here(server.folder, "rooms", "rename", room, new)
    bot.event("renamed")
    assert request(server, "PUT", first, b"hello").status == 201
    shared = bot.event("file", room=new, name="a.txt")["id"]
    fetched = bot.call("file.get", file=shared)["url"]
    run_here(server.folder, "rooms", "delete", new, "too quiet")
    bot.event("deleted", room=new, user="(operator)", reason="too quiet")
    bot.join(new)
    assert request(server, "PUT", second, b"hello").status == 404
    assert request(server, "GET", fetched).status == 404
    assert bot.call("file.list")["files"] == []
    assert bot.call("history")["messages"] == []


# A room that was deleted while somebody waited to decide about it is not there any more.
def test_a_room_that_is_gone(house: House) -> None:
    alice = house.register("alice", "lobby")
    room = house.service.rooms.open(parse_name("lobby"), None)
    with house.service.rooms.deciding(room):
        waiting = [
            gevent.spawn(_outcome, house, each)
            for each in (
                rooms.RoomDelete("lobby"),
                rooms.RoomRename("lobby", "garden"),
                rooms.RoomOwner("lobby", "alice"),
                moderation.Kick("alice", room="lobby"),
            )
        ]
        house.hold_until(room, len(waiting) + 1)
    gevent.joinall(waiting)
    assert [each.value for each in waiting] == ["done"] + ["no_such_room"] * 3
    assert alice.rooms == {}
    assert not room.present
    with pytest.raises(NotPossible, match="there is no such room any more"):
        house.service.rooms.open_by_id(room.id)


def _outcome(house: House, command: Command) -> str:
    try:
        house.act(command)
    except Refusal as refusal:
        return refusal.code
    return "done"


# Two rooms that change names crosswise at once wait for each other, and for nobody for ever.
def test_crossed_renames(house: House) -> None:
    house.register("alice", "lobby")
    house.act(rooms.RoomCreate("den", "alice"))
    crossed = [
        gevent.spawn(_outcome, house, rooms.RoomRename(old, new))
        for old, new in (("lobby", "den"), ("den", "lobby"))
    ]
    gevent.joinall(crossed)
    assert [each.value for each in crossed] == ["name_taken"] * 2
