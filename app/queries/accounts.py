"""Queries on accounts. Each takes a connection in a transaction, and blocks."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.bounds import IGNORED_A_USER_MAX
from app.database.tables import Ignored, ServerSanction, User
from app.protocol import accounts
from app.queries import locks
from app.values.names import Name


class Account(NamedTuple):
    """A user's row, as the service needs it."""

    id: int
    name: str
    password_hash: str
    is_admin: bool
    is_disabled: bool


class NameTakenError(Exception):
    """An account or a room has that name, or a lookalike."""


_COLUMNS = (User.id, User.name, User.password_hash, User.is_admin, User.is_disabled)
# Each login's and each decision's queries, built once: to build one takes longer than to run it.
_FIND_EVER = select(*_COLUMNS).where(User.key == bindparam("key"))
_FIND = _FIND_EVER.where(User.deleted_at.is_(None))
_SEEN_ID = select(User.private_seen_id).where(User.id == bindparam("user_id"))
_IS_ADMIN = select(User.is_admin).where(
    User.id == bindparam("user_id"), User.is_disabled.is_(False)
)
_DELETED_AT = select(User.deleted_at).where(User.id == bindparam("user_id"))
_IGNORED_NAMES = (
    select(User.name)
    .join(Ignored, Ignored.ignored_id == User.id)
    .where(Ignored.user_id == bindparam("user_id"))
)


def find(connection: Connection, name: Name) -> Account | None:
    """Return the account of that name, in any spelling."""
    row = connection.execute(_FIND, {"key": name.key}).first()
    return Account(*row) if row else None


def find_ever(connection: Connection, name: Name) -> Account | None:
    """Return the account of that name, also a deleted one: its messages are still there."""
    row = connection.execute(_FIND_EVER, {"key": name.key}).first()
    return Account(*row) if row else None


def create(
    connection: Connection, name: Name, password_hash: str, now: int, *, is_admin: bool = False
) -> Account:
    """Make an account. Raises NameTakenError."""
    statement = insert(User).values(
        name=name.shown,
        key=name.key,
        skeleton=name.skeleton,
        password_hash=password_hash,
        is_admin=is_admin,
        created_at=now,
    )
    try:
        result = connection.execute(statement)
    except IntegrityError as error:
        raise NameTakenError from error
    assert result.inserted_primary_key is not None  # noqa: S101 (an INSERT of one row has one)
    return Account(result.inserted_primary_key[0], name.shown, password_hash, is_admin, False)


def change(connection: Connection, user_id: int, **values: object) -> None:
    """Set columns of an account."""
    connection.execute(update(User).where(User.id == user_id).values(**values))


def has_hash(connection: Connection, user_id: int, password_hash: str) -> bool:
    """Whether an account's password still has that hash."""
    query = select(User.id).where(User.id == user_id, User.password_hash == password_hash)
    return connection.execute(query).first() is not None


def may_log_in(connection: Connection, user_id: int, password_hash: str, now: int) -> bool:
    """Whether an account may log in with that hash: not banned, not disabled.

    It is locked: no ban comes between this and a token.
    """
    locks.lock(connection, users=[user_id])
    ban = select(ServerSanction.id).where(
        ServerSanction.kind == "ban",
        ServerSanction.user_id == user_id,
        or_(ServerSanction.until_at.is_(None), ServerSanction.until_at > now),
    )
    query = select(User.id).where(
        User.id == user_id,
        User.password_hash == password_hash,
        User.is_disabled.is_(False),
        ~ban.exists(),
    )
    return connection.execute(query).first() is not None


def is_admin(connection: Connection, user_id: int) -> bool | None:
    """Whether an account is an admin's; None if it is disabled, or deleted."""
    return connection.execute(_IS_ADMIN, {"user_id": user_id}).scalar()


def is_deleted(connection: Connection, user_id: int) -> bool:
    """Whether an account was deleted. It is locked: it is not deleted before the act is done."""
    locks.lock(connection, users=[user_id])
    return connection.execute(_DELETED_AT, {"user_id": user_id}).scalar() is not None


def seen_id(connection: Connection, user_id: int) -> int:
    """Return the id of the newest private message shown to a user."""
    return connection.execute(_SEEN_ID, {"user_id": user_id}).scalar_one()


def page(connection: Connection, after_key: str, count: int) -> Sequence[accounts.Account]:
    """Return the first accounts after that name, by name."""
    is_deleted = User.deleted_at.is_not(None)
    columns = (User.name, User.is_admin, User.is_disabled, User.created_at, is_deleted)
    query = select(*columns).where(User.key > after_key).order_by(User.key).limit(count)
    return [accounts.Account(*row) for row in connection.execute(query)]


def ignored_names(connection: Connection, user_id: int) -> set[str]:
    """Return the names of the users that a user ignores."""
    return set(connection.scalars(_IGNORED_NAMES, {"user_id": user_id}))


def ignore(connection: Connection, user_id: int, ignored_id: int) -> None:
    """Remember that a user ignores another. Raises Unavailable beyond the bound."""
    locks.lock(connection, users=[user_id])
    unignore(connection, user_id, ignored_id)
    locks.check_has_place(connection, Ignored.user_id == user_id, IGNORED_A_USER_MAX)
    connection.execute(insert(Ignored).values(user_id=user_id, ignored_id=ignored_id))


def unignore(connection: Connection, user_id: int, ignored_id: int) -> None:
    """Forget that a user ignores another."""
    connection.execute(delete(Ignored).filter_by(user_id=user_id, ignored_id=ignored_id))
