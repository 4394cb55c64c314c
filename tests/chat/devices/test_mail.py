"""Mailboxes of devices, junk of every kind, and lines that may be long."""

import json

import pytest

from app import bounds
from app.protocol.signed import encode
from tests.kit.server_process import ServerProcess
from tests.kit.signing import Device, new_aik, public, sign

SERVER_SETTINGS = {"message_rate": "0"}


# What a device is told waits for it, in order, until it lets go; it hears that there is something.
def test_mail(server: ServerProcess, alice: Device, bob: Device) -> None:
    assert bob.send("1", (alice, "one"), (alice, "two"), (bob, "to myself")) == []
    alice.event("td")
    bob.event("td")
    assert bob.send("2", (alice, "three")) == []
    server.restart()
    alice.program = server.program().log_in(alice.user)
    items = alice.put().fetch()
    assert [item["body"] for item in items] == ["one", "two", "three"]
    assert items[0] == {"n": items[0]["n"], **bob.address, "body": "one"}
    assert items == sorted(items, key=lambda item: item["n"])
    assert alice.fetch(items[0]["n"], 1) == [items[1]]
    alice.program.call("td.ack", upto=items[1]["n"])
    assert alice.bodies() == ["three"]


# What is sent again under its txn is not there twice, also when it was taken, or reached only some.
def test_mail_is_sent_again(server: ServerProcess, new_device, alice: Device, bob: Device) -> None:
    carol = Device(server.program().log_in(alice.user))
    letters = ((alice, "one"), (alice, "two"), (carol, "three"))
    assert bob.send("same", *letters) == [{**carol.address, "error": "no_such_device"}]
    alice.program.call("td.ack", upto=alice.fetch()[0]["n"])
    carol.put()
    assert bob.send("same", *letters) == []
    assert bob.send("same", *letters) == []
    assert (alice.bodies(), carol.bodies()) == (["two"], ["three"])
    dave = new_device()
    assert dave.send("same", (alice, "dave's own")) == []
    assert alice.bodies() == ["two", "dave's own"]


