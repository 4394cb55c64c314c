"""Rooms that are live: who is in them, who hears them, their newest messages; entering and leaving.

A room becomes live when somebody enters it, and is forgotten when the last one has left. `present`
says who is in it as of what was asked; `readers` follows as the journal releases it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gevent.lock import RLock

from app import commands, events
from app.chat.journal import Entry, Journal
from app.errors import Forbidden, NotPossible
from app.names import Name, parse_name
from app.settings import ROOMS_LISTED_MAX
from app.store import messages
from app.store import rooms as store
from app.store.accounts import NameTakenError
from app.store.rooms import SanctionKind
from app.times import minute

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.delivery import Delivery
    from app.chat.session import Clock, Render, Send, Session, User
    from app.store.database import Database


class Room:
    """A live room. Roles, bans and mutes are by user id, as they are in the database."""

    def __init__(self, key: str, stored: store.StoredRoom, recent: deque[events.Said]) -> None:
        self.key = key
        self.id = stored.id
        self.name = stored.name
        self.topic = stored.topic
        self.owner_id = stored.owner_id
        self.moderator_ids = stored.moderator_ids
        self.sanctions = stored.sanctions
        self.recent = recent  # what is replayed on join
        self.present: dict[User, int] = {}  # the number of each user's sessions
        self.readers: dict[Render, dict[Session, Send]] = {}
        self.is_lagging = False  # most readers had not read all that came before the last batch
        self.visits = 0  # of sessions whose departure is not released yet
        self.decisions = 0  # under way: see Rooms.deciding
        self.deciding = RLock()

    @property
    def is_deserted(self) -> bool:
        """Whether everybody has left, as of what was released, and nobody decides about it."""
        return not (self.visits or self.decisions)

    def role_of(self, user_id: int, *, is_admin: bool = False) -> str:
        """Return "admin", "owner", "moderator" or "": the highest that applies here."""
        if is_admin:
            return "admin"
        if user_id == self.owner_id:
            return "owner"
        return "moderator" if user_id in self.moderator_ids else ""

    def sanction(self, kind: SanctionKind, user_id: int, now: int) -> events.Sanction | None:
        """Return the ban or mute on a user that is in force."""
        sanction = self.sanctions[kind].get(user_id)
        return None if sanction is None or sanction.is_over(now) else sanction

    def check_may_enter(self, user: User, now: int) -> None:
        """Raise Forbidden when the user is banned."""
        ban = self.sanction("ban", user.id, now)
        if ban is not None:
            raise Forbidden(f"you are banned from {self.name}{_until(ban)}", code="banned")

    def check_may_speak(self, user: User, now: int) -> None:
        """Raise Forbidden when the user is muted."""
        mute = self.sanction("mute", user.id, now)
        if mute is not None:
            raise Forbidden(f"you are muted in {self.name}{_until(mute)}", code="muted")

    def sessions_of(self, user: User) -> list[Session]:
        """Return the user's sessions that are in the room."""
        return [session for session in user.sessions if session.room is self]

    def drop(self, session: Session) -> bool:
        """Take a session out of those present, and say whether it was its user's last one."""
        session.room = None
        user = session.speaker
        self.present[user] -= 1
        if self.present[user]:
            return False
        del self.present[user]
        return True


def _until(sanction: events.Sanction) -> str:
    """Say until when a ban or mute holds, and why: " until 2026-11-22 14:02 UTC (reason)"."""
    until = "" if sanction.until is None else f" until {minute(sanction.until)} UTC"
    return until + (f" ({sanction.reason})" if sanction.reason else "")


class Shown(Entry):
    """Everybody in the room is shown an event."""

    __slots__ = ("event", "room")

    def __init__(self, sender: Session | None, room: Room, event: events.RoomEvent) -> None:
        super().__init__(sender)
        self.room = room
        self.event = event

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        delivery.show(self.room, self.event)


class _Arrival(Entry):
    """A session enters a room; those who are there are told if it is its user's first."""

    __slots__ = ("entered", "is_first", "room", "session")

    def __init__(
        self, session: Session, room: Room, entered: events.Entered, *, is_first: bool
    ) -> None:
        super().__init__(session)
        self.session = session
        self.room = room
        self.entered = entered
        self.is_first = is_first

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        session, room = self.session, self.room
        if self.is_first:
            delivery.show(room, events.Joined(room.name, session.speaker.name))
        self.entered.messages = [said for said in room.recent if said.user not in session.ignored]
        session.client.show(self.entered)
        delivery.enter(room, session)


class _Departure(Entry):
    """Sessions stop hearing a room; they may be told why, and those who stay may be shown it."""

    __slots__ = ("event", "room", "rooms", "sessions", "told")

    def __init__(
        self,
        rooms: Rooms,
        room: Room,
        sessions: Sequence[Session],
        *,
        sender: Session,
        told: events.Event | None,
        event: events.RoomEvent | None,
    ) -> None:
        super().__init__(sender)
        self.rooms = rooms
        self.room = room
        self.sessions = sessions
        self.told = told
        self.event = event

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        for session in self.sessions:
            delivery.leave(session)
            if self.told is not None:
                session.client.show(self.told)
        if self.event is not None:
            delivery.show(self.room, self.event)
        self.room.visits -= len(self.sessions)
        self.rooms.forget_if_deserted(self.room)


