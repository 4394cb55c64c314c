"""Read typed lines as requests, by the text wire's table. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from app.bounds import ID_MAX
from app.protocol import COMMANDS
from app.protocol.command import InRoom, Level
from app.wires.text.commands import find_command, parse_arguments, split_command, summary, usage
from app.wires.text.help import by_subject
from app.wires.text.typed_lines import hides_command

# Commands of this client itself: their usage, and a summary.
OWN: Mapping[str, tuple[str, str]] = {
    "send": ("/send PATH [to USER]", "Send a file to the room, or to one user."),
    "get": (
        "/get NUMBER [from USER]",
        "Fetch a file into the folder for downloads; from USER, when several have that number.",
    ),
    "drop": ("/drop", "Forget the lines that wait to be said."),
    "unlock": ("/unlock", "Open your keys, which encrypted rooms need, or make them."),
    "encrypt": ("/encrypt", "Make the room encrypted from end to end; it can't be undone."),
    "members": (
        "/members [accept] [USER]...",
        "Show who can read you in an encrypted room, or let newcomers.",
    ),
    "fingerprint": ("/fingerprint USER", "Show 60 digits to compare with a user's."),
    "verify": ("/verify USER [yes|no]", "Compare three numbers with a user, by voice."),
    "trust": ("/trust USER", "Accept the identity that a user has now."),
    "devices": ("/devices", "List your devices."),
    "device": (
        "/device approve|revoke|begin-anew [ID] [CODE]",
        "Let another device of yours read, or take it that right; or begin anew.",
    ),
    "keys": ("/keys export|import FILE", "Take the keys to what was said to another device."),
}
_ARGUMENTS: Mapping[str, re.Pattern[str]] = {
    "send": re.compile(r"(?P<path>.+)"),
    "get": re.compile(r"(?P<file>[0-9]{1,19})(?: +from +(?P<user>\S+))?"),
    "drop": re.compile(""),
    "unlock": re.compile(""),
    "encrypt": re.compile(""),
    "members": re.compile(r"(?:(?P<act>accept) +(?P<users>\S.*))?"),
    "fingerprint": re.compile(r"(?P<user>\S+)"),
    "verify": re.compile(r"(?P<user>\S+)(?: +(?P<answer>yes|no))?"),
    "trust": re.compile(r"(?P<user>\S+)"),
    "devices": re.compile(""),
    "device": re.compile(
        r"(?P<act>approve(?= +\S+ +\S)|revoke(?= +\S+$)|begin-anew$)"
        r"(?: +(?P<device>\S+))?(?: +(?P<code>\S.*))?"
    ),
    "keys": re.compile(r"(?P<act>export|import) +(?P<path>\S.*)"),
}
_IN_ROOM = {"encrypt", "members"}
_OTHERWISE_HERE = {
    "join": "Enter a room, and make it if there is none; or show one that you are in.",
    "history": "Get what was said before all that is here.",
}
# Some are for before there is a screen; some for people at a plain terminal, or for the operator
# alone; some are never typed.
_NOT_HERE = {"login", "register"} | {
    word
    for word, kind in COMMANDS.items()
    if kind.op is None or kind.least is Level.OPERATOR or not kind.is_typed
}
_UNKNOWN = "unknown command /{}. Try /help."
_NO_ROOM = "join a room first: /join ROOM"

WORDS = sorted({*COMMANDS, *OWN} - _NOT_HERE)


class CanNotDo(Exception):
    """A typed line can't be carried out. Its text says why, or what to type."""


class Mistyped(CanNotDo):
    """A hidden answer is wrong; another try may be right."""


class ServerSays(CanNotDo):
    """The server refused it, in its own words."""


class Request(NamedTuple):
    """An op of the wire for programs, and its fields."""

    op: str
    fields: dict[str, Any]


def is_talk(text: str) -> bool:
    """Return whether a line is to be said. It is to a room, or to one user."""
    return not is_command(text) or split_command(text)[0].lower() in ("/say", "/me", "/msg")


def is_command(text: str) -> bool:
    """Return whether a line is a command. A line that begins with two slashes is text."""
    return text.startswith("/") and not text.startswith("//")


def check_is_utf8(text: str) -> None:
    """Check that a line is UTF-8. A terminal's other bytes come as surrogates. Raises Mistyped."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Mistyped("what was typed is not UTF-8, and was not used") from error


def read_request(text: str, room: str) -> Request:
    """Read a line that was typed in a room. `room` is "" for none. Raises CanNotDo, BadLine."""
    check_is_utf8(text)
    if hides_command(text):
        raise CanNotDo("something that can't be seen stands before that slash; type it again")
    if not is_command(text):
        if not room:
            raise CanNotDo(_NO_ROOM)
        return Request("say", {"room": room, "body": text.removeprefix("/")})
    word, rest = split_command(text)
    word = word.removeprefix("/").lower()
    if word in _NOT_HERE:
        raise CanNotDo(_UNKNOWN.format(word))
    return _own(word, rest.strip(), room) if word in OWN else _shared(word, rest, room)


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


def _own(word: str, rest: str, room: str) -> Request:
    match = _ARGUMENTS[word].fullmatch(rest)
    if match is None:
        raise CanNotDo(f"usage: {OWN[word][0]}")
    if word in _IN_ROOM and not room:
        raise CanNotDo(_NO_ROOM)
    given: dict[str, Any] = {name: text for name, text in match.groupdict().items() if text}
    if word == "get":
        given["file"] = int(given["file"])
        if given["file"] > ID_MAX:
            raise CanNotDo(f"usage: {OWN[word][0]}")
    return Request(word, given)


def help_lines(word: str, ops: Collection[str] | None = None) -> Iterable[str]:
    """Return the usages of all commands, or one summary.

    `word` is the command of the summary, or "". `ops` are those that the server lets the user ask
    for; None: all. Raises CanNotDo.
    """
    word = word.removeprefix("/").lower()
    if not word:
        return by_subject({each: _usage(each) for each in WORDS if _may_ask(each, ops)})
    if word not in WORDS:
        raise CanNotDo(_UNKNOWN.format(word))
    what = OWN[word][1] if word in OWN else _OTHERWISE_HERE.get(word) or summary(COMMANDS[word])
    return [f"{_usage(word)}: {what}"]


def _usage(word: str) -> str:
    return OWN[word][0] if word in OWN else usage(COMMANDS[word])


def _may_ask(word: str, ops: Collection[str] | None) -> bool:
    return word in OWN or ops is None or COMMANDS[word].op in ops
