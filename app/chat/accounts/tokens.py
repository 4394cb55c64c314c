"""Login tokens: secrets that programs keep instead of a password, listed and revoked by users.

A token is 256 random bits, so its SHA-256 is enough to store, and comparing costs nothing. A
thousand programs that come back at once wait for no password hash.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

import structlog

from app.bounds import TOKEN_USED_SECONDS
from app.errors import NotPossible, NotStored
from app.protocol import accounts
from app.queries import accounts as accounts_queries
from app.queries import tokens as queries
from app.values.names import harmless

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session
    from app.queries.accounts import Account
    from app.queries.tokens import KnownToken


log = structlog.get_logger()


class Tokens:
    """The tokens of all users."""

    def __init__(self, kit: Kit) -> None:
        self._database, self._clock = kit.database, kit.clock

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {accounts.Tokens: self.list_or_revoke}

    def make(self, account: Account, label: str) -> str | None:
        """Make a token of an account, and return it: it can't be read again. Switches.

        Return None when the user may no longer log in: an act that ended all tokens ends this one
        too. Raises NotStored.
        """
        token, now, label = secrets.token_urlsafe(32), self._clock(), harmless(label)

        def work(connection: Connection) -> str | None:
            if not accounts_queries.may_log_in(connection, account.id, account.password_hash, now):
                return None
            queries.add(connection, account.id, _digest(token), label, now)
            return token

        return self._database.write(work)

    def find(self, connection: Connection, token: str) -> KnownToken | None:
        """Return the token's row, if it is a token. Blocks."""
        return queries.find(connection, _digest(token))

    def note_use(self, known: KnownToken) -> None:
        """Store a token's use, unless that was done lately. Switches then.

        A failure is logged alone.
        """
        now = self._clock()
        if now - known.used_at > TOKEN_USED_SECONDS * 1000:
            try:
                self._database.write(lambda connection: queries.note_use(connection, known.id, now))
            except NotStored as refusal:  # a full disk must keep no user out
                log.warning("use of a token not noted", reason=str(refusal))

    def list_or_revoke(self, session: Session, command: accounts.Tokens) -> None:
        """Revoke one of a user's tokens, if asked; show the rest. Switches. Raises Refusal."""
        user, number = session.speaker, command.revoke
        if number is not None and not self._database.write(
            lambda connection: queries.revoke(connection, user.id, number)
        ):
            raise NotPossible(f"you have no token {number}", code="no_such_token")
        tokens = self._database.read(lambda connection: queries.list_of(connection, user.id))
        session.client.show_at_leisure(accounts.TokensListed(tokens))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
