"""What a client may ask: one class a command, named in the imperative. Plain data.

This is the one table of commands. The text wire's parser, its usage errors and `/help` are made
from it, and so are the requests of programs and their schema: the word, the docstring's first line,
and of each field the annotation that says what may stand there. A field with a default may be left
out; one that has no shape (Word, Rest, Count, Span) is for programs alone, and nobody types it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, TypeVar, dataclass_transform

from annotated_types import Ge, GroupedMetadata, Le, MaxLen, MinLen
from pydantic import StringConstraints

from app.settings import (
    FILE_PATH_CHARS_MAX,
    HISTORY_PAGE_MAX,
    ID_MAX,
    REASON_CHARS_MAX,
    SPAN_SECONDS_MAX,
    TXN_CHARS_MAX,
)

Bound = Ge | Le | MaxLen | MinLen


@dataclass(frozen=True, slots=True)
class Shape(GroupedMetadata):
    """How a field is typed, and what holds for it on every wire.

    One that is `needed` must be typed although programs may leave it out.
    """

    name: str
    is_needed: bool = field(default=False, kw_only=True)

    def __iter__(self) -> Iterator[Bound]:
        """Yield the bounds of its value."""
        yield from ()


@dataclass(frozen=True, slots=True)
class Word(Shape):
    """Read one word."""


@dataclass(frozen=True, slots=True)
class Rest(Shape):
    """Read the rest of the line, at most so many characters."""

    chars_max: int | None = None

    def __iter__(self) -> Iterator[Bound]:
        if self.chars_max is not None:
            yield MaxLen(self.chars_max)


@dataclass(frozen=True, slots=True)
class Count(Shape):
    """Read a whole number from 1 to `most`."""

    most: int

    def __iter__(self) -> Iterator[Bound]:
        yield Ge(1)
        yield Le(self.most)


@dataclass(frozen=True, slots=True)
class Span(Shape):
    """Read a time span like 30m, in seconds; any other word leaves the field out."""

    name: str = "30m|2h|7d"

    def __iter__(self) -> Iterator[Bound]:
        yield Ge(1)
        yield Le(SPAN_SECONDS_MAX)


@dataclass(frozen=True, slots=True)
class Path(Shape):
    """Read the rest of the line, up to `to USER` if it ends so."""

    def __iter__(self) -> Iterator[Bound]:
        yield MinLen(1)
        yield MaxLen(FILE_PATH_CHARS_MAX)


@dataclass(frozen=True, slots=True)
class Addressee(Shape):
    """Read `to` and a word."""

    name: str = "to USER"


RoomName = Annotated[str, Word("ROOM")]
UserName = Annotated[str, Word("USER")]
Body = Annotated[str, Rest("TEXT"), MinLen(1)]
Note = Annotated[str, Rest("TEXT", REASON_CHARS_MAX)]
Reason = Annotated[str, Rest("REASON", REASON_CHARS_MAX)]
Seconds = Annotated[int | None, Span()]
Secret = Annotated[str, Rest("[PASSWORD]", is_needed=True)]  # left out, it is asked for, unseen
MessageId = Annotated[int | None, Ge(0), Le(ID_MAX)]
# The same once more: the same message, said again. SQLite would cut one at a NUL.
Txn = Annotated[str, StringConstraints(max_length=TXN_CHARS_MAX, pattern="^[ -~]*$")]
Label = Annotated[str, MaxLen(REASON_CHARS_MAX)]
FilePath = Annotated[str, Path("NAME")]
FileUser = Annotated[str, Addressee()]
FileSize = Annotated[int | None, Ge(0), Le(ID_MAX)]
FileId = Annotated[int, Count("N", ID_MAX)]


@dataclass(frozen=True, slots=True)
class Command:
    """A request of one session. `is_open` ones may come before login.

    Programs ask for it by its `op`, if they can at all: by its word, where nothing else is said.
    """

    word: ClassVar[str]
    op: ClassVar[str | None] = ""
    is_open: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class InRoom(Command):
    """A request about a room that the session is in: its only one, when none is named."""

    room: str = field(default="", kw_only=True)


Kind = TypeVar("Kind", bound=Command)

COMMANDS: dict[str, type[Command]] = {}


@dataclass_transform(frozen_default=True)
def _command(kind: type[Kind]) -> type[Kind]:
    """Make a class of the table a dataclass, and enter it."""
    made = dataclass(frozen=True, slots=True)(kind)
    if made.op == "":
        made.op = made.word
    COMMANDS[made.word] = made
    return made


@_command
class Register(Command):
    """Make an account and log in."""

    word = "register"
    is_open = True
    name: Annotated[str, Word("NAME")]
    password: Secret
    remember: Label = ""


@_command
class Login(Command):
    """Log in."""

    word = "login"
    is_open = True
    name: Annotated[str, Word("NAME", is_needed=True)] = ""
    password: Secret = ""
    token: str = ""  # instead of both
    remember: Label = ""  # asks for a token, under that label


@_command
class Join(Command):
    """Enter a room, and make it if there is none; you leave the one you are in."""

    word = "join"
    room: RoomName
    since: MessageId = None  # replay all that came after this one


@_command
class Leave(InRoom):
    """Leave the room."""

    word = "leave"


@_command
class Say(InRoom):
    """Say something in the room; any line that does not begin with a slash does it."""

    word = "say"
    body: Body
    txn: Txn = ""


@_command
class Emote(InRoom):
    """Say what you do: /me waves."""

    word = "me"
    body: Body
    txn: Txn = ""


@_command
class Tell(Command):
    """Send somebody a private message, kept for them while they are away."""

    word = "msg"
    user: UserName
    body: Body
    txn: Txn = ""


@_command
class Who(InRoom):
    """Show who is in the room."""

    word = "who"


@_command
class Rooms(Command):
    """Show the rooms, the busiest first."""

    word = "rooms"


@_command
class History(InRoom):
    """Show the room's last messages; typed again, those before them."""

    word = "history"
    count: Annotated[int, Count("N", HISTORY_PAGE_MAX)] = 20
    before: MessageId = None
    after: MessageId = None


