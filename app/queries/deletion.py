"""Deleting an account. Takes a connection in a transaction, and blocks.

The row stays, and so does the name: no other user gets it, and old messages are shown under it. All
else that the account was or might do goes.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from app.database.tables import Ignored, Member, Moderator, Room, Sanction, ServerSanction, User
from app.queries import devices, rooms, tokens


class Heir(NamedTuple):
    """A moderator who owns a room from now on."""

    id: int
    name: str


def delete_account(connection: Connection, user_id: int, now: int) -> Mapping[int, Heir]:
    """Delete an account; return the new owners of its rooms, by room id.

    The new owner is the moderator with the oldest account. A room without moderators has no owner.
    """
    heirs = _heirs(connection, user_id)
    for room_id, heir in heirs.items():
        rooms.set_owner(connection, room_id, heir.id)
    members = select(Member.room_id).where(Member.user_id == user_id)
    revised = update(Room).where(Room.id.in_(members)).values(roster_rev=Room.roster_rev + 1)
    connection.execute(revised)
    for table in (Member, Moderator, Sanction, ServerSanction, Ignored):
        connection.execute(delete(table).filter_by(user_id=user_id))
    tokens.revoke_all(connection, user_id)
    devices.revoke_all(connection, user_id, now)
    values = {"password_hash": "", "is_admin": False, "is_disabled": True, "deleted_at": now}
    connection.execute(update(User).where(User.id == user_id).values(values))
    return heirs


def _heirs(connection: Connection, user_id: int) -> dict[int, Heir]:
    first = (
        select(Moderator.room_id, func.min(Moderator.user_id).label("user_id"))
        .join(Room, Room.id == Moderator.room_id)
        .join(User, User.id == Moderator.user_id)
        .where(
            Room.owner_id == user_id,
            Room.deleted_at.is_(None),
            User.deleted_at.is_(None),
            User.id != user_id,
        )
        .group_by(Moderator.room_id)
        .subquery()
    )
    query = select(first.c.room_id, User.id, User.name).join(User, User.id == first.c.user_id)
    return {room_id: Heir(*heir) for room_id, *heir in connection.execute(query)}
