"""Queries on bans and mutes of the whole server. Each takes a connection, and blocks."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import Connection, Select, bindparam, delete, func, insert, or_, select
from sqlalchemy.orm import aliased

from app.bounds import SERVER_SANCTIONS_MAX
from app.database.tables import ServerSanction as Row
from app.database.tables import User
from app.protocol.moderation import ServerSanction
from app.queries import audit, locks
from app.queries.rooms import SanctionKind, whole_page


class NewServerSanction(NamedTuple):
    """A ban or a mute to be stored: of a user, or of a network. The other is None.

    `by_id` is None when the operator made it, `until_at` when it is for good.
    """

    kind: SanctionKind
    user_id: int | None
    network: str | None
    by_id: int | None
    reason: str
    made_at: int
    until_at: int | None


class StoredServerSanction(NamedTuple):
    """A ban or a mute as it is stored; `user_id` is None when it is of a network."""

    kind: SanctionKind
    user_id: int | None
    sanction: ServerSanction


_target, _by = aliased(User), aliased(User)
_NAMED = func.coalesce(_target.key, Row.network)  # the order of lists


def _query(now: int) -> Select[*tuple[Any, ...]]:
    return (
        select(
            Row.kind,
            Row.user_id,
            func.coalesce(_target.name, ""),
            func.coalesce(_by.name, audit.OPERATOR),
            Row.reason,
            Row.until_at,
            func.coalesce(Row.network, ""),
        )
        .outerjoin(_target, _target.id == Row.user_id)
        .outerjoin(_by, _by.id == Row.by_id)
        .where(or_(Row.until_at.is_(None), Row.until_at > now))
    )


def in_force(connection: Connection, now: int) -> Sequence[StoredServerSanction]:
    """Return the sanctions whose time has not passed, oldest first."""
    rows = connection.execute(_query(now).order_by(Row.id))
    return [_stored(*row) for row in rows]


_KINDS_ON = select(Row.kind).where(  # each decision's query, built once
    Row.user_id == bindparam("user_id"),
    or_(Row.until_at.is_(None), Row.until_at > bindparam("now")),
)


def kinds_on(connection: Connection, user_id: int, now: int) -> set[str]:
    """Return the kinds of sanction in force on a user: "ban", "mute"."""
    return set(connection.scalars(_KINDS_ON, {"user_id": user_id, "now": now}))


def page(
    connection: Connection, after: str, count: int, now: int
) -> tuple[Sequence[tuple[SanctionKind, ServerSanction]], bool]:
    """Return the first sanctions after a target, and whether there are more.

    There may be one more where a page would end between a ban and a mute of the same.
    """
    query = _query(now).where(after < _NAMED).order_by(_NAMED, Row.kind)
    found = [_stored(*row) for row in connection.execute(query.limit(count + 2))]
    shown = whole_page(found, count, lambda each: (each.user_id, each.sanction.network))
    return [(each.kind, each.sanction) for each in shown], len(shown) < len(found)


def _stored(
    kind: str, user_id: int | None, user: str, by: str, reason: str, until: int | None, network: str
) -> StoredServerSanction:
    sanction = ServerSanction(user, by, reason, until, network)
    return StoredServerSanction(cast(SanctionKind, kind), user_id, sanction)


def put(connection: Connection, new: NewServerSanction) -> None:
    """Ban or mute, in place of an earlier one; forget the expired ones.

    A user is locked as well: the act ends their tokens. Raises Unavailable beyond the bound.
    """
    locks.lock(connection, server=True, users=[] if new.user_id is None else [new.user_id])
    connection.execute(delete(Row).where(Row.until_at <= new.made_at))
    remove(connection, new.kind, new.user_id, new.network)
    locks.check_has_place(connection, Row.kind == new.kind, SERVER_SANCTIONS_MAX)
    connection.execute(insert(Row).values(new._asdict()))


def remove(
    connection: Connection, kind: SanctionKind, user_id: int | None, network: str | None
) -> None:
    """End a ban or a mute."""
    connection.execute(delete(Row).filter_by(kind=kind, user_id=user_id, network=network))
