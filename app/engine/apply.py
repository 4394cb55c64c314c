"""Facts about rooms, and the changes of a room's memory, one for each kind. See engine/facts.py.

A live room equals the room that would be loaded from the database. Its rules, its roster, its name
and its newest messages are changed here alone, and by what is committed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.engine.facts import Fact
from app.protocol import files, moderation, removal, rooms
from app.queries.members import Roster
from app.values.names import parse_name

if TYPE_CHECKING:
    from app.engine.delivery import Delivery
    from app.engine.presence import Room
    from app.protocol.event import RoomEvent
    from app.protocol.talk import Message
    from app.queries.rooms import SanctionKind


def say(room: Room, said: Message) -> None:
    """Add a stored message."""
    room.recent.append(said)
    room.head_id = said.id


def replace_messages(room: Room, newest: Iterable[Message]) -> None:
    """Replace the newest messages with those in the database, whatever the room was called then."""
    room.recent.replace(newest)
    room.recent.rename(room.name)


@dataclass(slots=True)
class RoomFact(Fact):
    """What a decision did to a room."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        raise NotImplementedError

    def event(self, room: Room) -> RoomEvent | None:
        """Return what the room is shown, after the change; None for nothing."""
        raise NotImplementedError

    def release(self, room: Room, delivery: Delivery) -> None:
        """See Fact."""
        self.apply(room)
        event = self.event(room)
        if event is not None:
            delivery.show(room, event)


@dataclass(slots=True)
class Made(RoomFact):
    """The room was made. It is not live yet."""

    name: str
    owner_id: int

    def apply(self, room: Room) -> None:
        """See Fact."""
        name = parse_name(self.name)
        room.key, room.name, room.owner_id = name.key, name.shown, self.owner_id

    def event(self, room: Room) -> None:
        """See Fact. No client is there."""


@dataclass(slots=True)
class _About(RoomFact):
    """A fact about a user, decided by another."""

    user_id: int
    user: str
    by: str


@dataclass(slots=True)
class TopicSet(RoomFact):
    """The topic was set; an empty one is none."""

    topic: str
    by: str

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.topic = self.topic

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return moderation.TopicSet(room.name, self.by, self.topic)


@dataclass(slots=True)
class Promoted(_About):
    """A user became a moderator."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.moderator_ids.add(self.user_id)

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return moderation.Promoted(room.name, self.user, self.by)


@dataclass(slots=True)
class Demoted(_About):
    """A user is no moderator any longer."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.moderator_ids.discard(self.user_id)

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return moderation.Demoted(room.name, self.user, self.by)


@dataclass(slots=True)
class OwnerSet(_About):
    """A user became the owner: then no moderator, and neither banned nor muted."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.owner_id = self.user_id
        room.forget_user(self.user_id)

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return rooms.OwnerSet(room.name, self.user, self.by)


@dataclass(slots=True)
class _Sanctioned(_About):
    """A user was banned or muted, at a time, in milliseconds UTC, and for seconds or for good."""

    seconds: int | None
    reason: str
    made_at: int

    def put(self, room: Room, kind: SanctionKind) -> None:
        """Put it in force; forget those that are over."""
        in_force = room.sanctions[kind]
        for user_id in [each for each, terms in in_force.items() if terms.is_over(self.made_at)]:
            del in_force[user_id]
        until = None if self.seconds is None else self.made_at + self.seconds * 1000
        in_force[self.user_id] = moderation.Sanction(self.user, self.by, self.reason, until)


class _SentOut(RoomFact):
    """A user was sent out of the room: all their sessions, which are told why."""

    __slots__ = ()

    user_id: int

    def event(self, room: Room) -> moderation.Kicked | moderation.Banned:
        """See Fact."""
        raise NotImplementedError

    def release(self, room: Room, delivery: Delivery) -> None:
        """See Fact. Sessions on their way into the room are looked at when they arrive."""
        event = self.event(room)
        for session in room.sessions_of(self.user_id):
            delivery.leave(room, session)
            delivery.tell(session, moderation.SentOut(event))
        super().release(room, delivery)


@dataclass(slots=True)
class Kicked(_SentOut, _About):
    """A user was sent out, and may come back."""

    reason: str

    def apply(self, room: Room) -> None:
        """See Fact. The room keeps nothing of it."""

    def event(self, room: Room) -> moderation.Kicked:
        """See Fact."""
        return moderation.Kicked(room.name, self.user, self.by, self.reason)


@dataclass(slots=True)
class Banned(_SentOut, _Sanctioned):
    """A user was sent out, and kept out. A banned moderator loses the role."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        self.put(room, "ban")
        room.moderator_ids.discard(self.user_id)

    def event(self, room: Room) -> moderation.Banned:
        """See Fact."""
        return moderation.Banned(room.name, self.user, self.by, self.seconds, self.reason)


