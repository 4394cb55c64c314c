"""Encrypted rooms and private conversations, between clients and an honest server in memory."""

import base64
import json

import pytest

from app.encryption import FileSealer
from app.encryption.refusals import NotAMember, NotApproved, NotEncrypted, TooLong
from tests.encryption.fakes import DAY, PASSPHRASE, Chat


# The usual path takes no command: whoever is in an encrypted room says or does something, and is
# read.
def test_a_first_message_takes_no_extra_command(server, alice, bob):
    alice.say("hello bob")
    assert bob.texts == alice.texts == ["hello bob"]
    bob.say("hello alice")
    assert alice.texts[-1] == "hello alice"
    alice.act(alice.device.say("den", "waves", server.now, kind="me"))
    assert [(each.kind, each.body) for each in bob.shown[2:]] == [("me", "waves")]
    assert [bob.shown[0].user, bob.shown[0].mark] == ["alice", "~"]
    assert [notice.text for notice in alice.notices] == [
        "den is encrypted; who reads you there: alice, bob"
    ]


# A private conversation is encrypted in the same way, between all devices of its two users.
def test_private_conversations(server, alice, bob, tmp_path):
    carol = Chat(server, "carol", tmp_path)
    alice.say_privately("bob", "between us")
    assert (bob.texts, alice.texts, carol.texts) == (["between us"], ["between us"], [])
    bob.say_privately("alice", "quite")
    assert alice.texts[-1] == "quite"


# Who is away finds the keys in their mailbox, and reads what was said, also after a restart; and so
# does, of their own, who said it.
def test_an_offline_member_reads_later(server, alice, bob):
    bob.leave()
    alice.say("read this later")
    bob.come()
    for _ in range(2):
        for each in (alice, bob):
            assert each.read(server.messages[0]).body == "read this later"
            each.come_back()
    assert not server.mailboxes[bob.address]


# A message that is there before its key waits, and is shown when the key comes.
def test_a_message_waits_for_its_key(server, alice, bob):
    alice.do(alice.device.say("den", "early", server.now))
    message = next(event for event in bob.events if event["event"] == "message")
    assert bob.read(message).refusal.code == "key_missing"
    bob.fetch()
    assert bob.texts == ["early"]


# The length of what travels says in which 256 bytes a message ends, and no more.
def test_short_messages_have_one_length(server, alice, bob):
    for body in ("y", "no, certainly not"):
        alice.say(body)
    first, second = (message["enc"]["ct"] for message in server.messages)
    assert len(first) == len(second)
    alice.say("x" * 256)
    assert len(server.messages[2]["enc"]["ct"]) > len(first)


# A session serves a hundred messages; the hundred and first is in a new one.
def test_the_hundred_and_first_message_has_a_new_session(server, alice, bob):
    for number in range(101):
        alice.say(str(number))
    sessions = [message["enc"]["sid"] for message in server.messages]
    assert len(set(sessions[:100])) == 1
    assert sessions[100] != sessions[99]
    assert bob.texts == [str(number) for number in range(101)]


# A session serves seven days.
def test_a_session_is_replaced_after_a_week(server, alice, bob):
    alice.say("monday")
    server.now += 6 * DAY
    alice.say("sunday")
    server.now += 2 * DAY
    alice.say("tuesday")
    first, second, third = (message["enc"]["sid"] for message in server.messages)
    assert first == second != third


# Who is removed can't read what is said afterwards, even with the ciphertext in hand; nor who was
# between a look at the roster and the message, which is encrypted anew.
@pytest.mark.parametrize("is_told", [True, False])
def test_a_removed_member_reads_nothing_more(server, alice, bob, tmp_path, is_told):
    server.rooms["den"]["members"].append("carol")
    carol = Chat(server, "carol", tmp_path)
    alice.say("all three")
    assert carol.texts == ["all three"]
    if is_told:
        server.change_members("den", remove="carol")
    else:
        server.rooms["den"].update(members=["alice", "bob"], rev=2)
    alice.say("without carol")
    assert bob.texts[-1] == "without carol"
    assert len(server.messages) == 2
    assert carol.read(server.messages[1]).refusal.code == "key_missing"
    carol.fetch()
    assert carol.read(server.messages[1]).refusal is not None


