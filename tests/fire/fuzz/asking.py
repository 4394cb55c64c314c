"""What is asked of a chat: a strategy for each command there is, and how it is typed.

A test holds `ASKED` against the table of commands: none is left out. An example of the machine asks
about half of them, drawn anew for each: what has to come together, comes together more often then.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from random import Random
from typing import Any

from hypothesis import strategies as st

from app.protocol import accounts, files, moderation, removal, rooms, server, talk
from app.protocol import devices as protocol
from app.protocol.command import Addressee, Command, Enc, End, Level, Span
from app.protocol.devices import Letter, OfferedKey, Target
from app.wires.text.commands import _ARGUMENTS
from tests.fire.fuzz import devices
from tests.fire.fuzz.devices import BAD_SIGNATURE, Kit

USERS = ("alice", "bob", "carol")
ADDRESSES = ("10.0.0.1", "10.0.0.2", "2001:db8::1")
_PASSWORDS = ("secret", "other")

_user = st.sampled_from([*USERS * 4, "ALICE", "ｂｏｂ", "nemo"])
_room = st.sampled_from([*("lobby", "den") * 4, "LOBBY", "ｄｅｎ", "attic", "1obby", "x" * 33])
_in_room = st.sampled_from(["", "", "", "lobby", "den", "LOBBY", "attic"])
_password = st.sampled_from([*_PASSWORDS * 3, "\x01"])  # no DEL: typed, it edits the line
_LIKE_A_SPAN = "1h"
_text = st.sampled_from(
    [
        *(
            "hello",
            "tea?",
            "a b  c",
            "//x",
            "/x",
            "5x",
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
SECRET = "Secret"  # what no text wire shows: devices encrypted it
enc = st.sampled_from([Enc(alg="megolm.v1", sid="x", ct=f"{SECRET}{n}") for n in range(3)])
txns = st.sampled_from(["", "t1", "t2"])


def _rarely(drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from([*[None] * 9, drawn]).flatmap(
        lambda each: st.none() if each is None else each
    )


_data = st.sampled_from([b"", b"\0", b"hello", bytes(range(256))])

# Of devices.

kits = st.builds(Kit, st.sampled_from(USERS), st.sampled_from([0, 0, 0, 1]))
_version = st.sampled_from([*[0] * 6, 1])
_kid = st.sampled_from(["o:1", "o:2", "o:3"])
_fallback_kid = st.sampled_from(["f:1", "f:2"])
_flaw = st.sampled_from([*[""] * 6, "signature", "payload", "kind"])
_device_user = st.sampled_from([*USERS * 3, "ALICE", "nemo", "\x7f"])


def device_put(kit: Kit, version: int = 0, flaw: str = "") -> protocol.DevicePut:
    """Return what lets a session speak for a device."""
    said = kit.described(version)
    if flaw == "signature":
        said = {**said, "sig": BAD_SIGNATURE}
    if flaw == "payload":
        said = {**said, "payload": "{}"}
    return protocol.DevicePut(**said)


def manifest_put(
    user: str, seq: int, numbers: Sequence[int], flaw: str = ""
) -> protocol.ManifestPut:
    """Return what publishes a list of devices."""
    said = devices.manifest(user, seq, tuple(sorted(set(numbers))))
    if flaw == "signature":
        said = {**said, "sig": BAD_SIGNATURE}
    return protocol.ManifestPut(**said)


def _keys_put(
    kit: Kit, keys: Sequence[tuple[str, int]], fallback: tuple[str, int] | None, flaw: str
) -> protocol.KeysPut:
    otk = [kit.offered(*each) for each in keys]
    if flaw == "signature":
        otk = [key.model_copy(update={"sig": BAD_SIGNATURE}) for key in otk]
    if flaw == "payload":
        otk = [OfferedKey(kid="o:9", payload=key.payload, sig=key.sig) for key in otk]
    reserve = None if fallback is None else kit.offered(*fallback)
    if flaw == "kind" and otk:
        reserve = otk[0]
    return protocol.KeysPut(otk, reserve)


_of_kit: dict[type[Command], st.SearchStrategy[Any]] = {
    protocol.DevicePut: st.builds(device_put, kits, _version, _flaw),
    protocol.ManifestPut: st.builds(
        manifest_put,
        st.sampled_from(USERS),
        st.integers(1, 3),
        st.lists(st.integers(0, 1), max_size=2),
        _flaw,
    ),
    protocol.KeysPut: st.builds(
        _keys_put,
        kits,
        st.lists(st.tuples(_kid, _version), max_size=2),
        st.none() | st.tuples(_fallback_kid, _version),
        _flaw,
    ),
    protocol.KeysClaim: st.builds(
        protocol.KeysClaim,
        st.lists(
            st.builds(
                lambda user, kit: Target(user=user or kit.user, device=kit.id),
                st.just("") | _device_user,
                kits,
            ),
            max_size=3,
        ),
    ),
    protocol.DeviceSend: st.builds(
        protocol.DeviceSend,
        st.sampled_from(["t1", "t2", "t3"]),
        st.lists(
            st.builds(
                lambda user, kit, body: Letter(user=user or kit.user, device=kit.id, body=body),
                st.just("") | _device_user,
                kits,
                st.sampled_from(["a", "b", ""]),
            ),
            max_size=3,
        ),
    ),
}

# What several commands take.
_account = {"name": _user, "password": _password, "remember": _label}
_about = {"room": _in_room, "user": _user}
_removal = {**_about, "reason": _reason}
_sanction = {**_about, "seconds": _seconds, "reason": _reason}
_server_sanction = {"target": _target, "seconds": _seconds, "reason": _reason}

ASKED: dict[type[Command], st.SearchStrategy[Command]] = _of_kit | {
    kind: st.builds(kind, **how)
    for kind, how in {
        accounts.Register: _account,
        accounts.Login: _account,
        rooms.Join: {"room": _room, "since": _message},
        rooms.Leave: {"room": _in_room},
        talk.Say: {
            "room": _in_room,
            "body": st.sampled_from([*[False] * 9, True]).flatmap(
                lambda is_empty: st.just("") if is_empty else _text
            ),
            "txn": _txn,
            "enc": _rarely(enc),
            "if_rev": _rarely(st.integers(1, 3)),
        },
        talk.Emote: {"room": _in_room, "body": _text, "txn": _txn},
        talk.Tell: {"user": _user, "body": _text, "txn": _txn, "enc": _rarely(enc)},
        rooms.Who: {"room": _in_room},
        rooms.Rooms: {},
        talk.History: {"room": _in_room, "count": _small, "before": _message, "after": _message},
        moderation.Topic: {"room": _in_room, "text": st.none() | st.just("-") | _reason},
        talk.Away: {"why": _reason},
        talk.Ignore: {"user": st.just("") | _user},
        talk.Unignore: {"user": _user},
        moderation.Kick: _removal,
        moderation.Ban: _sanction,
        moderation.Unban: _about,
        moderation.Bans: {"room": _in_room},
        moderation.Mute: _sanction,
        moderation.Unmute: _about,
        moderation.Promote: _about,
        moderation.Demote: _about,
        files.Send: {
            "room": _in_room,
            "name": _file_name | st.just(""),
            "user": st.just("") | _user,
            "size": st.none() | st.sampled_from([0, 5, 256, 1 << 40]),
            "e2ee": st.sampled_from([False, False, True]),
        },
        files.Get: {"file": _small},
        files.Files: {"room": _in_room},
        files.Upload: {"name": _file_name, "user": st.just("") | _user, "data": _data},
        files.Download: {"file": _small},
        files.Unshare: {"file": _small},
        accounts.Passwd: {"old": st.sampled_from(_PASSWORDS), "new": _password},
        accounts.Unregister: {"password": st.sampled_from(_PASSWORDS)},
        accounts.Tokens: {"revoke": st.none() | _small},
        server.Ping: {},
        rooms.Encrypt: {"room": _in_room},
        rooms.Roster: {"room": _in_room},
        protocol.KeysQuery: {"users": st.lists(_device_user, max_size=3)},
        protocol.KeysChanges: {"since": st.none() | st.integers(0, 5)},
        protocol.DeviceFetch: {"after": st.integers(0, 4), "limit": st.integers(1, 4)},
        protocol.DeviceAck: {"upto": st.integers(0, 6)},
        server.Help: {"command": st.sampled_from(["", "kick", "/join", "nothing"])},
        server.Quit: {},
        server.Announce: {"text": _text},
        accounts.UserDisable: {"user": _user},
        accounts.UserEnable: {"user": _user},
        server.Status: {},
        moderation.ServerKick: {"target": _target, "reason": _reason},
        moderation.ServerBan: _server_sanction,
        moderation.ServerUnban: {"target": _target},
        moderation.ServerMute: _server_sanction,
        moderation.ServerUnmute: {"target": _target},
        moderation.ServerBans: {},
        accounts.UserList: {"after": st.sampled_from(["", "alice", "x y"])},
        accounts.UserCreate: {"user": _user, "password": _password, "is_admin": st.booleans()},
        accounts.UserPassword: {"user": _user, "password": _password},
        accounts.UserAdmin: {"user": _user, "is_admin": st.booleans()},
        accounts.UserDelete: {"user": _user},
        rooms.RoomList: {"after": st.sampled_from(["", "den", "x y"])},
        rooms.RoomCreate: {"room": _room, "owner": _user, "e2ee": st.booleans()},
        rooms.RoomDelete: {"room": _room, "reason": _reason},
        rooms.RoomRename: {"room": _room, "name": _room},
        rooms.RoomOwner: {"room": _room, "user": _user},
        accounts.Sessions: {"after": st.integers(0, 6), "end": st.none() | _small},
        server.Shutdown: {
            "seconds": st.none() | st.sampled_from([3_600, 86_400]),
            "reason": _reason,
            "cancel": st.booleans(),
        },
        removal.Purge: {
            "user": st.just("") | _user,
            "seconds": _seconds,
            "room": st.just("") | _room,
            "message": _message,
        },
        removal.Retention: {"room": st.just("") | _room, "keep": _keep},
        removal.Vacuum: {},
        server.Backup: {"path": st.just("/dev/null")},
    }.items()
}

# What people do most of the time; all else is asked as often as any of it.
_LIVELY = (rooms.Join, talk.Say, talk.Tell, talk.History)
_OUTSIDE = (accounts.Register, accounts.Login)
_devices_own = [kind for kind in ASKED if kind.__module__ == protocol.__name__]
_users_own = [
    kind
    for kind in ASKED
    if kind.least < Level.ADMIN and kind not in (*_OUTSIDE, *_devices_own, server.Quit)
]
_admins_own = [kind for kind in ASKED if kind.least is Level.ADMIN]
_operators_own = [kind for kind in ASKED if kind.least is Level.OPERATOR]
_moderators_own = [kind for kind in ASKED if kind.suits_operator and kind.least is Level.USER]
_decisions = [kind for kind in _moderators_own if "user" in {each.name for each in fields(kind)}]
_about_one = [talk.Ignore, talk.Unignore, talk.Tell, talk.Away, files.Send]


def left_out(seed: int) -> set[type[Command]]:
    """Return which commands an example does without: none, or half of them."""
    random = Random(seed)
    return {kind for kind in ASKED if seed and random.random() < 0.5}


def _any_of(*kinds: type[Command]) -> st.SearchStrategy[Command]:
    """Return a strategy of commands, but for those that the machine's example does without."""

    def choose(machine: Any) -> st.SearchStrategy[Command]:
        chosen = [kind for kind in kinds if kind not in machine.left_out]
        return st.sampled_from(chosen or kinds).flatmap(ASKED.get)

    return st.runner().flatmap(choose)