# A mailbox holds so much, of one other user less: nobody fills it alone, but its own user. What is
# too much fails, and the rest of the request does not.
def test_a_full_mailbox(new_device, alice: Device, bob: Device) -> None:
    full = {**alice.address, "error": "mailbox_full"}
    share = bounds.DEVICE_MAILBOX_ITEMS_OF_ONE_MAX
    for number in range(share // 100):
        assert bob.send(str(number), *[(alice, "x")] * 100) == []
    phone = new_device(bob.user)
    for sender in (bob, phone):
        assert sender.send("more", (alice, "x"), (bob, "y")) == [full]
    assert bob.bodies() == ["y", "y"]
    own = new_device(alice.user)
    for number in range((bounds.DEVICE_MAILBOX_ITEMS_MAX - share) // 100):
        assert own.send(str(number), *[(alice, "x")] * 100) == []
    assert new_device().send("1", (alice, "x")) == own.send("more", (alice, "x")) == [full]
    alice.program.call("td.ack", upto=1 << 40)
    assert bob.send("more", (alice, "x"), (bob, "y")) == []
    assert bob.bodies() == ["y", "y"]


# However much a handful of others leave there, a stranger still finds room for theirs.
def test_a_mailbox_that_others_fill(new_device, alice: Device) -> None:
    for _ in range(5):
        greedy = new_device()
        for number in range(3):
            greedy.send(str(number), *[(alice, "x")] * 100)
    assert new_device().send("1", *[(alice, "x")] * 50) == []


# So many bytes go into a request, and come in an answer; then there is said to be more.
def test_large_mail(alice: Device, bob: Device) -> None:
    large = "x" * bounds.DEVICE_MAIL_BODY_CHARS_MAX
    for number in range(6):
        assert bob.send(str(number), (alice, large)) == []
    assert len(alice.program.catch_up()) == 6
    answer = alice.program.call("td.fetch", after=0, limit=100)
    assert answer["has_more"]
    assert [len(item["body"]) for item in answer["items"]] == [len(large)] * 5
    alice.event("td")
    half = "x" * (bounds.DEVICE_MAIL_CHARS_MAX // 2)
    assert bob.send("two", (alice, half), (alice, half)) == []
    for bodies in ([large + "x"], [half, half, "x"]):
        msgs = [{**alice.address, "body": body} for body in bodies]
        assert bob.program.refused("td.send", txn="large", msgs=msgs) == "too_large"
    msgs = [{**alice.address, "body": ""}] * 101
    assert bob.program.refused("td.send", txn="many", msgs=msgs) == "too_many"


# It is bytes that count there: letters that take four of them do not make an answer longer.
def test_large_mail_in_emoji(alice: Device, bob: Device) -> None:
    for number in range(5):
        msgs = [{**alice.address, "body": "\U0001f600" * 16_000}]
        request = {"id": f"e{number}", "op": "td.send", "txn": f"e{number}", "msgs": msgs}
        bob.program.type(json.dumps(request, ensure_ascii=False))
        assert bob.program.answer(request["id"])["failed"] == []
    assert len(alice.fetch()) == 4


# A user sends so often in a minute.
def test_mail_is_limited(alice: Device) -> None:
    numbers = range(bounds.DEVICE_MAIL_SENDS_A_MINUTE_MAX * 2)
    asked = [alice.program.ask("td.send", txn=str(number), msgs=[]) for number in numbers]
    answers = [alice.program.answer(number) for number in asked]
    assert {each.get("error") for each in answers} == {None, "rate_limited"}
    assert answers[bounds.DEVICE_MAIL_SENDS_A_MINUTE_MAX - 1]["ok"]


JUNK = ["", "{}", "null", "[]", "3", '"x"', "{", "{" * 400, "\U0001f600", '{"user":1}']


class _Signer:
    """Somebody who asks to keep what they signed, right or wrong, for each op that does."""

    def __init__(self, device: Device, op: str) -> None:
        aik = new_aik()
        listed = {"user": device.user, "aik": public(aik), "seq": 1, "devices": [device.keys]}
        key = {**device.address, "kid": "o:1", "key": encode(bytes(32))}
        self.key, self.kind, self.right = {
            "keys.device.put": (device.key, "device", device.payload),
            "keys.manifest.put": (aik, "manifest", listed),
            "keys.otk.put": (device.key, "one-time-key", key),
        }[op]
        self.program, self.op = device.program, op

    def sign(self, payload: object) -> str:
        return sign(self.key, self.kind, payload)["sig"]

    def refused(self, payload: object, sig: str = "") -> str:
        """Return the code with which a payload is refused, or one with another signature."""
        signed = sign(self.key, self.kind, payload)
        signed["sig"] = sig or signed["sig"]
        fields = {"otk": [{"kid": "o:1", **signed}]} if self.op == "keys.otk.put" else signed
        return self.program.refused(self.op, **fields)


SIGNED = ["keys.device.put", "keys.manifest.put", "keys.otk.put"]


def _wrong(value: object) -> list[object]:
    """Return what can't be in the place of a value."""
    wrong = [None, True, 1.5, -1, {}, "", "\0", "x" * 43, encode(bytes(32)) + "="]
    if isinstance(value, dict):
        return wrong + [{**value, inner: "x"} for inner in value] + [{**value, "more": 1}]
    if isinstance(value, list):
        return [*wrong, value * 2, [*value, {}], [{**value[0], "id": "x"}], value * 21]
    return wrong


# What is signed has to be in its form, to the last field, and one's own.
@pytest.mark.parametrize("op", SIGNED)
def test_junk_is_refused(alice: Device, bob: Device, op: str) -> None:
    signer = _Signer(alice, op)
    right = signer.right
    payloads = [*JUNK, {**right, "more": 1}, {**right, "user": bob.user}]
    payloads.append({**right, "user": alice.user.upper()})
    for name, value in right.items():
        payloads += [{**right, name: wrong} for wrong in _wrong(value)]
        payloads.append({field: right[field] for field in right if field != name})
    codes = [signer.refused(payload) for payload in payloads]
    assert set(codes) == {"bad_device_payload"}


# What is signed was signed by whom it says, as what it is.
@pytest.mark.parametrize("op", SIGNED)
def test_false_signatures(alice: Device, bob: Device, op: str) -> None:
    signer = _Signer(alice, op)
    true = signer.sign(signer.right)
    other_kind = sign(signer.key, "fallback-key", signer.right)["sig"]
    other_key = sign(bob.key, signer.kind, signer.right)["sig"]
    for sig in ("x", "é", true[:-1], true + "=", "AA" + true[2:], other_kind, other_key):
        assert signer.refused(signer.right, sig) == "bad_signature"


# Keys are named as their payload has them, and a fallback key is not a one-time key.
def test_junk_among_keys(alice: Device, bob: Device) -> None:
    def refused(*otk: dict, fallback: dict | None = None) -> str:
        return alice.program.refused("keys.otk.put", otk=otk, fallback=fallback)

    right = alice.one_time_key(1)
    assert refused(right, {**right, "kid": "o:2"}) == "bad_device_payload"
    assert refused(alice.fallback_key()) == "bad_device_payload"
    assert refused(fallback=right) == "bad_device_payload"
    assert refused(right, alice.one_time_key(2, device="aaaaaaaa")) == "bad_device_payload"
    assert refused({**right, "sig": bob.one_time_key(1)["sig"]}) == "bad_signature"
    assert alice.offer()["otk_count"] == 0


# Each field of a request is of its type, and of a size that somebody could need.
@pytest.mark.parametrize(
    ("op", "right"),
    [
        ("keys.device.put", {"payload": "{}", "sig": "x"}),
        ("keys.manifest.put", {"payload": "{}", "sig": "x"}),
        ("keys.otk.put", {"otk": [{"kid": "o:1", "payload": "{}", "sig": "x"}], "fallback": None}),
        ("keys.query", {"users": ["bob"]}),
        ("keys.claim", {"targets": [{"user": "bob", "device": "aaaaaaaa"}]}),
        ("keys.changes", {"since": 1}),
        ("td.send", {"txn": "1", "msgs": [{"user": "bob", "device": "aaaaaaaa", "body": "x"}]}),
        ("td.fetch", {"after": 1, "limit": 1}),
        ("td.ack", {"upto": 1}),
    ],
)
def test_junk_in_requests(alice: Device, op: str, right: dict) -> None:
    wrong = [{**right, "more": 1}]
    for name, value in right.items():
        others = [True, 1.5, -1, 1 << 63, {}, [3], [{}], [[]], "x" * 5000, 0.0]
        if isinstance(value, list) and isinstance(value[0], dict):
            inner = value[0]
            others += [[{**inner, field: other}] for field in inner for other in (None, 1, [])]
            texts = set(inner) & {"kid", "device", "body", "payload"}
            others += [[{**inner, field: end}] for field in texts for end in "\0\x7f\x9b\u2028"]
            others += [[{**inner, "more": 1}], [{**inner, "kid": "o:"}], "x"]
        if name == "txn":
            others += ["", "\0", "é", 1, None]
        wrong += [{**right, name: other} for other in others]
    assert {alice.program.refused(op, **fields) for fields in wrong} == {"bad_arguments"}


# Who has put a device may send long lines, of these requests alone; before, none.
def test_long_lines(server: ServerProcess, new_name, alice: Device) -> None:
    users = ["x" * 32] * 99 + ["y" * 2000]
    assert alice.program.call("keys.query", users=users)["users"]
    assert alice.program.refused("say", body="x" * 5000) == "line_too_long"
    assert alice.program.refused("keys.changes", since=None, x="x" * 5000) == "bad_arguments"
    padded = json.dumps({"id": 99, "op": "ping"}) + " " * 5000
    alice.program.type(padded)
    assert alice.program.answer(99)["error"] == "line_too_long"
    alice.program.type(json.dumps({"id": 1, "op": "keys.query", "users": ["x" * 65536]}))
    assert alice.program.answer(None)["error"] == "line_too_long"
    assert alice.put().fetch() == []
    other = server.program().register(new_name("user"))
    other.type(json.dumps({"id": 1, "op": "keys.query", "users": users}))
    assert other.answer(None)["error"] == "line_too_long"


# On the text wire there is nothing of it: no command, no help, no event.
def test_nobody_types_it(server: ServerProcess, new_name, alice: Device) -> None:
    person = server.connect().register(new_name("person"))
    for word in ("keys.query", "td.send", "keys.device.put"):
        person.type(f"/{word} x")
        person.expect_lines(f"Error: unknown command /{word}. Try /help.")
    person.type("/help td.send")
    person.expect_lines("Error: unknown command /td.send. Try /help.")
    ops = alice.program.call("help")["ops"]
    assert {"keys.query", "td.send"} <= set(ops)
