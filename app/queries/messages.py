"""Queries on messages: a whole batch in one statement, pages by id. Each takes a connection.

SQLite gives up the interpreter's lock at every step of a statement, and a busy server takes long to
give it back. So a batch goes in as one JSON text and one step: 1,000 rows cost 3 ms, where as many
small statements cost seconds under load. On PostgreSQL it saves a thousand parameters: 4,000 rows
cost the interpreter 4 ms instead of 140.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    JSON,
    Alias,
    ColumnElement,
    CompoundSelect,
    Connection,
    Insert,
    Select,
    Text,
    bindparam,
    cast,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.orm import aliased

from app.bounds import ID_MAX, REPLAY_BYTES_MAX
from app.database.tables import Ignored, Message, Restoration, Room, SpentTxn, User
from app.protocol import talk
from app.protocol.command import Enc
from app.queries import locks
from app.values.names import harmless
from app.values.times import TIME_MAX

AnyMessage = TypeVar("AnyMessage", talk.Message, talk.PrivateMessage)


class NewMessage(NamedTuple):
    """A row to be stored; exactly one of room_id and recipient_id is set.

    With a `sender_device` it is encrypted, and `body` is its Enc as JSON.
    """

    room_id: int | None
    recipient_id: int | None
    user_id: int
    is_action: bool
    body: str
    said_at: int
    txn: str | None = None
    sender_device: str | None = None


class Stored(NamedTuple):
    """A batch as it is stored.

    It has the ids of its messages, the places of those that were stored before, and the number of
    decisions that were written with them.
    """

    ids: Sequence[int]
    old: Collection[int] = ()
    written: int = 0


class Page(NamedTuple):
    """A part of a room's messages: at most `length` with ids between, the first or the last.

    With `bytes_max`, it ends with the message that makes the text longer than that. It has two at
    least, to tell that the first is not all.
    """

    room_id: int
    after_id: int
    before_id: int
    length: int
    from_the_first: bool = False
    bytes_max: int | None = None


def _elements(dialect: str, parameter: str) -> Alias:
    """Return a JSON array as a table: each element is a `value`, at the place `key`."""
    if dialect == "sqlite":
        return func.json_each(bindparam(parameter)).table_valued("value", "key")
    array = cast(bindparam(parameter, type_=Text), JSON)
    elements = func.json_array_elements(array).table_valued("value", with_ordinality="key")
    return elements.render_derived()


def _part(dialect: str, elements: Alias, place: int, column: str) -> ColumnElement[Any]:
    """Return the item at a place of each element, as a column's type."""
    part = elements.c.value.op("->>")(literal_column(str(place)))
    return part if dialect == "sqlite" else cast(part, Message.__table__.c[column].type)


def _insert_batch(dialect: str, columns: Sequence[str]) -> Insert:
    batch = _elements(dialect, "batch")
    parts = (_part(dialect, batch, place, column) for place, column in enumerate(columns))
    return insert(Message).from_select(columns, select(*parts).order_by(batch.c.key))


def _insert_batches(columns: Sequence[str]) -> Mapping[str, Insert]:
    return {
        "sqlite": _insert_batch("sqlite", columns),
        "postgresql": _insert_batch("postgresql", columns).returning(Message.id),
    }


def _find_keys(dialect: str) -> CompoundSelect[int, str | None, int]:
    keys = _elements(dialect, "keys")
    user_id, txn = _part(dialect, keys, 0, "user_id"), _part(dialect, keys, 1, "txn")
    stored = select(Message.user_id, Message.txn, Message.id).join_from(
        keys,  # each is looked up; of (a, b) IN (...) SQLite makes a scan
        Message,
        (Message.user_id == user_id) & (Message.txn == txn) & Message.txn.is_not(None),
    )
    purged = select(SpentTxn.user_id, SpentTxn.txn, SpentTxn.message_id).join_from(
        keys, SpentTxn, (SpentTxn.user_id == user_id) & (SpentTxn.txn == txn)
    )
    return stored.union_all(purged)


_INSERT_BATCH = _insert_batches(NewMessage._fields)
_INSERT_PLAIN_BATCH = _insert_batches(NewMessage._fields[:-1])  # each column costs a tenth
# Compiled once, for batches that go to the driver as they are: see one_statement.
_BATCH_SQL, _PLAIN_BATCH_SQL = (
    str(statements["sqlite"].compile(dialect=sqlite.dialect()))
    for statements in (_INSERT_BATCH, _INSERT_PLAIN_BATCH)
)
_FIND_KEYS = {dialect: _find_keys(dialect) for dialect in _INSERT_BATCH}


