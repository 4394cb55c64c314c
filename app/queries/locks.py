"""Locks, so that several writers can change one database. Each takes a connection, and blocks.

What belongs to a room changes under the lock of the room's row, and what belongs to a user or a
device under the lock of the user's row. It is taken before the first look at what is to be changed,
and lasts until the transaction ends. So no other writer changes it between the look and the change.

Deadlocks are impossible because all take locks in one order: the server's, then those of rooms,
then those of users; of rooms and of users, the lower id first. A transaction that needs several
takes them with one call, or in this order. The server's lock is for what belongs to no row: the
order of all changes of devices, and the number of bans.

On SQLite these functions do nothing: a transaction that writes begins with the lock of the whole
database. On PostgreSQL such a lock is no obstacle to readers, nor to new rows that refer to the
locked one. A file that is being sent has a lock of the session instead, which ends when its server
does: so no other server takes it for the rest of a crash.
"""

from collections.abc import Collection

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    SelectBase,
    any_,
    bindparam,
    func,
    select,
)
from sqlalchemy.orm import InstrumentedAttribute

from app.database import postgresql
from app.database.tables import Room, User
from app.errors import Unavailable

Ids = Collection[int] | SelectBase
Column = InstrumentedAttribute[int]


def lock(connection: Connection, *, server: bool = False, rooms: Ids = (), users: Ids = ()) -> None:
    """Lock the server, rooms and users, until the transaction ends."""
    if connection.dialect.name == "sqlite":
        return
    if server:
        connection.exec_driver_sql(postgresql.LOCK_SERVER)
    for column, ids in ((Room.id, rooms), (User.id, users)):
        if isinstance(ids, SelectBase):
            connection.execute(_in_order(column, column.in_(ids)))
        elif ids:
            connection.execute(_THESE[column], {"ids": list(ids)})


def _in_order(column: Column, are_meant: ColumnElement[bool]) -> Select[int]:
    return select(column).where(are_meant).order_by(column).with_for_update(key_share=True)


# Each batch's statements, built once: to build one takes longer than to run it.
_THESE = {
    column: _in_order(column, column == any_(bindparam("ids", type_=ARRAY(BigInteger))))
    for column in (Room.id, User.id)
}


def hold_file(connection: Connection, file_id: int) -> None:
    """Say that a file is being sent, until `let_file_go`, or until the server ends."""
    _ask_postgresql(connection, postgresql.HOLD_FILE, file_id)


def let_file_go(connection: Connection, file_id: int) -> None:
    """Say that a file is no longer being sent."""
    _ask_postgresql(connection, postgresql.LET_FILE_GO, file_id)


def is_file_held(connection: Connection, file_id: int) -> bool:
    """Whether a file is being sent to another server."""
    return _ask_postgresql(connection, postgresql.TRY_FILE, file_id) is False


def _ask_postgresql(connection: Connection, statement: str, file_id: int) -> object:
    if connection.dialect.name == "sqlite":
        return None
    return connection.exec_driver_sql(statement, {"file": file_id}).scalar()


def check_has_place(connection: Connection, which: ColumnElement[bool], most: int) -> None:
    """Raise Unavailable when there are as many such rows as there may be.

    The caller has locked that to which they belong. Callers in front of it refuse in better words;
    this is for the place that another server took just now.
    """
    if connection.execute(select(func.count()).where(which)).scalar_one() >= most:
        raise Unavailable("the last place was just taken; try again", code="full")
