"""What everybody in a room is shown, in one order: one class a fact. See also app/events.py."""

from dataclasses import dataclass

from app.shapes import Enc
from app.times import Milliseconds


@dataclass(slots=True)
class Event:
    """Something that a wire can show."""


@dataclass(slots=True)
class RoomEvent(Event):
    """Something that everybody in `room` is shown; `user` did it, or it happened to them."""

    room: str
    user: str


@dataclass(slots=True)
class Said(RoomEvent):
    """A message, stored under `id` (0 until it is) at `at`."""

    body: str
    at: Milliseconds
    is_action: bool = False
    id: int = 0

    @property
    def size_bytes(self) -> int:
        """How much text it is."""
        return len(self.body.encode())


@dataclass(slots=True)
class SaidEncrypted(RoomEvent):
    """A message, stored as Said is, that the user encrypted at `device`: `enc` is for devices."""

    device: str
    enc: Enc
    at: Milliseconds
    id: int = 0

    @property
    def size_bytes(self) -> int:
        """How much text it is."""
        return self.enc.size_bytes


Message = Said | SaidEncrypted


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
class Kicked(RoomEvent):
    """A moderator sent the user out."""

    by: str
    reason: str


@dataclass(slots=True)
class Banned(RoomEvent):
    """A moderator keeps the user out, for so many seconds or for good."""

    by: str
    seconds: int | None
    reason: str


@dataclass(slots=True)
class Unbanned(RoomEvent):
    """The user may enter again."""

    by: str


@dataclass(slots=True)
class Muted(RoomEvent):
    """The user may not speak, for so many seconds or for good."""

    by: str
    seconds: int | None
    reason: str


@dataclass(slots=True)
class Unmuted(RoomEvent):
    """The user may speak again."""

    by: str


@dataclass(slots=True)
class Promoted(RoomEvent):
    """The user is a moderator now."""

    by: str


@dataclass(slots=True)
class Demoted(RoomEvent):
    """The user is a moderator no more."""

    by: str


@dataclass(slots=True)
class TopicSet(RoomEvent):
    """The user set the topic."""

    topic: str


@dataclass(slots=True)
class Encrypted(RoomEvent):
    """The user made the room encrypted, for good: what is said from here on only devices read."""


@dataclass(slots=True)
class RosterChanged(RoomEvent):
    """The user belongs to the encrypted room from now on, or no more: revision `rev` of its roster.

    What is said from here on is encrypted for those who belong to it by then.
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
    """The user removed the room, and nobody is in it any more."""

    reason: str


@dataclass(slots=True)
class FileShared(RoomEvent):
    """The user shared a file, which is kept as `id`."""

    id: int
    name: str
    size: int
    sha256: str
    at: Milliseconds


@dataclass(slots=True)
class Purged(RoomEvent):
    """The user removed so many messages for good: of `author`, or of all, between these ids."""

    author: str | None
    first_id: int
    last_id: int
    messages: int
