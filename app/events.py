"""What happened: one class an event, named in the past tense. Plain data: names, no live objects.

`RoomEvent`s are facts that everybody in a room is shown, in one order. The others are told to one
session: `Answer`s to what it asked, the rest because it concerns it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import Code
from app.figures import Concern, Load, Minute
from app.shapes import Level
from app.times import Milliseconds, minute


@dataclass(slots=True)
class Event:
    """Something that a wire can show."""


@dataclass(slots=True)
class RoomEvent(Event):
    """Something that everybody in `room` is shown; `user` did it, or it happened to them."""

    room: str
    user: str


@dataclass(slots=True)
class Answer(Event):
    """What one session asked for, or that it is done."""


# What members of a room see.


@dataclass(slots=True)
class Said(RoomEvent):
    """A message, stored under `id` (0 until it is) at `at`."""

    body: str
    at: Milliseconds
    is_action: bool = False
    id: int = 0


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
class FileShared(RoomEvent):
    """The user shared a file, which is kept as `id`."""

    id: int
    name: str
    size: int
    sha256: str
    at: Milliseconds


# What one session is told.


@dataclass(slots=True)
class Connected(Event):
    """A client is here, and nobody has logged in on it yet; without TLS, perhaps nobody may."""

    is_registration_open: bool
    needs_tls: bool = False


@dataclass(slots=True)
class LoggedIn(Answer):
    """The session speaks for `user` from now on; `token`, if asked for, logs in as well."""

    user: str
    token: str | None = None


@dataclass(slots=True)
class Entered(Answer):
    """The session is in `room` now; everything after `messages` follows live.

    When it is not `is_complete`, there is more between what the session asked for and `messages`.
    `last_id` is the newest message of the room, whether it is among them or not; 0: there is none.
    """

    room: str
    topic: str
    users: Sequence[str]
    messages: Sequence[Said]
    now: Milliseconds
    is_complete: bool = True
    last_id: int = 0


@dataclass(slots=True)
class Departed(Answer):
    """The session left `room` by its own wish."""

    room: str


@dataclass(slots=True)
class SentOut(Event):
    """The session was sent out of `fact.room`: kicked or banned."""

    fact: Kicked | Banned


@dataclass(slots=True)
class PrivatelySaid(Event):
    """A private message, stored under `id` (0 until it is) at `at`."""

    user: str
    recipient: str
    body: str
    at: Milliseconds
    id: int = 0


@dataclass(slots=True)
class Stored(Answer):
    """The message that the session asked to store under `tag` is stored."""

    message_id: int
    tag: str


@dataclass(slots=True)
class PrivatelySent(Answer):
    """The session's own private message is stored; `away` is why the recipient may not see it."""

    message_id: int
    recipient: str
    body: str
    away: str | None


@dataclass(slots=True)
class MailShown(Event):
    """Private messages that came while the user was not here, oldest first."""

    messages: Sequence[PrivatelySaid]
    now: Milliseconds


