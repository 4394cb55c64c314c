"""What is asked of a chat: a strategy for each command there is, and how it is typed.

`NOT_ASKED` names the commands that the machine leaves out, and why; a test holds the two together
against the table of commands.
"""

from __future__ import annotations

import base64
import json
from dataclasses import MISSING, fields, replace

from hypothesis import strategies as st

from app import commands, device_operations, operations
from app.operations import COMMANDS
from app.shapes import Addressee, Command, Level, Span
from app.wire.text_commands import _ARGUMENTS

NOT_ASKED: dict[type[Command], str] = {
    kind: "of devices, and no room hears of it: the fuzzers `service` and `control` ask it"
    for kind in COMMANDS.values()
    if kind.__module__ == device_operations.__name__
} | {
    commands.Encrypt: "what is said there needs devices: the fuzzer `service` asks it",
    commands.Roster: "of encrypted rooms, see Encrypt",
}

USERS = ("alice", "bob", "carol")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "2001:db8::1")
_PASSWORDS = ("secret", "other")

_user = st.sampled_from([*USERS * 4, "ALICE", "ｂｏｂ", "nobody"])
_room = st.sampled_from([*("lobby", "den") * 4, "LOBBY", "ｄｅｎ", "attic", "1obby", "x" * 33])
_in_room = st.sampled_from(["", "", "", "lobby", "den", "LOBBY", "attic"])
_password = st.sampled_from([*_PASSWORDS * 3, "\x7f"])
_LIKE_A_SPAN = "1h"
_text = st.sampled_from(
    [
        *(
            "hello",
            "tea?",
            "a b  c",
            "//x",
            "/x",
            "é👋",
            _LIKE_A_SPAN,
            "to bob",
            "\u202eabc",
            "\x9b2J",
        ),
        *("x\x85y", "x\u2028y", "n" * 150, "e" + "\u0301" * 12, '"', "\\", "{}"),
    ]
)
_reason = st.just("") | _text
_seconds = st.none() | st.sampled_from([1, 60, 600, 3_600, 86_400])
_label = st.sampled_from(["", "", "bot"])
_txn = st.sampled_from(["", "", "", "t1", "t2"])
_small = st.integers(1, 12)
_message = st.none() | st.integers(0, 12) | st.just(10**9)
_target = _user | st.sampled_from(
    ["@bob", "@10.0.0.1", "10.0.0.2", "10.0.0.0/24", "2001:db8::/48", "0.0.0.0/0", "::g"]
)
_keep = st.sampled_from(["1", "30", "forever", "DEFAULT", "0", "3651", "x"])
_file_name = st.sampled_from(["a.txt", "../b.txt", "..", "c d.txt", "\u202ee.txt", "-g"])
_data = st.sampled_from([b"", b"\0", b"hello", bytes(range(256))])

ASKED: dict[type[Command], st.SearchStrategy[Command]] = {
    kind: st.builds(kind, **how)
    for kind, how in {
        commands.Register: {"name": _user, "password": _password, "remember": _label},
        commands.Login: {"name": _user, "password": _password, "remember": _label},
        commands.Join: {"room": _room, "since": _message},
        commands.Leave: {"room": _in_room},
        commands.Say: {"room": _in_room, "body": _text, "txn": _txn},
        commands.Emote: {"room": _in_room, "body": _text, "txn": _txn},
        commands.Tell: {"user": _user, "body": _text, "txn": _txn},
        commands.Who: {"room": _in_room},
        commands.Rooms: {},
        commands.History: {
            "room": _in_room,
            "count": _small,
            "before": _message,
            "after": _message,
        },
        commands.Topic: {"room": _in_room, "text": _reason},
        commands.Away: {"why": _reason},
        commands.Ignore: {"user": st.just("") | _user},
        commands.Unignore: {"user": _user},
        commands.Kick: {"room": _in_room, "user": _user, "reason": _reason},
        commands.Ban: {
            "room": _in_room,
            "user": _user,
            "seconds": _seconds,
            "reason": _reason,
        },
        commands.Unban: {"room": _in_room, "user": _user},
        commands.Bans: {"room": _in_room},
        commands.Mute: {
            "room": _in_room,
            "user": _user,
            "seconds": _seconds,
            "reason": _reason,
        },
        commands.Unmute: {"room": _in_room, "user": _user},
        commands.Promote: {"room": _in_room, "user": _user},
        commands.Demote: {"room": _in_room, "user": _user},
        commands.Send: {
            "room": _in_room,
            "name": _file_name,
            "user": st.just("") | _user,
            "size": st.none() | st.sampled_from([0, 5, 256, 1 << 40]),
        },
        commands.Get: {"file": _small},
        commands.Files: {"room": _in_room},
        commands.Upload: {"name": _file_name, "user": st.just("") | _user, "data": _data},
        commands.Download: {"file": _small},
        commands.Unshare: {"file": _small},
        commands.Passwd: {"old": st.sampled_from(_PASSWORDS), "new": _password},
        commands.Tokens: {"revoke": st.none() | _small},
        commands.Ping: {},
        commands.Help: {"command": st.sampled_from(["", "kick", "/join", "nothing"])},
        commands.Quit: {},
        operations.Announce: {"text": _text},
        operations.UserDisable: {"user": _user},
        operations.UserEnable: {"user": _user},
        operations.Status: {},
        operations.ServerKick: {"target": _target, "reason": _reason},
        operations.ServerBan: {"target": _target, "seconds": _seconds, "reason": _reason},
        operations.ServerUnban: {"target": _target},
        operations.ServerMute: {"target": _target, "seconds": _seconds, "reason": _reason},
        operations.ServerUnmute: {"target": _target},
        operations.ServerBans: {},
        operations.UserList: {"after": st.sampled_from(["", "alice", "x y"])},
        operations.UserCreate: {
            "user": _user,
            "password": _password,
            "is_admin": st.booleans(),
        },
        operations.UserPassword: {"user": _user, "password": _password},
        operations.UserAdmin: {"user": _user, "is_admin": st.booleans()},
        operations.RoomList: {"after": st.sampled_from(["", "den", "x y"])},
        operations.RoomCreate: {"room": _room, "owner": _user},
        operations.RoomDelete: {"room": _room, "reason": _reason},
        operations.RoomRename: {"room": _room, "name": _room},
        operations.RoomOwner: {"room": _room, "user": _user},
        operations.Sessions: {"after": st.integers(0, 6)},
        operations.Shutdown: {
            "seconds": st.none() | st.sampled_from([3_600, 86_400]),
            "reason": _reason,
            "cancel": st.booleans(),
        },
        operations.Purge: {
            "user": st.just("") | _user,
            "seconds": _seconds,
            "room": st.just("") | _room,
            "message": _message,
        },
        operations.Retention: {"room": st.just("") | _room, "keep": _keep},
        operations.Vacuum: {},
    }.items()
}