of_strangers = _any_of(*_OUTSIDE * 4, talk.Say, server.Help, rooms.Roster)
of_users = _any_of(*_users_own, *_LIVELY * 3, moderation.Promote, moderation.Topic, server.Quit)
of_devices = _any_of(*_devices_own)
of_admins = _any_of(*_admins_own)
of_operators = _any_of(*_operators_own, *_admins_own, accounts.UserAdmin)
of_moderators = _any_of(*_moderators_own, *_decisions * 3)
of_removals = _any_of(moderation.Kick, moderation.Ban)
of_judges = _any_of(*_decisions)
about_one = _any_of(*_about_one, *_about_one, *_decisions)
from_outside = _any_of(*_users_own, *_devices_own, *_admins_own, *_operators_own)


def payload_of(command: Command) -> str | None:
    """Return what somebody signed for a command, if it has something of the kind."""
    if isinstance(command, protocol.DevicePut | protocol.ManifestPut):
        return command.payload
    if isinstance(command, protocol.KeysPut):
        return next((key.payload for key in command.otk), None)
    return None


def what_follows(command: Command) -> Command | None:
    """Return what all devices ask next: what was left for them somewhere, if it is that."""
    if isinstance(command, protocol.DeviceSend):
        return protocol.DeviceFetch(0, len(command.msgs) + 2)
    if isinstance(command, protocol.KeysPut) and command.otk:
        said = json.loads(command.otk[0].payload)
        return protocol.KeysClaim([Target(user=said["user"], device=said["device"])])
    return None


