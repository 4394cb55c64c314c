"""Rooms: entering and leaving them, their members, and what admins do to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.bounds import LISTED_MAX, PAGE_ITEMS_MAX
from app.protocol.command import (
    AfterName,
    Command,
    InRoom,
    Level,
    MessageId,
    PageCount,
    Reason,
    RoomName,
    UserName,
    Word,
    command,
)
from app.protocol.event import Answer, Done, RoomEvent
from app.protocol.talk import Message
from app.values.times import Milliseconds


@dataclass(frozen=True, slots=True)
class RoomRecord:
    """A stored room, and how many users are in it; `retention_days` is None by default.

    `owner` is empty when that account was deleted, and the room had no moderator.
    """

    name: str
    owner: str
    users: int
    topic: str
    made_at: Milliseconds
    retention_days: int | None
    e2ee: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """A user in a room; `away` is their away note, None when they are not away."""

    name: str
    role: str
    away: str | None


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """A room, and how many users are in it."""

    name: str
    users: int
    topic: str


@command
class Join(Command):
    """Enter a room, and make it if there is none; you leave the one you are in."""

    word = "join"
    room: RoomName
    since: MessageId = None  # replay all messages after this one
    create: bool = True  # false: a room that does not exist is refused, and not made


@command
class Leave(InRoom):
    """Leave the room."""

    word = "leave"


@command
class Who(InRoom):
    """Show who is in the room, those after a name."""

    word = "who"
    suits_operator = True
    after: AfterName = ""
    count: PageCount = LISTED_MAX


@command
class Rooms(Command):
    """Show the rooms, the busiest first, those after a name."""

    word = "rooms"
    suits_operator = True
    after: AfterName = ""
    count: PageCount = LISTED_MAX


@command
class Encrypt(InRoom):
    """Make the room encrypted, for good (its owner, or an admin); only manage.py chat reads it."""

    word = "encrypt"
    op = "room.encrypt"


@command
class Roster(InRoom):
    """Show who belongs to the room, and is encrypted for if it is encrypted; those after a name."""

    word = "roster"
    op = "room.roster"
    after: AfterName = ""
    count: PageCount = PAGE_ITEMS_MAX


@command
class RoomList(Command):
    """Show all rooms with their owners, in the alphabet's order, those after a name (admins)."""

    word = "roomlist"
    op = "room.list"
    least = Level.ADMIN
    after: AfterName = ""


@command
class RoomCreate(Command):
    """Make a room, and somebody its owner."""

    word = "roomcreate"
    op = "room.create"
    least = Level.OPERATOR
    room: RoomName
    owner: UserName
    e2ee: bool = False


@command
class RoomDelete(Command):
    """Send everybody out of a room, and remove it with all that was said there (admins)."""

    word = "roomdelete"
    op = "room.delete"
    least = Level.ADMIN
    room: RoomName
    reason: Reason = ""


@command
class RoomRename(Command):
    """Give a room another name; who is there stays there (admins)."""

    word = "roomrename"
    op = "room.rename"
    least = Level.ADMIN
    room: RoomName
    name: Annotated[str, Word("NAME")]


@command
class RoomOwner(Command):
    """Make somebody the owner of a room, in place of who owns it (admins)."""

    word = "roomowner"
    op = "room.owner"
    least = Level.ADMIN
    room: RoomName
    user: UserName


@dataclass(slots=True)
class Joined(RoomEvent):
    """The user's first session entered."""


@dataclass(slots=True)
class Left(RoomEvent):
    """The user's last session left."""


@dataclass(slots=True)
class Disconnected(RoomEvent):
    """The user's last session in the room ended."""


@dataclass(slots=True)
class Encrypted(RoomEvent):
    """The user made the room encrypted, for good: only devices can read later messages."""


@dataclass(slots=True)
class RosterChanged(RoomEvent):
    """The user became a member of the encrypted room, or left it.

    `rev` is the new revision of its roster. Later messages are encrypted for the members in that.
    """

    rev: int


@dataclass(slots=True)
class OwnerSet(RoomEvent):
    """The user owns the room now."""

    by: str


@dataclass(slots=True)
class Renamed(RoomEvent):
    """The user gave the room another name; `room` is the old one."""

    name: str


@dataclass(slots=True)
class Deleted(RoomEvent):
    """The user removed the room, and it is empty."""

    reason: str


@dataclass(slots=True)
class Entered(Answer):
    """The session is in `room` now; everything after `messages` follows live.

    When it is not `is_complete`, there are more messages between those asked for and `messages`.
    `last_id` is the newest message of the room, also if it is not among them; 0 for none.
    """

    room: str
    topic: str
    users: Sequence[str]
    messages: Sequence[Message]
    now: Milliseconds
    is_complete: bool = True
    last_id: int = 0
    e2ee: bool = False


@dataclass(slots=True)
class Departed(Answer):
    """The session left `room` by its own wish."""

    room: str


@dataclass(slots=True)
class PeopleListed(Answer):
    """A page of the users in the room, by name; `has_more` when there are others after it."""

    room: str
    people: Sequence[Person]
    has_more: bool = False
    after: str = ""


@dataclass(slots=True)
class RosterShown(Answer):
    """A page of a room's members, by key, as of `rev`.

    `e2ee_from` is the id of its last message in the clear. A room that is not encrypted has no
    revisions, and its members are the users in it. `has_more` when there are others after them.
    """

    room: str
    rev: int
    e2ee: bool
    e2ee_from: int
    members: Sequence[str]
    has_more: bool = False
    after: str = ""


@dataclass(slots=True)
class RoomsListed(Answer):
    """A page of rooms, the busiest first, then by name; `has_more` when there are others."""

    rooms: Sequence[RoomSummary]
    has_more: bool
    after: str = ""


@dataclass(slots=True)
class RoomRecordsListed(Answer):
    """A page of rooms, by name; `has_more` when there are others after it."""

    rooms: Sequence[RoomRecord]
    has_more: bool


@dataclass(slots=True)
class RoomMade(Done):
    """The room was made, and the user `owner` owns it."""

    room: str
    owner: str
    e2ee: bool


@dataclass(slots=True)
class RoomGiven(Done):
    """The user `owner` owns the room now."""

    room: str
    owner: str


@dataclass(slots=True)
class RoomRenamed(Done):
    """The room `room` has another name."""

    room: str
    name: str


@dataclass(slots=True)
class RoomDeleted(Done):
    """The room is deleted, and its name is free."""

    room: str
