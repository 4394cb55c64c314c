"""Retention: what is too old goes by itself, and so does a room that was deleted."""

import gevent
import pytest

from app.bounds import RECENT_MESSAGES_MAX, REMOVED_AT_ONCE, ROOM_REAP_SECONDS
from app.engine.presence import Session
from app.errors import Refusal
from app.protocol import files, moderation, removal, rooms, talk
from tests.kit.house import DAY, House

TABLES = ("messages", "files", "file_chunks", "moderators", "sanctions", "rooms")


def _reap(house: House, days: int = 0) -> None:
    """Remove what is kept no longer, some days later."""
    house.now += days * DAY
    house.service._retention.reap()


def _history(house: House, session: Session, room: str) -> list[str]:
    """Return what a member is shown of a room's past."""
    return [said.body for said in house.do(session, talk.History(1000, room=room)).messages]


def _bodies(house: House) -> list[str]:
    """Return all messages that are stored."""
    return house.read("SELECT body FROM messages ORDER BY id")


# Old messages of a room go, however many they are; newer ones and other rooms stay as they are, and
# whoever comes in is replayed what is left.
def test_of_a_room(new_house) -> None:
    house = new_house(history_replay=1000)
    alice, bob = house.register("alice", "short", "long"), house.register("bob")
    many = [f"old {number}" for number in range(REMOVED_AT_ONCE + RECENT_MESSAGES_MAX)]
    house.say(alice, "short", *many)
    house.say(alice, "long", "old")
    house.now += 5 * DAY
    house.say(alice, "short", "new")
    told = house.act(removal.Retention("SHORT", "4"))
    assert told == removal.RetentionSet("short", 4)
    _reap(house)
    assert _history(house, alice, "short") == ["new"]
    assert _history(house, alice, "long") == ["old"]
    entered = house.do(bob, rooms.Join("short", since=0))
    assert ([said.body for said in entered.messages], entered.is_complete) == (["new"], True)
    shown = house.do(alice, rooms.Leave(room="short"))
    assert isinstance(shown, rooms.Departed)  # nobody was told of it


# Where nothing else is said, the server's own setting holds, and for private messages it alone.
def test_of_the_server(new_house) -> None:
    house = new_house(retention_days=10)
    house.register("bob")
    alice = house.register("alice", "plain", "forever", "longer")
    for room in ("plain", "forever", "longer"):
        house.say(alice, room, room)
    house.do(alice, talk.Tell("bob", "private"))
    for room, keep in (("forever", "forever"), ("longer", "20"), ("plain", "default")):
        house.act(removal.Retention(room, keep))
    _reap(house, days=9)
    assert _bodies(house) == ["plain", "forever", "longer", "private"]
    _reap(house, days=2)
    assert _bodies(house) == ["forever", "longer"]
    _reap(house, days=10)
    assert _bodies(house) == ["forever"]
    kept = [removal.RoomRetention("forever", 0), removal.RoomRetention("longer", 20)]
    listed = house.act(removal.Retention())
    assert listed == removal.RetentionListed(10, kept, has_more=False)


# A file is kept no longer than what is said in its room.
def test_files(house: House) -> None:
    alice = house.register("alice", "lobby")
    house.do(alice, files.Upload("a.txt", data=b"a" * 1000))
    house.act(removal.Retention("lobby", "3"))
    _reap(house, days=2)
    assert house.read("SELECT name FROM files") == ["a.txt"]
    _reap(house, days=2)
    assert house.read("SELECT name FROM files") == []
    assert house.read("SELECT place FROM file_chunks") == []


# A room that was deleted goes whole, once what was said there last is stored; others stay.
def test_a_deleted_room(house: House) -> None:
    alice, bob = house.register("alice", "gone", "kept"), house.register("bob")
    for room in ("gone", "kept"):
        house.say(alice, room, room)
    for command in (
        files.Upload("a.txt", data=b"a", room="gone"),
        moderation.Promote("bob", room="gone"),
        moderation.Mute("bob", 60, room="gone"),
    ):
        house.do(alice, command)
    house.leave(alice)
    house.leave(bob)
    house.write(f"UPDATE rooms SET deleted_at = {house.now} WHERE name = 'gone'")
    _reap(house)
    assert house.read("SELECT name FROM rooms ORDER BY id") == ["gone", "kept"]
    house.now += ROOM_REAP_SECONDS * 1000 + 1
    _reap(house)
    left = {table: len(house.read(f"SELECT 1 FROM {table}")) for table in TABLES}
    assert left == dict.fromkeys(TABLES, 0) | {"rooms": 1, "messages": 1}


# What devices took goes after a week, what they did not take after a month, and so do claimed keys.
def test_what_devices_left(house: House) -> None:
    house.register("alice")
    house.write(
        "INSERT INTO devices (user_id, device_id, ed25519, curve25519, payload, sig, made_at,"
        " seen_at) VALUES (1, 'aaaaaaaa', 'x', 'y', '{}', 'x', 1, 1)"
    )
    for body in ("'waits'", "NULL"):
        house.write(
            "INSERT INTO to_device (recipient_id, sender_id, txn, place, body, sent_at)"
            f" VALUES (1, 1, {body} IS NULL, 0, {body}, {house.now})"
        )
    for kid, claimed_at in (("claimed", house.now), ("free", "NULL")):
        house.write(
            "INSERT INTO one_time_keys (device_id, kid, payload, sig, claimed_at)"
            f" VALUES (1, '{kid}', '{{}}', 'x', {claimed_at})"
        )
    left = []
    for days in (6, 2, 21, 2):
        _reap(house, days)
        bodies = house.read("SELECT body FROM to_device ORDER BY id")
        left.append((bodies, house.read("SELECT kid FROM one_time_keys ORDER BY id")))
    assert left == [
        (["waits", None], ["claimed", "free"]),
        (["waits"], ["claimed", "free"]),
        (["waits"], ["claimed", "free"]),
        ([], ["free"]),
    ]


# For how long is a number of days or a word; anything else is refused, and nothing changes.
@pytest.mark.parametrize("keep", ["", "0", "3651", "-1", "1.5", "soon", "1" * 5000, "٣"])
def test_refusals(house: House, keep: str) -> None:
    house.register("alice", "lobby")
    with pytest.raises(Refusal, match="say for how long"):
        house.act(removal.Retention("lobby", keep))
    assert house.read("SELECT retention_days FROM rooms") == [None]


# When the server is to end, it waits for one piece of the work, not for all of it.
def test_stopping_in_the_middle(house: House) -> None:
    alice = house.register("alice", "lobby")
    house.say(alice, "lobby", *map(str, range(3 * REMOVED_AT_ONCE)))
    house.act(removal.Retention("lobby", "1"))
    reaping = gevent.spawn(_reap, house, days=5)
    gevent.sleep(0)
    house.service._retention.stop()
    reaping.join()
    assert len(_bodies(house)) >= REMOVED_AT_ONCE
