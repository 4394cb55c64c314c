"""Members of encrypted rooms: the users that messages are encrypted for, present or not.

A user who was in a room when it was encrypted, or entered it since, is a member, until they leave
by their own wish or are sent out. Neither a lost connection nor a restart changes that. A change is
an entry of the journal. It makes a revision where it is released, and is shown to all readers of
the room. Later messages have to name that revision, and come after it. Changes are made one at a
time in a room, by the holder of `room.deciding`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from app.bounds import ENTRIES_AN_HOUR_MAX, MEMBERS_A_ROOM_MAX
from app.engine import apply
from app.engine.decisions import check_may_act
from app.engine.entries import Decision, wait_for_earlier
from app.engine.limits import Throttle, rate_limited
from app.errors import Unavailable
from app.queries import locks
from app.queries import members as queries

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.engine.decisions import Change
    from app.engine.entries import Departure, Then
    from app.engine.facts import Fact
    from app.engine.kit import Kit
    from app.engine.ledger import Write
    from app.engine.presence import Room, Session, User


class Rosters:
    """Adds and removes members."""

    def __init__(self, kit: Kit) -> None:
        self._journal, self._clock = kit.journal, kit.clock
        self._entries = Throttle(ENTRIES_AN_HOUR_MAX, seconds=3_600)

    def admit(self, session: Session, room: Room) -> None:
        """Check that a session's user may enter a room; make them a member if it is encrypted.

        Switches, unless they are one already. Raises Refusal.
        """
        user = session.speaker
        self._check_may_enter(session, room)
        while room.lacks(user):
            with room.deciding:
                self._check_may_enter(session, room)  # again: the session had to wait
                if room.lacks(user):
                    if room.roster and len(room.roster.members) >= MEMBERS_A_ROOM_MAX:
                        raise too_many_members(room)
                    self._check_rate(room, user)
                    added = apply.MemberAdded(user.id, user.name)
                    self._change(session, room, added, _adding(room, user.id, self._clock()))
            self._check_may_enter(session, room)  # again: the write may have switched

    def _check_may_enter(self, session: Session, room: Room) -> None:
        room.check_may_enter(session.speaker, self._clock())
        session.check_is_here()

    def _check_rate(self, room: Room, user: User) -> None:
        """Count an entry. Raises Unavailable beyond the rate: each makes all others send keys."""
        if not self._entries.take(f"{room.id} {user.id}", time.monotonic()):
            raise rate_limited()

    def resign(self, session: Session, room: Room, departure: Departure) -> bool:
        """Let a session leave; remove its user from the members if it is their last one there.

        Return whether it was still in the room. Switches, if the room is encrypted. Raises
        NotStored; then it has not left.
        """
        user = session.speaker
        with room.deciding if room.is_encrypted else nullcontext():
            room.leaving.add(user.id)  # a session that enters now waits, and is admitted again
            try:
                if room.is_encrypted:
                    wait_for_earlier(self._journal, session)  # some were on their way in or out
                if session.rooms.get(room.key) is not room:
                    return False
                if room.has_member(user.id) and room.present[user] == 1:
                    removed = apply.MemberRemoved(user.id, user.name)
                    remove = _removing(room, user.id)
                    self._change(session, room, removed, remove, departure.release)
                else:
                    self._journal.append(departure)
                return True
            finally:
                room.leaving.discard(user.id)

    @staticmethod
    def removing(
        room: Room, user_id: int, name: str, change: Change | None
    ) -> tuple[Sequence[Fact], Change | None]:
        """Return the facts, and a change, that also remove a user from the members."""
        if not room.has_member(user_id):
            return (), change
        remove = _removing(room, user_id)

        def both(connection: Connection) -> None:
            if change is not None:
                change(connection)
            remove(connection)

        return [apply.MemberRemoved(user_id, name)], both

    def _change(
        self, session: Session, room: Room, fact: Fact, change: Write, first: Then | None = None
    ) -> None:
        """Write a change of the members; return when it took effect. Switches. Raises Refusal.

        There is no fact when the change finds nothing to do: the account was just deleted.
        """
        facts = [(room, fact)]

        def work(connection: Connection) -> None:
            if not change(connection):
                facts.clear()

        decision = Decision(session, facts, work, self._clock(), first=first)
        self._journal.carry(decision)


def _adding(room: Room, user_id: int, now: int) -> Write:
    def change(connection: Connection) -> bool:
        locks.lock(connection, users=[user_id])  # it stays as it is now
        check_may_act(connection, user_id, now)
        queries.add(connection, room.id, user_id)
        return True

    return change


def _removing(room: Room, user_id: int) -> Write:
    return lambda connection: queries.remove(connection, room.id, user_id)


def too_many_members(room: Room) -> Unavailable:
    """Return the refusal of one member too many."""
    return Unavailable(
        f"an encrypted room has at most {MEMBERS_A_ROOM_MAX} members, and {room.name} is full",
        code="full",
    )
