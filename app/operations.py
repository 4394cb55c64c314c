"""What admins may ask, and what the operator alone may: one class a command. Plain data.

They stand in the same table as those of app/commands.py and app/device_commands.py. It is complete
here: whoever needs all of it imports it from here. Admins may type them in the chat; what
`least = OPERATOR` says is asked over the control socket alone, by manage.py.
"""

from typing import Annotated

from annotated_types import MinLen

from app import commands, device_commands
from app.bounds import LISTED_MAX, REASON_CHARS_MAX
from app.shapes import COMMANDS as COMMANDS
from app.shapes import (
    AfterName,
    Command,
    Level,
    MessageId,
    OneLine,
    PageCount,
    Reason,
    Rest,
    RoomName,
    Seconds,
    Span,
    UserName,
    Word,
    command,
)

__all__ = ["COMMANDS", "commands", "device_commands"]

Sentence = Annotated[str, Rest("TEXT", REASON_CHARS_MAX), OneLine]
Password = str  # typed at a prompt, or piped, and never in a chat
# A user, or an address or prefix; what could be both is an address, and with an @ before it a user.
Target = Annotated[str, Word("TARGET")]
# Programs may leave these out; who types a purge says whose messages, and since when.
Author = Annotated[str, Word("USER", is_needed=True), MinLen(1)]
SinceSeconds = Annotated[int | None, Span(is_needed=True)]
Keep = Annotated[str, Word("DAYS|forever|default")]


@command
class Announce(Command):
    """Say something to everybody, wherever they are (admins)."""

    word = "announce"
    least = Level.ADMIN
    text: Sentence


@command
class UserDisable(Command):
    """End all that an account may, and let it log in no more (admins)."""

    word = "disable"
    op = "user.disable"
    least = Level.ADMIN
    user: UserName


@command
class UserEnable(Command):
    """Let a disabled account log in again (admins)."""

    word = "enable"
    op = "user.enable"
    least = Level.ADMIN
    user: UserName


@command
class Status(Command):
    """Show how the server is, and what is wrong with it (admins)."""

    word = "status"
    least = Level.ADMIN


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


@command
class UserList(Command):
    """Show all accounts, in the alphabet's order, those after a name (admins)."""

    word = "users"
    op = "user.list"
    least = Level.ADMIN
    after: AfterName = ""


@command
class UserCreate(Command):
    """Make an account."""

    word = "createuser"
    op = "user.create"
    least = Level.OPERATOR
    user: UserName
    password: Password
    is_admin: bool = False


@command
class UserPassword(Command):
    """Set an account's password, and end all that it was used for."""

    word = "setpassword"
    op = "user.password"
    least = Level.OPERATOR
    user: UserName
    password: Password


@command
class UserAdmin(Command):
    """Make an account an admin, or one no more, at once."""

    word = "admin"
    op = "user.admin"
    least = Level.OPERATOR
    user: UserName
    is_admin: bool = True


@command
class UserDelete(Command):
    """Delete an account, for good: nobody is given its name, and what it said stays."""

    word = "userdelete"
    op = "user.delete"
    least = Level.OPERATOR
    user: UserName


@command
class RoomList(Command):
    """Show all rooms with their owners, in the alphabet's order, those after a name (admins)."""

    word = "roomlist"
    op = "room.list"
    least = Level.ADMIN
    after: AfterName = ""


@command
class RoomCreate(Command):
    """Make a room, and somebody its owner."""

    word = "roomcreate"
    op = "room.create"
    least = Level.OPERATOR
    room: RoomName
    owner: UserName
    e2ee: bool = False


@command
class RoomDelete(Command):
    """Send everybody out of a room, and remove it with all that was said there (admins)."""

    word = "roomdelete"
    op = "room.delete"
    least = Level.ADMIN
    room: RoomName
    reason: Reason = ""


@command
class RoomRename(Command):
    """Give a room another name; who is there stays there (admins)."""

    word = "roomrename"
    op = "room.rename"
    least = Level.ADMIN
    room: RoomName
    name: Annotated[str, Word("NAME")]


@command
class RoomOwner(Command):
    """Make somebody the owner of a room, in place of who owns it (admins)."""

    word = "roomowner"
    op = "room.owner"
    least = Level.ADMIN
    room: RoomName
    user: UserName


@command
class Shutdown(Command):
    """Stop the server, at once or in a while, in place of an earlier plan; or stay after all."""

    word = "shutdown"
    least = Level.OPERATOR
    seconds: Seconds = None
    reason: Reason = ""
    cancel: bool = False


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
class Backup(Command):
    """Copy the database, as the server has it open, to an empty file that is there."""

    word = "backup"
    least = Level.OPERATOR
    path: str


@command
class Vacuum(Command):
    """Give what was removed back to the disk, so that no trace of it is in the database's files."""

    word = "vacuum"
    least = Level.OPERATOR
