"""What happens to rooms, on its way through the journal: who comes and goes, and what is shown.

Until an entry is released, nobody hears of it; then it takes effect in one atomic stretch, and
everybody in the room is shown it in the same place among what is said there.
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
    """Everybody in the room is shown an event."""

    __slots__ = ("event", "room")

    def __init__(self, sender: Session | None, room: Room, event: RoomEvent) -> None:
        super().__init__(sender)
        self.room = room
        self.event = event

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        delivery.show(self.room, self.event)


class Arrival(Entry):
    """A session enters a room; those who are there are told if it is its user's first.

    `forget` is told of the room when that was not possible: it may be deserted.
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
        """See Entry. What may fail comes first: then nobody was told."""
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
        """See Entry. The session is not in the room, unless it has left already."""
        session, room = self.session, self.room
        if session.rooms.get(room.key) is room:
            room.drop(session)
            room.visits -= 1
            self.forget(room)
        super().fail(refusal)


class Departure(Entry):
    """Sessions stop hearing a room; they may be told why, and those who stay may be shown it.

    `forget` is told of the room then, which may be deserted.
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
    """A room has another name from now on; what was said before is said there."""

    __slots__ = ("event", "room")

    def __init__(self, sender: Session, room: Room, event: rooms.Renamed) -> None:
        super().__init__(sender)
        self.room = room
        self.event = event

    def release(self, delivery: Delivery) -> None:
        """See Entry. Copies, since the delivery may yet have to show the messages as they were."""
        apply.rename_messages(self.room, self.event.name)
        delivery.show(self.room, self.event)


class Closure(Entry):
    """All sessions stop hearing a room, after they were shown why."""

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