# A new member reads nothing of a sender until the sender accepts them, and nothing from before.
def test_a_new_member_waits_for_acceptance(server, alice, bob, tmp_path):
    alice.say("before")
    server.change_members("den", add="carol")
    carol = Chat(server, "carol", tmp_path)
    alice.say("carol is a stranger")
    assert (carol.texts, alice.codes) == ([], ["member_waits"])
    assert "/members accept carol" in alice.notices[-1].text
    alice.do(alice.device.accept("den", ["carol"]))
    alice.say("welcome")
    assert carol.texts == ["welcome"]
    assert carol.read(server.messages[0]).refusal.code == "said_before"  # and not changed
    assert carol.read(server.messages[2]).body == "welcome"
    assert server.messages[0]["enc"]["sid"] == server.messages[2]["enc"]["sid"]  # same session


# Acceptance ends with membership: who comes back, or is put back, is a stranger again.
def test_acceptance_ends_with_membership(server, alice, bob):
    alice.say("hello")
    server.change_members("den", remove="bob")
    alice.say("bob is gone")
    server.change_members("den", add="bob")
    alice.say("is bob back?")
    assert bob.texts == ["hello"]
    assert "member_waits" in alice.codes


# A member without keys, who sits at telnet, keeps nobody from talking, and the sender is told;
# so too when they have keys, and read.
def test_a_member_without_keys(server, alice, bob, tmp_path):
    server.room("den", "alice", "bob", "dora")
    alice.say("hello")
    alice.say("again")
    assert bob.texts == ["hello", "again"]
    assert alice.codes == ["no_keys"]
    assert alice.do(alice.device.keyless(["alice", "bob", "dora"])) == ["dora"]
    dora = Chat(server, "dora", tmp_path)
    server.settle()
    alice.say("welcome")
    assert dora.texts == ["welcome"]
    assert alice.codes == ["no_keys", "has_keys"]


# One-time keys are for one conversation each; when none is left, the fallback key serves.
def test_exhausted_one_time_keys(server, alice, bob, tmp_path):
    bob.leave()
    server.keys[bob.address].clear()
    alice.say("to the fallback key")
    server.rooms["den"]["members"].append("carol")
    carol = Chat(server, "carol", tmp_path)
    carol.say("to the fallback key too")
    bob.come()
    read = [bob.read(message).body for message in server.messages]
    assert read == ["to the fallback key", "to the fallback key too"]
    assert len(server.keys[bob.address]) == 10
    assert bob.address not in server.used_fallbacks  # a new one took its place


# A device without any key at the server is left out, for an hour, and then given the key.
def test_a_device_without_keys_at_the_server(server, alice, bob):
    kept = server.keys.pop(bob.address), server.fallbacks.pop(bob.address)
    alice.say("one")
    alice.say("two")
    assert (bob.texts, server.asked.count("keys.claim")) == ([], 1)
    assert alice.codes == ["no_one_time_keys"]
    server.keys[bob.address], server.fallbacks[bob.address] = kept
    server.now += 3_600_000
    alice.say("three")
    assert bob.texts == ["three"]


# A device whose mailbox is full is given the key again later, from where the talk is then.
def test_a_full_mailbox(server, alice, bob):
    failed = [{"user": "bob", "device": bob.device.me.device, "error": "mailbox_full"}]
    server._td_send = lambda chat, txn, msgs: {"failed": failed}
    alice.say("one")
    del server._td_send
    server.now += 3_600_000
    alice.say("two")
    assert bob.texts == ["two"]


def _hear_that_keys_are_low(chat):
    chat.device.pushed({"event": "keys_low"})
    chat.do(chat.device.attend(chat.server.now))


# The server never holds fewer one-time keys than a busy day takes.
def test_one_time_keys_are_made_when_they_run_low(server, alice, bob):
    for kid in list(server.keys[bob.address])[:7]:
        del server.keys[bob.address][kid]
    _hear_that_keys_are_low(bob)
    assert len(server.keys[bob.address]) == 10


# A server that loses keys without end does not make the client forget those that it gave out.
def test_a_server_that_loses_one_time_keys(server, alice, bob, monkeypatch):
    monkeypatch.setattr("app.encryption.olm.ONE_TIME_KEYS_OPEN_MAX", 25)
    for _ in range(5):
        server.keys[bob.address].clear()
        _hear_that_keys_are_low(bob)
    assert bob.store.get("account")["made"] == 25


# Everything that is not encrypted, or not approved, or too long, is refused before it is sent.
def test_what_is_not_sent(server, alice, bob, tmp_path):
    server.room("hall", "alice", "bob", e2ee=False)
    alice.is_refused(NotEncrypted, "in the clear?", "hall")
    alice.is_refused(TooLong, "x" * 20_000)
    phone = Chat(server, "alice", tmp_path, "phone")
    with pytest.raises(NotApproved) as refused:
        phone.say("may I?")
    assert f"/device approve {phone.device.me.device} {phone.device.code}" in str(refused.value)
    assert not server.messages


