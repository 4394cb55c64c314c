"""The logs of rooms and of the server, replayed into empty memory: that is what the tables have."""

from pathlib import Path

from sqlalchemy import Connection, select

from app.database.database import reading_engine
from app.database.tables import Room as RoomRow
from app.engine import apply, server_facts
from app.engine.facts import read
from app.engine.presence import Room
from app.engine.recent import Recent
from app.engine.server_bans import InForce
from app.queries import facts, rooms, sanctions
from app.queries.rooms import StoredRoom
from app.values.names import parse_name

assert server_facts.ServerFact  # its kinds are known from here on


def check_logs_of_file(path: Path, now: int, *, is_whole: bool = True) -> None:
    """Check the logs of a server that is idle; the server's own, if it `is_whole`."""
    engine = reading_engine(path)
    with engine.begin() as connection:
        (check_logs if is_whole else check_rooms)(connection, now)
    engine.dispose()


def check_logs(connection: Connection, now: int) -> None:
    """Check the server's log, and each room's that is whole, as of a time."""
    in_force = InForce(())
    for each in _log_of(connection, None):
        read(each).apply(in_force)
    assert in_force.all(now) == InForce(sanctions.in_force(connection, now)).all(now)
    check_rooms(connection, now)


def check_rooms(connection: Connection, now: int) -> None:
    """Check the logs of rooms: those that begin when the room was made."""
    query = select(RoomRow.id, RoomRow.name).where(RoomRow.deleted_at.is_(None))
    for room_id, name in connection.execute(query).all():
        logged = _log_of(connection, room_id)
        if logged and logged[0].kind == apply.Made.__name__:
            stored = rooms.find(connection, parse_name(name))
            assert stored is not None
            loaded = Room(parse_name(name).key, stored, Recent(0))
            assert state_of(_replayed(room_id, logged), now) == state_of(loaded, now), logged


def _log_of(connection: Connection, room_id: int | None) -> list[facts.Logged]:
    logged = facts.log_of(connection, room_id)
    assert [each.id for each in logged] == sorted({each.id for each in logged})
    return logged


def _replayed(room_id: int, logged: list[facts.Logged]) -> Room:
    empty = StoredRoom(room_id, "", "", 0, set(), {"ban": {}, "mute": {}})
    room = Room("", empty, Recent(0))
    for each in logged:
        read(each).apply(room)
    return room


def state_of(room: Room, now: int) -> dict[str, object]:
    """Return what a room keeps of decisions, without bans and mutes that are over."""
    in_force = {
        kind: {user_id: each for user_id, each in sanctions.items() if not each.is_over(now)}
        for kind, sanctions in room.sanctions.items()
    }
    names = ("id", "key", "name", "topic", "owner_id", "moderator_ids", "roster", "is_gone")
    return {**{name: getattr(room, name) for name in names}, "sanctions": in_force}
