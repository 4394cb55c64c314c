"""Messages: in rooms, and between two users."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.bounds import HISTORY_PAGE_MAX, PAGE_ITEMS_MAX
from app.protocol.command import (
    Body,
    Command,
    Count,
    Enc,
    InRoom,
    MessageId,
    Note,
    PageCount,
    RosterRev,
    SaidText,
    Txn,
    UserName,
    command,
)
from app.protocol.event import Answer, Done, Event, Noticed, RoomEvent
from app.values.times import Milliseconds


@command
class Say(InRoom):
    """Say something in the room; any line that does not begin with a slash does it."""

    word = "say"
    body: SaidText = ""
    txn: Txn = ""
    enc: Enc | None = None  # instead of a body
    if_rev: RosterRev = None  # of the room's roster, for which it is encrypted

    @property
    def is_long(self) -> bool:
        """See Command: an encrypted message may be."""
        return self.enc is not None


@command
class Emote(InRoom):
    """Say what you do: /me waves."""

    word = "me"
    body: Body
    txn: Txn = ""


@command
class Tell(Command):
    """Send somebody a private message, kept for them while they are away."""

    word = "msg"
    user: UserName
    body: SaidText = ""
    txn: Txn = ""
    enc: Enc | None = None  # instead of a body

    @property
    def is_long(self) -> bool:
        """See Command: an encrypted message may be."""
        return self.enc is not None


@command
class History(InRoom):
    """Show the room's last messages; typed again, those before them."""

    word = "history"
    count: Annotated[int, Count("N", HISTORY_PAGE_MAX)] = 20
    before: MessageId = None
    after: MessageId = None


@command
class Away(Command):
    """Say that you are away, and why; typed again, that you are back."""

    word = "away"
    why: Note = ""


@command
class Ignore(Command):
    """Hide what somebody says from you; alone, show whom you ignore."""

    word = "ignore"
    user: UserName = ""
    after: str = ""
    count: PageCount = PAGE_ITEMS_MAX


@command
class Unignore(Command):
    """Hear somebody again."""

    word = "unignore"
    user: UserName


@dataclass(slots=True)
class Said(RoomEvent):
    """A message, stored under `id` at `at`; `id` is 0 until then."""

    body: str
    at: Milliseconds
    is_action: bool = False
    id: int = 0

    @property
    def size_bytes(self) -> int:
        """The length of its text, in bytes."""
        return len(self.body.encode())


@dataclass(slots=True)
class SaidEncrypted(RoomEvent):
    """A message, stored as Said is, encrypted at `device`: `enc` is for devices."""

    device: str
    enc: Enc
    at: Milliseconds
    id: int = 0

    @property
    def size_bytes(self) -> int:
        """The length of its text, in bytes."""
        return self.enc.size_bytes


Message = Said | SaidEncrypted


@dataclass(slots=True)
class PrivatelySaid(Event):
    """A private message, stored under `id` at `at`; `id` is 0 until then."""

    user: str
    recipient: str
    body: str
    at: Milliseconds
    id: int = 0

    @property
    def size_bytes(self) -> int:
        """The length of its text, in bytes."""
        return len(self.body.encode())


@dataclass(slots=True)
class PrivatelySaidEncrypted(Event):
    """A private message, stored as PrivatelySaid, encrypted as SaidEncrypted."""

    user: str
    to: str
    device: str
    enc: Enc
    at: Milliseconds
    id: int = 0

    @property
    def size_bytes(self) -> int:
        """The length of its text, in bytes."""
        return self.enc.size_bytes


PrivateMessage = PrivatelySaid | PrivatelySaidEncrypted


@dataclass(slots=True)
class Stored(Answer):
    """The session's message that was sent under `tag` is stored."""

    message_id: int
    tag: str


@dataclass(slots=True)
class PrivatelySent(Answer):
    """The session's own private message is stored; `away` is the recipient's away note, or None."""

    message_id: int
    recipient: str
    body: str
    away: str | None


@dataclass(slots=True)
class MailShown(Event):
    """The newest private messages since the last session, oldest first.

    `older` ones came before them; they are kept, and not shown here.
    """

    messages: Sequence[PrivateMessage]
    now: Milliseconds
    older: int = 0


@dataclass(slots=True)
class OlderMailKept(Noticed):
    """Older private messages are kept, and not shown: their number."""

    messages: int


@dataclass(slots=True)
class HistoryShown(Answer):
    """A page of the room's history, oldest first; `has_more` when there is another one.

    That one ends before `before_id`, when the pages go back; else it begins after `last_id`. Both
    count messages that are left out because the session ignores their sender.
    """

    room: str
    messages: Sequence[Message]
    has_more: bool
    before_id: int
    now: Milliseconds
    last_id: int = 0


@dataclass(slots=True)
class IgnoredListed(Answer):
    """A page of the users ignored, by name; `has_more` when there are others."""

    users: Sequence[str]
    has_more: bool = False


@dataclass(slots=True)
class WentAway(Done):
    """The user is away."""


@dataclass(slots=True)
class CameBack(Done):
    """The user is no longer away."""


@dataclass(slots=True)
class IgnoreBegun(Done):
    """The session's user ignores `user` now."""

    user: str


@dataclass(slots=True)
class IgnoreEnded(Done):
    """The session's user hears `user` again."""

    user: str
