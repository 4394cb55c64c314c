"""What a client may ask: one class a command, named in the imperative. Plain data.

This is the one table of commands. The text wire's parser, its usage errors and `/help` are made
from it: the word, the docstring's first line, and of each field the annotation that says what is
read there. A field with a default may be left out.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from app.settings import HISTORY_PAGE_MAX, REASON_CHARS_MAX


@dataclass(frozen=True, slots=True)
class Word:
    """Read one word."""

    name: str


@dataclass(frozen=True, slots=True)
class Rest:
    """Read the rest of the line, at most so many characters."""

    name: str
    chars_max: int | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """Read a whole number from 1 to `most`."""

    name: str
    most: int


@dataclass(frozen=True, slots=True)
class Span:
    """Read a time span like 30m, in seconds; any other word leaves the field out."""

    name: str = "30m|2h|7d"


RoomName = Annotated[str, Word("ROOM")]
UserName = Annotated[str, Word("USER")]
Body = Annotated[str, Rest("TEXT")]
Note = Annotated[str, Rest("TEXT", REASON_CHARS_MAX)]
Reason = Annotated[str, Rest("REASON", REASON_CHARS_MAX)]
Seconds = Annotated[int | None, Span()]
Secret = Annotated[str, Rest("[PASSWORD]")]  # left out, it is asked for, unseen


@dataclass(frozen=True, slots=True)
class Command:
    """A request of one session. `is_open` ones may come before login."""

    word: ClassVar[str]
    is_open: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class Register(Command):
    """Make an account and log in."""

    word = "register"
    is_open = True
    name: Annotated[str, Word("NAME")]
    password: Secret


@dataclass(frozen=True, slots=True)
class Login(Command):
    """Log in."""

    word = "login"
    is_open = True
    name: Annotated[str, Word("NAME")]
    password: Secret


@dataclass(frozen=True, slots=True)
class Join(Command):
    """Enter a room, and make it if there is none; you leave the one you are in."""

    word = "join"
    room: RoomName


@dataclass(frozen=True, slots=True)
class Leave(Command):
    """Leave the room."""

    word = "leave"


@dataclass(frozen=True, slots=True)
class Say(Command):
    """Say something in the room; any line that does not begin with a slash does it."""

    word = "say"
    body: Body


@dataclass(frozen=True, slots=True)
class Emote(Command):
    """Say what you do: /me waves."""

    word = "me"
    body: Body


@dataclass(frozen=True, slots=True)
class Tell(Command):
    """Send somebody a private message, kept for them while they are away."""

    word = "msg"
    user: UserName
    body: Body


@dataclass(frozen=True, slots=True)
class Who(Command):
    """Show who is in the room."""

    word = "who"


@dataclass(frozen=True, slots=True)
class Rooms(Command):
    """Show the rooms, the busiest first."""

    word = "rooms"


@dataclass(frozen=True, slots=True)
class History(Command):
    """Show the room's last messages; typed again, those before them."""

    word = "history"
    count: Annotated[int, Count("N", HISTORY_PAGE_MAX)] = 20


@dataclass(frozen=True, slots=True)
class Topic(Command):
    """Show the room's topic, or set it (moderators)."""

    word = "topic"
    text: Note = ""


@dataclass(frozen=True, slots=True)
class Away(Command):
    """Say that you are away, and why; typed again, that you are back."""

    word = "away"
    why: Note = ""


@dataclass(frozen=True, slots=True)
class Ignore(Command):
    """Hide what somebody says from you; alone, show whom you ignore."""

    word = "ignore"
    user: UserName = ""


@dataclass(frozen=True, slots=True)
class Unignore(Command):
    """Hear somebody again."""

    word = "unignore"
    user: UserName


@dataclass(frozen=True, slots=True)
class Kick(Command):
    """Send somebody out of the room (moderators)."""

    word = "kick"
    user: UserName
    reason: Reason = ""


@dataclass(frozen=True, slots=True)
class Ban(Command):
    """Send somebody out and keep them out, for a time or for good (moderators)."""

    word = "ban"
    user: UserName
    seconds: Seconds = None
    reason: Reason = ""


@dataclass(frozen=True, slots=True)
class Unban(Command):
    """Let somebody in again (moderators)."""

    word = "unban"
    user: UserName


@dataclass(frozen=True, slots=True)
class Bans(Command):
    """Show who is banned from the room or muted in it, and until when."""

    word = "bans"


@dataclass(frozen=True, slots=True)
class Mute(Command):
    """Keep somebody from speaking in the room (moderators)."""

    word = "mute"
    user: UserName
    seconds: Seconds = None
    reason: Reason = ""


@dataclass(frozen=True, slots=True)
class Unmute(Command):
    """Let somebody speak again (moderators)."""

    word = "unmute"
    user: UserName


@dataclass(frozen=True, slots=True)
class Promote(Command):
    """Make somebody a moderator of the room (its owner, or an admin)."""

    word = "promote"
    user: UserName


@dataclass(frozen=True, slots=True)
class Demote(Command):
    """Make somebody a moderator no more (the room's owner, or an admin)."""

    word = "demote"
    user: UserName


@dataclass(frozen=True, slots=True)
class Passwd(Command):
    """Change your password; alone, it asks without showing what you type."""

    word = "passwd"
    old: Annotated[str, Word("OLD")]
    new: Annotated[str, Rest("NEW")]


@dataclass(frozen=True, slots=True)
class Help(Command):
    """Show the commands, or what one of them does."""

    word = "help"
    is_open = True
    command: Annotated[str, Word("COMMAND")] = ""


@dataclass(frozen=True, slots=True)
class Quit(Command):
    """Say goodbye."""

    word = "quit"
    is_open = True


COMMANDS: dict[str, type[Command]] = {kind.word: kind for kind in Command.__subclasses__()}
