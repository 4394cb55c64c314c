"""The audit: a record of every decision of moderators and admins. Each query blocks."""

from typing import NamedTuple

from sqlalchemy import Connection, Delete, bindparam, delete, func, insert, select, update

from app.bounds import AUDIT_RECORDS_A_USER_MAX
from app.database.tables import AuditRecord, Room, User
from app.values.names import Name

OPERATOR = "(operator)"  # a person who runs manage.py; no account can have that name


class Act(NamedTuple):
    """A decision: time, actor, action, target, room and reason. Fields may be empty."""

    done_at: int
    actor: str
    action: str
    target: str
    room: str = ""
    reason: str = ""


def _oldest() -> Delete:
    mine = AuditRecord.actor == bindparam("actor")
    ids = select(AuditRecord.id).where(mine).order_by(AuditRecord.id.desc())
    last_id = ids.offset(bindparam("kept")).limit(1).scalar_subquery()
    return delete(AuditRecord).where(mine, AuditRecord.id <= last_id)


_RECORD, _FORGET_OLDEST = insert(AuditRecord), _oldest()  # of each decision, built once


def record(connection: Connection, act: Act) -> int:
    """Add a record, in the act's own transaction; return its id."""
    result = connection.execute(_RECORD, act._asdict())
    assert result.inserted_primary_key is not None  # noqa: S101 (an INSERT of one row has one)
    return int(result.inserted_primary_key[0])


def forget_oldest(connection: Connection, actor: str) -> None:
    """Forget a user's oldest records, beyond the number that is kept."""
    connection.execute(_FORGET_OLDEST, {"actor": actor, "kept": AUDIT_RECORDS_A_USER_MAX})


def amend(connection: Connection, record_id: int, reason: str) -> None:
    """Replace a record's reason, as an act of many pieces goes on."""
    statement = update(AuditRecord).where(AuditRecord.id == record_id)
    connection.execute(statement.values(reason=reason))


def list_newest(
    connection: Connection, count: int, *, user: Name | None = None, room: Name | None = None
) -> list[Act]:
    """Return the newest records, oldest first: all, those by or about a user, or of a room."""
    query = select(*(getattr(AuditRecord, field) for field in Act._fields))
    if user is not None:
        known = select(User.name).where(User.key == user.key).scalar_subquery()
        query = query.where((AuditRecord.actor == known) | (AuditRecord.target == known))
    if room is not None:
        # Records outlive rooms: those of a deleted or renamed room are found by its old name.
        known = select(Room.name).where(Room.key == room.key).scalar_subquery()
        where = AuditRecord.room
        query = query.where((where == known) | (func.lower(where) == room.key))
    query = query.order_by(AuditRecord.id.desc()).limit(count)
    return [Act(*row) for row in reversed(connection.execute(query).all())]
