"""Decisions of moderators and admins: each is committed together with its record in the audit.

All acts that the audit records are written here, and none is half done: when the write fails,
neither the act nor its record is there. A decision about a room is an entry of the journal. It
takes effect where it is released, and no earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.engine.entries import Decision
from app.engine.presence import only_for_admins, sent_out
from app.errors import Forbidden, NotPossible
from app.queries import accounts, audit, locks, sanctions

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.database.database import Database
    from app.engine.client import Clock
    from app.engine.entries import Then
    from app.engine.facts import Fact
    from app.engine.journal import Journal
    from app.engine.presence import Room, Session
    from app.engine.server_bans import InForce
    from app.queries.accounts import Account

Change = Callable[["Connection"], None]
Check = Callable[["Connection"], None]  # raises Refusal


def check_is_active(connection: Connection, user_id: int) -> None:
    """Raise NotPossible if a user's account was deleted or disabled; else it stays until then."""
    locks.lock(connection, users=[user_id])
    if accounts.is_admin(connection, user_id) is None:
        raise sent_out()


def check_may_act(connection: Connection, user_id: int, now: int, *, speaks: bool = False) -> bool:
    """Raise Refusal if a user was disabled or banned, or was muted and speaks.

    Return whether it is an admin.
    """
    kinds = sanctions.kinds_on(connection, user_id, now)
    is_admin = accounts.is_admin(connection, user_id)
    if is_admin is None or "ban" in kinds:
        raise sent_out()
    if speaks and "mute" in kinds:
        raise Forbidden("you were muted on this server meanwhile", code="muted")
    return is_admin


def check_is_there(connection: Connection, account: Account) -> None:
    """Raise NotPossible if the account of an act was deleted."""
    if accounts.is_deleted(connection, account.id):
        raise NotPossible(f"there is no user {account.name}", code="no_such_user")


class Acts:
    """Writes acts, each with its record in the audit."""

    def __init__(
        self, database: Database, journal: Journal, in_force: InForce, clock: Clock
    ) -> None:
        self._database = database
        self._journal = journal
        self._in_force = in_force
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
        check: Check | None = None,
        speaks: bool = False,
    ) -> int:
        """Commit an act of a session; return its record's id. Switches.

        Only admins may act, or, with a `check`, the users that it allows. An act that `speaks` is
        refused to muted users. The rights are checked in the transaction: they may be taken away
        while the act waits. Raises NotStored, Refusal when the session may no longer act, and the
        errors of `change`. Then nothing has happened.
        """
        if check is None:
            session.check_is_admin()  # again: the session had to read, or to wait for its turn
        act = audit.Act(self._clock(), session.speaker.name, action, target, room, reason)
        return self._database.write(self._work(session, act, change, check, speaks=speaks))

    def decide(
        self,
        session: Session,
        room: Room | None,
        facts: Sequence[Fact],
        action: str,
        target: str = "",
        change: Change | None = None,
        *,
        reason: str = "",
        check: Check | None = None,
        speaks: bool = False,
        then: Then | None = None,
    ) -> None:
        """Commit an act about a room, or about the server, and wait until it took effect. Switches.

        See `write`. An act with a reason speaks, too. `then` is called where the facts take effect.
        """
        if check is None:
            session.check_is_admin()
        stream, where = (self._in_force, "") if room is None else (room, room.name)
        act = audit.Act(self._clock(), session.speaker.name, action, target, where, reason)
        work = self._work(session, act, change, check, speaks=speaks or bool(reason))
        about = [(stream, fact) for fact in facts]
        self._journal.carry(Decision(session, about, work, act.done_at, then=then))

    def _work(
        self,
        session: Session,
        act: audit.Act,
        change: Change | None,
        check: Check | None,
        *,
        speaks: bool,
    ) -> Callable[[Connection], int]:
        """Return what writes an act with its record, and returns the record's id."""
        is_admin = session.speaker.is_admin

        def work(connection: Connection) -> int:
            self.check(connection, session, check, speaks=speaks)
            if change is not None:
                change(connection)
            record_id = audit.record(connection, act)
            if check is not None and not is_admin:
                audit.forget_oldest(connection, act.actor)
            return record_id

        return work

    def check(
        self,
        connection: Connection,
        session: Session,
        check: Check | None = None,
        *,
        speaks: bool = False,
    ) -> None:
        """Raise Refusal when the database denies a session an act; see `write`."""
        if session.is_operator:
            return
        is_admin = check_may_act(connection, session.speaker.id, self._clock(), speaks=speaks)
        if check is not None:
            check(connection)
        elif not is_admin:
            raise only_for_admins()