def store(
    connection: Connection,
    messages: Sequence[NewMessage],
    seen: Mapping[int, int] | None = None,
) -> Stored:
    """Store a batch, and the ids of `note_seen`; messages that are new have ids that rise.

    A message that its user stored before under the same `txn` is not stored again. It has the id
    that it had then, also if it was purged since. Ids are drawn under the locks of rooms and
    recipients: in each of them they rise with the commits.
    """
    seen = seen or {}
    _lock(connection, messages, seen)
    note_seen(connection, seen)
    if not messages:
        return Stored(())
    if not any(message.txn for message in messages):
        return Stored(_insert(connection, messages))
    keys = [
        (message.user_id, message.txn) if message.txn else (place,)
        for place, message in enumerate(messages)
    ]
    ids = _stored_before(connection, [key for key in keys if len(key) > 1])
    new: dict[tuple[object, ...], NewMessage] = {}
    old: set[int] = set()
    for place, (key, message) in enumerate(zip(keys, messages, strict=True)):
        if key in ids or key in new:
            old.add(place)
        else:
            new[key] = message
    if new:
        ids.update(zip(new, _insert(connection, list(new.values())), strict=True))
    return Stored([ids[key] for key in keys], old)


def _lock(connection: Connection, messages: Iterable[NewMessage], seen: Iterable[int]) -> None:
    """Lock the rooms of a batch, its recipients, those who retry, and those who have seen mail."""
    rooms, users = set(), set(seen)
    for message in messages:
        if message.room_id is not None:
            rooms.add(message.room_id)
        if message.recipient_id is not None:
            users.add(message.recipient_id)
        if message.txn:
            users.add(message.user_id)
    locks.lock(connection, rooms=rooms, users=users)


def one_statement(messages: Sequence[NewMessage]) -> tuple[str, str] | None:
    """Return SQLite's statement and parameter for a batch, if one is enough.

    That is so when no message has a `txn`, and so none may have been stored before.
    """
    statement = _PLAIN_BATCH_SQL
    for message in messages:
        if message.txn:
            return None
        if message.sender_device:
            statement = _BATCH_SQL
    return statement, json.dumps(messages)


def ids_up_to(last_id: int, count: int) -> Sequence[int]:
    """Return the ids of one statement's `count` messages: one writer gives them."""
    return range(last_id - count + 1, last_id + 1)


def _stored_before(
    connection: Connection, keys: Sequence[tuple[object, ...]]
) -> dict[tuple[object, ...], int]:
    """Return the ids of messages found, by (user id, txn)."""
    statement = _FIND_KEYS[connection.dialect.name]
    rows = connection.execute(statement, {"keys": json.dumps(keys)})
    return {(user_id, txn): message_id for user_id, txn, message_id in rows}


def _insert(connection: Connection, messages: Sequence[NewMessage]) -> Sequence[int]:
    has_encrypted = any(message.sender_device for message in messages)
    statements = _INSERT_BATCH if has_encrypted else _INSERT_PLAIN_BATCH
    statement = statements[connection.dialect.name]
    result = connection.execute(statement, {"batch": json.dumps(messages)})
    if result.returns_rows:
        return sorted(result.scalars())  # given in the order of the batch
    return ids_up_to(result.lastrowid, len(messages))


def find_by_txn(connection: Connection, user_id: int, txn: str) -> int | None:
    """Return the id of a user's message by `txn`, also if purged."""
    return _stored_before(connection, [(user_id, txn)]).get((user_id, txn))


def note_seen(connection: Connection, seen: Mapping[int, int]) -> None:
    """Store the id of each user's newest shown private message."""
    for user_id, message_id in seen.items():
        statement = update(User).where(User.id == user_id, User.private_seen_id < message_id)
        connection.execute(statement.values(private_seen_id=message_id))


_NEWEST_ID = {
    "sqlite": "SELECT seq FROM sqlite_sequence WHERE name = 'messages'",
    "postgresql": "SELECT pg_sequence_last_value(pg_get_serial_sequence('messages', 'id'))",
}


def newest_id(connection: Connection) -> int:
    """Return the highest id ever given to a message; 0 for none."""
    return connection.exec_driver_sql(_NEWEST_ID[connection.dialect.name]).scalar() or 0


def lost(connection: Connection) -> Sequence[tuple[int, int]]:
    """Return the ids lost by returns to backups, in pairs.

    The messages are after the first of the two ids, and up to the second.
    """
    rows = connection.execute(select(Restoration.after_id, Restoration.up_to_id))
    return [(after_id, up_to_id) for after_id, up_to_id in rows]


