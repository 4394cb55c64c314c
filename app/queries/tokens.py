"""Queries on login tokens. Each takes a connection in a transaction, and blocks."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from app.bounds import TOKENS_A_USER_MAX
from app.database import tables as models
from app.protocol.accounts import Token
from app.queries import locks


class KnownToken(NamedTuple):
    """A stored token; `user_key` is the key of its user's name."""

    id: int
    user_key: str
    used_at: int


def add(connection: Connection, user_id: int, digest: bytes, label: str, now: int) -> None:
    """Keep a token; beyond the bound, the one unused for longest goes."""
    locks.lock(connection, users=[user_id])
    mine = models.Token.user_id == user_id
    lately = (
        select(models.Token.id)
        .where(mine)
        .order_by(models.Token.used_at.desc(), models.Token.id.desc())
    )
    kept = lately.limit(TOKENS_A_USER_MAX - 1)
    connection.execute(delete(models.Token).where(mine, models.Token.id.not_in(kept)))
    connection.execute(
        insert(models.Token).values(
            user_id=user_id, digest=digest, label=label, made_at=now, used_at=now
        )
    )


# Each login's query, built once: to build it takes longer than to run it.
_FIND = (
    select(models.Token.id, models.User.key, models.Token.used_at)
    .join(models.User, models.User.id == models.Token.user_id)
    .where(models.Token.digest == bindparam("digest"))
)


def find(connection: Connection, digest: bytes) -> KnownToken | None:
    """Return the token of that digest, if there is one."""
    row = connection.execute(_FIND, {"digest": digest}).first()
    return KnownToken(*row) if row else None


def note_use(connection: Connection, token_id: int, now: int) -> None:
    """Remember when a token was used."""
    connection.execute(update(models.Token).where(models.Token.id == token_id).values(used_at=now))


def list_of(connection: Connection, user_id: int) -> Sequence[Token]:
    """Return a user's tokens, oldest first."""
    query = select(
        models.Token.id, models.Token.label, models.Token.made_at, models.Token.used_at
    ).where(models.Token.user_id == user_id)
    return [Token(*row) for row in connection.execute(query.order_by(models.Token.id))]


def revoke(connection: Connection, user_id: int, token_id: int) -> bool:
    """Forget a token of a user; return whether there was one."""
    mine = delete(models.Token).filter_by(user_id=user_id, id=token_id)
    return connection.execute(mine).rowcount > 0


def revoke_all(connection: Connection, user_id: int) -> None:
    """Forget all tokens of a user."""
    locks.lock(connection, users=[user_id])
    connection.execute(delete(models.Token).filter_by(user_id=user_id))
