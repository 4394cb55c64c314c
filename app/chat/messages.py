"""Talking in a room, and reading what was said there before. The hot path of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

from app import commands, events
from app.chat.journal import Entry, Journal
from app.names import harmless
from app.settings import LAG_SECONDS
from app.store import messages as store
from app.store.messages import NewMessage

if TYPE_CHECKING:
    from app.chat.delivery import Delivery
    from app.chat.rooms import Room
    from app.chat.session import Clock, Session
    from app.store.database import Database


class _SaidInRoom(Entry):
    """A message to a room."""

    __slots__ = ("room", "said")

    def __init__(
        self, session: Session, room: Room, said: events.Said, message: NewMessage
    ) -> None:
        super().__init__(session, message)
        self.room = room
        self.said = said

    def note_id(self, message_id: int) -> None:
        """See Entry."""
        self.said.id = message_id

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        self.room.recent.append(self.said)
        delivery.show(self.room, self.said)


class Messages:
    """What members of a room say."""

    def __init__(self, database: Database, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock

    def say(self, session: Session, command: commands.Say) -> None:
        """Post a message to the room. Switches when the journal is full. Raises Refusal."""
        self._post(session, command.body, is_action=False)

    def emote(self, session: Session, command: commands.Emote) -> None:
        """Post what one does. Switches when the journal is full. Raises Refusal."""
        self._post(session, command.body, is_action=True)

    def _post(self, session: Session, body: str, *, is_action: bool) -> None:
        # First all that may switch: what the checks find must still hold when it is appended.
        self._journal.wait_for_room()
        if session.room_or_refuse().is_lagging:
            gevent.sleep(LAG_SECONDS)
        room, user, now = session.room_or_refuse(), session.speaker, self._clock()
        room.check_may_speak(user, now)
        body = harmless(body)
        said = events.Said(room.name, user.name, body, now, is_action)
        message = NewMessage(room.id, None, user.id, is_action, body, now)
        self._journal.append(_SaidInRoom(session, room, said, message))

    def history(self, session: Session, command: commands.History) -> None:
        """Show the room's last messages, or the page before the one shown last. Switches."""
        room = session.room_or_refuse()
        before_id = session.history_before_id or self._journal.newest_id + 1
        page = self._database.read(
            lambda connection: store.page(connection, room.id, before_id, command.count + 1)
        )
        has_more = len(page) > command.count
        page = page[-command.count :]
        session.history_before_id = page[0].id if page else 1
        heard = [said for said in page if said.user not in session.ignored]
        session.client.show_at_leisure(
            events.HistoryShown(room.name, heard, has_more, self._clock())
        )
