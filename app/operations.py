"""What admins may ask, and what the operator alone may: one class a command. Plain data.

They stand in the same table as those of app/commands.py, which is complete here: whoever needs all
of it imports it from here. Admins may type them in the chat; what `least = OPERATOR` says is asked
over the control socket alone, by manage.py.
"""

from typing import Annotated

from app import commands
from app.settings import REASON_CHARS_MAX
from app.shapes import COMMANDS as COMMANDS
from app.shapes import Command, Level, Reason, Rest, Seconds, UserName, Word, command

__all__ = ["COMMANDS", "commands"]

Sentence = Annotated[str, Rest("TEXT", REASON_CHARS_MAX)]
# A user, or an address or prefix; what could be both is an address, and with an @ before it a user.
Target = Annotated[str, Word("TARGET")]


@command
class Announce(Command):
    """Say something to everybody, wherever they are (admins)."""

    word = "announce"
    least = Level.ADMIN
    text: Sentence


@command
class UserDisable(Command):
    """End all sessions of an account, and let it log in no more (admins)."""

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
    """Show who is banned from the whole server or muted on all of it, and until when (admins)."""

    word = "serverbans"
    op = "server.bans"
    least = Level.ADMIN
