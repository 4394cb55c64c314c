"""Members of encrypted rooms: the users that messages are encrypted for, present or not.

A user who was in a room when it was encrypted, or entered it since, is a member, until they leave
by their own wish or are sent out. Neither a lost connection nor a restart changes that. A change is
written first. Then, in one atomic stretch, it is in effect, makes a revision, and is on its way to
all readers of the room. Later messages have to name that revision, and come after it. Changes are
made one at a time in a room, by the holder of `room.deciding`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.bounds import ENTRIES_AN_HOUR_MAX, MEMBERS_A_ROOM_MAX
from app.engine import apply
from app.engine.decisions import check_is_active
from app.engine.entries import Shown
from app.engine.limits import Throttle, rate_limited
from app.errors import Unavailable
from app.protocol import rooms
from app.queries import members as queries
from app.values.names import parse_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.engine.decisions import Change
    from app.engine.kit import Kit
    from app.engine.presence import Room, Session, User


class Rosters:
    """Adds and removes members."""

    def __init__(self, kit: Kit) -> None:
        self._database, self._journal, self._clock = kit.database, kit.journal, kit.clock
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
                    self._database.write(lambda each: _write_member(each, room.id, user.id))
                    rev = apply.add_member(room, user.id, parse_name(user.name).key)
                    self._show(session, room, user.name, rev)
            self._check_may_enter(session, room)  # again: the write may have switched

    def _check_may_enter(self, session: Session, room: Room) -> None:
        room.check_may_enter(session.speaker, self._clock())
        session.check_is_here()

    def _check_rate(self, room: Room, user: User) -> None:
        """Count an entry. Raises Unavailable beyond the rate: each makes all others send keys."""
        if not self._entries.take(f"{room.id} {user.id}", time.monotonic()):
            raise rate_limited()

    @contextmanager
    def resigning(self, session: Session, room: Room) -> Iterator[None]:
        """Remove a member whose last session leaves in the block.

        Switches, if the room is encrypted: the session may have gone then. Raises NotStored.
        """
        if not room.is_encrypted:
            yield
            return
        user = session.speaker
        with room.deciding:
            is_there = session.rooms.get(room.key) is room  # again: the session had to wait
            if not is_there or room.present[user] > 1 or not room.has_member(user.id):
                yield
                return
            room.leaving.add(user.id)  # a session that enters now waits, and is admitted again
            try:
                self._database.write(lambda each: queries.remove(each, room.id, user.id))
                yield
                self.note_removal(session, room, user.id, user.name)
            finally:
                room.leaving.discard(user.id)

    @staticmethod
    def removing(room: Room, user_id: int, change: Change | None) -> Change | None:
        """Return a change that also removes a user from the members."""
        if not room.has_member(user_id):
            return change

        def both(connection: Connection) -> None:
            if change is not None:
                change(connection)
            queries.remove(connection, room.id, user_id)

        return both

    def note_removal(self, session: Session, room: Room, user_id: int, name: str) -> None:
        """Remove a member from the live roster, after the commit. Never switches."""
        if room.has_member(user_id):
            self._show(session, room, name, apply.remove_member(room, user_id))

    def _show(self, session: Session, room: Room, name: str, rev: int) -> None:
        """Show a revision of the roster to the room's readers."""
        self._journal.append(Shown(session, room, rooms.RosterChanged(room.name, name, rev)))


def _write_member(connection: Connection, room_id: int, user_id: int) -> None:
    check_is_active(connection, user_id)
    queries.add(connection, room_id, user_id)


def too_many_members(room: Room) -> Unavailable:
    """Return the refusal of one member too many."""
    return Unavailable(
        f"an encrypted room has at most {MEMBERS_A_ROOM_MAX} members, and {room.name} is full",
        code="full",
    )
