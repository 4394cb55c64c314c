"""Queries on messages: a whole batch in one statement, pages by id. Each takes a connection.

SQLite gives up the interpreter's lock at every step of a statement, and a busy server takes long to
give it back. So a batch goes in as one JSON text and one step: 1,000 rows cost 3 ms, where as many
small statements cost seconds under load.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, literal_column, select, update
from sqlalchemy.orm import aliased

from app.events import PrivatelySaid, Said
from app.store.models import Message, Room, User


class NewMessage(NamedTuple):
    """A row to be stored; exactly one of room_id and recipient_id is set."""

    room_id: int | None
    recipient_id: int | None
    user_id: int
    is_action: bool
    body: str
    said_at: int


_batch = func.json_each(bindparam("batch")).table_valued("value", "key")
_insert_batch = insert(Message).from_select(
    NewMessage._fields,
    select(
        *(
            _batch.c.value.op("->>")(literal_column(str(place)))
            for place in range(len(NewMessage._fields))
        )
    ).order_by(_batch.c.key),
)
_insert_rows = insert(Message).returning(Message.id, sort_by_parameter_order=True)


def store(connection: Connection, messages: Sequence[NewMessage]) -> Sequence[int]:
    """Store a batch of at least one message, and return their ids, which rise."""
    if connection.dialect.name != "sqlite":
        rows = [message._asdict() for message in messages]
        return connection.scalars(_insert_rows, rows).all()
    last_id = connection.execute(_insert_batch, {"batch": json.dumps(messages)}).lastrowid
    return range(last_id - len(messages) + 1, last_id + 1)  # one writer: no id comes between


def note_seen(connection: Connection, seen: Mapping[int, int]) -> None:
    """Remember up to which id each user was shown their private messages."""
    for user_id, message_id in seen.items():
        statement = update(User).where(User.id == user_id, User.private_seen_id < message_id)
        connection.execute(statement.values(private_seen_id=message_id))


def newest_id(connection: Connection) -> int:
    """Return the id of the newest message, 0 when there is none."""
    return connection.execute(select(func.max(Message.id))).scalar_one() or 0


def page(connection: Connection, room_id: int, before_id: int, count: int) -> list[Said]:
    """Return the last `count` messages of a room with smaller ids, oldest first."""
    query = (
        select(Room.name, User.name, Message.body, Message.said_at, Message.is_action, Message.id)
        .join(Room, Room.id == Message.room_id)
        .join(User, User.id == Message.user_id)
        .where(Message.room_id == room_id, Message.id < before_id)
        .order_by(Message.id.desc())
        .limit(count)
    )
    return [Said(*row) for row in reversed(connection.execute(query).all())]


def newest(connection: Connection, room_id: int, count: int) -> list[Said]:
    """Return the last `count` messages of a room, oldest first."""
    return page(connection, room_id, 1 << 62, count)


def mail(
    connection: Connection, recipient_id: int, after_id: int, up_to_id: int, count: int
) -> list[PrivatelySaid]:
    """Return the first `count` private messages of those ids to a user, oldest first."""
    sender, recipient = aliased(User), aliased(User)
    query = (
        select(sender.name, recipient.name, Message.body, Message.said_at, Message.id)
        .join(sender, sender.id == Message.user_id)
        .join(recipient, recipient.id == Message.recipient_id)
        .where(
            Message.recipient_id == recipient_id,
            Message.id > after_id,
            Message.id <= up_to_id,
        )
        .order_by(Message.id)
        .limit(count)
    )
    return [PrivatelySaid(*row) for row in connection.execute(query)]
