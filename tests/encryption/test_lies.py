"""A server that lies, in each way that it could: the client notices, in words for a person."""

import base64
import json

import pytest

from app.encryption import refusals
from app.encryption.envelope import pack
from app.encryption.payloads import Content, RoomKeyContent, private_room
from app.encryption.signing import sign_as_user
from app.protocol.signatures import Kind
from app.protocol.signed import OneTimeKeyPayload
from tests.encryption.fakes import Chat


def _flipped(text, place):
    """Return what is in Base64 with one bit changed."""
    data = bytearray(base64.b64decode(text + "=="))
    data[place] ^= 1
    return base64.b64encode(data).decode().rstrip("=")


# Each bit of a message is protected.
@pytest.mark.parametrize("place", [0, 3, 20, 100, -1])
def test_flipped_bits(message, bob, place):
    enc = {**message["enc"], "ct": _flipped(message["enc"]["ct"], place)}
    shown = bob.read({**message, "enc": enc})
    assert (shown.refusal.code, shown.body, shown.mark) == ("tampered", "", "!")


# A message is shown under its id, in its room, as its sender's, and not otherwise; and what is in
# the clear is none of an encrypted room's.
@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": 99}, "replayed"),
        ({"room": "hall"}, "wrong_room"),
        ({"user": "carol"}, "wrong_sender"),
        ({"device": "aaaaaaaa"}, "wrong_sender"),
        ({"id": 99, "enc": None, "body": "send money"}, "plaintext_injected"),
    ],
)
def test_another_message(message, bob, change, code):
    assert bob.read(message).body == "hello bob"
    shown = bob.read({**message, **change})
    mark = "-" if code == "plaintext_injected" else "!"
    assert (shown.refusal.code, shown.body, shown.mark) == (code, "", mark)


# A message that its sender encrypted twice, for a server that said the roster changed, counts once.
def test_a_message_that_was_encrypted_twice_is_shown_once(server, alice, bob):
    alice.say("first")
    taken = []
    honest = server._say
    server._say = lambda chat, **fields: taken.append(fields["enc"]) or honest(chat, **fields)
    server.rooms["den"]["rev"] = 2
    alice.say("once")
    again = {**server.messages[1], "id": 99, "enc": taken[0]}
    assert len(taken) == 2
    assert bob.read(again).refusal.code == "replayed"


# Who was given a key can't pass what it reads for their own words, whatever the server does.
def test_an_insider_relabels_a_session(server, message, alice, bob):
    key = bob.device._keys.export()[0]["content"]
    bob.write(alice, "room_key", json.dumps(key))
    as_bob = {**message, "id": 99, "user": "bob", "device": bob.device.me.device}
    assert alice.read(as_bob).refusal.code == "wrong_sender"
    assert alice.read(message).body == "hello bob"  # and alice's own key is the one it was


# A later key of a session fits the earlier one, and is of that session, from where on it says; no
# device can say of one that it is another room's now.
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda key: {"room": "hall"}, "session_conflict"),
        (lambda key: {"key": _flipped(key["key"], 40)}, "session_conflict"),
        (lambda key: {"sid": "A" * 43}, "malformed"),
        (lambda key: {"index": 5}, "malformed"),
        (lambda key: {"is_exported": False}, "malformed"),
    ],
)
def test_a_key_that_contradicts_the_one_before(server, message, alice, bob, change, code):
    key = alice.device._keys.export()[0]["content"]
    alice.write(bob, "room_key", json.dumps({**key, **change(key)}))
    assert code in bob.codes
    assert bob.read(message).body == "hello bob"


# What was read is not new again, under its own id either; it may be read again in history.
def test_a_replay_under_its_own_id(message, bob):
    assert bob.read(message, is_live=True).refusal.code == "replayed"
    assert bob.read(message).body == "hello bob"