@dataclass(slots=True)
class Muted(_Sanctioned):
    """A user is kept silent."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        self.put(room, "mute")

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return moderation.Muted(room.name, self.user, self.by, self.seconds, self.reason)


@dataclass(slots=True)
class Unbanned(_About):
    """A ban ended before its time."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.sanctions["ban"].pop(self.user_id, None)

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return moderation.Unbanned(room.name, self.user, self.by)


@dataclass(slots=True)
class Unmuted(_About):
    """A mute ended before its time."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.sanctions["mute"].pop(self.user_id, None)

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return moderation.Unmuted(room.name, self.user, self.by)


@dataclass(slots=True)
class Encrypted(RoomFact):
    """The room became encrypted: after a message's id, with its first members' keys by id."""

    by: str
    e2ee_from: int
    members: Mapping[int, str]

    def apply(self, room: Room) -> None:
        """See Fact."""
        members = {int(user_id): key for user_id, key in self.members.items()}  # JSON has texts
        room.roster = Roster(self.e2ee_from, 1, members)

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return rooms.Encrypted(room.name, self.by)

    def release(self, room: Room, delivery: Delivery) -> None:
        """See Fact."""
        RoomFact.release(self, room, delivery)  # super() finds no class with slots
        delivery.show(room, rooms.RosterChanged(room.name, self.by, 1))


@dataclass(slots=True)
class _MembersChanged(RoomFact):
    """The members of an encrypted room changed, and there is a new revision."""

    user_id: int
    user: str

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        assert room.roster is not None  # noqa: S101 (no room is ever decrypted)
        return rooms.RosterChanged(room.name, self.user, room.roster.rev)


@dataclass(slots=True)
class MemberAdded(_MembersChanged):
    """A user became a member."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        assert room.roster is not None  # noqa: S101 (no room is ever decrypted)
        room.roster.members[self.user_id] = parse_name(self.user).key
        room.roster.rev += 1


@dataclass(slots=True)
class MemberRemoved(_MembersChanged):
    """A user is no member any longer."""

    def apply(self, room: Room) -> None:
        """See Fact."""
        assert room.roster is not None  # noqa: S101 (no room is ever decrypted)
        del room.roster.members[self.user_id]
        room.roster.rev += 1


@dataclass(slots=True)
class AccountRemoved(RoomFact):
    """A user's account was deleted: the role goes, and so do the sanctions."""

    user_id: int

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.forget_user(self.user_id)

    def event(self, room: Room) -> None:
        """See RoomFact. Their sessions end, which the room is shown."""


@dataclass(slots=True)
class Renamed(RoomFact):
    """The room has another name."""

    name: str
    by: str

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.rename(parse_name(self.name))

    def event(self, room: Room) -> RoomEvent:
        """See Fact. It names the room as its readers know it: before the change."""
        return rooms.Renamed(room.name, self.by, self.name)

    def release(self, room: Room, delivery: Delivery) -> None:
        """See Fact."""
        delivery.show(room, self.event(room))
        self.apply(room)


@dataclass(slots=True)
class Deleted(RoomFact):
    """The room is gone, and its name free."""

    by: str
    reason: str

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.is_gone = True
        if room.live is not None:
            room.live.remove(room)

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        return rooms.Deleted(room.name, self.by, self.reason)

    def release(self, room: Room, delivery: Delivery) -> None:
        """See Fact. All are shown it, and are out."""
        RoomFact.release(self, room, delivery)  # super() finds no class with slots
        for session in room.sessions_of():
            delivery.leave(room, session)


@dataclass(slots=True)
class Purged(RoomFact):
    """Messages between two ids were removed for good: an author's, or all."""

    by: str
    author: str | None
    first_id: int
    last_id: int
    messages: int

    def apply(self, room: Room) -> None:
        """See Fact. What is left was read with it: see removal/purging.py."""

    def event(self, room: Room) -> RoomEvent:
        """See Fact."""
        ids = self.first_id, self.last_id
        return removal.Purged(room.name, self.by, self.author, *ids, self.messages)


@dataclass(slots=True)
class FileShared(RoomFact):
    """A file was shared; the room's memory has none."""

    user: str
    file_id: int
    name: str
    size: int
    sha256: str
    at: int

    def apply(self, room: Room) -> None:
        """See Fact."""

    def event(self, room: Room) -> RoomEvent:
        """See RoomFact."""
        what = self.file_id, self.name, self.size, self.sha256, self.at
        return files.FileShared(room.name, self.user, *what)


@dataclass(slots=True)
class Expired(RoomFact):
    """Messages said before a time, in milliseconds UTC, were removed for good."""

    said_before: int

    def apply(self, room: Room) -> None:
        """See Fact."""
        room.recent.forget_before(self.said_before)

    def event(self, room: Room) -> None:
        """See Fact. It was said how long messages are kept."""
