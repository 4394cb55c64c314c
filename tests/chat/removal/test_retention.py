"""Retention: what is too old goes by itself, and so does a room that was deleted."""

from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copy

import gevent
import pytest
from sqlalchemy import Connection, text

from app.bounds import RECENT_MESSAGES_MAX, REMOVED_AT_ONCE, ROOM_REAP_SECONDS
from app.chat.service import Service
from app.database.database import Database
from app.engine.presence import Session
from app.errors import Refusal
from app.protocol import accounts, files, moderation, removal, talk
from app.protocol import rooms as protocol
from app.protocol.event import Event
from app.settings import Settings
from tests.kit.fakes import FakeClient

DAY = 86_400_000
TABLES = ("messages", "files", "file_chunks", "moderators", "sanctions", "rooms")


class _World:
    """A service on a database of its own, whose clock is ours."""

    def __init__(self, folder: Path, new_database: Path, **settings: object) -> None:
        copy(new_database, folder / "world.db")
        self.now = 100 * DAY
        self.database = Database(f"sqlite:///{folder / 'world.db'}", "normal")
        given = Settings(message_rate="0", **settings)
        self.service = Service(self.database, given, lambda: self.now)
        self.operator = self.service.connect_operator(FakeClient())

    def session(self, name: str) -> Session:
        session = self.service.connect(FakeClient())
        self.do(session, accounts.Register(name, "secret"))
        return session

    def do(self, session: Session, command: object) -> Event:
        """Carry out a command, and return what was shown last."""
        self.service.handle(session, command)
        return session.client.shown[-1]

    def say(self, session: Session, room: str, *bodies: str) -> None:
        for body in bodies:
            self.do(session, talk.Say(body, room=room))
        self.service.journal.settle(session)

    def reap(self) -> None:
        """Remove what is kept no longer."""
        self.service._retention.reap()

    def history(self, session: Session, room: str) -> list[str]:
        """Return what a member is shown of a room's past."""
        return [said.body for said in self.do(session, talk.History(1000, room=room)).messages]

    def bodies(self) -> list[str]:
        """Return all messages that are stored."""
        return self.read("SELECT body FROM messages ORDER BY id")

    def read(self, query: str) -> list:
        return self.database.read(lambda each: list(each.execute(text(query)).scalars()))

    def write(self, statement: str) -> None:
        def work(connection: Connection) -> None:
            connection.execute(text(statement))

        self.database.write(work)


