"""What devices say to each other by way of a server that may put anything into a mailbox."""

import json

import pytest

from app.encryption.payloads import Address, OlmBody, Party, parse
from app.encryption.postbox import ITEMS_AT_ONCE
from app.encryption.refusals import EncryptionRefusal, Malformed
from tests.encryption.fakes import HOUR, Chat


# Whatever comes as an item of the mailbox, of every kind, costs one line, and the next is read.
@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_malformed_bodies(server, alice, bob, user):
    device = alice.device.me
    whole = {
        "alg": "olm.v1",
        "sender": {"user": user, "device": device.device},
        "curve25519": device.curve25519,
        "type": 0,
        "ct": "AAAA",
    }
    bodies = ["", "null", "[]", "{", "5", '"x"', "[" * 5_000, json.dumps({**whole, "more": 1})]
    changes = [
        {"alg": "olm.v9"},
        {"sender": {"user": "x\u202e", "device": "y"}},
        *({"curve25519": key} for key in ("A" * 42, device.curve25519 + "=")),
        *({"type": number} for number in (7, -1, True, 1)),
        *({"ct": text} for text in (None, "é", "A" * 70_000)),
        {},
    ]
    bodies += [json.dumps({**whole, **change}) for change in changes]
    for body in bodies:
        server.mail("bob", bob.device.me.device, body, alice)
    bob.fetch()
    assert not server.mailboxes[bob.address]
    alice.say("and this is read")
    assert bob.texts == ["and this is read"]
    assert not server.mailboxes[bob.address]
    assert {"malformed", "wedged_session"} >= {code for code in bob.codes if code != "no_keys"}


# Whatever else stands where an item should stand is passed over, and nothing is lost behind it.
def test_malformed_items(server, alice, bob):
    honest = server._td_fetch

    def lie(chat, after, limit):
        items = [None, 5, {}, {"n": 0, "body": ""}, {"n": "1"}, {"n": 1 << 70, "body": "x"}]
        return {"items": [*items, *honest(chat, after, limit)["items"]]}

    server._td_fetch = lie
    alice.say("hello")
    assert bob.texts == ["hello"]


# What devices say inside is as suspect as what the server says.
@pytest.mark.parametrize("kind", ["room_key", "approved", "verify", "renew"])
@pytest.mark.parametrize("content", ["", "{}", "[]", '{"room":"den"}', "x" * 20_000])
def test_malformed_contents(server, message, alice, bob, kind, content):
    alice.write(bob, kind, content)
    alice.say("still there?")
    assert bob.texts[-1] == "still there?"


# An item that comes again, or out of order, is taken once.
def test_replayed_items(server, alice, bob):
    honest = server._td_ack
    server._td_ack = lambda chat, upto: {}
    server._td_fetch = lambda chat, after, limit: {"items": server.mailboxes[chat.address]}
    alice.say("hello")
    position = bob.store.get("position", "mailbox")
    bob.fetch()
    bob.fetch()
    assert bob.store.get("position", "mailbox") == position
    assert bob.codes == []
    server._td_ack = honest
    bob.fetch()
    assert not server.mailboxes[bob.address]


def _renewal(chat, to):
    """Return the body of an item in which a device asks another one for a new session."""
    with chat.store.transaction():
        return chat.device._olm.encrypt(to, "renew", "")


# A key that a device wrote for one device is not taken by another.
def test_an_item_for_another_device(server, message, alice, bob):
    other = bob.device.me.model_copy(update={"device": "aaaaaaaa"})
    server.mail("bob", bob.device.me.device, _renewal(alice, other), alice)
    server.settle()
    assert "wrong_recipient" in bob.codes


# A device speaks for itself: not for another user, and not for another device.
@pytest.mark.parametrize(
    "change", [{"user": "carol"}, {"device": "aaaaaaaa"}, {"ed25519": "A" * 43}]
)
def test_an_item_in_the_name_of_another(server, message, alice, bob, tmp_path, change):
    carol = Chat(server, "carol", tmp_path).device.me
    bob.do(bob.device.fingerprint("carol"))
    if "user" in change:
        change = change | {"device": carol.device, "ed25519": carol.ed25519}
    alice.device._olm._me = alice.device.me.model_copy(update=change)
    server.mail("bob", bob.device.me.device, _renewal(alice, bob.device.me), alice)
    server.settle()
    assert set(bob.codes) & {"wrong_sender", "unknown_device"}


