"""Rooms that are renamed, given away and deleted: what happens to what is under way there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest

from app import commands, operations
from app.chat import removal
from app.chat.service import Service
from app.errors import NotPossible, Refusal
from app.names import parse_name
from app.settings import Settings
from app.store import rooms as store
from app.store.database import Database
from app.times import now
from tests.fakes import FakeClient
from tests.server_process import ServerProcess
from tests.transfers import request


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
# and made again, it is not.
def test_a_file_under_way(server: ServerProcess, run_here, new_name) -> None:
    room, new = new_name("lobby"), new_name("garden")
    bot = server.program().register(new_name("bot")).join(room)
    first, second = (bot.call("file.offer", name=name)["url"] for name in ("a.txt", "b.txt"))
    run_here(server.folder, "rooms", "rename", room, new)
    bot.event("renamed")
    assert request(server, "PUT", first, b"hello").status == 201
    bot.event("file", room=new, name="a.txt")
    run_here(server.folder, "rooms", "delete", new, "too quiet")
    bot.event("deleted", room=new, user="(operator)", reason="too quiet")
    bot.join(new)
    assert request(server, "PUT", second, b"hello").status == 404
    assert bot.call("file.list")["files"] == []
    assert bot.call("history")["messages"] == []


class House:
    """A service on a database of its own, the operator, and one person."""

    def __init__(self, folder: Path, new_database: Path) -> None:
        path = folder / "greenroom.db"
        if not path.exists():
            path.write_bytes(new_database.read_bytes())
        self.database = Database(f"sqlite:///{path}", "normal")
        self.service = Service(self.database, Settings(data_dir=folder), now)
        self.operator = self.service.connect_operator(FakeClient())

    def register(self, name: str):
        session = self.service.connect(FakeClient())
        self.service.handle(session, commands.Register(name, "secret"))
        return session

    def rows(self, table: str) -> int:
        count = f"SELECT count(*) FROM {table}"
        return self.database.read(lambda each: each.exec_driver_sql(count).scalar_one())

    def wait_until_removed(self) -> None:
        while any(map(self.rows, ("rooms", "messages", "files", "file_chunks", "moderators"))):
            gevent.sleep(0.001)


@pytest.fixture
def build(tmp_path: Path, new_database: Path) -> Iterator[Callable[[], House]]:
    built: list[House] = []

    def make() -> House:
        built.append(House(tmp_path, new_database))
        return built[-1]

    with gevent.Timeout(10):
        yield make
        built[-1].service.close()


def _fill(house: House) -> None:
    """Make a room in which there is one of each thing that a room can have."""
    alice, bob = house.register("alice"), house.register("bob")
    for each in (
        commands.Join("lobby"),
        *(commands.Say(f"line {number}") for number in range(5)),
        commands.Promote("bob"),
        commands.Mute("bob"),
        commands.Upload("a.txt", data=b"hello"),
    ):
        house.service.handle(alice, each)
    house.service.handle(bob, commands.Join("lobby"))
    assert house.rows("messages") == 5


# Of a deleted room nothing is left in the database, in which it goes a few messages at a time.
def test_nothing_is_left(build, monkeypatch) -> None:
    monkeypatch.setattr(store, "MESSAGES_REMOVED_AT_ONCE", 2)
    monkeypatch.setattr(removal, "REMOVAL_PAUSE_SECONDS", 0)
    house = build()
    _fill(house)
    house.service.handle(house.operator, operations.RoomDelete("lobby"))
    house.wait_until_removed()
    assert (house.rows("sanctions"), house.rows("users")) == (0, 2)


# What is left of a deleted room when the server crashes is removed when it runs again.
def test_the_rest_is_removed_after_a_crash(build, monkeypatch) -> None:
    house = build()
    _fill(house)
    monkeypatch.setattr(house.service._removal, "begin", lambda room_id: None)
    house.service.handle(house.operator, operations.RoomDelete("lobby"))
    house.service.close()
    build().wait_until_removed()


# A room that was deleted while somebody waited to decide about it, or to enter it, is not there.
def test_a_room_that_is_gone(build) -> None:
    house = build()
    _fill(house)
    room = house.service.rooms.open(parse_name("lobby"), None)
    (alice, *_) = room.everybody()
    with house.service.rooms.deciding(room):
        waiting = [
            gevent.spawn(_outcome, house, house.operator, each)
            for each in (
                operations.RoomDelete("lobby"),
                operations.RoomRename("lobby", "garden"),
                operations.RoomOwner("lobby", "bob"),
                commands.Kick("bob", room="lobby"),
            )
        ]
        gevent.sleep(0.05)  # until all of them wait
    gevent.joinall(waiting)
    assert [each.value for each in waiting] == ["done"] + ["no_such_room"] * 3
    assert alice.rooms == {}
    with pytest.raises(NotPossible, match="there is no such room any more"):
        house.service.rooms.open_by_id(room.id)


def _outcome(house: House, session, command) -> str:
    try:
        house.service.handle(session, command)
    except Refusal as refusal:
        return refusal.code
    return "done"


# Two rooms that change names crosswise at once wait for each other, and for nobody for ever.
def test_crossed_renames(build) -> None:
    house = build()
    alice = house.register("alice")
    for name in ("one", "two"):
        house.service.handle(house.operator, operations.RoomCreate(name, "alice"))
    house.service.handle(alice, commands.Join("one"))
    crossed = [
        gevent.spawn(_outcome, house, house.operator, operations.RoomRename(old, new))
        for old, new in (("one", "two"), ("two", "one"))
    ]
    gevent.joinall(crossed)
    assert [each.value for each in crossed] == ["name_taken"] * 2