# What people do most of the time; all else is asked as often as any of it.
_LIVELY = (commands.Join, commands.Say, commands.Tell, commands.History)
_OUTSIDE = (commands.Register, commands.Login)
_users_own = [kind for kind in ASKED if kind.least < Level.ADMIN and kind not in _OUTSIDE]
_admins_own = [kind for kind in ASKED if kind.least is Level.ADMIN]
_operators_own = [kind for kind in ASKED if kind.least is Level.OPERATOR]

of_strangers = st.sampled_from([*_OUTSIDE * 4, commands.Say, commands.Help]).flatmap(ASKED.get)
of_users = st.sampled_from([*_users_own, *_LIVELY * 3, commands.Promote, commands.Topic]).flatmap(
    ASKED.get
)
of_admins = st.sampled_from(_admins_own).flatmap(ASKED.get)
of_operators = st.sampled_from([*_operators_own, *_admins_own, operations.UserAdmin]).flatmap(
    ASKED.get
)
_moderators_own = [kind for kind in ASKED if kind.suits_operator and kind.least is Level.USER]
_decisions = [kind for kind in _moderators_own if "user" in {each.name for each in fields(kind)}]
of_moderators = st.sampled_from([*_moderators_own, *_decisions * 3]).flatmap(ASKED.get)
from_outside = st.sampled_from([*_users_own, *_admins_own, *_operators_own]).flatmap(ASKED.get)


def as_json(command: Command) -> bytes:
    """Return a command as a program sends it."""
    given = {
        field.name: getattr(command, field.name)
        for field in fields(command)
        if getattr(command, field.name) != field.default
    }
    return json.dumps({"op": command.op, "id": 1, **given}).encode() + b"\n"


def as_typed(command: Command) -> tuple[bytes, Command]:
    """Return a command as a person types it, and what of it can be typed at all."""
    kind, words, kept = type(command), [f"/{command.word}"], {}
    if isinstance(command, commands.Say):
        escaped = "/" if command.body.startswith("/") else ""
        return f"{escaped}{command.body}\n".encode(), replace(command, room="", txn="")
    for argument in _ARGUMENTS[kind]:
        value = getattr(command, argument.field)
        if value is None and isinstance(argument.shape, Span):
            continue
        if value in (None, "") or (value == _LIKE_A_SPAN and hasattr(command, "seconds")):
            break  # what stands behind it would be taken for it
        kept[argument.field] = value
        if isinstance(argument.shape, Span):
            words.append(f"{value}s")
        else:
            words.append(f"to {value}" if isinstance(argument.shape, Addressee) else str(value))
    line, tail = " ".join(words), b""
    if isinstance(command, commands.Upload):
        kept["data"] = command.data
        tail = base64.b64encode(command.data) + b"\n.\n"
    for field in fields(kind):
        if field.name not in kept and field.default is MISSING:
            kept[field.name] = getattr(command, field.name)
    return line.encode() + b"\n" + tail, kind(**kept)


def can_be_typed(command: Command, *, is_logged_in: bool) -> bool:
    """Whether a person can ask for it, and not begin a dialogue instead."""
    if isinstance(command, commands.Say):
        return is_logged_in
    if isinstance(command, commands.Upload):
        return is_logged_in  # else its lines would be taken for names
    if command.least is Level.OPERATOR:
        return False
    return not (isinstance(command, commands.Passwd) and not command.new)


def all_asked() -> set[type[Command]]:
    """Return what is asked, or left out with a reason."""
    return {*ASKED, *NOT_ASKED}


assert set(COMMANDS.values()) >= set(ASKED)
