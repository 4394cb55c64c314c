"""Deleting an account. Takes a connection in a transaction, and blocks.

The row stays, and so does the name: no other user gets it, and old messages are shown under it. All
else that the account was or might do goes.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import CompoundSelect, Connection, delete, func, select, update

from app.database.tables import Ignored, Member, Moderator, Room, Sanction, ServerSanction, User
from app.queries import devices, locks, rooms, tokens

_IN_ROOMS = (Member, Moderator, Sanction)


class Heir(NamedTuple):
    """A moderator who owns a room from now on."""

    id: int
    name: str


class Left(NamedTuple):
    """What an account leaves to a room: whether it was a member, and the new owner, if any."""

    was_member: bool
    heir: Heir | None


def delete_account(connection: Connection, user_id: int, now: int) -> list[tuple[int, Left]]:
    """Delete an account; return what it leaves to rooms, by id, in the order of their names.

    The new owner is the moderator with the oldest account. A room without moderators has no owner.
    """
    locks.lock(connection, server=True, rooms=_rooms_of(user_id), users=[user_id])
    heirs = _heirs(connection, user_id)
    left = _left(connection, user_id, heirs, now)
    for room_id, heir in heirs.items():
        rooms.set_owner(connection, room_id, heir.id)
    members = select(Member.room_id).where(Member.user_id == user_id)
    revised = update(Room).where(Room.id.in_(members)).values(roster_rev=Room.roster_rev + 1)
    connection.execute(revised)
    for table in (*_IN_ROOMS, ServerSanction, Ignored):
        connection.execute(delete(table).filter_by(user_id=user_id))
    tokens.revoke_all(connection, user_id)
    devices.revoke_all(connection, user_id, now)
    values = {"password_hash": "", "is_admin": False, "is_disabled": True, "deleted_at": now}
    connection.execute(update(User).where(User.id == user_id).values(values))
    return left


def _left(
    connection: Connection, user_id: int, heirs: Mapping[int, Heir], now: int
) -> list[tuple[int, Left]]:
    in_force = Sanction.until_at.is_(None) | (Sanction.until_at > now)
    member_of, moderator_of, sanctioned_in = (
        set(connection.scalars(rooms_of.filter_by(user_id=user_id)))
        for rooms_of in (
            select(Member.room_id),
            select(Moderator.room_id),
            select(Sanction.room_id).where(in_force),
        )
    )
    touched = member_of.union(heirs, moderator_of, sanctioned_in)
    there = select(Room.id).where(Room.id.in_(touched), Room.deleted_at.is_(None))
    room_ids = connection.scalars(there.order_by(Room.key))
    return [(each, Left(each in member_of, heirs.get(each))) for each in room_ids]


def _rooms_of(user_id: int) -> CompoundSelect[int]:
    """Select the rooms in which an account is something."""
    owned = select(Room.id).where(Room.owner_id == user_id)
    others = (select(kind.room_id).filter_by(user_id=user_id) for kind in _IN_ROOMS)
    return owned.union(*others)


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
