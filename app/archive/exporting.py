"""Reading all of a room: its messages and files, in their order, a page at a time.

Each page is a short transaction of its own. So a long export lets a server empty its write-ahead
log, and holds one page in memory.
"""

import heapq
from collections.abc import Iterator

from sqlalchemy import Engine, func, select

from app.bounds import EXPORT_PAGE
from app.database.tables import File, Message, Room, User
from app.protocol.files import FileShared
from app.protocol.talk import Message as Shown
from app.queries import messages
from app.queries.files import name_shown


def everything(engine: Engine, room_id: int, since_at: int) -> Iterator[Shown | FileShared]:
    """Yield a room's messages and files since a time, in order. Blocks."""
    said: Iterator[Shown | FileShared] = _messages(engine, room_id, since_at)
    shared: Iterator[Shown | FileShared] = _files(engine, room_id, since_at)
    yield from heapq.merge(said, shared, key=lambda event: event.at)


def _messages(engine: Engine, room_id: int, since_at: int) -> Iterator[Shown]:
    ids = select(func.min(Message.id), func.max(Message.id))
    with engine.begin() as connection:
        wanted = ids.where(Message.room_id == room_id, Message.said_at >= since_at)
        first_id, last_id = connection.execute(wanted).one()
    after_id = (first_id or 1) - 1
    while last_id is not None and after_id < last_id:
        limits = messages.Page(room_id, after_id, last_id + 1, EXPORT_PAGE, from_the_first=True)
        with engine.begin() as connection:
            page = messages.page(connection, limits)
        yield from page
        after_id = page[-1].id if page else last_id  # none: they may have been purged since


def _files(engine: Engine, room_id: int, since_at: int) -> Iterator[FileShared]:
    what = (File.id, name_shown(), File.size, File.sha256, File.made_at)
    columns = (Room.name, User.name, *what)
    query = (
        select(*columns)
        .join_from(File, Room, Room.id == File.room_id)
        .join(User, User.id == File.user_id)
        .where(File.room_id == room_id, File.sha256.is_not(None), File.made_at >= since_at)
        .order_by(File.id)
        .limit(EXPORT_PAGE)
    )
    after_id = 0
    while True:
        with engine.begin() as connection:
            rows = connection.execute(query.where(File.id > after_id)).all()
        for room, user, file_id, name, size, sha256, made_at in rows:
            yield FileShared(room, user, file_id, name, size, (sha256 or b"").hex(), made_at)
            after_id = file_id
        if len(rows) < EXPORT_PAGE:
            return
