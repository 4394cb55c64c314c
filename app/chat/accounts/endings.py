"""Ending the rights of an account: after bans, new passwords, disabling and deletion.

Its tokens end in the transaction of the act itself, with `ending_tokens`. The rest ends when that
is committed, in one atomic stretch, with `end`. To use any right afterwards, the user has to log in
again: no older session, token or address comes back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.queries import tokens as tokens_queries

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.engine.decisions import Change
    from app.engine.kit import Kit
    from app.engine.presence import Session
    from app.engine.tickets import Tickets
    from app.protocol.event import Event


class Endings:
    """Ends an account's sessions, logins, transfers, and addresses of files."""

    def __init__(self, kit: Kit, accounts: Accounts, tickets: Tickets) -> None:
        self._accounts = accounts
        self._tickets = tickets
        self._end = kit.end

    @staticmethod
    def ending_tokens(user_id: int, change: Change) -> Change:
        """Return a change that also ends a user's tokens."""

        def both(connection: Connection) -> None:
            change(connection)
            tokens_queries.revoke_all(connection, user_id)

        return both

    def end(self, user_id: int, last_words: Event, *, spared: Session | None = None) -> int:
        """End all that a user has under way; return the number of ended sessions.

        Addresses of files and transfers go, also those of a session that is `spared`. A login under
        way checks the account again. Never switches.
        """
        self._tickets.revoke_everywhere(user_id)
        sessions = [each for each in self._accounts.note_change(user_id) if each is not spared]
        for each in sessions:
            self._end(each, last_words)
        return len(sessions)
