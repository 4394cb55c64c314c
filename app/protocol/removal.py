"""Removing for good: purges, retention, and backups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen

from app.protocol.command import Command, Level, MessageId, Span, Word, command
from app.protocol.event import Answer, Done, RoomEvent

# Programs may leave these out; a typed purge has a user and a time.
Author = Annotated[str, Word("USER", is_needed=True), MinLen(1)]
SinceSeconds = Annotated[int | None, Span(is_needed=True)]
Keep = Annotated[str, Word("DAYS|forever|default")]


@dataclass(frozen=True, slots=True)
class RoomRetention:
    """The days for which a room's messages are kept; 0 is for ever."""

    name: str
    days: int


@command
class Purge(Command):
    """Remove for good what somebody said and shared since then, wherever it was (admins)."""

    word = "purge"
    least = Level.ADMIN
    user: Author = ""
    seconds: SinceSeconds = None
    room: Annotated[str, MinLen(1)] = ""
    message: MessageId = None


@command
class Retention(Command):
    """Show for how long messages are kept, or set it for a room (admins)."""

    word = "retention"
    least = Level.ADMIN
    room: Annotated[str, Word("ROOM")] = ""
    keep: Keep = ""
    after: str = ""


@command
class Vacuum(Command):
    """Give what was removed back to the disk, so that no trace of it is in the database's files."""

    word = "vacuum"
    least = Level.OPERATOR


@dataclass(slots=True)
class Purged(RoomEvent):
    """The user removed `messages` for good: of `author`, or of all, between these ids."""

    author: str | None
    first_id: int
    last_id: int
    messages: int


@dataclass(slots=True)
class RetentionListed(Answer):
    """The days for which messages are kept, 0 for ever; and the rooms with days of their own."""

    days: int
    rooms: Sequence[RoomRetention]
    has_more: bool


@dataclass(slots=True)
class Removed(Done):
    """Messages and files were removed for good: their numbers."""

    messages: int
    files: int


@dataclass(slots=True)
class RetentionSet(Done):
    """Messages of the room are kept for `days` from now on; 0 is for ever."""

    room: str
    days: int


@dataclass(slots=True)
class Vacuumed(Done):
    """Pages of the database were given back to the disk: their number."""

    pages: int