# The outside of an item says the same as its inside.
def test_an_item_with_another_sender_outside(server, message, alice, bob):
    body = json.loads(_renewal(alice, bob.device.me))
    outside = {**body, "sender": {"user": "bob", "device": bob.device.me.device}}
    server.mail("bob", bob.device.me.device, json.dumps(outside), alice)
    server.settle()
    assert "wrong_sender" in bob.codes


# A session between devices that broke is replaced, once an hour, and the lost key is sent again.
def test_a_wedged_session_is_renewed(server, message, alice, bob):
    server.now += 8 * 24 * HOUR
    with bob.store.transaction():
        bob.store.delete("olm", alice.device.me.curve25519)  # as if it had been lost
    account = bob.store.get("account")
    for body in ("a", "b"):
        alice.say(body)
    assert bob.texts[-2:] == ["a", "b"] or bob.store.get("account") != account
    assert bob.codes.count("wedged_session") >= 1
    claims = server.asked.count("keys.claim")
    for _ in range(5):
        junk = {"alg": "olm.v1", "sender": {"user": "alice", "device": alice.device.me.device}}
        junk |= {"curve25519": alice.device.me.curve25519, "type": 1, "ct": "AAAA"}
        server.mail("bob", bob.device.me.device, json.dumps(junk), alice)
        bob.fetch()
    assert server.asked.count("keys.claim") == claims


# What is sent again is what the device was entitled to: nothing from before it was accepted.
def test_a_key_is_sent_again_from_where_it_was_given(server, alice, bob, tmp_path):
    alice.say("before carol")
    server.change_members("den", add="carol")
    carol = Chat(server, "carol", tmp_path)
    alice.do(alice.device.accept("den", ["carol"]))
    honest, server.mail = server.mail, lambda *args: None  # the server loses it
    alice.say("with carol")
    server.mail = honest
    assert carol.texts == []
    carol.do(carol.device.fingerprint("alice"))
    renew = carol.device._postbox.renew("alice", alice.device.me.device, server.now)
    carol.act(carol.device._deliver(carol.do(renew), server.now))
    assert carol.texts == ["with carol"]
    assert carol.read(server.messages[0]).refusal is not None


# Nothing that a server answers makes a client stop with anything but a refusal.
@pytest.mark.parametrize("op", ["keys.query", "keys.claim", "keys.changes", "td.fetch", "td.send"])
@pytest.mark.parametrize("part", [None, 5, "x", [], {}, [None], {"bob": None}])
def test_malformed_answers(server, alice, bob, op, part):
    server.lies[op] = lambda answer, chat: dict.fromkeys(answer, part)
    for _ in range(2):
        try:
            alice.come_back()
            alice.say("hello")
        except EncryptionRefusal:
            pass
    del server.lies[op]
    server.now += HOUR
    alice.come_back()
    bob.fetch()
    alice.say("and on it goes")
    assert bob.texts[-1] == "and on it goes"


# A first message that a fallback key would open twice is opened once.
def test_a_first_message_that_comes_again(server, alice, bob):
    server.keys[bob.address].clear()
    alice.do(alice.device.say("den", "hello", server.now))
    (item,) = server.mailboxes[bob.address]
    server.mail("bob", bob.device.me.device, item["body"], alice)
    server.settle()
    assert bob.texts == ["hello"]
    assert bob.codes == ["wedged_session"]


# Two texts are never one key, nor two names one person: each has one form.
@pytest.mark.parametrize(
    "change",
    [
        *({"ed25519": "A" * 42 + end} for end in ("B", "A=", "", "AA", "-")),
        *({"user": name} for name in ("Alice", "ａｌｉｃｅ", "", "a b", "x\u202e", "a" * 33)),
    ],
    ids=repr,
)
def test_keys_and_names_in_another_form(change):
    party = {"user": "alice", "device": "aaaaaaaa", "ed25519": "A" * 43}
    assert parse(Party, json.dumps(party), "a party").user == "alice"
    with pytest.raises(Malformed):
        parse(Party, json.dumps({**party, **change}), "a party")


