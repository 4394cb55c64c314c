"""What admins may ask, and what the operator alone may: one class a command. Plain data.

They stand in the same table as those of app/commands.py, which is complete here: whoever needs all
of it imports it from here. Admins may type them in the chat; what `least = OPERATOR` says is asked
over the control socket alone, by manage.py.
"""

from typing import Annotated

from app import commands
from app.settings import REASON_CHARS_MAX
from app.shapes import COMMANDS as COMMANDS
from app.shapes import Command, Level, Rest, UserName, command

__all__ = ["COMMANDS", "commands"]

Sentence = Annotated[str, Rest("TEXT", REASON_CHARS_MAX)]


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
