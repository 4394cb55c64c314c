"""Queries on the logs of facts: each room's, and the server's. Each blocks."""

from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Delete, bindparam, delete, insert, select

from app.bounds import FACTS_A_LOG_MAX, FACTS_KEPT_SECONDS, REMOVED_AT_ONCE
from app.database.tables import LoggedFact
from app.queries import messages


class Logged(NamedTuple):
    """A fact as a log keeps it: behind the message `after_id`. `data` is JSON."""

    id: int
    after_id: int
    kind: str
    data: str


def _oldest(of_log: ColumnElement[bool]) -> Delete:
    ids = select(LoggedFact.id).where(of_log).order_by(LoggedFact.id.desc())
    last_id = ids.offset(bindparam("kept")).limit(1).scalar_subquery()
    return delete(LoggedFact).where(of_log, LoggedFact.id <= last_id)


_APPEND = insert(LoggedFact)  # each decision's statements, built once
_FORGET_OF_ROOM = _oldest(LoggedFact.room_id == bindparam("of_room"))
_FORGET_OF_SERVER = _oldest(LoggedFact.room_id.is_(None))


def append(connection: Connection, room_id: int | None, kind: str, data: str, now: int) -> None:
    """Append a fact to a room's log, or to the server's: behind all messages that there are.

    The oldest facts beyond the bound are forgotten.
    """
    fact = {"room_id": room_id, "kind": kind, "data": data, "made_at": now}
    connection.execute(_APPEND, {"after_id": messages.newest_id(connection), **fact})
    if room_id is None:
        connection.execute(_FORGET_OF_SERVER, {"kept": FACTS_A_LOG_MAX})
    else:
        connection.execute(_FORGET_OF_ROOM, {"of_room": room_id, "kept": FACTS_A_LOG_MAX})


def log_of(connection: Connection, room_id: int | None) -> list[Logged]:
    """Return the log of a room, or of the server, oldest first."""
    rows = LoggedFact
    query = select(rows.id, rows.after_id, rows.kind, rows.data).where(rows.room_id == room_id)
    return [Logged(*row) for row in connection.execute(query.order_by(rows.id))]


def forget_some(connection: Connection, now: int) -> bool:
    """Forget some facts of long ago, which all have applied; return whether there were any."""
    old = select(LoggedFact.id).where(LoggedFact.made_at < now - FACTS_KEPT_SECONDS * 1000)
    ids = connection.scalars(old.order_by(LoggedFact.made_at).limit(REMOVED_AT_ONCE)).all()
    connection.execute(delete(LoggedFact).where(LoggedFact.id.in_(ids)))
    return bool(ids)
