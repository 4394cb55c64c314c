"""The logs of rooms, replayed into empty memory: what comes of it is what the tables have."""

from sqlalchemy import Connection, select

from app.database.tables import Room as RoomRow
from app.engine import apply
from app.engine.presence import Room
from app.engine.recent import Recent
from app.queries import facts, rooms
from app.queries.rooms import StoredRoom
from app.values.names import parse_name


def check_logs(connection: Connection, now: int) -> int:
    """Check each room whose whole log is there, as of a time; return how many facts were read."""
    count = 0
    query = select(RoomRow.id, RoomRow.name).where(RoomRow.deleted_at.is_(None))
    for room_id, name in connection.execute(query).all():
        logged = facts.log_of(connection, room_id)
        assert [each.id for each in logged] == sorted({each.id for each in logged})
        if logged and logged[0].kind == apply.Made.__name__:
            stored = rooms.find(connection, parse_name(name))
            assert stored is not None
            loaded = Room(parse_name(name).key, stored, Recent(0))
            assert state_of(_replayed(room_id, logged), now) == state_of(loaded, now), logged
            count += len(logged)
    return count


def _replayed(room_id: int, logged: list[facts.Logged]) -> Room:
    empty = StoredRoom(room_id, "", "", 0, set(), {"ban": {}, "mute": {}})
    room = Room("", empty, Recent(0))
    for each in logged:
        apply.read(each).apply(room)
    return room


def state_of(room: Room, now: int) -> dict[str, object]:
    """Return what a room keeps of decisions, without bans and mutes that are over."""
    in_force = {
        kind: {user_id: each for user_id, each in sanctions.items() if not each.is_over(now)}
        for kind, sanctions in room.sanctions.items()
    }
    names = ("id", "key", "name", "topic", "owner_id", "moderator_ids", "roster", "is_gone")
    return {**{name: getattr(room, name) for name in names}, "sanctions": in_force}
