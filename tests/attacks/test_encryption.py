"""Who encrypts, or claims to, and wants to do harm: to the server, or to others by means of it."""

import json
import re
from functools import partial

import gevent
import pytest

from app.bounds import (
    CLAIMS_AN_HOUR_AND_DEVICE_MAX,
    ENC_CIPHERTEXT_CHARS_MAX,
    ENTRIES_AN_HOUR_MAX,
    MAILBOX_PAGE,
    REPLAY_BYTES_MAX,
)
from app.chat.devices import devices
from app.engine import limits
from app.engine.kit import Kit, Present
from app.engine.recent import Recent
from app.errors import BadLine
from app.protocol.command import Enc
from app.protocol.talk import SaidEncrypted
from app.wires.ndjson.requests import parse_request
from tests.kit.fakes import fake_session
from tests.kit.prepared import name_of
from tests.kit.server_process import ServerProcess
from tests.kit.signing import Device
from tests.kit.transfers import request

SERVER_SETTINGS = {"MESSAGE_RATE": 0}
STALE = 20
LONG = "x" * ENC_CIPHERTEXT_CHARS_MAX


def enc(word: str) -> dict[str, str]:
    return {"alg": "megolm.v1", "sid": "session", "ct": word}


def _commits(server: ServerProcess) -> int:
    page = request(server, "GET", "/metrics").body.decode()
    return int(float(re.search(r"^greenroom_commit_seconds_count (\S+)$", page, re.M)[1]))


# When somebody was sent out of a busy room, all others may say something stale at once: to refuse
# it costs no transaction each, for which everybody on the server would wait in turn.
def test_stale_messages_are_cheap(server, new_device, new_name) -> None:
    program = new_device().program.join(new_name("den"))
    program.call("room.encrypt")
    before = _commits(server)
    say = partial(program.ask, "say", enc=enc("x"), if_rev=9)
    asked = [say(txn=f"t-{number}") for number in range(STALE)]
    assert {program.answer(number)["error"] for number in asked} == {"roster_changed"}
    assert _commits(server) - before < STALE


# Nobody keeps the others from talking by coming and going without end: each time, what they were
# about to say has to be encrypted anew.
def test_coming_and_going_without_end(new_device, new_name) -> None:
    alice, mallory = new_device().program.join(new_name("den")), new_device().program
    alice.call("room.encrypt")
    for _ in range(ENTRIES_AN_HOUR_MAX):
        mallory.join(alice.room).call("leave")
    assert mallory.refused("join", room=alice.room) == "rate_limited"
    rev = alice.call("room.roster")["rev"]
    assert rev == 1 + 2 * ENTRIES_AN_HOUR_MAX
    assert alice.call("say", enc=enc("x"), if_rev=rev)["message_id"]


def forget_soon() -> None:
    """Let a server remember but few of whoever does something too often."""
    limits.THROTTLED_KEYS_MAX = 50


# Nobody has the claims that were counted forgotten by asking for devices that there are not.
def test_claims_of_nothing(start_server) -> None:
    server = start_server(prepared_by=name_of(forget_soon), **SERVER_SETTINGS)
    alice = Device(server.program().register("alice")).put()
    mallory = Device(server.program().register("mallory")).put()
    alice.offer(CLAIMS_AN_HOUR_AND_DEVICE_MAX + 1)
    for _ in range(CLAIMS_AN_HOUR_AND_DEVICE_MAX):
        mallory.claim(alice)
    targets = [{"user": f"u{number}", "device": "aaaaaaaa"} for number in range(100)]
    failed = mallory.program.call("keys.claim", targets=targets)["failed"]
    assert {each["error"] for each in failed} == {"no_such_device"}
    assert mallory.program.refused("keys.claim", targets=[alice.address]) == "rate_limited"


# However much is wrong with a request, it is as long as the first thing takes to say so.
@pytest.mark.parametrize(
    "fields",
    [
        {"op": "td.send", "txn": "1", "msgs": [{}] * 20_000},
        {"op": "keys.query", "users": [1] * 20_000},
        {"op": "keys.claim", "targets": [{}] * 20_000},
        {"op": "keys.otk.put", "otk": [{}] * 20_000},
        {"op": "ping", **{f"x{number}": 1 for number in range(8_000)}},
    ],
    ids=lambda fields: fields["op"],
)
def test_much_that_is_wrong(fields: dict) -> None:
    with pytest.raises(BadLine) as caught:
        parse_request(fields)
    cause = caught.value.__cause__
    assert cause is None or cause.error_count() < 5
    assert len(str(caught.value)) < 200


# However long the messages of a room are, it remembers no more text than is shown at once, and
# knows that it does.
def test_long_messages_in_memory() -> None:
    recent = Recent(256)
    assert recent.has_all_since(0)
    for number in range(1, 21):
        recent.append(SaidEncrypted("den", "a", "d", Enc(**enc(LONG)), number, number))
    kept = list(recent)
    assert 2 * sum(said.size_bytes for said in kept) > REPLAY_BYTES_MAX
    assert sum(said.size_bytes for said in kept) <= REPLAY_BYTES_MAX
    assert recent.last_id == kept[-1].id == 20
    assert recent.has_all_since(kept[0].id)
    assert not recent.has_all_since(kept[0].id - 2)
    recent.rename("lair")
    recent.forget_before(0)
    assert not recent.has_all_since(1)
    recent.forget_before(20)
    assert recent.has_all_since(1)


# Long messages are read for who comes back a few at a time: nobody's mail takes much memory.
def test_long_messages_that_wait(server, new_device, new_name) -> None:
    sender, name = new_device(), new_name("reader")
    server.program().register(name).call("quit")
    with server.database() as database:
        database.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i + 1 FROM n WHERE i < ?)"
            "INSERT INTO messages (recipient_id, user_id, is_action, body, said_at, sender_device)"
            " SELECT r.id, s.id, 0, ?, 1, 'aaaaaaaa' FROM users r, users s, n"
            " WHERE r.name = ? AND s.name = ?",
            (MAILBOX_PAGE, json.dumps(enc(LONG)), name, sender.user),
        )
    sender.program.call("msg", user=name, enc=enc("last"))
    grown = server.watch_memory()
    reader = server.connect()
    reader.type(json.dumps({"id": 1, "op": "login", "name": name, "password": "secret"}))
    reader.receive_through(b'"ct":"last"')
    assert grown() < 2 * MAILBOX_PAGE * len(LONG)


# A new list of devices that everybody is told of lets others have a turn before all are.
def test_others_get_a_turn(monkeypatch) -> None:
    monkeypatch.setattr(devices, "DELIVERIES_BETWEEN_YIELDS", 2)
    watchers = [fake_session(f"watcher{number}") for number in range(6)]
    for each in watchers:
        each.watched = None
    present = Present(watchers, frozenset())
    told = devices.Devices(Kit(*[None] * 5, present, None), None)
    other = gevent.spawn(lambda: sum(len(each.client.shown) for each in watchers))
    told._tell_changed(1, "alice")
    assert other.get() == 2
    assert all(len(each.client.shown) == 1 for each in watchers)
