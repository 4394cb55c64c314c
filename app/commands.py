"""What users may ask: one class a command, named in the imperative. Plain data.

The table of commands is made of these and of those in app/operations.py. The text wire's parser,
its usage errors and `/help` are made from it, and so are the requests of programs and their schema:
the word, the docstring's first line, and of each field the annotation that says what may stand
there. A field with a default may be left out; one that has no shape (Word, Rest, Count, Span) is
for programs alone, and nobody types it.
"""

from typing import Annotated

from app.bounds import HISTORY_PAGE_MAX, ID_MAX, LISTED_MAX, PAGE_ITEMS_MAX, REASON_CHARS_MAX
from app.shapes import (
    AfterName,
    Body,
    Command,
    Count,
    Enc,
    End,
    FileId,
    FilePath,
    FileSize,
    FileUser,
    InRoom,
    Label,
    Level,
    MessageId,
    Note,
    OfferedPath,
    OneLine,
    PageCount,
    Reason,
    Rest,
    RoomName,
    RosterRev,
    Said,
    Seconds,
    Secret,
    Txn,
    UserName,
    Word,
    command,
)


@command
class Register(Command):
    """Make an account and log in."""

    word = "register"
    least = Level.ANYBODY
    name: Annotated[str, Word("NAME")]
    password: Secret
    remember: Label = ""


@command
class Login(Command):
    """Log in."""

    word = "login"
    least = Level.ANYBODY
    name: Annotated[str, Word("NAME", is_needed=True)] = ""
    password: Secret = ""
    token: str = ""  # instead of both
    remember: Label = ""  # asks for a token, under that label


@command
class Join(Command):
    """Enter a room, and make it if there is none; you leave the one you are in."""

    word = "join"
    room: RoomName
    since: MessageId = None  # replay all that came after this one
    create: bool = True  # false: a room that is not there is refused, and not made


@command
class Leave(InRoom):
    """Leave the room."""

    word = "leave"


@command
class Say(InRoom):
    """Say something in the room; any line that does not begin with a slash does it."""

    word = "say"
    body: Said = ""
    txn: Txn = ""
    enc: Enc | None = None  # instead of a body
    if_rev: RosterRev = None  # of the room's roster, for which it is encrypted

    @property
    def is_long(self) -> bool:
        """See Command: what a device encrypted may be."""
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
    body: Said = ""
    txn: Txn = ""
    enc: Enc | None = None  # instead of a body

    @property
    def is_long(self) -> bool:
        """See Command: what a device encrypted may be."""
        return self.enc is not None


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
class History(InRoom):
    """Show the room's last messages; typed again, those before them."""

    word = "history"
    count: Annotated[int, Count("N", HISTORY_PAGE_MAX)] = 20
    before: MessageId = None
    after: MessageId = None


@command
class Topic(InRoom):
    """Show the room's topic, or set it (moderators); /topic - takes it away."""

    word = "topic"
    suits_operator = True
    text: Annotated[str | None, Rest("TEXT|-", REASON_CHARS_MAX), OneLine] = None


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
class Send(InRoom):
    """Share a file with the room, or with one user: shows what to run in another terminal."""

    word = "send"
    op = "file.offer"
    name: OfferedPath = ""
    user: FileUser = ""
    size: FileSize = None
    e2ee: bool = False  # it comes encrypted, and without a name


@command
class Get(Command):
    """Fetch a file: shows what to run in another terminal."""

    word = "get"
    op = "file.get"
    file: FileId


@command
class Files(InRoom):
    """Show the room's newest files, and those between you and others; or the ones before N."""

    word = "files"
    op = "file.list"
    before: Annotated[int | None, Count("N", ID_MAX)] = None
    count: PageCount = LISTED_MAX


@command
class Upload(InRoom):
    """Share a small file from here: base64 lines follow, then a line with a dot alone."""

    word = "upload"
    op = None  # programs have a better way
    name: FilePath
    user: FileUser = ""
    data: bytes = b""


@command
class Download(Command):
    """Show a small file as base64 lines."""

    word = "download"
    op = None
    file: FileId


@command
class Unshare(Command):
    """Remove a file that you shared, or anybody's from the room (moderators)."""

    word = "unshare"
    op = "file.unshare"
    file: FileId


@command
class Passwd(Command):
    """Change your password; alone, it asks without showing what you type."""

    word = "passwd"
    old: Annotated[str, Word("OLD")]
    new: Annotated[str, Rest("NEW")]


@command
class Unregister(Command):
    """Delete your account, for good: nobody is given your name, and what you said stays."""

    word = "unregister"
    password: Secret


@command
class Tokens(Command):
    """Show what logs in as you without your password; with its number, revoke one."""

    word = "tokens"
    revoke: Annotated[int | None, Count("N", ID_MAX)] = None


@command
class Sessions(Command):
    """Show your sessions, or everybody's (admins); with its number, end one of yours."""

    word = "sessions"
    suits_operator = True
    end: Annotated[int | None, End("end N", ID_MAX)] = None
    after: Annotated[int, Count("AFTER", ID_MAX)] = 0


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