def page(connection: Connection, page: Page) -> list[talk.Message]:
    """Return a page of a room's messages, oldest first."""
    order = Message.id if page.from_the_first else Message.id.desc()
    query = (
        select(
            Room.name,
            User.name,
            Message.body,
            Message.said_at,
            Message.is_action,
            Message.id,
            Message.sender_device,
        )
        .join(Room, Room.id == Message.room_id)
        .join(User, User.id == Message.user_id)
        .where(
            Message.room_id == page.room_id,
            Message.id > page.after_id,
            Message.id < page.before_id,
        )
        .order_by(order)
        .limit(page.length)
    )
    with connection.execute(query) as rows:
        messages = list(_up_to(page.bytes_max, map(_said, rows)))
    return messages if page.from_the_first else messages[::-1]


def newest(
    connection: Connection, room_id: int, count: int, before_id: int = ID_MAX
) -> list[talk.Message]:
    """Return a room's newest messages: `count` and one more, or more text than is kept."""
    return page(connection, Page(room_id, 0, before_id, count + 1, bytes_max=REPLAY_BYTES_MAX))


def _shown_at(said_at: int) -> int:
    """Return a time within the range that can be shown."""
    return min(max(said_at, 0), TIME_MAX)


def _said(row: Any) -> talk.Message:
    room, user, body, said_at, is_action, message_id, device = row
    said_at = _shown_at(said_at)
    if device is None:
        return talk.Said(room, user, harmless(body), said_at, is_action, message_id)
    enc = Enc.model_validate_json(body)
    return talk.SaidEncrypted(room, user, device, enc, said_at, message_id)


def _up_to(bytes_max: int | None, messages: Iterable[AnyMessage]) -> Iterator[AnyMessage]:
    """Yield messages until the text is too long. The rest need not be in memory."""
    size_bytes = 0
    for place, said in enumerate(messages):
        yield said
        size_bytes += said.size_bytes
        if bytes_max is not None and size_bytes > bytes_max and place:
            return


def _mail_query() -> Select[*tuple[Any, ...]]:
    sender, recipient = aliased(User), aliased(User)
    return (
        select(
            sender.name,
            recipient.name,
            Message.body,
            Message.said_at,
            Message.id,
            Message.sender_device,
        )
        .join(sender, sender.id == Message.user_id)
        .join(recipient, recipient.id == Message.recipient_id)
        .where(
            Message.recipient_id == bindparam("recipient_id"),
            Message.id > bindparam("after_id"),
            Message.id <= bindparam("up_to_id"),
        )
        .order_by(Message.id)
        .limit(bindparam("count"))
    )


_MAIL = _mail_query()  # each login's query: to build it takes longer than to run it


def mail(
    connection: Connection, recipient_id: int, after_id: int, up_to_id: int, count: int
) -> list[talk.PrivateMessage]:
    """Return a user's first `count` private messages of those ids, oldest first.

    There are fewer when they are long: as much text as is shown at once.
    """
    bounds = {
        "recipient_id": recipient_id,
        "after_id": after_id,
        "up_to_id": up_to_id,
        "count": count,
    }
    with connection.execute(_MAIL, bounds) as rows:
        return list(_up_to(REPLAY_BYTES_MAX, map(_privately_said, rows)))


def unread(connection: Connection, recipient_id: int, after_id: int) -> dict[int, int]:
    """Return the number of newer private messages to a user, by the sender's id."""
    query = select(Message.user_id, func.count()).where(
        Message.recipient_id == recipient_id, Message.id > after_id
    )
    return dict(connection.execute(query.group_by(Message.user_id)).all())


def newest_mail(
    connection: Connection, recipient_id: int, after_id: int, up_to_id: int, count: int
) -> tuple[int, int]:
    """Return the first id of the newest `count` private messages, and the older ones' number.

    Messages of ignored users are not counted.
    """
    ignored = select(Ignored.ignored_id).where(Ignored.user_id == recipient_id)
    ids = select(Message.id).where(
        Message.recipient_id == recipient_id,
        Message.id > after_id,
        Message.id <= up_to_id,
        Message.user_id.not_in(ignored),
    )
    last = ids.order_by(Message.id.desc()).offset(count - 1).limit(1)
    first_id = connection.execute(last).scalar()
    if first_id is None:
        return after_id + 1, 0
    older = select(func.count()).select_from(ids.where(Message.id < first_id).subquery())
    return first_id, connection.execute(older).scalar_one()


def _privately_said(row: Any) -> talk.PrivateMessage:
    user, recipient, body, said_at, message_id, device = row
    said_at = _shown_at(said_at)
    if device is None:
        return talk.PrivatelySaid(user, recipient, harmless(body), said_at, message_id)
    enc = Enc.model_validate_json(body)
    return talk.PrivatelySaidEncrypted(user, recipient, device, enc, said_at, message_id)
