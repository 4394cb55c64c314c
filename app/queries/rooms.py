"""Queries on rooms, and on roles and sanctions in them. Each takes a connection, and blocks."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, cast

from sqlalchemy import (
    BindParameter,
    Connection,
    Select,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from app.bounds import MODERATORS_A_ROOM_MAX, SANCTIONS_A_ROOM_MAX
from app.database import tables as models
from app.database.tables import Moderator, Room, User
from app.protocol.moderation import Sanction
from app.protocol.rooms import RoomRecord
from app.queries import audit, locks
from app.queries import members as rosters
from app.queries.accounts import NameTakenError
from app.values.names import Name

SanctionKind = Literal["ban", "mute"]


_target, _by = aliased(User), aliased(User)


class NewSanction(NamedTuple):
    """A ban or a mute to be stored; without `until_at` it is for good.

    `by_id` is None when the operator made it.
    """

    kind: SanctionKind
    room_id: int
    user_id: int
    by_id: int | None
    reason: str
    made_at: int
    until_at: int | None


class StoredRoom(NamedTuple):
    """A room as it is stored; its bans and mutes by kind and user id.

    Without a roster it is not encrypted.
    """

    id: int
    name: str
    topic: str
    owner_id: int
    moderator_ids: set[int]
    sanctions: dict[SanctionKind, dict[int, Sanction]]
    roster: rosters.Roster | None = None


def find(connection: Connection, name: Name) -> StoredRoom | None:
    """Return the room of that name, in any spelling."""
    query = select(Room.id, Room.name, Room.topic, Room.owner_id).where(Room.key == name.key)
    row = connection.execute(query).first()
    if row is None:
        return None
    moderators = select(Moderator.user_id).where(Moderator.room_id == row.id)
    return StoredRoom(
        *row,
        moderator_ids=set(connection.scalars(moderators)),
        sanctions=_sanctions(connection, row.id),
        roster=rosters.find(connection, row.id),
    )


def owns_as_many(connection: Connection, owner_id: int, count: int) -> bool:
    """Whether a user owns `count` rooms or more.

    The user is locked: they own no further room before the next one is made.
    """
    locks.lock(connection, users=[owner_id])
    owned = select(Room.id).where(Room.owner_id == owner_id, Room.deleted_at.is_(None))
    return connection.execute(owned.offset(count - 1).limit(1)).first() is not None


def create(connection: Connection, name: Name, owner_id: int, now: int) -> StoredRoom:
    """Make a room. Raises NameTakenError when another one's name looks the same."""
    statement = insert(Room).values(
        name=name.shown, key=name.key, skeleton=name.skeleton, owner_id=owner_id, created_at=now
    )
    try:
        result = connection.execute(statement)
    except IntegrityError as error:
        raise NameTakenError from error
    assert result.inserted_primary_key is not None  # noqa: S101 (an INSERT of one row has one)
    (room_id,) = result.inserted_primary_key
    return StoredRoom(room_id, name.shown, "", owner_id, set(), {"ban": {}, "mute": {}})


def listed(connection: Connection, after_key: str, count: int) -> Sequence[tuple[str, str, str]]:
    """Return (key, name, topic) of the first rooms after a name. Sorted by key."""
    query = select(Room.key, Room.name, Room.topic).where(
        Room.key > after_key, Room.deleted_at.is_(None)
    )
    rows = connection.execute(query.order_by(Room.key).limit(count))
    return [(key, name, topic) for key, name, topic in rows]


def page(connection: Connection, after_key: str, count: int) -> Sequence[tuple[str, RoomRecord]]:
    """Return the first rooms after that name, with their keys. Sorted by key.

    The number of users in each is 0 here: the caller knows it.
    """
    query = (
        select(
            Room.name,
            case((User.deleted_at.is_(None), User.name), else_=""),
            literal(0),
            Room.topic,
            Room.created_at,
            Room.retention_days,
            Room.e2ee_from.is_not(None),
            Room.key,
        )
        .join(User, User.id == Room.owner_id)
        .where(Room.key > after_key, Room.deleted_at.is_(None))
    )
    rows = connection.execute(query.order_by(Room.key).limit(count))
    return [(row[-1], RoomRecord(*row[:-1])) for row in rows]


def name_of(connection: Connection, room_id: int) -> str | None:
    """Return a room's name, unless the room is deleted."""
    query = select(Room.name).where(Room.id == room_id, Room.deleted_at.is_(None))
    return connection.execute(query).scalar()


def rename(connection: Connection, room_id: int, name: Name) -> None:
    """Give a room another name. Raises NameTakenError when another one's looks the same."""
    values = {"name": name.shown, "key": name.key, "skeleton": name.skeleton}
    try:
        connection.execute(update(Room).where(Room.id == room_id).values(values))
    except IntegrityError as error:
        raise NameTakenError from error


def set_owner(connection: Connection, room_id: int, user_id: int) -> None:
    """Make a user the owner: no moderator, and neither banned nor muted."""
    connection.execute(update(Room).where(Room.id == room_id).values(owner_id=user_id))
    remove_moderator(connection, room_id, user_id)
    connection.execute(delete(models.Sanction).filter_by(room_id=room_id, user_id=user_id))


def give_up(connection: Connection, room_id: int, now: int) -> None:
    """Mark a room as deleted: its name is free, and its rows wait to be removed."""
    nobodys = f"(deleted {room_id})"  # no room can have that name
    values = {"key": nobodys, "skeleton": nobodys, "deleted_at": now}
    connection.execute(update(Room).where(Room.id == room_id).values(values))


