"""The server itself: its status, its end, and its notices."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Self

from app.bounds import REASON_CHARS_MAX
from app.errors import Code, Refusal, Remedy
from app.protocol.command import Command, Level, OneLine, Reason, Rest, Seconds, Word, command
from app.protocol.event import Answer, Done, Ended, Event, Noticed
from app.protocol.figures import Concern, Load, Minute

Sentence = Annotated[str, Rest("TEXT", REASON_CHARS_MAX), OneLine]


@command
class Ping(Command):
    """Ask whether the server is there."""

    word = "ping"
    least = Level.ANYBODY
    suits_operator = True


@command
class Help(Command):
    """Show the commands, or what one of them does."""

    word = "help"
    least = Level.ANYBODY
    suits_operator = True
    command: Annotated[str, Word("COMMAND")] = ""


@command
class Quit(Command):
    """Say goodbye."""

    word = "quit"
    least = Level.ANYBODY


@command
class Announce(Command):
    """Say something to everybody, wherever they are (admins)."""

    word = "announce"
    least = Level.ADMIN
    text: Sentence


@command
class Status(Command):
    """Show how the server is, and what is wrong with it (admins)."""

    word = "status"
    least = Level.ADMIN


@command
class Shutdown(Command):
    """Stop the server, at once or in a while, in place of an earlier plan; or stay after all."""

    word = "shutdown"
    least = Level.OPERATOR
    seconds: Seconds = None
    reason: Reason = ""
    cancel: bool = False


@command
class Backup(Command):
    """Copy the database, as the server has it open, to an empty file that is there."""

    word = "backup"
    least = Level.OPERATOR
    path: str


@dataclass(slots=True)
class Connected(Event):
    """A client connected, and no user has logged in yet; without TLS, perhaps none may."""

    is_registration_open: bool
    needs_tls: bool = False


@dataclass(slots=True)
class Greeted(Answer):
    """The answer to a ping before login: the server is there, and how to log in."""

    is_registration_open: bool
    needs_tls: bool  # no user may log in on this connection: others could listen in


@dataclass(slots=True)
class HelpShown(Answer):
    """The commands for a level, or one of them, on this wire."""

    command: str
    level: Level


@dataclass(slots=True)
class StatusShown(Answer):
    """The server's status; `concerns` need a person. See app/protocol/figures.py."""

    concerns: Sequence[Concern]
    version: str
    uptime_seconds: int
    is_storing: bool
    illness: str  # why /healthz is red; nothing when it is well
    now: Load
    minute: Minute


@dataclass(slots=True)
class Refused(Answer):
    """The command was refused, and nothing happened; `tag` if the answer comes late."""

    code: Code
    sentence: str
    tag: str = ""
    remedy: Remedy | None = None

    @classmethod
    def of(cls, refusal: Refusal, tag: str = "") -> Self:
        """Return the event that tells a session of a refusal."""
        return cls(refusal.code, str(refusal), tag, refusal.remedy)


Rejection = Refused | Ended  # told as a code and a sentence


@dataclass(slots=True)
class SaidGoodbye(Answer):
    """The session ended as it wished."""


@dataclass(slots=True)
class Ponged(Done):
    """The server is there."""


@dataclass(slots=True)
class ToldEverybody(Done):
    """The announcement was shown to all users."""


@dataclass(slots=True)
class ShutdownPlanned(Done):
    """The server stops in `seconds`; 0 is now."""

    seconds: int


@dataclass(slots=True)
class ShutdownCancelled(Done):
    """The server goes on."""


@dataclass(slots=True)
class BackedUp(Done):
    """A copy of the database stands at `path`."""

    path: str


@dataclass(slots=True)
class Announced(Noticed):
    """An admin says something to all users."""

    text: str


@dataclass(slots=True)
class ShutdownNeared(Noticed):
    """The server stops in `seconds`; 0 is now."""

    seconds: int
    reason: str


@dataclass(slots=True)
class ShutdownCalledOff(Noticed):
    """The server does not stop: the plan was cancelled."""


@dataclass(slots=True)
class Stopped(Noticed):
    """The server stops now; the operator is told so without a goodbye."""

    says_goodbye: bool = True


@dataclass(slots=True)
class LineOmitted(Noticed):
    """An event was left out: it can't be shown on this wire."""
