"""Acts of moderation and administration: each is committed together with its record in the audit.

This is the one way to do what the audit has to know of, and nothing is half done: when the write
fails, neither the act nor its record is there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.store import audit

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.session import Clock, Session
    from app.store.database import Database

Change = Callable[["Connection"], None]


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
        change: Change | None = None,
        *,
        room: str = "",
        reason: str = "",
        by_role: bool = False,
    ) -> int:
        """Commit what a session does, and return the id of its record. Switches.

        Only admins may do it; but `by_role` it is for those with a role in the room, who were
        found to have it in the room's own turn. Raises NotStored, Refusal when it may not be done
        any more, and what `change` raises; then nothing has happened.
        """
        if not by_role:
            session.check_is_admin()  # still: it had to read, or to wait for its turn
        act = audit.Act(self._clock(), session.speaker.name, action, target, room, reason)

        def work(connection: Connection) -> int:
            if change is not None:
                change(connection)
            record_id = audit.record(connection, act)
            if by_role and not session.speaker.is_admin:
                audit.forget_oldest(connection, act.actor)
            return record_id

        return self._database.write(work)
