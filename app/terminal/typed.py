"""What a person types, as a request: the commands of the text wire, by the same table. Pure."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from app.operations import COMMANDS
from app.settings import ID_MAX
from app.shapes import InRoom, Level
from app.wire.text_commands import find_command, parse_arguments, summary, usage

# What this client does itself, from typing to done: how it is typed, and what it does.
OWN: Mapping[str, tuple[str, str]] = {
    "send": ("/send PATH [to USER]", "Send a file to the room, or to one user."),
    "get": ("/get NUMBER", "Fetch a file into the folder for downloads."),
}
_OTHERWISE_HERE = {
    "join": "Enter a room, and make it if there is none; or show one that you are in.",
    "history": "Get what was said before all that is here.",
}
# Some come before there is a screen; some are for people whose terminal is not a program, or for
# the operator alone; some nobody types.
_NOT_HERE = {"login", "register"} | {
    word
    for word, kind in COMMANDS.items()
    if kind.op is None or kind.least is Level.OPERATOR or not kind.is_typed
}
_UNKNOWN = "unknown command /{}. Try /help."
_NO_ROOM = "join a room first: /join ROOM"
_NUMBER = re.compile(r"[0-9]{1,19}")

WORDS = sorted({*COMMANDS, *OWN} - _NOT_HERE)


class CanNotDo(Exception):
    """What was typed can't be done here; says why, or what to type."""


class Request(NamedTuple):
    """An op of the wire for programs, and its fields."""

    op: str
    fields: dict[str, Any]


def is_command(text: str) -> bool:
    """Whether a line is a command; two slashes say one."""
    return text.startswith("/") and not text.startswith("//")


def read_request(text: str, room: str) -> Request:
    """Read a line that was typed in a room, or in none. Raises CanNotDo, BadLine."""
    if not is_command(text):
        if not room:
            raise CanNotDo(_NO_ROOM)
        return Request("say", {"room": room, "body": text.removeprefix("/")})
    word, _, rest = text.partition(" ")
    word = word.removeprefix("/").lower()
    if word in _NOT_HERE:
        raise CanNotDo(_UNKNOWN.format(word))
    return _own(word, rest.strip()) if word in OWN else _shared(word, rest, room)


def _shared(word: str, rest: str, room: str) -> Request:
    """Read a command that every wire has. Raises CanNotDo, BadLine."""
    kind = find_command(word)
    command = parse_arguments(kind, rest)
    given = {
        field.name: getattr(command, field.name)
        for field in fields(kind)
        if field.default is MISSING or getattr(command, field.name) != field.default
    }
    if issubclass(kind, InRoom):
        if not room:
            raise CanNotDo(_NO_ROOM)
        given["room"] = room
    return Request(str(kind.op), given)


def _own(word: str, rest: str) -> Request:
    if word == "send" and rest:
        return Request(word, {"path": rest})
    if word == "get" and _NUMBER.fullmatch(rest) and int(rest) <= ID_MAX:
        return Request(word, {"file": int(rest)})
    raise CanNotDo(f"usage: {OWN[word][0]}")


def help_lines(word: str) -> list[str]:
    """Return what the commands do, or one of them. Raises CanNotDo."""
    word = word.removeprefix("/").lower()
    if word and word not in WORDS:
        raise CanNotDo(_UNKNOWN.format(word))
    return [_help(each) for each in ([word] if word else WORDS)]


def _help(word: str) -> str:
    if word in OWN:
        how, what = OWN[word]
    else:
        how, what = usage(COMMANDS[word]), _OTHERWISE_HERE.get(word) or summary(COMMANDS[word])
    return f"{how}: {what}"