# What is not encrypted is none of an encrypted room's messages as soon as it comes as new, and an
# encrypted one has a number.
@pytest.mark.parametrize("number", [1, 0, -1, 1.0, "1", True, None, 1 << 53])
def test_plaintext_with_any_id(server, alice, bob, number):
    server.rooms["den"]["e2ee_from"] = 50
    server.messages += [{}] * 50
    bob.do(bob.device.roster("den"))
    alice.say("hello bob")
    message = server.messages[-1]
    plain = {**message, "enc": None, "body": "send money", "id": number}
    assert bob.read(plain, is_live=True).refusal.code == "plaintext_injected"
    if number != 1:
        assert bob.read({**message, "id": number}).refusal.code == "malformed"


# A room, or a conversation, that was read encrypted once takes no plaintext any more.
def test_plaintext_where_nothing_was_sent_yet(server, alice, bob):
    alice.say_privately("bob", "psst")
    room = private_room("alice", "bob")
    assert bob.device.is_encrypted(room)
    plain = {"event": "private", "id": 99, "user": "alice", "to": "bob", "body": "send money"}
    assert bob.read(plain).refusal.code == "plaintext_injected"


# A room that was encrypted is so for good.
def test_a_downgrade(server, message, alice):
    server.rooms["den"].update(e2ee=False, rev=2)
    alice.is_refused(refusals.Downgraded, "still private?")
    assert len(server.messages) == 1
    assert alice.device.is_encrypted("den")


# What the server puts into a roster that it may not is a refusal, no crash.
@pytest.mark.parametrize(
    "change", [{"members": None}, {"members": ["a b"]}, {"rev": "x"}, {"e2ee": "yes"}]
)
def test_malformed_rosters(server, alice, bob, change):
    server.rooms["den"].update(change)
    alice.is_refused(refusals.Malformed)


# A member whom the server adds reads nothing: not a word, not a key.
def test_a_ghost_member(server, message, alice, bob, tmp_path):
    ghost = Chat(server, "ghost", tmp_path)
    server.rooms["den"].update(members=["alice", "bob", "ghost"], rev=2)
    alice.say("are we alone?")
    assert bob.texts[-1] == "are we alone?"
    assert not server.mailboxes[ghost.address]
    assert "member_waits" in alice.codes


# A private conversation has two users, whatever the server says of it.
def test_no_third_in_a_private_conversation(server, alice, bob, tmp_path):
    carol = Chat(server, "carol", tmp_path)
    room = private_room("alice", "bob")
    carol.do(carol.device._sender._share(room, [], server.now))
    (key,) = carol.device._keys.export()
    with bob.store.transaction():  # by whatever way it came
        content = RoomKeyContent(**key["content"])
        bob.device._keys.take(carol.device.me, key["aik"], content)
    with carol.store.transaction():
        envelope = carol.device._sender._envelope(room, "x", Content(t="text", body="hi"), 1)
        enc = carol.device._keys.encrypt(room, pack(envelope))
    server.settle()
    event = {"event": "message", "room": room, "id": 9, "user": "carol", "enc": enc}
    event["device"] = carol.device.me.device
    assert bob.read(event).refusal.code == "wrong_room"


# A device that its user never signed gets no key.
def test_an_unsigned_device(server, alice, bob, tmp_path):
    spy = Chat(server, "bob", tmp_path, "spy")
    alice.say("for bob's own device")
    assert bob.texts == ["for bob's own device"]
    assert not server.mailboxes[spy.address]
    assert spy.texts == []


# Nothing that an unsigned device sends is taken.
def test_a_key_from_an_unsigned_device(server, alice, bob, tmp_path):
    spy = Chat(server, "bob", tmp_path, "spy")
    spy.do(spy.device._postbox.reach([alice.device.me], server.now))
    key = {"room": "den", "sid": "A" * 43, "index": 0, "key": "x"}
    spy.write(alice, "room_key", json.dumps(key))
    assert alice.codes == ["unknown_device"]