@dataclass(slots=True)
class HistoryShown(Answer):
    """A page of the room's past, oldest first; `has_more` when there is another one.

    That one ends before `before_id`, when the pages go back; else it begins after `last_id`. Both
    count messages that are left out because the session ignores who said them.
    """

    room: str
    messages: Sequence[Said]
    has_more: bool
    before_id: int
    now: Milliseconds
    last_id: int = 0


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a room; `away` is why they are away."""

    name: str
    role: str
    away: str | None


@dataclass(slots=True)
class PeopleListed(Answer):
    """Who is in the room."""

    room: str
    people: Sequence[Person]


@dataclass(frozen=True, slots=True)
class RoomSummary:
    """A room and how many are in it."""

    name: str
    users: int
    topic: str


@dataclass(slots=True)
class RoomsListed(Answer):
    """The rooms, the busiest first; `has_more` when there are others."""

    rooms: Sequence[RoomSummary]
    has_more: bool


@dataclass(frozen=True, slots=True)
class Sanction:
    """A ban or a mute; `until` is when it ends, None for never."""

    user: str
    by: str
    reason: str
    until: Milliseconds | None

    def is_over(self, now: int) -> bool:
        """Whether its time has passed."""
        return self.until is not None and self.until <= now

    @property
    def terms(self) -> str:
        """Until when it holds, and why: " until 2026-11-22 14:02 UTC (reason)"."""
        until = "" if self.until is None else f" until {minute(self.until)} UTC"
        return until + (f" ({self.reason})" if self.reason else "")


@dataclass(slots=True)
class SanctionsListed(Answer):
    """Who is banned from the room and who is muted in it."""

    room: str
    bans: Sequence[Sanction]
    mutes: Sequence[Sanction]


@dataclass(frozen=True, slots=True)
class ServerSanction(Sanction):
    """One on the whole server: of a `user`, or of a `network` of addresses; the other is empty."""

    network: str = ""


@dataclass(slots=True)
class ServerSanctionsListed(Answer):
    """Who is banned from the whole server, and who is muted on all of it."""

    bans: Sequence[ServerSanction]
    mutes: Sequence[ServerSanction]


@dataclass(slots=True)
class IgnoredListed(Answer):
    """Whom the user ignores."""

    users: Sequence[str]


@dataclass(slots=True)
class TopicShown(Answer):
    """What the room is about; empty when nobody said."""

    room: str
    topic: str


@dataclass(frozen=True, slots=True)
class Token:
    """What logs in as its user without a password; the secret itself is shown but once."""

    number: int
    label: str
    made_at: Milliseconds
    used_at: Milliseconds


@dataclass(slots=True)
class TokensListed(Answer):
    """The user's tokens."""

    tokens: Sequence[Token]


@dataclass(slots=True)
class FileSent(Event):
    """The user shared a file with one recipient."""

    user: str
    recipient: str
    id: int
    name: str
    size: int
    sha256: str
    at: Milliseconds


@dataclass(slots=True)
class UploadOffered(Answer):
    """Where to put a file, until when, and what it will be called.

    The whole address is `server` and `url`; `path` is what the user called the file.
    """

    url: str
    name: str
    expires_at: Milliseconds
    path: str
    server: str


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file; `recipient` is who alone may have it, if it is not its room's."""

    id: int
    name: str
    size: int
    sha256: str
    user: str
    recipient: str | None
    at: Milliseconds


@dataclass(slots=True)
class DownloadOffered(Answer):
    """Where to fetch a file, once, and until when; `server` and `url` are the whole address."""

    file: int
    url: str
    name: str
    size: int
    sha256: str
    expires_at: Milliseconds
    server: str


@dataclass(slots=True)
class FilesListed(Answer):
    """Files, oldest first; `has_more` when there are older ones."""

    files: Sequence[SharedFile]
    has_more: bool


@dataclass(slots=True)
class FilePrinted(Answer):
    """A whole file."""

    file: SharedFile
    data: bytes


@dataclass(slots=True)
class HelpShown(Answer):
    """The commands for those of a level, or one of them, as this wire has them."""

    command: str
    level: Level


@dataclass(slots=True)
class StatusShown(Answer):
    """How the server is; `concerns` is what calls for somebody. See app/figures.py."""

    concerns: Sequence[Concern]
    version: str
    uptime_seconds: int
    is_storing: bool
    now: Load
    minute: Minute


@dataclass(slots=True)
class Done(Answer):
    """What was asked is done."""

    sentence: str


@dataclass(slots=True)
class Refused(Answer):
    """What was asked was refused, under `tag` if the answer comes late; nothing happened."""

    code: Code
    sentence: str
    tag: str = ""


@dataclass(slots=True)
class SaidGoodbye(Answer):
    """The session ended as it wished."""


@dataclass(slots=True)
class Noticed(Event):
    """The server says something to everybody."""

    sentence: str
