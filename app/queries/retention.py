"""Removing what is too old: messages, files, and deleted rooms. Each query blocks.

Messages lie in rows of rising ids, and so of rising times. A search begins at the oldest, and ends
at a piece that has none too old. Only a clock that was set back makes that inexact.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    ScalarSelect,
    cast,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute

from app.bounds import ID_MAX, REMOVED_AT_ONCE, SPENT_TXN_DAYS
from app.database.tables import (
    File,
    LoggedFact,
    Member,
    Message,
    Moderator,
    Room,
    Sanction,
    SpentTxn,
    User,
)
from app.queries import locks
from app.values.times import DAY_MILLISECONDS

FOR_EVER = 0  # days

_COLUMNS: dict[str, InstrumentedAttribute[int | None]] = {
    "room": Message.room_id,
    "recipient": Message.recipient_id,
}


class Old(NamedTuple):
    """Messages to a room or recipient, said before a time."""

    where: Literal["room", "recipient"]
    id: int
    said_before: int


class RoomRetention(NamedTuple):
    """A room, and the days of its messages; None: the server's default."""

    id: int
    name: str
    days: int | None


def find(connection: Connection, key: str) -> RoomRetention | None:
    """Return the room of that key, unless it is deleted."""
    query = select(Room.id, Room.name, Room.retention_days)
    row = connection.execute(query.where(Room.key == key, Room.deleted_at.is_(None))).first()
    return RoomRetention(*row) if row else None


def on_their_own(connection: Connection, after_key: str, count: int) -> list[RoomRetention]:
    """Return the first rooms after a name with own days, by name."""
    query = select(Room.id, Room.name, Room.retention_days).where(
        Room.retention_days.is_not(None), Room.deleted_at.is_(None), Room.key > after_key
    )
    rows = connection.execute(query.order_by(Room.key).limit(count))
    return [RoomRetention(*row) for row in rows]


def set_days(connection: Connection, room_id: int, days: int | None) -> None:
    """Set the days for which a room's messages are kept; None: the server's default."""
    connection.execute(update(Room).where(Room.id == room_id).values(retention_days=days))


def old_messages(connection: Connection, default_days: int, now: int) -> list[Old]:
    """Return the rooms and recipients with messages to remove."""
    days = _days(default_days)
    said_before = now - days * DAY_MILLISECONDS
    in_rooms = select(Room.id, said_before).where(days > 0, _oldest(Room.id, "room") < said_before)
    found = [Old("room", room_id, before) for room_id, before in connection.execute(in_rooms)]
    if default_days:
        before = now - default_days * DAY_MILLISECONDS
        with_mail = select(User.id).where(_oldest(User.id, "recipient") < before)
        found += [Old("recipient", user_id, before) for user_id in connection.scalars(with_mail)]
    return found


def _days(default_days: int) -> ColumnElement[int]:
    """Return the days that a room's messages are kept. Its type holds milliseconds."""
    return func.coalesce(cast(Room.retention_days, BigInteger), default_days)


def _oldest(of: InstrumentedAttribute[int], where: str) -> ScalarSelect[int]:
    """Return the time of the oldest message to a room or user."""
    query = select(Message.said_at).where(_COLUMNS[where] == of)
    return query.order_by(Message.id).limit(1).scalar_subquery()


def remove_some(connection: Connection, old: Old, after_id: int) -> int | None:
    """Remove some old messages after an id; return the last id seen, None when that was all."""
    rooms, users = ([old.id], []) if old.where == "room" else ([], [old.id])
    locks.lock(connection, rooms=rooms, users=users)
    column = _COLUMNS[old.where]
    page = select(Message.id, Message.said_at).where(column == old.id, Message.id > after_id)
    rows = page.order_by(Message.id).limit(REMOVED_AT_ONCE).subquery()
    query = select(func.max(rows.c.id), func.min(rows.c.said_at))
    last_id, oldest_at = connection.execute(query).one()
    if last_id is None or oldest_at >= old.said_before:
        return None
    connection.execute(
        delete(Message).where(
            column == old.id,
            Message.id > after_id,
            Message.id <= last_id,
            Message.said_at < old.said_before,
        )
    )
    return int(last_id)


def old_files(connection: Connection, default_days: int, now: int) -> Sequence[int]:
    """Return the ids of files older than their room's days."""
    days = _days(default_days)
    query = (
        select(File.id)
        .outerjoin(Room, Room.id == File.room_id)
        .where(File.sha256.is_not(None), days > 0, File.made_at < now - days * DAY_MILLISECONDS)
    )
    return connection.scalars(query.order_by(File.id)).all()


def has_old_txns(connection: Connection, now: int) -> bool:
    """Whether there are retries to forget."""
    oldest_at = connection.execute(select(func.min(SpentTxn.spent_at))).scalar()
    return oldest_at is not None and oldest_at < now - SPENT_TXN_DAYS * DAY_MILLISECONDS


def forget_txns(connection: Connection, now: int) -> None:
    """Forget the retries of messages that were purged long ago."""
    spent_before = now - SPENT_TXN_DAYS * DAY_MILLISECONDS
    connection.execute(delete(SpentTxn).where(SpentTxn.spent_at < spent_before))


def deleted_rooms(connection: Connection, deleted_before: int) -> list[Old]:
    """Return the rooms deleted before then: all their messages are old."""
    query = select(Room.id).where(Room.deleted_at < deleted_before).order_by(Room.id)
    return [Old("room", room_id, ID_MAX) for room_id in connection.scalars(query)]


def files_of(connection: Connection, room_id: int) -> Sequence[int]:
    """Return the ids of a room's files, complete or not."""
    return connection.scalars(select(File.id).where(File.room_id == room_id)).all()


def remove_room(connection: Connection, room_id: int) -> None:
    """Remove a deleted room, with its members, moderators and sanctions: all else is gone."""
    locks.lock(connection, rooms=[room_id])
    for kind in (Moderator, Sanction, Member, LoggedFact):
        connection.execute(delete(kind).where(kind.room_id == room_id))
    connection.execute(delete(Room).where(Room.id == room_id, Room.deleted_at.is_not(None)))
