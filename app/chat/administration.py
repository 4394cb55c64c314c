"""Administration: what admins and the operator do to accounts and rooms, and say to everybody.

Like moderation, an act is written first, with its record in the audit, and takes effect when it is
committed.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING

from app import events, operations
from app.errors import Forbidden, NotPossible
from app.names import harmless
from app.store import accounts as store
from app.store import audit

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts import Accounts
    from app.chat.session import Clock, Session
    from app.store.accounts import Account
    from app.store.database import Database


class Administration:
    """The acts of admins and of the operator. All of them switch, and raise Refusal."""

    def __init__(
        self, database: Database, clock: Clock, accounts: Accounts, sessions: Set[Session]
    ) -> None:
        self._database = database
        self._clock = clock
        self._accounts = accounts
        self._sessions = sessions

    def announce(self, session: Session, command: operations.Announce) -> None:
        """Say something to everybody who is logged in."""
        text = harmless(command.text)
        self._write(session, "announce", "", reason=text)
        session.client.show(events.Done("It was said to everybody."))
        notice = events.Noticed(f"Announcement: {text}")
        for each in list(self._sessions):
            if each.user is not None:
                each.client.show(notice)

    def disable(self, session: Session, command: operations.UserDisable) -> None:
        """End all sessions of an account, and let it log in no more."""
        account = self._account(session, command.user)
        self._write(
            session,
            "disable",
            account.name,
            lambda connection: store.change(connection, account.id, is_disabled=True),
        )
        self._accounts.shut_out(account.id)
        self._end_sessions(account, events.Refused("disabled", "your account was disabled"))
        session.client.show(events.Done(f"{account.name} can't log in any more."))

    def enable(self, session: Session, command: operations.UserEnable) -> None:
        """Let a disabled account log in again."""
        account = self._account(session, command.user)
        self._write(
            session,
            "enable",
            account.name,
            lambda connection: store.change(connection, account.id, is_disabled=False),
        )
        self._accounts.let_in(account.id)
        session.client.show(events.Done(f"{account.name} can log in again."))

    def _account(self, session: Session, name: str) -> Account:
        """Return an account that the session may act on. Raises Refusal."""
        account = self._accounts.find(name)
        if account.id == session.speaker.id:
            raise NotPossible("you can't do that to yourself", code="yourself")
        if account.is_admin and not session.is_operator:
            raise Forbidden(f"{account.name} is an admin", code="not_allowed")
        return account

    def _end_sessions(self, account: Account, last_words: events.Event) -> None:
        user = self._accounts.user_here(account.id)
        for each in list(user.sessions) if user else ():
            each.client.close(last_words)

    def _write(
        self,
        session: Session,
        action: str,
        target: str,
        change: Callable[[Connection], None] | None = None,
        *,
        room: str = "",
        reason: str = "",
    ) -> None:
        """Commit an act and its record together. Raises NotStored."""
        act = audit.Act(self._clock(), session.speaker.name, action, target, room, reason)

        def work(connection: Connection) -> None:
            if change is not None:
                change(connection)
            audit.record(connection, act)

        self._database.write(work)
