"""Events of rooms on their way through the journal: arrivals, departures, and decisions.

Until an entry is released, no client is told of it, and nothing has changed. Then it takes effect
in one atomic stretch, and all readers of the room are shown it at the same place among the
messages.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.engine.journal import Awaited, Entry, WrittenEntry
from app.engine.presence import Room, already_there, sent_out
from app.protocol import rooms, talk
from app.queries import locks

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.engine.client import Clock
    from app.engine.delivery import Delivery
    from app.engine.facts import Fact, Stream
    from app.engine.journal import Journal
    from app.engine.ledger import Write
    from app.engine.presence import Session
    from app.protocol.event import Event

Then = Callable[["Delivery"], object]  # it never switches
Replay = Callable[[Room], tuple[Sequence[talk.Message], bool]]  # messages; whether they are all


class Turn(Entry):
    """Lets a session wait until all earlier entries were released."""

    __slots__ = ()

    def release(self, delivery: Delivery) -> None:
        """See Entry."""


def wait_for_earlier(journal: Journal, session: Session) -> None:
    """Wait until all that is in the journal was released or refused. Switches."""
    journal.append(Turn(session))
    journal.settle(session)


class Arrival(Awaited):
    """A session enters a room. Its readers are told if it is the user's first session there."""

    __slots__ = ("clock", "replay", "room", "session")

    def __init__(self, session: Session, room: Room, replay: Replay, clock: Clock) -> None:
        super().__init__(session)
        self.session = session
        self.room = room
        self.replay = replay
        self.clock = clock

    def release(self, delivery: Delivery) -> None:
        """See Entry. Steps that may fail come first: then no client was told."""
        session, room, user = self.session, self.room, self.session.speaker
        if session.has_ended:
            return
        now = self.clock()
        room.check_may_enter(user, now)  # again: decisions may have come before it
        if session.rooms.get(room.key) is room:
            raise already_there(room)  # it waited for a name that its room was given
        if room.roster is not None and not room.has_member(user.id):
            raise sent_out()
        messages, is_complete = self.replay(room)
        users, is_first = list(room.names), user not in room.present
        if is_first:
            insort(users, user.name, key=str.casefold)
        heard = [said for said in messages if said.user not in session.ignored]
        entered = rooms.Entered(
            room.name,
            room.topic,
            users,
            heard,
            now,
            is_complete=is_complete,
            e2ee=room.is_encrypted,
            last_id=room.recent.last_id,
        )
        delivery.catch_up(session)
        session.client.show(entered)
        if is_first:
            delivery.show(room, rooms.Joined(room.name, user.name))
        delivery.enter(room, session)


class Departure(Entry):
    """A session leaves a room. Its readers are told if it was the user's last session there."""

    __slots__ = ("how", "room", "session", "told")

    def __init__(
        self,
        session: Session,
        room: Room,
        how: type[rooms.Left | rooms.Disconnected],
        told: Event | None = None,
    ) -> None:
        super().__init__(session)
        self.session = session
        self.room = room
        self.how = how
        self.told = told

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        is_last = delivery.leave(self.room, self.session)
        if self.told is not None:
            delivery.tell(self.session, self.told)
        if is_last:
            delivery.show(self.room, self.how(self.room.name, self.session.speaker.name))
        self.room.forget_if_deserted()


class Decision(WrittenEntry):
    """Facts about live rooms or the server, decided at a time: written whole, or not at all.

    `work` writes what they did to the tables, and may add facts; then they come to the logs. In the
    stretch in which they take effect, `first` is called before, and `then` behind.
    """

    __slots__ = ("facts", "first", "now", "then", "work")

    def __init__(
        self,
        sender: Session | None,
        facts: Sequence[tuple[Stream, Fact]],
        work: Write,
        now: int,
        *,
        first: Then | None = None,
        then: Then | None = None,
    ) -> None:
        super().__init__(sender)
        self.now = now
        self.facts = facts
        self.work = work
        self.first = first
        self.then = then

    def write(self, connection: Connection) -> None:
        """See WrittenEntry. The locks of its logs come before those of `work`."""
        ids = {stream.id for stream, _ in self.facts}
        room_ids = [each for each in ids if each is not None]
        locks.lock(connection, server=None in ids, rooms=room_ids)
        self.work(connection)
        for stream, fact in self.facts:
            fact.record(connection, stream.id, self.now)

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        if self.first is not None:
            self.first(delivery)
        for stream, fact in self.facts:
            fact.release(stream, delivery)
        if self.then is not None:
            self.then(delivery)