# A one-time key is taken from whoever it says made it, and from nobody else.
@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lambda key, spy: {**key, "sig": spy["sig"]}, "bad_signature"),
        (lambda key, spy: spy, "bad_signature"),
        (lambda key, spy: {**key, "payload": key["payload"].replace("o:", "f:")}, "bad_signature"),
        (lambda key, spy: {"payload": "{}", "sig": ""}, "malformed"),
        (lambda key, spy: None, "no_one_time_keys"),
    ],
)
def test_a_swapped_one_time_key(server, alice, bob, tmp_path, lie, code):
    carol = Chat(server, "carol", tmp_path)
    other = next(iter(server.keys[carol.address].values()))
    spy = {"payload": other["payload"], "sig": other["sig"]}

    def lies(answer, chat):
        for each in answer["keys"]:
            each["key"] = lie(each["key"], spy)
        return answer

    server.lies["keys.claim"] = lies
    alice.say("hello bob")
    assert bob.texts == []
    assert alice.codes == [code]


# A device's key does not pass for that of another device of the same user; nor does a signature of
# one kind for one of another, though its payload would fit.
@pytest.mark.parametrize(
    ("change", "refusal"),
    [({"device": "aaaaaaaa"}, refusals.WrongOwner), ({"kid": "f:AAAA"}, refusals.BadSignature)],
)
def test_a_one_time_key_of_another_kind(server, alice, bob, change, refusal):
    key = next(iter(server.keys[bob.address].values()))
    claimed = OneTimeKeyPayload.model_validate_json(key["payload"])
    payload = claimed.model_copy(update=change).dump()
    signed = bob.device._olm.sign(Kind.ONE_TIME_KEY, payload)
    alice.do(alice.device.fingerprint("bob"))
    with pytest.raises(refusal), alice.store.transaction():
        alice.device._olm.begin(bob.device.me, signed)


def _manifest(server, chat, **changes):
    """Return a manifest that a user would have signed."""
    payload = {**json.loads(server.manifests[chat.user][-1]["payload"]), **changes}
    seed = chat.store.get("identity")["seed"]
    return sign_as_user(seed, Kind.MANIFEST, json.dumps(payload)).model_dump()


# An older list of devices, another one of the same number, and none at all are refused.
@pytest.mark.parametrize(
    ("lie", "refusal"),
    [
        (lambda old, fork: old, refusals.ManifestRolledBack),
        (lambda old, fork: fork, refusals.ManifestForked),
        (lambda old, fork: None, refusals.ManifestVanished),
    ],
)
def test_manifests_that_go_back(server, message, alice, bob, tmp_path, lie, refusal):
    old = server.manifests["bob"][0]
    phone = Chat(server, "bob", tmp_path, "phone")
    bob.do(bob.device.approve(phone.device.me.device, phone.device.code, server.now))
    alice.say("to two devices")
    server.manifests["bob"].append(lie(old, _manifest(server, bob, devices=[])))
    alice.device.pushed({"event": "keys_changed", "users": ["bob"]})
    alice.is_refused(refusal, "to whom?")
    assert len(server.messages) == 2
    del server.manifests["bob"][-1]  # and goes on as soon as the server shows the true one
    alice.say("to bob")
    assert bob.texts[-1] == phone.texts[-1] == "to bob"


# A list of devices is its user's own, whole, and signed by the key that it names.
@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lambda m: {**m, "payload": m["payload"].replace('"seq":1', '"seq":2')}, "bad_signature"),
        (lambda m: {**m, "sig": m["sig"][:-4] + "AAAA"}, "bad_signature"),
        (lambda m: {**m, "sig": "?"}, "bad_signature"),
        (lambda m: {"payload": "[]", "sig": m["sig"]}, "malformed"),
        (lambda m: {"sig": m["sig"]}, "malformed"),
        (lambda m: "a list", "malformed"),
        (lambda m: 5, "malformed"),
    ],
)
def test_false_manifests(server, alice, bob, lie, code):
    server.manifests["bob"].append(lie(server.manifests["bob"][0]))
    with pytest.raises((refusals.BadSignature, refusals.Malformed)):
        alice.say("hello")
    assert alice.codes == [code]


