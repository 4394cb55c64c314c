"""What happened: one class an event, named in the past tense. Plain data: names, no live objects.

`RoomEvent`s are facts that everybody in a room is shown, in one order; they are written down in
app/room_events.py. The others are told to one session: `Answer`s to what it asked, the rest because
it concerns it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.errors import Code
from app.figures import Concern, Load, Minute
from app.records import (
    Account,
    Connection,
    Person,
    RoomRecord,
    RoomRetention,
    RoomSummary,
    Sanction,
    ServerSanction,
    SharedFile,
    Token,
)
from app.room_events import (
    Banned,
    Deleted,
    Demoted,
    Disconnected,
    Encrypted,
    Event,
    FileShared,
    Joined,
    Kicked,
    Left,
    Message,
    Muted,
    OwnerSet,
    Promoted,
    Purged,
    Renamed,
    RoomEvent,
    RosterChanged,
    Said,
    SaidEncrypted,
    TopicSet,
    Unbanned,
    Unmuted,
)
from app.shapes import Enc, Level
from app.sizes import format_count
from app.times import Milliseconds

__all__ = [
    "Banned",
    "Deleted",
    "Demoted",
    "Disconnected",
    "Encrypted",
    "Event",
    "FileShared",
    "Joined",
    "Kicked",
    "Left",
    "Message",
    "Muted",
    "OwnerSet",
    "Promoted",
    "Purged",
    "Renamed",
    "RoomEvent",
    "RosterChanged",
    "Said",
    "SaidEncrypted",
    "TopicSet",
    "Unbanned",
    "Unmuted",
]


@dataclass(slots=True)
class Answer(Event):
    """What one session asked for, or that it is done."""


@dataclass(slots=True)
class Connected(Event):
    """A client is here, and nobody has logged in on it yet; without TLS, perhaps nobody may."""

    is_registration_open: bool
    needs_tls: bool = False


@dataclass(slots=True)
class Greeted(Answer):
    """The server is there, says one that nobody has logged in on: and how one may log in."""

    sentence: str
    is_registration_open: bool
    needs_tls: bool  # nobody may log in on this connection: it could be overheard


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

    @property
    def size_bytes(self) -> int:
        """How much text it is."""
        return len(self.body.encode())


@dataclass(slots=True)
class PrivatelySaidEncrypted(Event):
    """A private message, stored as PrivatelySaid is, and encrypted as SaidEncrypted is."""

    user: str
    to: str
    device: str
    enc: Enc
    at: Milliseconds
    id: int = 0

    @property
    def size_bytes(self) -> int:
        """How much text it is."""
        return self.enc.size_bytes


PrivateMessage = PrivatelySaid | PrivatelySaidEncrypted


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
    """The newest private messages that came while the user was not here, oldest first.

    Before them came so many `older` ones, which are kept, and not shown here.
    """

    messages: Sequence[PrivateMessage]
    now: Milliseconds
    older: int = 0

    @property
    def notice(self) -> str:
        """What is said of the older ones; nothing when there are none."""
        if not self.older:
            return ""
        are = "is" if self.older == 1 else "are"
        return f"{format_count(self.older, 'older private message')} {are} kept, and not shown."


@dataclass(slots=True)
class HistoryShown(Answer):
    """A page of the room's past, oldest first; `has_more` when there is another one.

    That one ends before `before_id`, when the pages go back; else it begins after `last_id`. Both
    count messages that are left out because the session ignores who said them.
    """

    room: str
    messages: Sequence[Message]
    has_more: bool
    before_id: int
    now: Milliseconds
    last_id: int = 0


@dataclass(slots=True)
class PeopleListed(Answer):
    """Who is in the room, by name; `has_more` when there are others behind them."""

    room: str
    people: Sequence[Person]
    has_more: bool = False
    after: str = ""


@dataclass(slots=True)
class RosterShown(Answer):
    """Who belongs to a room, by the keys of their names, as of revision `rev`.

    `e2ee_from` is the id of its last message in the clear. If it is not encrypted, it has no
    revisions, and whoever is there belongs to it. `has_more` when there are others behind them.
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
    """The rooms, the busiest first, then by name; `has_more` when there are others behind them."""

    rooms: Sequence[RoomSummary]
    has_more: bool
    after: str = ""


@dataclass(slots=True)
class SanctionsListed(Answer):
    """Who is banned from the room and who is muted in it, by name.

    When it `has_more`, the others stand behind `last`.
    """

    room: str
    bans: Sequence[Sanction]
    mutes: Sequence[Sanction]
    has_more: bool = False
    last: str = ""
    after: str = ""


@dataclass(slots=True)
class ServerSanctionsListed(Answer):
    """Who is banned from the whole server, and who is muted on all of it, by name or network.

    When it `has_more`, the others stand behind `last`.
    """

    bans: Sequence[ServerSanction]
    mutes: Sequence[ServerSanction]
    has_more: bool = False
    last: str = ""
    after: str = ""


@dataclass(slots=True)
class IgnoredListed(Answer):
    """Whom the user ignores, by name; `has_more` when there are others behind them."""

    users: Sequence[str]
    has_more: bool = False


@dataclass(slots=True)
class TopicShown(Answer):
    """What the room is about; empty when nobody said."""

    room: str
    topic: str


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
    """Files, oldest first; `has_more` when there are older ones: those before `before_id`."""

    files: Sequence[SharedFile]
    has_more: bool
    before_id: int


@dataclass(slots=True)
class FilePrinted(Answer):
    """A whole file."""

    file: SharedFile
    data: bytes


@dataclass(slots=True)
class RetentionListed(Answer):
    """For how many days messages are kept, 0: for ever; and the rooms where it is otherwise."""

    days: int
    rooms: Sequence[RoomRetention]
    has_more: bool


@dataclass(slots=True)
class AccountsListed(Answer):
    """Accounts, in the alphabet's order; `has_more` when there are others behind them."""

    accounts: Sequence[Account]
    has_more: bool


@dataclass(slots=True)
class RoomRecordsListed(Answer):
    """Rooms, in the alphabet's order; `has_more` when there are others behind them."""

    rooms: Sequence[RoomRecord]
    has_more: bool


@dataclass(slots=True)
class SessionsListed(Answer):
    """Who is connected, those for longest first; `has_more` when there are others behind them."""

    sessions: Sequence[Connection]
    has_more: bool


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
    illness: str  # why /healthz is red; nothing when it is well
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