# Nor does anything that it tells unasked.
@pytest.mark.parametrize("event", ["message", "private", "roster", "keys_changed", "td", "news", 5])
@pytest.mark.parametrize("part", [None, 5, "a b", [], {}, [None], ["a b"]])
def test_malformed_events(server, message, bob, event, part):
    names = ("room", "id", "user", "users", "device", "body")
    said = {**dict.fromkeys(names, part), "event": event}
    bob.read({**said, "enc": message["enc"]})
    for enc in (None, part, {"alg": part, "sid": part, "ct": part}):
        bob.read({**said, "enc": enc})
    if bob.device.pushed(said):
        bob.do(bob.device.attend(server.now))
    assert bob.read(message).body == "hello bob"


# Names come in the form in which they are shown, too.
def test_names_as_they_are_shown(server, message, alice, bob):
    assert bob.read({**message, "room": "Den", "user": "Alice"}).body == "hello bob"
    bob.device.pushed({"event": "keys_changed", "users": ["Alice"]})
    server.asked.clear()
    bob.say("anything new?", "Den")
    assert "keys.query" in server.asked


# Who asks for keys again and again gets them once an hour.
def test_keys_are_sent_again_once_an_hour(server, message, alice, bob):
    server.asked.clear()
    for _ in range(3):
        bob.write(alice, "renew")
    assert server.asked.count("td.send") == 3 + 1


# Whose keys are known can be written to at once: what is said at the very moment at which somebody
# appears is read by them, and so is what follows.
def test_who_is_known_can_be_reached(server, alice, tmp_path):
    def talk(answer, chat):
        alice.attend()
        alice.do(alice.device.say("den", "welcome", server.now))
        return answer

    server.room("den", "alice", "carol")
    server.lies["keys.manifest.put"] = talk
    carol = Chat(server, "carol", tmp_path)
    alice.say("how are you?")
    assert carol.texts == ["welcome", "how are you?"]


def _from_nobody(user: str, device: str) -> str:
    """Return the body of an item that a device says to have written which nobody knows."""
    sender = Address(user=user, device=device)
    return OlmBody(sender=sender, curve25519="A" * 43, type=0, ct="AAAA").dump()


# Who fills a mailbox with junk does not have its reader ask the server for each item.
def test_junk_of_one_user(server, message, alice, bob):
    queries = server.asked.count("keys.query")
    for device in ("aaaaaaa", "bbbbbbb"):
        for number in "234567":
            server.mail("bob", bob.device.me.device, _from_nobody("carol", device + number), alice)
    bob.fetch()
    assert server.asked.count("keys.query") == queries + 1
    assert not server.mailboxes[bob.address]


# Nor for everybody whose name comes into their mind.
def test_junk_in_the_names_of_others(server, message, alice, bob):
    queries = server.asked.count("keys.query")
    to = {"user": "bob", "device": bob.device.me.device}
    msgs = [{**to, "body": _from_nobody(name, "aaaaaaaa")} for name in ("carol", "dave")]
    server.ask(alice, "td.send", {"txn": "junk", "msgs": msgs})
    server.settle()
    assert server.asked.count("keys.query") == queries
    assert bob.codes == ["wrong_sender"] * 2


# But it asks again once it hears that their list is another one.
def test_a_new_list_among_junk(server, message, alice, bob):
    queries = server.asked.count("keys.query")
    for _ in range(ITEMS_AT_ONCE + 1):
        server.mail("bob", bob.device.me.device, _from_nobody("carol", "aaaaaaaa"), alice)

    def tell(answer, chat):
        chat.device.pushed({"event": "keys_changed", "users": ["carol"]})
        return answer

    server.lies["td.ack"] = tell
    bob.fetch()
    assert server.asked.count("keys.query") == queries + 2