# Encrypting a room is for good; what was said there before is marked as in the clear.
def test_encrypting_a_room(server, alice, bob):
    server.room("hall", "alice", "bob", e2ee=False)
    server.messages.append({})
    alice.do(alice.device.encrypt_room("hall"))
    alice.say("now in private", "hall")
    assert bob.texts == ["now in private"]
    old = {"event": "message", "room": "hall", "id": 1, "user": "bob", "body": "an old line"}
    assert (alice.read(old).mark, alice.read(old).body) == ("-", "an old line")


# What others typed can't touch the screen: the server can no longer see to it.
def test_decrypted_text_is_harmless(server, alice, bob, monkeypatch):
    monkeypatch.setattr("app.encryption.device.harmless", str)  # by a client that does not care
    alice.say("\x1b[2Jhello\r\nbob \u202e")
    assert bob.texts == ["�[2Jhello��bob �"]
    monkeypatch.undo()
    alice.say("half a character: \udc80")
    assert bob.texts[-1] == "half a character: �"


# Neither what the server keeps, nor the wire, nor the files of clients have any of it in them.
def test_nothing_is_anywhere_in_the_clear(server, alice, bob, tmp_path):
    alice.say("MARKER in the text")
    alice.say_privately("bob", "MARKER in private")
    file = FileSealer()
    sealed = b"".join(file.seal([b"MARKER in the file"]))
    reference = file.reference(7, "MARKER.txt", "text/plain")
    alice.act(alice.device.say_file("den", reference, server.now))
    seed = alice.store.get("identity")["seed"]
    session = alice.store.rows("inbound")[0][1]["entries"][alice.address]["pickle"]
    key = alice.device._keys.export()[0]["content"]["key"]
    secrets = ["MARKER", PASSPHRASE, reference.key, seed, session, key]
    places = [json.dumps(server.wire), repr(vars(server)), sealed.decode("latin-1")]
    places += [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*.db*")]
    assert len(places) >= 7
    for secret in secrets:
        raw = "" if secret in ("MARKER", PASSPHRASE) else _raw(secret)
        assert not [place for place in places if secret in place or (raw and raw in place)]


def _raw(secret):
    return base64.b64decode(secret + "==").decode("latin-1")[:32]


# A crowd is reached by one message with few requests, each of which fits into a line.
def test_a_message_into_a_large_room(server, tmp_path):
    names = [f"user{number}" for number in range(20)]
    server.room("den", "alice", *names)
    everybody = [Chat(server, name, tmp_path) for name in names]
    alice = Chat(server, "alice", tmp_path)
    del server.asked[:], server.wire[:]
    alice.do(alice.device.say("den", "hello all", server.now))
    assert server.asked.count("keys.query") == server.asked.count("keys.claim") == 1
    asks = [line for line in server.wire if line.startswith("[")]
    assert max(map(len, asks)) < 65536
    server.settle()
    assert all(chat.texts == ["hello all"] for chat in everybody)


# Only who is in the room can be accepted: nobody is let in beforehand.
def test_who_can_be_accepted(server, alice, bob):
    alice.say("hello")
    with pytest.raises(NotAMember):
        alice.do(alice.device.accept("den", ["bob", "carol"]))
    assert alice.do(alice.device.accept("den", ["Bob"])).waiting == []


# Keys without end, of rooms that nobody is in, take no more than their bound, and push out nobody
# else's; what was read with a key keeps it.
def test_keys_without_end(server, message, alice, bob, tmp_path, monkeypatch):
    monkeypatch.setattr("app.encryption.roomkeys.UNUSED_MAX", 5)
    carol = Chat(server, "carol", tmp_path)
    bob.do(bob.device.fingerprint("carol"))
    alice.do(alice.device._sender._share("hall", [bob.device.me], server.now))
    for number in range(20):
        carol.do(carol.device._sender._share(f"room{number}", [bob.device.me], server.now))
    server.settle()
    assert bob.codes == []
    kept = [each.split()[1].partition("/")[0] for each in bob.store.ids("unused")]
    assert (kept.count("carol"), kept.count("alice")) == (4, 1)
    assert len(bob.store.ids("inbound")) == 5 + 1
    assert bob.read(message).body == "hello bob"


# A key for a private conversation is of one of its two users, for the other.
def test_a_key_for_a_conversation_of_others(server, message, alice, bob, tmp_path):
    alice.act(alice.device._sender._share("@alice,carol", [bob.device.me], server.now))
    assert bob.codes == ["wrong_room"]
    assert len(bob.store.ids("inbound")) == 1
