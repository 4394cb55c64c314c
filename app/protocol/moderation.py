"""Sanctions and roles, in rooms and on the whole server."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.bounds import LISTED_MAX, REASON_CHARS_MAX
from app.protocol.command import (
    AfterName,
    Command,
    InRoom,
    Level,
    OneLine,
    PageCount,
    Reason,
    Rest,
    Seconds,
    UserName,
    Word,
    command,
)
from app.protocol.event import Answer, Done, Ended, Event, Noticed, RoomEvent
from app.values.times import Milliseconds, until_when

# A user, or an address or prefix. A text that could be both is an address; with an @, a user.
Target = Annotated[str, Word("TARGET")]


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
        """Its end and its reason, in words: " until 2026-11-22 14:02 UTC (reason)"."""
        return until_when(self.until, self.reason)


@dataclass(frozen=True, slots=True)
class ServerSanction(Sanction):
    """A sanction on the whole server: of a `user` or a `network`; the other is empty."""

    network: str = ""


@command
class Topic(InRoom):
    """Show the room's topic, or set it (moderators); /topic - takes it away."""

    word = "topic"
    suits_operator = True
    text: Annotated[str | None, Rest("TEXT|-", REASON_CHARS_MAX), OneLine] = None


@command
class Kick(InRoom):
    """Send somebody out of the room (moderators)."""

    word = "kick"
    suits_operator = True
    user: UserName
    reason: Reason = ""


@command
class Ban(InRoom):
    """Send somebody out and keep them out, for a time or for good (moderators)."""

    word = "ban"
    suits_operator = True
    user: UserName
    seconds: Seconds = None
    reason: Reason = ""


@command
class Unban(InRoom):
    """Let somebody in again (moderators)."""

    word = "unban"
    suits_operator = True
    user: UserName


@command
class Bans(InRoom):
    """Show who is banned from the room or muted in it, and until when, those after a name."""

    word = "bans"
    suits_operator = True
    after: AfterName = ""
    count: PageCount = LISTED_MAX


@command
class Mute(InRoom):
    """Keep somebody from speaking in the room (moderators)."""

    word = "mute"
    suits_operator = True
    user: UserName
    seconds: Seconds = None
    reason: Reason = ""


@command
class Unmute(InRoom):
    """Let somebody speak again (moderators)."""

    word = "unmute"
    suits_operator = True
    user: UserName


@command
class Promote(InRoom):
    """Make somebody a moderator of the room (its owner, or an admin)."""

    word = "promote"
    suits_operator = True
    user: UserName


@command
class Demote(InRoom):
    """Make somebody a moderator no more (the room's owner, or an admin)."""

    word = "demote"
    suits_operator = True
    user: UserName


@command
class ServerKick(Command):
    """End all sessions of a user, or from an address or prefix (admins)."""

    word = "serverkick"
    op = "server.kick"
    least = Level.ADMIN
    target: Target
    reason: Reason = ""


@command
class ServerBan(Command):
    """Keep a user, an address or a prefix out of the whole server (admins)."""

    word = "serverban"
    op = "server.ban"
    least = Level.ADMIN
    target: Target
    seconds: Seconds = None
    reason: Reason = ""


@command
class ServerUnban(Command):
    """Let a user, an address or a prefix in again (admins)."""

    word = "serverunban"
    op = "server.unban"
    least = Level.ADMIN
    target: Target


@command
class ServerMute(Command):
    """Keep a user, or all from an address or prefix, from speaking anywhere (admins)."""

    word = "servermute"
    op = "server.mute"
    least = Level.ADMIN
    target: Target
    seconds: Seconds = None
    reason: Reason = ""


@command
class ServerUnmute(Command):
    """Let a user, or all from an address or prefix, speak again (admins)."""

    word = "serverunmute"
    op = "server.unmute"
    least = Level.ADMIN
    target: Target


@command
class ServerBans(Command):
    """Show who is banned from the whole server or muted on it, those after a name (admins)."""

    word = "serverbans"
    op = "server.bans"
    least = Level.ADMIN
    after: AfterName = ""
    count: PageCount = LISTED_MAX


@dataclass(slots=True)
class Kicked(RoomEvent):
    """A moderator sent the user out of the room."""

    by: str
    reason: str


@dataclass(slots=True)
class Banned(RoomEvent):
    """A moderator banned the user, for `seconds` or for good."""

    by: str
    seconds: int | None
    reason: str


@dataclass(slots=True)
class Unbanned(RoomEvent):
    """The user may enter again."""

    by: str


@dataclass(slots=True)
class Muted(RoomEvent):
    """The user may not speak, for `seconds` or for good."""

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
    """The user is no longer a moderator."""

    by: str


@dataclass(slots=True)
class TopicSet(RoomEvent):
    """The user set the topic."""

    topic: str


@dataclass(slots=True)
class SentOut(Event):
    """The session was sent out of `fact.room`: kicked or banned."""

    fact: Kicked | Banned


@dataclass(slots=True)
class SanctionsListed(Answer):
    """A page of the room's bans and mutes, by name.

    When it `has_more`, the others come after `last`.
    """

    room: str
    bans: Sequence[Sanction]
    mutes: Sequence[Sanction]
    has_more: bool = False
    last: str = ""
    after: str = ""


@dataclass(slots=True)
class ServerSanctionsListed(Answer):
    """A page of the server's bans and mutes, by name or network.

    When it `has_more`, the others come after `last`.
    """

    bans: Sequence[ServerSanction]
    mutes: Sequence[ServerSanction]
    has_more: bool = False
    last: str = ""
    after: str = ""


@dataclass(slots=True)
class TopicShown(Answer):
    """The room's topic; empty when there is none."""

    room: str
    topic: str


@dataclass(slots=True)
class ServerKicked(Done):
    """All sessions of the target were ended; `sessions` is their number."""

    target: str
    sessions: int


@dataclass(slots=True)
class ServerBanned(Done):
    """The target is banned, for `seconds` or for good; `sessions` is the number ended."""

    target: str
    seconds: int | None
    sessions: int


@dataclass(slots=True)
class ServerUnbanned(Done):
    """The target may come again."""

    target: str


@dataclass(slots=True)
class ServerMuted(Done):
    """The target is muted on the server, for `seconds` or for good."""

    target: str
    seconds: int | None


@dataclass(slots=True)
class ServerUnmuted(Done):
    """The target may speak on the server again."""

    target: str


@dataclass(slots=True)
class MutedEverywhere(Noticed):
    """The session is muted on the server, until a time or for good."""

    reason: str
    until: Milliseconds | None


@dataclass(slots=True)
class UnmutedEverywhere(Noticed):
    """The session may speak on the server again."""


@dataclass(slots=True)
class EndedByKick(Ended):
    """An admin ended all sessions of the user, or of their network."""

    code = "kicked"
    reason: str


@dataclass(slots=True)
class EndedByBan(Ended):
    """The user or the session's address is banned, until a time or for good."""

    code = "banned"
    is_address: bool
    reason: str
    until: Milliseconds | None