def as_json(command: Command) -> bytes:
    """Return a command as a program sends it."""
    given = {
        field.name: getattr(command, field.name)
        for field in fields(command)
        if getattr(command, field.name) != field.default
    }
    request = {"op": command.op, "id": 1, **given}
    return json.dumps(request, default=lambda each: each.model_dump()).encode() + b"\n"


_BEFORE = {Addressee: "to ", End: "end "}


def as_typed(command: Command) -> tuple[bytes, Command]:
    """Return a command as a person types it, and what of it can be typed at all."""
    kind, words, kept = type(command), [f"/{command.word}"], {}
    if isinstance(command, talk.Say):
        escaped = "/" if command.body.startswith("/") else ""
        typed = replace(command, room="", txn="", enc=None, if_rev=None)
        return f"{escaped}{command.body}\n".encode(), typed
    for argument in _ARGUMENTS[kind]:
        value = getattr(command, argument.field)
        if value is None and isinstance(argument.shape, End | Span):
            continue
        if value in (None, "") or (value == _LIKE_A_SPAN and hasattr(command, "seconds")):
            break  # what stands behind it would be taken for it
        kept[argument.field] = value
        if isinstance(argument.shape, Span):
            words.append(f"{value}s")
        else:
            words.append(f"{_BEFORE.get(type(argument.shape), '')}{value}")
    line, tail = " ".join(words), b""
    if isinstance(command, files.Upload):
        kept["data"] = command.data
        tail = base64.b64encode(command.data) + b"\n.\n"
    for field in fields(kind):
        if field.name not in kept and field.default is MISSING:
            kept[field.name] = getattr(command, field.name)
    return line.encode() + b"\n" + tail, kind(**kept)


def can_be_typed(command: Command, *, is_logged_in: bool) -> bool:
    """Whether a person can ask for it, and not begin a dialogue instead."""
    if isinstance(command, talk.Say):
        return is_logged_in and bool(command.body)
    if not command.is_typed:
        return False
    if isinstance(command, files.Upload):
        return is_logged_in  # else its lines would be taken for names
    if command.least is Level.OPERATOR:
        return False
    return not (isinstance(command, accounts.Passwd) and not command.new)
