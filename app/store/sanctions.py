"""Queries on bans from the whole server, and on mutes. Each takes a connection, and blocks."""

from collections.abc import Sequence
from typing import NamedTuple, cast

from sqlalchemy import Connection, delete, func, insert, or_, select
from sqlalchemy.orm import aliased

from app.records import ServerSanction
from app.store import audit
from app.store.models import ServerSanction as Row
from app.store.models import User
from app.store.rooms import SanctionKind


class NewServerSanction(NamedTuple):
    """A ban or a mute to be stored, of a user or of a network; of the other it says None.

    `by_id` is None when it is the operator's, `until_at` when it is for good.
    """

    kind: SanctionKind
    user_id: int | None
    network: str | None
    by_id: int | None
    reason: str
    made_at: int
    until_at: int | None


class StoredServerSanction(NamedTuple):
    """A ban or a mute as it is kept; `user_id` is None when it is one of a network."""

    kind: SanctionKind
    user_id: int | None
    sanction: ServerSanction


def in_force(connection: Connection, now: int) -> Sequence[StoredServerSanction]:
    """Return those whose time has not passed."""
    target, by = aliased(User), aliased(User)
    query = (
        select(
            Row.kind,
            Row.user_id,
            func.coalesce(target.name, ""),
            func.coalesce(by.name, audit.OPERATOR),
            Row.reason,
            Row.until_at,
            func.coalesce(Row.network, ""),
        )
        .outerjoin(target, target.id == Row.user_id)
        .outerjoin(by, by.id == Row.by_id)
        .where(or_(Row.until_at.is_(None), Row.until_at > now))
        .order_by(Row.id)
    )
    return [
        StoredServerSanction(
            cast(SanctionKind, kind), user_id, ServerSanction(user, by_name, reason, until, network)
        )
        for kind, user_id, user, by_name, reason, until, network in connection.execute(query)
    ]


def put(connection: Connection, new: NewServerSanction) -> None:
    """Ban or mute, in place of an earlier one; and forget those whose time has passed."""
    connection.execute(delete(Row).where(Row.until_at <= new.made_at))
    remove(connection, new.kind, new.user_id, new.network)
    connection.execute(insert(Row).values(new._asdict()))


def remove(
    connection: Connection, kind: SanctionKind, user_id: int | None, network: str | None
) -> None:
    """End a ban or a mute."""
    connection.execute(delete(Row).filter_by(kind=kind, user_id=user_id, network=network))
