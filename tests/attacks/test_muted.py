"""Who is muted is silent wherever one user's text reaches another.

The places are taken from the classes of events: one that is new is in neither table, and the first
test says so.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from app.protocol import EVENTS
from app.protocol.signed import encode
from tests.kit.client import Client
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess
from tests.kit.signing import Device
from tests.kit.transfers import ask_url, request

SERVER_SETTINGS = {"MESSAGE_RATE": 0}

# Fields that have the name of a user, a room or a device, whoever made it: the mute of somebody is
# no secret, and no names are hidden. (Whoever is muted makes no room.)
NAMES = {
    *("user", "users", "target", "by", "recipient", "to", "author", "owner", "members", "room"),
    *("rooms", "device", "last", "after", "network"),
    *("Account.name", "Person.name", "RoomRetention.name"),
}
# What the server words or counts, or only whoever typed it is shown.
OF_THE_SERVER = {
    *("sentence", "url", "server", "sha256", "tag", "address", "wire"),
    *("role", "version", "token", "sig", "Concern", "FilePrinted.data"),
    *("UploadOffered.name", "UploadOffered.path", "Token.label", "HelpShown.command"),
    *("BackedUp.path", "ShutdownNeared.reason"),  # for the operator, and by the operator
    *("Load", "Minute", "StatusShown", "Signed.payload"),  # a payload is keys, and has a form
}
_ROOMS = ("RoomSummary", "RoomRecord")
_FILES = ("FileShared", "SharedFile", "DownloadOffered", "Unshared")
# What brings text to others, and where it is shown: see _attempts.
SINKS = {
    "say": {"Said.body"},
    "say encrypted": {"SaidEncrypted.enc"},
    "msg": {"PrivatelySaid.body", "PrivatelySent.body"},
    "msg encrypted": {"PrivatelySaidEncrypted.enc"},
    "away": {"PrivatelySent.away", "Person.away"},
    "announce": {"Announced.text"},
    "kick": {"Kicked.reason"},
    "ban": {"Banned.reason", "Sanction.reason"},
    "mute": {"Muted.reason"},
    "server.kick": {"EndedByKick.reason"},
    "server.ban": {"ServerSanction.reason", "EndedByBan.reason"},
    "server.mute": {"MutedEverywhere.reason"},
    "topic": {f"{kind}.topic" for kind in ("TopicSet", "TopicShown", "Entered", *_ROOMS)},
    "join": {f"{kind}.name" for kind in _ROOMS},
    "room.rename": {"Renamed.name", "RoomRenamed.name"},
    "room.delete": {"Deleted.reason"},
    "file.offer": {f"{kind}.name" for kind in _FILES},
    "file.offer to one": {"FileSent.name"},
    "td.send": {"DeviceMail.body"},
}


class _Attempt(NamedTuple):
    """What brings text to others: an op and its fields, as a person types it, where it is shown."""

    op: str
    fields: Mapping[str, Any]
    typed: str = ""
    is_in_room: bool = False


_ENC = {"alg": "megolm.v1", "sid": "c2Vzc2lvbg", "ct": encode(b"hello")}
_WHY = {"reason": "spam"}


def _attempts(room: str, den: str, victim: str, device: Device) -> dict[str, _Attempt]:
    here, about = {"room": room}, {"user": victim}
    letter = {**device.address, "body": "spam"}
    return {
        "say": _Attempt("say", {**here, "body": "spam"}, "spam", True),
        "say encrypted": _Attempt("say", {"room": den, "enc": _ENC, "if_rev": 1}, "", True),
        "me": _Attempt("me", {**here, "body": "spams"}, "/me spams", True),
        "msg": _Attempt("msg", {**about, "body": "spam"}, f"/msg {victim} spam"),
        "msg encrypted": _Attempt("msg", {"user": device.user, "enc": _ENC}),
        "away": _Attempt("away", {"why": "spam"}, "/away spam"),
        "kick": _Attempt("kick", {**here, **about, **_WHY}, f"/kick {victim} spam", True),
        "ban": _Attempt("ban", {**here, **about, **_WHY}, f"/ban {victim} 1h spam", True),
        "mute": _Attempt("mute", {**here, **about, **_WHY}, f"/mute {victim} spam", True),
        "topic": _Attempt("topic", {**here, "text": "spam"}, "/topic spam", True),
        "join": _Attempt("join", {"room": f"spam-{room}"}, f"/join spam-{room}"),
        "file.offer": _Attempt("file.offer", {**here, "name": "spam"}, "/send spam", True),
        "file.offer to one": _Attempt(
            "file.offer", {**about, "name": "spam"}, f"/send spam to {victim}"
        ),
        "announce": _Attempt("announce", {"text": "spam"}, "/announce spam"),
        "server.kick": _Attempt("server.kick", {"target": victim, **_WHY}, "/serverkick {} spam"),
        "server.ban": _Attempt("server.ban", {"target": victim, **_WHY}, "/serverban {} spam"),
        "server.mute": _Attempt("server.mute", {"target": victim, **_WHY}, "/servermute {} spam"),
        "room.rename": _Attempt(
            "room.rename", {**here, "name": f"spam-{room}"}, f"/roomrename {room} spam", True
        ),
        "room.delete": _Attempt("room.delete", {**here, **_WHY}, f"/roomdelete {room} spam", True),
        "td.send": _Attempt("td.send", {"txn": "1", "msgs": [letter]}),
    }


def _texts(kind: object, place: str, seen: set[object]) -> Iterator[str]:
    """Yield the fields in which an event has text: by the class that has them."""
    for inner in typing.get_args(kind):
        yield from _texts(inner, place, seen)
    if kind in (str, bytes) or getattr(kind, "__name__", "") == "Enc":
        yield place
        return
    is_plain = isinstance(kind, type) and not isinstance(kind, types.GenericAlias)
    if not is_plain or kind in seen:
        return
    if dataclasses.is_dataclass(kind) or issubclass(kind, BaseModel):
        seen.add(kind)
        for name, hint in typing.get_type_hints(kind).items():
            if not name.startswith(("_", "model_")):
                yield from _texts(hint, f"{kind.__name__}.{name}", seen)


# Each field of an event that has text is a name, or the server's, or a place where the muted are
# silent.
def test_every_place_is_known() -> None:
    seen: set[object] = set()
    found = {place for kind in EVENTS for place in _texts(kind, kind.__name__, seen)}
    known = NAMES | OF_THE_SERVER
    met = {each: known & {each, *each.split(".")} for each in found}
    assert {each for each in found if not met[each]} == set().union(*SINKS.values())
    assert set().union(*met.values()) == known
    assert SINKS.keys() <= _attempts("a", "b", "c", _Nobody()).keys()


class _Nobody:
    """A device that is only described."""

    user = "nobody"
    address: Mapping[str, str] = {"user": "nobody", "device": "abcdefgh"}


class _Scene(NamedTuple):
    """A muted admin, who is the owner of a room and of an encrypted one, and who sees it."""

    muted: Program
    typing: Client
    victim: Program
    operator: Program
    attempts: Mapping[str, _Attempt]

    def expect_silence(self, why: str, attempts: Mapping[str, _Attempt]) -> None:
        """Check that each attempt is refused, and that the others are shown nothing of it."""
        for client in (self.muted, self.typing, self.victim):
            client.catch_up()
        for name, attempt in attempts.items():
            assert self.muted.refused(attempt.op, **attempt.fields) == "muted", name
            if attempt.typed:
                self.typing.type(attempt.typed.format(self.victim.name))
                self.typing.expect_line(f"Error: you are {why}")
        self.victim.expect_nothing_more()
        people = self.victim.call("who")["people"]
        assert [each["away"] for each in people if each["name"] == self.muted.name] == [""]


def _scene(server: ServerProcess, new_name, new_device) -> _Scene:
    room, den, name = new_name("room"), new_name("den"), new_name("muted")
    operator = server.control()
    muted = server.program().register(name).join(room)
    Device(muted).put()
    muted.join(den).call("room.encrypt", room=den)
    operator.call("user.admin", user=name)
    typing = server.connect().log_in(name).join(room)
    victim = server.program().register(new_name("victim")).join(room)
    other = new_device()
    attempts = _attempts(room, den, victim.name, other)
    return _Scene(muted, typing, victim, operator, attempts)


# On the server: nothing of theirs is shown, on either wire, to anybody; what needs no words they
# may do as ever.
def test_muted_on_the_server(server, new_name, new_device) -> None:
    scene = _scene(server, new_name, new_device)
    scene.muted.call("away", why="an old note")
    scene.operator.call("server.mute", target=scene.muted.name)
    scene.expect_silence("muted on this server", scene.attempts)
    room = scene.attempts["say"].fields["room"]
    for op in ("mute", "unmute", "kick"):
        scene.muted.call(op, user=scene.victim.name, room=room)
    scene.muted.call("away")
    assert scene.muted.call("topic", room=room)["topic"] == ""


# In a room: nothing of theirs is shown there, whatever role they have; elsewhere they speak.
def test_muted_in_a_room(server, new_name, new_device) -> None:
    scene = _scene(server, new_name, new_device)
    scene.muted.call("away", why="spam")
    rooms = {scene.attempts[each].fields["room"] for each in ("say", "say encrypted")}
    for room in rooms:
        scene.operator.call("mute", user=scene.muted.name, room=room)
    in_room = {name: each for name, each in scene.attempts.items() if each.is_in_room}
    scene.expect_silence("muted in .*", in_room)
    attempt = scene.attempts["msg"]
    scene.muted.call(attempt.op, **attempt.fields)
    scene.victim.event("private", body="spam")


# What was begun before the mute is not shown behind it: a file that is brought then, also by one
# who has gone meanwhile, with its address in the other terminal.
@pytest.mark.parametrize("op", ["mute", "server.mute", "server.ban"])
def test_a_file_that_was_offered_before(server, pair, op: str) -> None:
    alice, bob = pair
    url = ask_url(bob, "/send spam.txt")
    if op == "mute":
        server.operate(op, user=bob.name, room=alice.room)
        alice.expect_line(".* was muted by .*")
    else:
        bob.close()
        alice.expect_lines(f"{bob.name} has disconnected.")
        server.operate(op, target=bob.name)
    assert request(server, "PUT", url, b"x").status in (403, 404)
    alice.expect_nothing_more()


# One's own devices are nobody else: letters to them pass.
def test_letters_to_own_devices(server, new_device) -> None:
    first = new_device()
    second = new_device(first.user)
    server.control().call("server.mute", target=first.user)
    first.program.event("notice")
    assert first.send("1", (second, "hello")) == []