def set_topic(connection: Connection, room_id: int, topic: str) -> None:
    """Set a room's topic."""
    connection.execute(update(Room).where(Room.id == room_id).values(topic=topic))


def _role_query() -> Select[str]:
    room_id: BindParameter[int] = bindparam("room_id")
    user_id: BindParameter[int] = bindparam("user_id")
    moderates = select(Moderator).where(Moderator.room_id == room_id, Moderator.user_id == user_id)
    role = case(
        (User.is_admin, "admin"),
        (Room.owner_id == User.id, "owner"),
        (moderates.exists(), "moderator"),
        else_="",
    )
    return select(role).join(Room, Room.id == room_id).where(User.id == user_id)


# Each decision's statements, built once.
_ROLE_OF = _role_query()
_REMOVE_MODERATOR = delete(Moderator).where(
    Moderator.room_id == bindparam("of_room"), Moderator.user_id == bindparam("of_user")
)
_REMOVE_SANCTION = delete(models.Sanction).where(
    models.Sanction.kind == bindparam("of_kind"),
    models.Sanction.room_id == bindparam("of_room"),
    models.Sanction.user_id == bindparam("of_user"),
)
_FORGET_SANCTIONS = delete(models.Sanction).where(
    models.Sanction.kind == bindparam("of_kind"),
    models.Sanction.room_id == bindparam("of_room"),
    models.Sanction.until_at <= bindparam("now"),
)
_PUT_SANCTION = insert(models.Sanction)


def role_of(connection: Connection, room_id: int, user_id: int) -> str:
    """Return a user's highest role in a room: "admin", "owner", "moderator" or ""."""
    who_where = {"room_id": room_id, "user_id": user_id}
    return connection.execute(_ROLE_OF, who_where).scalar() or ""


def add_moderator(connection: Connection, room_id: int, user_id: int) -> None:
    """Make a moderator. Raises Unavailable beyond the bound."""
    locks.lock(connection, rooms=[room_id])
    locks.check_has_place(connection, Moderator.room_id == room_id, MODERATORS_A_ROOM_MAX)
    connection.execute(insert(Moderator).values(room_id=room_id, user_id=user_id))


def remove_moderator(connection: Connection, room_id: int, user_id: int) -> None:
    """Remove a moderator, if the user is one."""
    locks.lock(connection, rooms=[room_id])
    connection.execute(_REMOVE_MODERATOR, {"of_room": room_id, "of_user": user_id})


def put_sanction(connection: Connection, sanction: NewSanction) -> None:
    """Ban or mute a user, replacing an earlier one; forget the room's expired ones.

    Raises Unavailable beyond the bound.
    """
    rows = models.Sanction
    remove_sanction(connection, sanction.kind, sanction.room_id, sanction.user_id)
    of_kind = {"of_kind": sanction.kind, "of_room": sanction.room_id}
    connection.execute(_FORGET_SANCTIONS, {**of_kind, "now": sanction.made_at})
    in_room = (rows.room_id == sanction.room_id) & (rows.kind == sanction.kind)
    locks.check_has_place(connection, in_room, SANCTIONS_A_ROOM_MAX)
    connection.execute(_PUT_SANCTION, sanction._asdict())


def remove_sanction(connection: Connection, kind: SanctionKind, room_id: int, user_id: int) -> None:
    """End a ban or a mute."""
    locks.lock(connection, rooms=[room_id])
    which = {"of_kind": kind, "of_room": room_id, "of_user": user_id}
    connection.execute(_REMOVE_SANCTION, which)


def sanctions_page(
    connection: Connection, room_id: int, after_key: str, count: int, now: int
) -> tuple[Sequence[tuple[SanctionKind, Sanction]], bool]:
    """Return a page of a room's sanctions, and whether there are more.

    They are by name, of the first users after a name. The page has `count` rows, and one more where
    it would end between two of one user.
    """
    query = _query(room_id).where(_target.key > after_key)
    query = query.where(or_(models.Sanction.until_at.is_(None), models.Sanction.until_at > now))
    rows = connection.execute(
        query.order_by(_target.key, models.Sanction.kind).limit(count + 2)
    ).all()
    shown = whole_page(rows, count, lambda row: row.user_id)
    found = [(cast(SanctionKind, kind), Sanction(*rest)) for kind, _, *rest in shown]
    return found, len(shown) < len(rows)


Row = TypeVar("Row")


def whole_page(rows: Sequence[Row], count: int, whose: Callable[[Row], object]) -> Sequence[Row]:
    """Return the first rows, and one more of the last one's user."""
    goes_on = len(rows) > count and whose(rows[count]) == whose(rows[count - 1])
    return rows[: count + goes_on]


def _sanctions(connection: Connection, room_id: int) -> dict[SanctionKind, dict[int, Sanction]]:
    query = _query(room_id)
    sanctions: dict[SanctionKind, dict[int, Sanction]] = {"ban": {}, "mute": {}}
    for kind, user_id, user, by_name, reason, until in connection.execute(query):
        sanctions[cast(SanctionKind, kind)][user_id] = Sanction(user, by_name, reason, until)
    return sanctions


def _query(room_id: int) -> Select[*tuple[Any, ...]]:
    return (
        select(
            models.Sanction.kind,
            models.Sanction.user_id,
            _target.name,
            func.coalesce(_by.name, audit.OPERATOR),
            models.Sanction.reason,
            models.Sanction.until_at,
        )
        .join(_target, _target.id == models.Sanction.user_id)
        .outerjoin(_by, _by.id == models.Sanction.by_id)
        .where(models.Sanction.room_id == room_id)
    )