class Rooms:
    """The live rooms, and the way in and out of them."""

    def __init__(
        self, database: Database, journal: Journal, clock: Clock, history_replay: int
    ) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._history_replay = history_replay
        self._live: dict[str, Room] = {}
        self._opening: WeakValueDictionary[str, RLock] = WeakValueDictionary()

    def join(self, session: Session, command: commands.Join) -> None:
        """Enter a room, which is made if there is none. Switches. Raises Refusal."""
        user = session.speaker
        name = parse_name(command.room)
        if session.room is not None and session.room.key == name.key:
            raise NotPossible(f"you are in {session.room.name} already", code="already_there")
        room = self._open(name, user)
        try:
            room.check_may_enter(user, self._clock())
            if session.room is not None:
                self.leave(session, commands.Leave())
            self._enter(session, room)
        finally:
            self.forget_if_deserted(room)

    def _enter(self, session: Session, room: Room) -> None:
        user = session.speaker
        is_first = user not in room.present
        room.present[user] = room.present.get(user, 0) + 1
        room.visits += 1
        session.room = room
        users = sorted((person.name for person in room.present), key=str.casefold)
        entered = events.Entered(room.name, room.topic, users, (), self._clock())
        self._journal.append(_Arrival(session, room, entered, is_first=is_first))

    def leave(self, session: Session, _command: commands.Leave) -> None:
        """Leave the room. Raises NotPossible when in none."""
        room = session.room_or_refuse()
        self._depart(session, room, events.Left, told=events.Departed(room.name))

    def disconnect(self, session: Session) -> None:
        """Take a session that ended out of its room."""
        if session.room is not None:
            self._depart(session, session.room, events.Disconnected, told=None)

    def _depart(
        self,
        session: Session,
        room: Room,
        how: type[events.Left | events.Disconnected],
        *,
        told: events.Event | None,
    ) -> None:
        is_last = room.drop(session)
        event = how(room.name, session.speaker.name) if is_last else None
        self._journal.append(
            _Departure(self, room, [session], sender=session, told=told, event=event)
        )

    def send_out(
        self, room: Room, user: User | None, *, sender: Session, fact: events.Kicked | events.Banned
    ) -> None:
        """End all of a user's sessions in a room at once, and show everybody why."""
        sessions = room.sessions_of(user) if user else []
        for session in sessions:
            room.drop(session)
        told = events.SentOut(fact)
        self._journal.append(_Departure(self, room, sessions, sender=sender, told=told, event=fact))

    def who(self, session: Session, _command: commands.Who) -> None:
        """Show who is in the room. Raises NotPossible when in none."""
        room = session.room_or_refuse()
        people = [
            events.Person(user.name, room.role_of(user.id, is_admin=user.is_admin), user.away)
            for user in room.present
        ]
        people.sort(key=lambda person: person.name.casefold())
        session.client.show_at_leisure(events.PeopleListed(room.name, people))

    def list_rooms(self, session: Session, _command: commands.Rooms) -> None:
        """Show the rooms that people are in, then the newest of the others. Switches."""
        stored = self._database.read(lambda connection: store.newest(connection, ROOMS_LISTED_MAX))
        summaries = {name: events.RoomSummary(name, 0, topic) for name, topic in stored}
        for room in self._live.values():
            summaries[room.name] = events.RoomSummary(room.name, len(room.present), room.topic)
        ranked = sorted(summaries.values(), key=lambda each: (-each.users, each.name.casefold()))
        listed = ranked[:ROOMS_LISTED_MAX]
        has_more = len(ranked) > len(listed) or len(stored) == ROOMS_LISTED_MAX
        session.client.show_at_leisure(events.RoomsListed(listed, has_more))

    @contextmanager
    def deciding(self, room: Room) -> Iterator[None]:
        """Hold a room while its rules are changed: one decision at a time. Switches."""
        room.decisions += 1
        try:
            with room.deciding:
                yield
        finally:
            room.decisions -= 1
            self.forget_if_deserted(room)

    def forget_if_deserted(self, room: Room) -> None:
        """Let go of a room that nobody is in; the database has all of it."""
        if room.is_deserted and self._live.get(room.key) is room:
            del self._live[room.key]

    def _open(self, name: Name, user: User) -> Room:
        """Return the live room of that name. Switches when it has to be loaded or made."""
        room = self._live.get(name.key)
        if room is not None:
            return room
        lock = self._opening.setdefault(name.key, RLock())
        with lock:
            if name.key not in self._live:
                self._live[name.key] = self._load(name) or self._create(name, user)
            return self._live[name.key]

    def _load(self, name: Name) -> Room | None:
        def work(connection: Connection) -> Room | None:
            stored = store.find(connection, name)
            if stored is None:
                return None
            recent = messages.newest(connection, stored.id, self._history_replay)
            return Room(name.key, stored, deque(recent, self._history_replay))

        return self._database.read(work)

    def _create(self, name: Name, user: User) -> Room:
        try:
            stored = self._database.write(
                lambda connection: store.create(connection, name, user.id, self._clock())
            )
        except NameTakenError as error:
            raise NotPossible(
                f"the name {name.shown} looks too much like another room's; choose another",
                code="name_taken",
            ) from error
        return Room(name.key, stored, deque(maxlen=self._history_replay))
