"""The audit: a record of every act of moderation and administration. Each query blocks."""

from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, update

from app.bounds import AUDIT_RECORDS_A_USER_MAX
from app.database.tables import AuditRecord, Room, User
from app.values.names import Name

OPERATOR = "(operator)"  # whoever runs manage.py; no account can have that name


class Act(NamedTuple):
    """Who did what to whom, where, why and when; what does not apply is empty."""

    done_at: int
    actor: str
    action: str
    target: str
    room: str = ""
    reason: str = ""


def record(connection: Connection, act: Act) -> int:
    """Add a record, in the transaction of the act itself, and return its id."""
    result = connection.execute(insert(AuditRecord).values(act._asdict()))
    assert result.inserted_primary_key is not None  # noqa: S101 (an INSERT of one row has one)
    return int(result.inserted_primary_key[0])


def forget_oldest(connection: Connection, actor: str) -> None:
    """Forget the oldest records of what a user did, if there are more than may be kept."""
    mine = AuditRecord.actor == actor
    ids = select(AuditRecord.id).where(mine).order_by(AuditRecord.id.desc())
    last_id = ids.offset(AUDIT_RECORDS_A_USER_MAX).limit(1).scalar_subquery()
    connection.execute(delete(AuditRecord).where(mine, AuditRecord.id <= last_id))


def amend(connection: Connection, record_id: int, reason: str) -> None:
    """Say anew what an act, which is done in many pieces, has come to."""
    statement = update(AuditRecord).where(AuditRecord.id == record_id)
    connection.execute(statement.values(reason=reason))


def list_newest(
    connection: Connection, count: int, *, user: Name | None = None, room: Name | None = None
) -> list[Act]:
    """Return the newest records, oldest first: of all, or by or about a user, or in a room."""
    query = select(*(getattr(AuditRecord, field) for field in Act._fields))
    if user is not None:
        known = select(User.name).where(User.key == user.key).scalar_subquery()
        query = query.where((AuditRecord.actor == known) | (AuditRecord.target == known))
    if room is not None:
        # Records outlive rooms: of one that is gone, or was renamed, this finds them by the name.
        known = select(Room.name).where(Room.key == room.key).scalar_subquery()
        where = AuditRecord.room
        query = query.where((where == known) | (func.lower(where) == room.key))
    query = query.order_by(AuditRecord.id.desc()).limit(count)
    return [Act(*row) for row in reversed(connection.execute(query).all())]
