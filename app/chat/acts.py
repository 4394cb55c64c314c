"""Acts of admins and of the operator: each is committed together with its record in the audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.store import audit

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.session import Clock, Session
    from app.store.database import Database


class Acts:
    """Writes acts."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def write(
        self,
        session: Session,
        action: str,
        target: str = "",
        change: Callable[[Connection], None] | None = None,
        *,
        room: str = "",
        reason: str = "",
    ) -> None:
        """Commit what a session does. Switches.

        Raises NotStored, Refusal when it may not act so any more, and what `change` raises; then
        nothing has happened.
        """
        session.check_is_admin()  # still: it had to read, or to wait for its turn
        act = audit.Act(self._clock(), session.speaker.name, action, target, room, reason)

        def work(connection: Connection) -> None:
            if change is not None:
                change(connection)
            audit.record(connection, act)

        self._database.write(work)