# The keys of one user are not those of another.
def test_a_manifest_of_another_user(server, alice, bob, tmp_path):
    Chat(server, "carol", tmp_path)
    server.manifests["bob"].append(server.manifests["carol"][0])
    alice.is_refused(refusals.WrongOwner)


# No device is on a list twice, by any of its names.
@pytest.mark.parametrize("name", ["id", "ed25519", "curve25519"])
def test_a_manifest_with_one_device_twice(server, alice, bob, name):
    (device,) = json.loads(server.manifests["bob"][0]["payload"])["devices"]
    other = {"id": "aaaaaaaa", "ed25519": "A" * 43, "curve25519": "A" * 43}
    twice = [device, {**other, name: device[name]}]
    server.manifests["bob"].append(_manifest(server, bob, seq=2, devices=twice))
    alice.is_refused(refusals.Malformed)


# A new identity blocks sending, until the person looks at it and trusts it.
def test_a_changed_identity(server, message, alice, bob, tmp_path):
    bob.leave()
    server.manifests["bob"].clear()
    new = Chat(server, "bob", tmp_path, "new")
    with pytest.raises(refusals.IdentityChanged) as refused:
        alice.say("is that you?")
    assert "/trust bob" in str(refused.value)
    assert (alice.device.mark("bob"), len(server.messages)) == ("!", 1)
    old = alice.do(alice.device.fingerprint("alice"))
    assert alice.do(alice.device.fingerprint("bob")) == new.do(new.device.fingerprint("alice"))
    assert old != alice.do(alice.device.fingerprint("bob"))
    new.say("it is me")
    assert "unknown_device" in alice.codes
    alice.act(alice.device.trust("bob", server.now))
    assert alice.texts[-1] == "it is me"  # the key that was refused was sent again
    alice.say("welcome back")
    assert new.texts[-1] == "welcome back"
    assert alice.device.mark("bob") == "~"
    assert alice.read(server.messages[0]).mark == "~"


# It stays blocked when the client starts anew, though nothing new is said of it.
def test_a_changed_identity_is_remembered(server, message, alice, bob, tmp_path):
    bob.leave()
    kept = server.manifests["bob"][:]
    server.manifests["bob"].clear()
    Chat(server, "bob", tmp_path, "new")
    alice.device.pushed({"event": "keys_changed", "users": ["bob"]})
    alice.is_refused(refusals.IdentityChanged, "is that you?")
    alice.come_back()
    assert alice.device.mark("bob") == "!"
    server.manifests["bob"] = kept
    alice.say("the identity that was pinned may have it")
    assert alice.device.mark("bob") == "~"


# Another identity as one's own is the loudest alarm of all.
def test_another_identity_as_ones_own(server, message, alice, tmp_path):
    server.manifests["alice"].clear()
    Chat(server, "alice", tmp_path, "thief")
    alice.attend()
    alice.is_refused(refusals.IdentityLost, "who am I?")


# A message by this very device that it never sent shows that a copy of its keys is in use.
def test_a_copy_of_the_keys_in_use(server, message, alice, bob):
    with alice.store.transaction():
        before = alice.store.get("outbound", "den")
    alice.say("said by the copy")
    with alice.store.transaction():
        alice.store.put("outbound", "den", before)  # as in a store that was put back
    with pytest.raises(refusals.OwnDeviceCopied):
        alice.read(server.messages[1])


# A server that says without end that members come and go is told no, and has learned nothing.
def test_a_roster_that_never_settles(server, alice, bob):
    server.refuse["say"] = ["roster_changed"] * 99
    with pytest.raises(Exception, match="try again"):
        alice.say("hello")
    assert not alice.device._outbox.numbers()


