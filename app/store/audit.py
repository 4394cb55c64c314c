"""The audit: a record of every act of moderation and administration. Each query blocks."""

from typing import NamedTuple

from sqlalchemy import Connection, insert, select, update

from app.store.models import AuditRecord, Room, User

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


def amend(connection: Connection, record_id: int, reason: str) -> None:
    """Say anew what an act, which is done in many pieces, has come to."""
    statement = update(AuditRecord).where(AuditRecord.id == record_id)
    connection.execute(statement.values(reason=reason))


def list_newest(
    connection: Connection, count: int, *, user_key: str = "", room_key: str = ""
) -> list[Act]:
    """Return the newest records, oldest first: of all, or by or about a user, or in a room."""
    query = select(*(getattr(AuditRecord, field) for field in Act._fields))
    if user_key:
        name = select(User.name).where(User.key == user_key).scalar_subquery()
        query = query.where((AuditRecord.actor == name) | (AuditRecord.target == name))
    if room_key:
        name = select(Room.name).where(Room.key == room_key).scalar_subquery()
        query = query.where(AuditRecord.room == name)
    query = query.order_by(AuditRecord.id.desc()).limit(count)
    return [Act(*row) for row in reversed(connection.execute(query).all())]
