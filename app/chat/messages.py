"""Talking in a room, and reading what was said there before. The hot path of the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import gevent

from app import commands, events
from app.chat.journal import Journal, SaidEntry
from app.chat.room import first_that_fit, newest_that_fit
from app.errors import NotPossible
from app.names import harmless
from app.settings import LAG_SECONDS, REPLAY_BYTES_MAX
from app.store import messages as store
from app.store.messages import NewMessage

if TYPE_CHECKING:
    from app.chat.delivery import Delivery
    from app.chat.room import Room
    from app.chat.session import Clock, Session
    from app.store.database import Database


class _SaidInRoom(SaidEntry):
    """A message to a room."""

    __slots__ = ("room",)

    said: events.Said

    def __init__(
        self, session: Session, room: Room, said: events.Said, message: NewMessage
    ) -> None:
        super().__init__(session, message, said)
        self.room = room

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        if self.is_new:
            self.room.recent.append(self.said)
            delivery.show(self.room, self.said)
        if self.tag:
            delivery.answer(self.sender, events.Stored(self.said.id, self.tag))


class Messages:
    """What members of a room say."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    def say(self, session: Session, command: commands.Say) -> None:
        """Post a message to the room. Switches when the journal is full. Raises Refusal."""
        self._post(session, command, is_action=False)

    def emote(self, session: Session, command: commands.Emote) -> None:
        """Post what one does. Switches when the journal is full. Raises Refusal."""
        self._post(session, command, is_action=True)

    def _post(
        self, session: Session, command: commands.Say | commands.Emote, *, is_action: bool
    ) -> None:
        # First all that may switch: what the checks find must still hold when it is appended.
        self._journal.wait_for_room()
        room = session.room_or_refuse(command.room)
        if room.is_lagging:
            gevent.sleep(LAG_SECONDS)
            room = session.room_or_refuse(command.room)
        user, now = session.speaker, self._clock()
        session.check_may_speak(now)
        room.check_may_speak(user, now)
        body = harmless(command.body)
        said = events.Said(room.name, user.name, body, now, is_action)
        message = NewMessage(room.id, None, user.id, is_action, body, now, command.txn or None)
        self._journal.append(_SaidInRoom(session, room, said, message))

    def history(self, session: Session, command: commands.History) -> None:
        """Show a page of the room's past. Switches. Raises Refusal when not in it.

        With `after` alone it is the first page after that message; else the last one before
        `before`, or the newest.
        """
        session.client.show_at_leisure(self._page(session, command))

    def _read(self, limits: store.Page) -> Sequence[events.Said]:
        """Read messages, anew if some were removed while they were read. Switches."""
        while True:
            removals = self._journal.removals
            found = self._database.read(lambda connection: store.page(connection, limits))
            if removals == self._journal.removals:
                return found

    def _page(self, session: Session, command: commands.History) -> events.HistoryShown:
        """Read what `history` shows; that alone is kept while its reader takes it. Switches."""
        room = session.room_or_refuse(command.room)
        end_id = self._journal.newest_id + 1
        before_id = end_id if command.before is None else min(command.before, end_id)
        after_id, length = command.after or 0, command.count + 1
        goes_on = command.after is not None and command.before is None
        limits = store.Page(room.id, after_id, before_id, length, goes_on, REPLAY_BYTES_MAX)
        found = self._read(limits)
        if session.rooms.get(room.key) is not room:  # it was sent out while that was read
            raise NotPossible(f"you are not in {room.name} any more", code="no_room")
        if goes_on:
            page = first_that_fit(found[: command.count])
        else:
            page = newest_that_fit(found[-command.count :])
        return events.HistoryShown(
            room.name,
            [said for said in page if said.user not in session.ignored],
            has_more=len(page) < len(found),
            before_id=page[0].id if page else 1,
            now=self._clock(),
            last_id=page[-1].id if page else after_id,
        )