@pytest.fixture
def new_world(tmp_path: Path, new_database: Path) -> Iterator[Callable[..., _World]]:
    worlds = []

    def make(**settings: object) -> _World:
        worlds.append(_World(tmp_path, new_database, **settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.service.close()


# Old messages of a room go, however many they are; newer ones and other rooms stay as they are, and
# whoever comes in is replayed what is left.
def test_of_a_room(new_world) -> None:
    world = new_world(history_replay=1000)
    alice, bob = world.session("alice"), world.session("bob")
    for room in ("short", "long"):
        alice.client.rooms_max = 2
        world.do(alice, protocol.Join(room))
    many = [f"old {number}" for number in range(REMOVED_AT_ONCE + RECENT_MESSAGES_MAX)]
    world.say(alice, "short", *many)
    world.say(alice, "long", "old")
    world.now += 5 * DAY
    world.say(alice, "short", "new")
    told = world.do(world.operator, removal.Retention("SHORT", "4"))
    assert told == removal.RetentionSet("short", 4)
    world.reap()
    assert world.history(alice, "short") == ["new"]
    assert world.history(alice, "long") == ["old"]
    entered = world.do(bob, protocol.Join("short", since=0))
    assert ([said.body for said in entered.messages], entered.is_complete) == (["new"], True)
    shown = world.do(alice, protocol.Leave(room="short"))
    assert isinstance(shown, protocol.Departed)  # nobody was told of it


# Where nothing else is said, the server's own setting holds, and for private messages it alone.
def test_of_the_server(new_world) -> None:
    world = new_world(retention_days=10)
    alice = world.session("alice")
    world.session("bob")
    alice.client.rooms_max = 3
    for room in ("plain", "forever", "longer"):
        world.do(alice, protocol.Join(room))
        world.say(alice, room, room)
    world.do(alice, talk.Tell("bob", "private"))
    for room, keep in (("forever", "forever"), ("longer", "20"), ("plain", "default")):
        world.do(world.operator, removal.Retention(room, keep))
    world.now += 9 * DAY
    world.reap()
    assert world.bodies() == ["plain", "forever", "longer", "private"]
    world.now += 2 * DAY
    world.reap()
    assert world.bodies() == ["forever", "longer"]
    world.now += 10 * DAY
    world.reap()
    assert world.bodies() == ["forever"]
    listed = world.do(world.operator, removal.Retention())
    rooms = [removal.RoomRetention("forever", 0), removal.RoomRetention("longer", 20)]
    assert listed == removal.RetentionListed(10, rooms, has_more=False)


# A file is kept no longer than what is said in its room.
def test_files(new_world) -> None:
    world = new_world()
    alice = world.session("alice")
    world.do(alice, protocol.Join("lobby"))
    world.do(alice, files.Upload("a.txt", data=b"a" * 1000))
    world.do(world.operator, removal.Retention("lobby", "3"))
    world.now += 2 * DAY
    world.reap()
    assert world.read("SELECT name FROM files") == ["a.txt"]
    world.now += 2 * DAY
    world.reap()
    assert world.read("SELECT name FROM files") == []
    assert world.read("SELECT place FROM file_chunks") == []


# A room that was deleted goes whole, once what was said there last is stored; others stay.
def test_a_deleted_room(new_world) -> None:
    world = new_world()
    alice, bob = world.session("alice"), world.session("bob")
    alice.client.rooms_max = 2
    for room in ("gone", "kept"):
        world.do(alice, protocol.Join(room))
        world.say(alice, room, room)
    world.do(alice, files.Upload("a.txt", data=b"a", room="gone"))
    world.do(alice, moderation.Promote("bob", room="gone"))
    world.do(alice, moderation.Mute("bob", 60, room="gone"))
    world.service.disconnect(alice)
    world.service.disconnect(bob)
    world.write(f"UPDATE rooms SET deleted_at = {world.now} WHERE name = 'gone'")
    world.reap()
    assert world.read("SELECT name FROM rooms ORDER BY id") == ["gone", "kept"]
    world.now += ROOM_REAP_SECONDS * 1000 + 1
    world.reap()
    left = {table: len(world.read(f"SELECT 1 FROM {table}")) for table in TABLES}
    assert left == dict.fromkeys(TABLES, 0) | {"rooms": 1, "messages": 1}


# What devices took goes after a week, what they did not take after a month, and so do claimed keys.
def test_what_devices_left(new_world) -> None:
    world = new_world()
    world.session("alice")
    world.write(
        "INSERT INTO devices (user_id, device_id, ed25519, curve25519, payload, sig, made_at,"
        " seen_at) VALUES (1, 'aaaaaaaa', 'x', 'y', '{}', 'x', 1, 1)"
    )
    for body in ("'waits'", "NULL"):
        world.write(
            "INSERT INTO to_device (recipient_id, sender_id, txn, place, body, sent_at)"
            f" VALUES (1, 1, {body} IS NULL, 0, {body}, {world.now})"
        )
    for kid, claimed_at in (("claimed", world.now), ("free", "NULL")):
        world.write(
            "INSERT INTO one_time_keys (device_id, kid, payload, sig, claimed_at)"
            f" VALUES (1, '{kid}', '{{}}', 'x', {claimed_at})"
        )
    left = []
    for days in (6, 2, 21, 2):
        world.now += days * DAY
        world.reap()
        bodies = world.read("SELECT body FROM to_device ORDER BY id")
        left.append((bodies, world.read("SELECT kid FROM one_time_keys ORDER BY id")))
    assert left == [
        (["waits", None], ["claimed", "free"]),
        (["waits"], ["claimed", "free"]),
        (["waits"], ["claimed", "free"]),
        ([], ["free"]),
    ]


# For how long is a number of days or a word; anything else is refused, and nothing changes.
@pytest.mark.parametrize("keep", ["", "0", "3651", "-1", "1.5", "soon", "1" * 5000, "٣"])
def test_refusals(new_world, keep: str) -> None:
    world = new_world()
    world.do(world.session("alice"), protocol.Join("lobby"))
    with pytest.raises(Refusal, match="say for how long"):
        world.do(world.operator, removal.Retention("lobby", keep))
    assert world.read("SELECT retention_days FROM rooms") == [None]


# When the server is to end, it waits for one piece of the work, not for all of it.
def test_stopping_in_the_middle(new_world) -> None:
    world = new_world()
    alice = world.session("alice")
    world.do(alice, protocol.Join("lobby"))
    world.say(alice, "lobby", *map(str, range(3 * REMOVED_AT_ONCE)))
    world.now += 5 * DAY
    world.do(world.operator, removal.Retention("lobby", "1"))
    reaping = gevent.spawn(world.reap)
    gevent.sleep(0)
    world.service._retention.stop()
    reaping.join()
    assert len(world.bodies()) >= REMOVED_AT_ONCE
