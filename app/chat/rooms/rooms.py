"""Entering rooms and leaving them, and the live rooms.

A room becomes live when a session enters it, and is forgotten when the last one has left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from heapq import nsmallest
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from gevent.lock import RLock

from app.bounds import RECENT_MESSAGES_MAX, REPLAY_BYTES_MAX, SINCE_MESSAGES_MAX
from app.engine import apply
from app.engine.decisions import check_is_active
from app.engine.entries import Arrival, Departure, Replay
from app.engine.live import LiveRooms
from app.engine.presence import Room, already_there
from app.engine.recent import Recent, newest_that_fit
from app.errors import Forbidden, NotPossible
from app.measures import metrics
from app.protocol import rooms, talk
from app.queries import messages, retention
from app.queries import rooms as queries
from app.queries.accounts import NameTakenError
from app.values.names import Name, check_new, parse_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.rooms.members import Rosters
    from app.database.database import Work
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session


class Rooms:
    """The live rooms, and the ways in and out."""

    def __init__(self, kit: Kit, rosters: Rosters) -> None:
        self._database, self._journal, self._clock = kit.database, kit.journal, kit.clock
        self._rosters = rosters
        self._history_replay = kit.settings.history_replay
        self._owned_max = kit.settings.rooms_owned_max
        self._recent_max = max(kit.settings.history_replay, RECENT_MESSAGES_MAX)
        self._live = LiveRooms()
        metrics.show_kept("recent_bytes", lambda: self._live.shelf.memory_bytes)
        self._opening: WeakValueDictionary[str, RLock] = WeakValueDictionary()
        self._loading = RLock()
        self._lost = self._database.read(messages.lost)

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            rooms.Join: self.join,
            rooms.Leave: self.leave,
            rooms.Who: self.who,
            rooms.Rooms: self.list_rooms,
        }

    @property
    def live_rooms(self) -> int:
        """The number of live rooms."""
        return len(self._live)

    def join(self, session: Session, command: rooms.Join) -> None:
        """Enter a room; make it if there is none and that is allowed. Switches. Raises Refusal."""
        session.client.wait_until_read()  # else the replay of a hundred rooms fills its outbox
        user, moves = session.speaker, session.client.rooms_max == 1
        name = parse_name(command.room)
        if name.key in session.rooms:
            raise already_there(session.rooms[name.key])
        if not moves and len(session.rooms) >= session.client.rooms_max:
            raise NotPossible("you are in too many rooms; leave one first", code="too_many_rooms")
        room = self.open(name, session if command.create else None)
        with self.holding(room):
            room.check_may_enter(user, self._clock())
            self._recall(room)
            replay = self._replay_since(room, command.since)
            self._rosters.admit(session, room)  # it checks again: the read may have switched
            if moves and session.rooms:
                self._leave(session, session.room_or_refuse())
                self._rosters.admit(session, room)  # again: leaving may have switched
            arrival = Arrival(session, room, replay, self._clock)
            self._journal.carry(arrival)

    def _replay_since(self, room: Room, since: int | None) -> Replay:
        """Return a function that picks the messages to replay on entering.

        After `since` it gives all messages, if that is possible: those read here, then those in
        memory. Else, or without `since`, it gives the newest. Switches.
        """
        count, removals = self._history_replay, self._journal.removals
        missed = self._missed(room, since)

        def replay(room: Room) -> tuple[Sequence[talk.Message], bool]:
            newest = newest_that_fit(list(room.recent)[-count:] if count else [])
            if since is None:
                return newest, True
            last_id = missed[-1].id if missed else since
            all_since = [*missed, *(said for said in room.recent if said.id > last_id)]
            is_whole = room.recent.has_all_since(last_id) and since <= room.head_id
            is_whole = is_whole and len(newest_that_fit(all_since)) == len(all_since)
            # Messages read here may have been removed since; those after a backup are lost.
            is_whole = is_whole and (not missed or removals == self._journal.removals)
            is_whole = is_whole and not any(after < since <= up_to for after, up_to in self._lost)
            return (all_since, True) if is_whole else (newest, False)

        return replay

    def _missed(self, room: Room, since: int | None) -> Sequence[talk.Message]:
        """Read the messages after `since`, unless memory keeps them. Or none, if too many.

        Messages that are in memory now may be pushed out before the room is entered. Switches.
        """
        if since is None or room.recent.keeps_all_since(since):
            return ()
        end_id, length = room.head_id + 1, SINCE_MESSAGES_MAX + 1
        page = messages.Page(room.id, since, end_id, length, True, REPLAY_BYTES_MAX)
        found = self._database.read(lambda connection: messages.page(connection, page))
        return found if len(found) <= SINCE_MESSAGES_MAX else ()

    def leave(self, session: Session, command: rooms.Leave) -> None:
        """Leave the room. Switches, if it is encrypted. Raises Refusal when not in it."""
        room = session.room_or_refuse(command.room)
        if not self._leave(session, room):
            raise NotPossible(f"you are not in {room.name} any more", code="no_room")

    def _leave(self, session: Session, room: Room) -> bool:
        """Leave a room; return whether the session was still in it. Switches, if encrypted."""
        with self.holding(room):
            told = rooms.Departed(room.name)
            departure = Departure(session, room, rooms.Left, told)
            return self._rosters.resign(session, room, departure)

    def disconnect(self, session: Session) -> None:
        """Remove a session that ended from its rooms."""
        for room in session.rooms.values():
            self._journal.append(Departure(session, room, rooms.Disconnected))

    def find(self, name: str) -> retention.RoomRetention:
        """Return a room's id, name and retention, live or not. Switches. Raises Refusal."""
        key = parse_name(name).key
        room = self._database.read(lambda connection: retention.find(connection, key))
        if room is None:
            raise NotPossible(f"there is no room {name}", code="no_such_room")
        return room

    def people_in(self, key: str) -> int:
        """Return the number of users in a room, by its key."""
        room = self._live.find(key)
        return len(room.present) if room else 0

    def who(self, session: Session, command: rooms.Who) -> None:
        """Show a page of the users in the room. Switches. Raises Refusal when not in it."""
        count, after = command.count, command.after.casefold()
        with self.holding(self.room_of(session, command.room)) as room:
            behind = (user for user in room.present if user.name.casefold() > after)
            found = nsmallest(count + 1, behind, key=lambda user: user.name.casefold())
            now = self._clock()
            people = [
                rooms.Person(
                    user.name,
                    room.role_of(user.id, is_admin=user.is_admin),
                    room.away_of(user, now),
                )
                for user in found[:count]
            ]
        session.client.show_at_leisure(
            rooms.PeopleListed(room.name, people, len(found) > count, command.after)
        )

    def list_rooms(self, session: Session, command: rooms.Rooms) -> None:
        """Show a page of the rooms: first those with users in them, then the others. Switches."""
        count, after_key = command.count, parse_name(command.after).key if command.after else ""
        after_users = self.people_in(after_key)
        shown = []
        if after_users or not after_key:
            shown = self._live.page(after_users, after_key, count + 1)
        summaries = [rooms.RoomSummary(room.name, len(room.present), room.topic) for room in shown]
        if len(shown) <= count:
            rest_key = "" if after_users else after_key
            summaries += self._deserted(rest_key, count + 1 - len(shown))
        has_more = len(summaries) > count
        session.client.show_at_leisure(
            rooms.RoomsListed(summaries[:count], has_more, command.after)
        )

    def _deserted(self, after_key: str, count: int) -> list[rooms.RoomSummary]:
        """Return the first rooms after a name without users. Switches."""
        found: list[rooms.RoomSummary] = []
        while len(found) < count:
            page = self._database.read(_lister(after_key, count))
            found += [
                rooms.RoomSummary(name, 0, topic)
                for key, name, topic in page
                if not self.people_in(key)
            ]
            if len(page) < count:
                break
            after_key = page[-1][0]
        return found[:count]

    @contextmanager
    def deciding(self, room: Room) -> Iterator[None]:
        """Hold a room while its rules are changed: one decision at a time. Switches.

        Raises NotPossible when it was deleted.
        """
        with self.holding(room), room.deciding:
            room.check_is_there()
            yield

    @contextmanager
    def holding(self, room: Room) -> Iterator[Room]:
        """Keep a room live in the block, even without a session."""
        room.holds += 1
        try:
            yield room
        finally:
            room.holds -= 1
            room.forget_if_deserted()

    def room_of(self, session: Session, name: str) -> Room:
        """Return the room that a session means: the operator may mean any. Raises Refusal.

        Switches if it has to be loaded. A caller that needs it to stay live holds it at once.
        """
        if not session.is_operator:
            return session.room_or_refuse(name)
        if not name:
            raise NotPossible("say in which room", code="which_room")
        return self.open(parse_name(name), None)

    def open_by_id(self, room_id: int) -> Room:
        """Return a room, live, by its id. Switches. Raises NotPossible."""
        name = self._database.read(lambda connection: queries.name_of(connection, room_id))
        if name is None:
            raise NotPossible("there is no such room any more", code="no_such_room")
        return self.open(parse_name(name), None)

    @contextmanager
    def opening(self, name: Name) -> Iterator[None]:
        """Keep others from loading or making that name's room. Switches."""
        with self._opening.setdefault(name.key, RLock()):
            yield

    def open(self, name: Name, maker: Session | None) -> Room:
        """Return the live room of that name. Switches when it has to be loaded or made.

        Raises NotPossible when there is none and no maker, and Refusal when the maker may not.
        """
        room = self._live.find(name.key)
        if room is not None:
            return room
        with self.opening(name):
            room = self._live.find(name.key)
            if room is None:
                with self._loading:
                    room = self._load(name)
                    if room is not None:
                        self._live.add(room)
            if room is None:  # no loading waits for this write
                room = self._create(name, maker)
                self._live.add(room)
            return room

    @contextmanager
    def loading_none(self) -> Iterator[Collection[Room]]:
        """Give the live rooms; load no other in the block. Their memory may be changed.

        Switches.
        """
        with self._loading:
            yield list(self._live)

    def _load(self, name: Name) -> Room | None:
        def work(connection: Connection) -> Room | None:
            stored = queries.find(connection, name)
            if stored is None:
                return None
            newest = messages.newest(connection, stored.id, self._recent_max)
            head_id = messages.newest_id(connection)  # all of the room is in this transaction
            return Room(name.key, stored, Recent(self._recent_max, newest), head_id)

        return self._database.read(work)

    def _recall(self, room: Room) -> None:
        """Read a room's newest messages again after it gave them up. Switches then."""
        if not room.recent.is_given_up:
            return
        with self._loading:
            if not room.recent.is_given_up:
                return  # another session was first
            up_to_id = room.head_id
            found = self._database.read(
                lambda each: messages.newest(each, room.id, self._recent_max, up_to_id + 1)
            )
            if room.recent.is_given_up and room.recent.has_all_since(up_to_id):
                later = [said for said in room.recent if said.id > up_to_id]
                apply.replace_messages(room, [*found, *later])

    def _create(self, name: Name, maker: Session | None) -> Room:
        if maker is None:
            raise NotPossible(f"there is no room {name.shown}", code="no_such_room")
        check_new(name)
        maker.check_may_speak(self._clock())  # all users are shown its name
        user = maker.speaker
        owned_max = 0 if user.is_admin else self._owned_max

        def work(connection: Connection) -> tuple[queries.StoredRoom, int]:
            check_is_active(connection, user.id)
            if owned_max and queries.owns_as_many(connection, user.id, owned_max):
                raise Forbidden(
                    f"you own {owned_max} rooms, as many as anybody may; join one that there is",
                    code="too_many_owned",
                )
            stored = make(connection, name, user.id, self._clock())
            return stored, messages.newest_id(connection)

        try:
            stored, head_id = self._database.write(work)
        except NameTakenError as error:
            raise NotPossible(
                f"the name {name.shown} looks too much like another room's; choose another",
                code="name_taken",
            ) from error
        return Room(name.key, stored, Recent(self._recent_max), head_id)


def make(connection: Connection, name: Name, owner_id: int, now: int) -> queries.StoredRoom:
    """Make a room, and begin its log. Raises NameTakenError."""
    stored = queries.create(connection, name, owner_id, now)
    apply.Made(name.shown, owner_id).record(connection, stored.id, now)
    return stored


def _lister(after_key: str, count: int) -> Work[Sequence[tuple[str, str, str]]]:
    return lambda connection: queries.listed(connection, after_key, count)
