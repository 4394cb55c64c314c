"""Events of rooms on their way through the journal: arrivals, departures, and facts.

Until an entry is released, no client is told of it. Then it takes effect in one atomic stretch, and
all readers of the room are shown it at the same place among the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.engine import apply
from app.engine.journal import Entry
from app.engine.presence import Room
from app.protocol import rooms, talk
from app.protocol.event import Event, RoomEvent

if TYPE_CHECKING:
    from app.engine.delivery import Delivery
    from app.engine.presence import Session
    from app.errors import Refusal

Replay = Callable[[Room], tuple[Sequence[talk.Message], bool]]  # messages; whether they are all


class Shown(Entry):
    """All readers of a room are shown an event."""

    __slots__ = ("event", "room")

    def __init__(self, sender: Session | None, room: Room, event: RoomEvent) -> None:
        super().__init__(sender)
        self.room = room
        self.event = event

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        delivery.show(self.room, self.event)


class Arrival(Entry):
    """A session enters a room. Its readers are told if it is the user's first session there.

    `forget` gets the room when the entry fails: the room may be deserted.
    """

    __slots__ = ("entered", "forget", "is_first", "replay", "room", "session")

    def __init__(
        self,
        forget: Callable[[Room], None],
        session: Session,
        room: Room,
        entered: rooms.Entered,
        replay: Replay,
        *,
        is_first: bool,
    ) -> None:
        super().__init__(session)
        self.forget = forget
        self.session = session
        self.room = room
        self.entered = entered
        self.replay = replay
        self.is_first = is_first

    def release(self, delivery: Delivery) -> None:
        """See Entry. Steps that may fail come first: then no client was told."""
        session, room, entered = self.session, self.room, self.entered
        messages, entered.is_complete = self.replay(room)
        entered.last_id = room.recent.last_id
        entered.messages = [said for said in messages if said.user not in session.ignored]
        delivery.catch_up(session)
        session.client.show(entered)
        if self.is_first:
            delivery.show(room, rooms.Joined(entered.room, session.speaker.name))
        delivery.enter(room, session)

    def fail(self, refusal: Refusal) -> None:
        """See Entry. The session is taken out of the room, unless it has left already."""
        session, room = self.session, self.room
        if session.rooms.get(room.key) is room:
            room.drop(session)
            room.visits -= 1
            self.forget(room)
        super().fail(refusal)


class Departure(Entry):
    """Sessions leave a room. They may be told why, and the others may be shown it.

    `forget` gets the room after the release: it may be deserted.
    """

    __slots__ = ("event", "forget", "room", "sessions", "told")

    def __init__(
        self,
        forget: Callable[[Room], None],
        room: Room,
        sessions: Sequence[Session],
        *,
        sender: Session,
        told: Event | None,
        event: RoomEvent | None,
    ) -> None:
        super().__init__(sender)
        self.forget = forget
        self.room = room
        self.sessions = sessions
        self.told = told
        self.event = event

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        for session in self.sessions:
            delivery.leave(self.room, session)
            if self.told is not None:
                delivery.tell(session, self.told)
        if self.event is not None:
            delivery.show(self.room, self.event)
        self.room.visits -= len(self.sessions)
        self.forget(self.room)


class Renaming(Entry):
    """A room gets another name, and its newest messages too."""

    __slots__ = ("event", "room")

    def __init__(self, sender: Session, room: Room, event: rooms.Renamed) -> None:
        super().__init__(sender)
        self.room = room
        self.event = event

    def release(self, delivery: Delivery) -> None:
        """See Entry. Copies the messages: the delivery may still show them under the old name."""
        apply.rename_messages(self.room, self.event.name)
        delivery.show(self.room, self.event)


class Closure(Entry):
    """All sessions leave a room, after they were shown why."""

    __slots__ = ("event", "room", "sessions")

    def __init__(
        self, sender: Session, room: Room, sessions: Sequence[Session], event: rooms.Deleted
    ) -> None:
        super().__init__(sender)
        self.room = room
        self.sessions = sessions
        self.event = event

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        delivery.show(self.room, self.event)
        for session in self.sessions:
            delivery.leave(self.room, session)
        self.room.visits -= len(self.sessions)
