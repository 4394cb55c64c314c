"""A user's own account: its password, and its sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.errors import NotPossible
from app.protocol.accounts import (
    EndedByPassword,
    EndedBySession,
    Passwd,
    PasswordChanged,
    Sessions,
)

if TYPE_CHECKING:
    from app.chat.accounts.accounts import Accounts
    from app.chat.accounts.administration import Administration
    from app.chat.accounts.endings import Endings
    from app.engine.delivery import Delivery
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session


class OwnAccount:
    """Commands about the session's own account."""

    def __init__(
        self,
        kit: Kit,
        accounts: Accounts,
        administration: Administration,
        endings: Endings,
    ) -> None:
        self._end = kit.end
        self._accounts = accounts
        self._administration = administration
        self._endings = endings

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            Passwd: self.change_password,
            Sessions: self.sessions,
        }

    def change_password(self, session: Session, command: Passwd) -> None:
        """Set the user's password, and end the old one's rights. Switches.

        The session that asked goes on. Raises Refusal.
        """

        def end(_delivery: Delivery) -> None:
            last_words = EndedByPassword(by_operator=False)
            self._endings.end(session.speaker.id, last_words, spared=session)
            session.client.show(PasswordChanged())

        self._accounts.change_password(session, command, end)

    def sessions(self, session: Session, command: Sessions) -> None:
        """Show the user's sessions, to admins all sessions; first, end one of the user's.

        Switches. Raises NotPossible when the user has none of that number.
        """
        if command.end is not None:
            self._end_one(session, command.end)
        self._administration.list_sessions(session, command)

    def _end_one(self, session: Session, number: int) -> None:
        for each in session.speaker.sessions:
            if each.number == number:
                self._end(each, EndedBySession())
                return
        raise NotPossible(f"you have no session {number}", code="no_such_session")
