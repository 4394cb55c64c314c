"""Removing messages for good, a piece at a time. Each query takes a connection, and blocks.

A piece looks at some of the messages, so that none takes long, however many there are. Nothing of a
removed message stays, except the `txn` that a program gave it: else its retry would store it again.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, func, insert, literal, select

from app.bounds import REMOVED_AT_ONCE
from app.database.tables import File, Message, SpentTxn
from app.queries import locks


class Target(NamedTuple):
    """The messages to remove: all set fields hold, and they are from `since_at` on."""

    user_id: int | None = None
    room_id: int | None = None
    message_id: int | None = None
    since_at: int = 0

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions that the messages fulfil."""
        given = {
            Message.user_id: self.user_id,
            Message.room_id: self.room_id,
            Message.id: self.message_id,
        }
        wanted = [column == value for column, value in given.items() if value is not None]
        return [Message.said_at >= self.since_at, *wanted]


class Removed(NamedTuple):
    """The messages removed from a room: number and ids; None: private ones."""

    room_id: int | None
    messages: int
    first_id: int
    last_id: int


def count(connection: Connection, target: Target) -> int:
    """Return how many messages a target has."""
    query = select(func.count()).select_from(Message).where(*target.conditions())
    return connection.execute(query).scalar_one()


def lock(connection: Connection, *covered: ColumnElement[bool]) -> None:
    """Lock the rooms and the recipients of messages."""
    locks.lock(
        connection,
        rooms=select(Message.room_id).where(*covered),
        users=select(Message.recipient_id).where(*covered),
    )


def lock_target(connection: Connection, target: Target, after_id: int) -> None:
    """Lock all rooms and recipients of a target's messages after an id, in one go."""
    lock(connection, *target.conditions(), Message.id > after_id)


def remove_some(
    connection: Connection, target: Target, after_id: int, up_to_id: int, now: int
) -> tuple[Sequence[Removed], int]:
    """Remove some of a target's messages between ids, newest first.

    Return what was removed, and the id up to which to go on; `after_id` when that was all.
    """
    first_id = _first_of_page(connection, target, after_id, up_to_id)
    if first_id is None:
        return [], after_id
    covered = [Message.id >= first_id, Message.id <= up_to_id, *target.conditions()]
    lock(connection, *covered)
    found = (
        select(Message.room_id, func.count(), func.min(Message.id), func.max(Message.id))
        .where(*covered)
        .group_by(Message.room_id)
    )
    removed = [Removed(*row) for row in connection.execute(found)]
    if removed:
        _remember_txns(connection, covered, now)
        connection.execute(delete(Message).where(*covered))
    return removed, first_id - 1


def _first_of_page(
    connection: Connection, target: Target, after_id: int, up_to_id: int
) -> int | None:
    """Return the newest page's first id between the ids; None when none is new enough."""
    page = select(Message.id, Message.said_at).where(Message.id > after_id, Message.id <= up_to_id)
    if target.message_id is not None:
        page = page.where(Message.id == target.message_id)  # found at once, however old it is
    if target.room_id is not None:
        page = page.where(Message.room_id == target.room_id)
    rows = page.order_by(Message.id.desc()).limit(REMOVED_AT_ONCE).subquery()
    query = select(func.min(rows.c.id), func.max(rows.c.said_at))
    first_id, newest_at = connection.execute(query).one()
    return None if first_id is None or newest_at < target.since_at else first_id


def _remember_txns(
    connection: Connection, covered: Sequence[ColumnElement[bool]], now: int
) -> None:
    rows = select(Message.user_id, Message.txn, Message.id, literal(now))
    columns = ["user_id", "txn", "message_id", "spent_at"]
    said = rows.where(*covered, Message.txn.is_not(None))
    connection.execute(insert(SpentTxn).from_select(columns, said))


def files(connection: Connection, target: Target) -> Sequence[int]:
    """Return the ids of files that go with a target: none with a single message."""
    given = {File.user_id: target.user_id, File.room_id: target.room_id}
    wanted = [column == value for column, value in given.items() if value is not None]
    if not wanted:
        return []
    query = select(File.id).where(File.sha256.is_not(None), File.made_at >= target.since_at)
    return connection.scalars(query.where(*wanted).order_by(File.id)).all()