@_command
class Topic(InRoom):
    """Show the room's topic, or set it (moderators)."""

    word = "topic"
    text: Note = ""


@_command
class Away(Command):
    """Say that you are away, and why; typed again, that you are back."""

    word = "away"
    why: Note = ""


@_command
class Ignore(Command):
    """Hide what somebody says from you; alone, show whom you ignore."""

    word = "ignore"
    user: UserName = ""


@_command
class Unignore(Command):
    """Hear somebody again."""

    word = "unignore"
    user: UserName


@_command
class Kick(InRoom):
    """Send somebody out of the room (moderators)."""

    word = "kick"
    user: UserName
    reason: Reason = ""


@_command
class Ban(InRoom):
    """Send somebody out and keep them out, for a time or for good (moderators)."""

    word = "ban"
    user: UserName
    seconds: Seconds = None
    reason: Reason = ""


@_command
class Unban(InRoom):
    """Let somebody in again (moderators)."""

    word = "unban"
    user: UserName


@_command
class Bans(InRoom):
    """Show who is banned from the room or muted in it, and until when."""

    word = "bans"


@_command
class Mute(InRoom):
    """Keep somebody from speaking in the room (moderators)."""

    word = "mute"
    user: UserName
    seconds: Seconds = None
    reason: Reason = ""


@_command
class Unmute(InRoom):
    """Let somebody speak again (moderators)."""

    word = "unmute"
    user: UserName


@_command
class Promote(InRoom):
    """Make somebody a moderator of the room (its owner, or an admin)."""

    word = "promote"
    user: UserName


@_command
class Demote(InRoom):
    """Make somebody a moderator no more (the room's owner, or an admin)."""

    word = "demote"
    user: UserName


@_command
class Send(InRoom):
    """Share a file with the room, or with one user: shows what to run in another terminal."""

    word = "send"
    op = "file.offer"
    name: FilePath
    user: FileUser = ""
    size: FileSize = None


@_command
class Get(Command):
    """Fetch a file: shows what to run in another terminal."""

    word = "get"
    op = "file.get"
    file: FileId


@_command
class Files(InRoom):
    """Show the room's files, and those between you and others."""

    word = "files"
    op = "file.list"


@_command
class Upload(InRoom):
    """Share a small file from here: base64 lines follow, then a line with a dot alone."""

    word = "upload"
    op = None  # programs have a better way
    name: FilePath
    user: FileUser = ""
    data: bytes = b""


@_command
class Download(Command):
    """Show a small file as base64 lines."""

    word = "download"
    op = None
    file: FileId


@_command
class Unshare(Command):
    """Remove a file that you shared, or anybody's from the room (moderators)."""

    word = "unshare"
    op = "file.unshare"
    file: FileId


@_command
class Passwd(Command):
    """Change your password; alone, it asks without showing what you type."""

    word = "passwd"
    old: Annotated[str, Word("OLD")]
    new: Annotated[str, Rest("NEW")]


@_command
class Tokens(Command):
    """Show what logs in as you without your password; with its number, revoke one."""

    word = "tokens"
    revoke: Annotated[int | None, Count("N", ID_MAX)] = None


@_command
class Ping(Command):
    """Ask whether the server is there."""

    word = "ping"
    is_open = True


@_command
class Help(Command):
    """Show the commands, or what one of them does."""

    word = "help"
    is_open = True
    command: Annotated[str, Word("COMMAND")] = ""


@_command
class Quit(Command):
    """Say goodbye."""

    word = "quit"
    is_open = True
