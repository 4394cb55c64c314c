"""Queries on the logs of facts: each room's, and the server's. Each blocks."""

from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, text

from app.bounds import FACTS_KEPT_SECONDS
from app.database.tables import LoggedFact


class Logged(NamedTuple):
    """A fact as a log keeps it: `data` is JSON."""

    id: int
    kind: str
    data: str


_NEXT_IDS = {
    "sqlite": (
        "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'messages' RETURNING seq",
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('messages', 1) RETURNING seq",
    ),
    "postgresql": ("SELECT nextval(pg_get_serial_sequence('messages', 'id'))",),
}


def append(connection: Connection, room_id: int | None, kind: str, data: str, now: int) -> int:
    """Append a fact to a room's log, or to the server's; return its id, newer than all others."""
    fact_id = _next_id(connection)
    statement = insert(LoggedFact).values(
        id=fact_id, room_id=room_id, kind=kind, data=data, made_at=now
    )
    connection.execute(statement)
    return fact_id


def _next_id(connection: Connection) -> int:
    """Draw an id as messages are given: an empty table of SQLite has no row for it yet."""
    drawn = (connection.scalar(text(each)) for each in _NEXT_IDS[connection.dialect.name])
    return next(int(fact_id) for fact_id in drawn if fact_id is not None)


def log_of(connection: Connection, room_id: int | None) -> list[Logged]:
    """Return the log of a room, or of the server, oldest first."""
    query = select(LoggedFact.id, LoggedFact.kind, LoggedFact.data)
    rows = connection.execute(query.where(LoggedFact.room_id == room_id).order_by(LoggedFact.id))
    return [Logged(*row) for row in rows]


def has_old(connection: Connection, now: int) -> bool:
    """Whether there are facts to forget."""
    oldest_at = connection.scalar(select(func.min(LoggedFact.made_at)))
    return oldest_at is not None and oldest_at < now - FACTS_KEPT_SECONDS * 1000


def forget_old(connection: Connection, now: int) -> None:
    """Forget the facts that all have applied long ago."""
    connection.execute(
        delete(LoggedFact).where(LoggedFact.made_at < now - FACTS_KEPT_SECONDS * 1000)
    )
