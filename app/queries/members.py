"""Queries on the members of encrypted rooms. Each takes a connection, and blocks.

Each change makes a new revision of the room's roster, in the same transaction.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, literal, select, update

from app.bounds import MEMBERS_A_ROOM_MAX
from app.database.tables import Member, Room, User
from app.queries import locks, messages


@dataclass(slots=True)
class Roster:
    """The members of an encrypted room: keys of names by user id, as of `rev`."""

    e2ee_from: int
    rev: int
    members: dict[int, str]


def find(connection: Connection, room_id: int) -> Roster | None:
    """Return the roster of a room, if it is encrypted."""
    query = select(Room.e2ee_from, Room.roster_rev).where(Room.id == room_id)
    e2ee_from, rev = connection.execute(query).one()
    if e2ee_from is None:
        return None
    of_room = select(User.id, User.key).join(Member, Member.user_id == User.id)
    rows = connection.execute(of_room.where(Member.room_id == room_id))
    return Roster(e2ee_from, rev, {row.id: row.key for row in rows})


def encrypt(connection: Connection, room_id: int, member_ids: Collection[int]) -> int:
    """Make a room encrypted, from the next message on; return the newest message's id."""
    locks.lock(connection, rooms=[room_id])
    newest_id = messages.newest_id(connection)
    values = {"e2ee_from": newest_id, "roster_rev": 1}
    connection.execute(update(Room).where(Room.id == room_id).values(values))
    users = select(literal(room_id), User.id).where(User.id.in_(member_ids))
    connection.execute(insert(Member).from_select(["room_id", "user_id"], users))
    return newest_id


def active(connection: Connection, members: Mapping[int, str]) -> dict[int, str]:
    """Return those whose accounts are neither deleted nor disabled, and stay so until the end."""
    locks.lock(connection, users=members)
    query = select(User.id).where(User.id.in_(members), User.is_disabled.is_(False))
    return {user_id: members[user_id] for user_id in connection.scalars(query.order_by(User.id))}


def add(connection: Connection, room_id: int, user_id: int) -> None:
    """Add a user, who is none, to a room's members. Raises Unavailable beyond the bound."""
    _make_revision(connection, room_id)
    locks.check_has_place(connection, Member.room_id == room_id, MEMBERS_A_ROOM_MAX)
    connection.execute(insert(Member).values(room_id=room_id, user_id=user_id))


def remove(connection: Connection, room_id: int, user_id: int) -> bool:
    """Remove a member from a room; return whether the user was one."""
    locks.lock(connection, rooms=[room_id])
    of_user = delete(Member).filter_by(room_id=room_id, user_id=user_id)
    was_member = bool(connection.execute(of_user).rowcount)
    if was_member:
        _make_revision(connection, room_id)
    return was_member


def _make_revision(connection: Connection, room_id: int) -> None:
    """Count a revision, and so lock the room: callers do it first."""
    next_rev = update(Room).where(Room.id == room_id).values(roster_rev=Room.roster_rev + 1)
    connection.execute(next_rev)