MALFORMED = [
    lambda envelope: pack(envelope)[:-1],
    lambda envelope: pack(envelope) + bytes(256),
    lambda envelope: pack(envelope)[:-1] + b"x",
    lambda envelope: b"",
    lambda envelope: b"\xff" * 256,
    lambda envelope: pack(envelope).replace(b"hi", b"\xff\xfe"),
    lambda envelope: pack(envelope).replace(b'"v":1', b'"v":2'),
    lambda envelope: pack(envelope).replace(b'"ts":1', b'"tz":1'),
    lambda envelope: pack(envelope.model_copy(update={"body": None})),
    lambda envelope: pack(envelope.model_copy(update={"t": "file"})),
    lambda envelope: pack(envelope.model_copy(update={"ts": 1 << 53})),
    lambda envelope: pack(envelope.model_copy(update={"ts": 32_503_680_000_001})),
    lambda envelope: pack(envelope.model_copy(update={"ts": -1})),
]


# A session is for one room, and so is what is said in it: both have to be the one that is shown.
# What is inside a message has one shape, to the last byte of its padding.
@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"room": "hall", "envelope_room": "hall"}, "wrong_room"),
        ({"envelope_room": "hall"}, "wrong_room"),
        ({"alg": "megolm.v2"}, "unknown_algorithm"),  # nobody guesses at what is to come
        *(({"packed": packed}, "malformed") for packed in MALFORMED),
    ],
)
def test_malformed_envelopes(server, alice, lie, code):
    lie = {"room": "den", "envelope_room": "den", "packed": pack, "alg": "megolm.v1", **lie}
    alice.do(alice.device._sender._share("den", [], server.now))
    content = Content(t="text", body="hi")
    envelope = alice.device._sender._envelope(lie["envelope_room"], "x", content, 1)
    with alice.store.transaction():
        enc = alice.device._keys.encrypt("den", lie["packed"](envelope))
    message = {"event": "message", "room": lie["room"], "enc": {**enc, "alg": lie["alg"]}}
    about = {"user": "alice", "device": alice.device.me.device, "id": 77}
    assert alice.read({**message, **about}).refusal.code == code


# Who lies in their own message about who they are is not believed, though the server helps them.
def test_an_insider_writes_in_the_name_of_another(server, message, alice, bob, tmp_path):
    carol = Chat(server, "carol", tmp_path)
    content = Content(t="text", body="I resign")
    envelope = carol.device._sender._envelope("den", "x", content, 1)
    with alice.store.transaction():
        enc = alice.device._keys.encrypt("den", pack(envelope))
    as_carol = {"id": 77, "user": "carol", "device": carol.device.me.device, "enc": enc}
    assert bob.read({**message, **as_carol}).refusal.code == "wrong_sender"
    assert bob.read({**message, "id": 77, "enc": enc}).refusal.code == "wrong_sender"


# A server that says of a room that it will be encrypted some day puts in no plaintext behind what
# was read.
def test_a_room_that_is_encrypted_from_the_future_on(server, alice, bob):
    server.rooms["den"]["e2ee_from"] = 1 << 50
    server.messages.append({})
    bob.do(bob.device.roster("den"))
    message_id = alice.say("hello bob")
    assert bob.texts == ["hello bob"]
    injected = {"event": "message", "room": "den", "id": message_id + 1, "user": "alice"}
    assert bob.read({**injected, "body": "send money"}).refusal.code == "plaintext_injected"
    before = bob.read({**injected, "id": message_id - 1, "body": "before"})
    assert (before.refusal, before.body, before.mark) == (None, "before", "-")


# What can't be a list of devices is none.
@pytest.mark.parametrize("devices", [True, 5, "x", {"a": 1}, [None]])
def test_devices_that_are_no_list(server, alice, bob, devices):
    def lie(answer, chat):
        answer["users"]["alice"]["devices"] = devices
        return answer

    server.lies["keys.query"] = lie
    assert alice.do(alice.device.devices()) == []


# Messages that nobody has a key of do not keep out the newer ones that will get theirs.
def test_messages_without_keys(server, message, alice, bob, monkeypatch):
    monkeypatch.setattr("app.encryption.reading.WAITING_MAX", 2)
    for number in range(3):
        junk = {**message, "id": 10 + number, "enc": {**message["enc"], "sid": f"junk{number}"}}
        assert bob.read(junk).refusal.code == "key_missing"
    assert sorted(bob.store.ids("waiting")) == ["junk1 11", "junk2 12"]
