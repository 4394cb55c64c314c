"""Queries on files. Each takes a connection in a transaction, and blocks.

A file comes and goes in chunks, many short transactions, so that no message waits long for any of
them. Its `sha256`, which says that the file is there, is written by the last transaction and
removed by the first. How many files a user has, and their bytes, stand with the user: no upload
counts all rows. Each statement that adds, resizes or removes a file changes these sums in the same
transaction, under the lock of the user.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.orm import aliased

from app.bounds import FILE_CHUNKS_REMOVED_AT_ONCE, FILES_A_USER_MAX, ID_MAX
from app.database.tables import File, FileChunk, User
from app.protocol.files import SharedFile
from app.queries import locks


class NewFile(NamedTuple):
    """A file that is to come; exactly one of room_id and recipient_id is set.

    An encrypted one has no name.
    """

    room_id: int | None
    recipient_id: int | None
    user_id: int
    name: str
    e2ee: bool


class StoredFile(NamedTuple):
    """A stored file: its room or recipient, its user, and what is shown of it."""

    room_id: int | None
    recipient_id: int | None
    user_id: int
    shared: SharedFile


class QuotaExceededError(Exception):
    """All files of the user would be larger than the quota."""


class TooManyFilesError(Exception):
    """The user has the most files that one may have."""


ENCRYPTED = "[encrypted]"  # in place of a name

_sender, _recipient = aliased(User), aliased(User)


def has_as_many(connection: Connection, user_id: int) -> bool:
    """Whether a user has the most files that one may have."""
    query = select(User.file_count >= FILES_A_USER_MAX).where(User.id == user_id)
    return bool(connection.execute(query).scalar())


def begin(connection: Connection, new: NewFile, now: int) -> int:
    """Add a file without bytes, and hold it; return its id. Raises TooManyFilesError."""
    mine = update(User).where(User.id == new.user_id, User.file_count < FILES_A_USER_MAX)
    if not connection.execute(mine.values(file_count=User.file_count + 1)).rowcount:
        raise TooManyFilesError
    statement = insert(File).values(**new._asdict(), size=0, made_at=now)
    result = connection.execute(statement)
    assert result.inserted_primary_key is not None  # noqa: S101 (an INSERT of one row has one)
    file_id = int(result.inserted_primary_key[0])
    locks.hold_file(connection, file_id)
    return file_id


def reserve(connection: Connection, file_id: int, size: int, quota: int) -> None:
    """Set a file's size, in bytes of its user's quota. Raises QuotaExceededError."""
    _resize(connection, file_id, size, quota)


def _resize(
    connection: Connection, file_id: int, size: int, quota: int | None, **more: Any
) -> None:
    """Set a file's size and columns, and its user's sum.

    Raises QuotaExceededError if the sum grows beyond the quota.
    """
    _lock_user(connection, file_id)
    row = connection.execute(select(File.user_id, File.size).where(File.id == file_id)).first()
    if row is None:
        return
    grown = size - row.size
    user = update(User).where(User.id == row.user_id).values(file_bytes=User.file_bytes + grown)
    if quota is not None and grown > 0:
        user = user.where(User.file_bytes + grown <= quota)
    if grown and not connection.execute(user).rowcount:
        raise QuotaExceededError
    connection.execute(update(File).where(File.id == file_id).values(size=size, **more))


def _lock_user(connection: Connection, file_id: int) -> None:
    locks.lock(connection, users=select(File.user_id).where(File.id == file_id))


def add_chunk(connection: Connection, file_id: int, place: int, data: bytes) -> None:
    """Keep the next piece of a file."""
    connection.execute(insert(FileChunk).values(file_id=file_id, place=place, data=data))


def complete(connection: Connection, file_id: int, size: int, sha256: bytes, now: int) -> None:
    """Record that all of a file is there: from now on it can be found."""
    _resize(connection, file_id, size, None, sha256=sha256, made_at=now)
    locks.let_file_go(connection, file_id)


def name_shown() -> ColumnElement[str]:
    """Return a file's name, or an encrypted one's stand-in."""
    return case((File.e2ee, ENCRYPTED), else_=File.name)


def _query() -> Select[*tuple[Any, ...]]:
    return (
        select(
            File.room_id,
            File.recipient_id,
            File.user_id,
            File.id,
            name_shown(),
            File.size,
            File.sha256,
            _sender.name,
            _recipient.name,
            File.made_at,
            File.e2ee,
        )
        .join(_sender, _sender.id == File.user_id)
        .outerjoin(_recipient, _recipient.id == File.recipient_id)
        .where(File.sha256.is_not(None))
    )


def _stored(row: Any) -> StoredFile:
    room_id, recipient_id, user_id, file_id, name, size, sha256, sender, recipient, *when = row
    shared = SharedFile(file_id, name, size, sha256.hex(), sender, recipient, *when)
    return StoredFile(room_id, recipient_id, user_id, shared)


def find(connection: Connection, file_id: int) -> StoredFile | None:
    """Return a file, if all of it is there."""
    row = connection.execute(_query().where(File.id == file_id)).first()
    return _stored(row) if row else None


def newest(
    connection: Connection, room_id: int | None, user_id: int, before_id: int, count: int
) -> Sequence[SharedFile]:
    """Return the newest files before an id, oldest first: of a room, to the user, or by them.

    Those by the user are the private ones. Each of the three is read by its own index, no further
    than the page needs. One query for all three would look through all files and sort them.
    """
    conditions = [
        File.recipient_id == user_id,
        (File.user_id == user_id) & File.recipient_id.is_not(None),
    ]
    if room_id is not None:
        conditions.append(File.room_id == room_id)
    found: dict[int, SharedFile] = {}
    for condition in conditions:
        query = _query().where(condition, File.id < before_id)
        rows = connection.execute(query.order_by(File.id.desc()).limit(count))
        found |= {row.id: _stored(row).shared for row in rows}
    return [found[file_id] for file_id in sorted(found)[-count:]]


def chunk(connection: Connection, file_id: int, place: int) -> bytes | None:
    """Return a piece of a file, if the file exists."""
    query = (
        select(FileChunk.data)
        .join(File, File.id == FileChunk.file_id)
        .where(FileChunk.file_id == file_id, FileChunk.place == place, File.sha256.is_not(None))
    )
    return connection.execute(query).scalar()


def withdraw(connection: Connection, file_id: int) -> None:
    """End a file: it is found no longer, and its chunks wait to be removed."""
    _resize(connection, file_id, 0, None, sha256=None)


def withdraw_due(connection: Connection, file_id: int, made_before: int = ID_MAX) -> bool:
    """End a file if it is due, and not being sent to another server; return whether it was."""
    _lock_user(connection, file_id)
    is_due = connection.execute(select(File.id).where(File.id == file_id, _is_due(made_before)))
    if is_due.first() is None or locks.is_file_held(connection, file_id):
        return False
    withdraw(connection, file_id)
    return True


def remove_some(connection: Connection, file_id: int) -> bool:
    """Remove some of a file's chunks; return whether that was the last of it."""
    pieces = select(FileChunk.place).where(FileChunk.file_id == file_id).order_by(FileChunk.place)
    places = connection.scalars(pieces.limit(FILE_CHUNKS_REMOVED_AT_ONCE)).all()
    of_file = FileChunk.file_id == file_id
    connection.execute(delete(FileChunk).where(of_file, FileChunk.place.in_(places)))
    if len(places) == FILE_CHUNKS_REMOVED_AT_ONCE:
        return False
    _resize(connection, file_id, 0, None)
    of_its_user = User.id == select(File.user_id).where(File.id == file_id).scalar_subquery()
    connection.execute(update(User).where(of_its_user).values(file_count=User.file_count - 1))
    connection.execute(delete(File).where(File.id == file_id))
    return True


def due(connection: Connection, made_before: int) -> Sequence[int]:
    """Return the ids of files to remove: made before then, or not complete."""
    query = select(File.id).where(_is_due(made_before))
    return connection.scalars(query.order_by(File.id)).all()


def _is_due(made_before: int) -> ColumnElement[bool]:
    return or_(File.made_at < made_before, File.sha256.is_(None))
