"""A client that is killed at any step: nothing is lost, nothing is said twice, no step reused."""

from contextlib import suppress
from functools import partial
from itertools import count
from random import Random

import pytest

from app.encryption import ServerRefused
from app.encryption.store import KeyStore
from tests.encryption.fakes import DAY, Chat, Killed, Server


@pytest.fixture
def killable(monkeypatch):
    """Let clients be killed before and after each commit as well as around each request."""
    chats = {}
    commit = KeyStore._commit

    def step_and_commit(store):
        chat = chats.get(id(store))
        if chat:
            chat.step()
        commit(store)
        if chat:
            chat.step()

    monkeypatch.setattr(KeyStore, "_commit", step_and_commit)
    return chats


def _kill_at(chat, chats, step, act):
    """Do something, killed at a step; then start again. Returns whether there was such a step."""
    chats[id(chat.store)] = chat
    chat.kill_at = step
    was_killed = True
    with suppress(Killed):
        act()
        was_killed = False
    chat.kill_at = None
    chats.clear()
    if chat.store._database.in_transaction:
        chat.store._database.execute("ROLLBACK")  # as the operating system would
    chat.come_back()
    chat.server.settle()
    return was_killed


# Killed anywhere while it says something, the client says it after it started again, once. What was
# not in the outbox when it was killed, was not said; no index of a session has two texts.
def test_killed_while_saying(server, alice, bob, killable):
    for step in count():
        room = f"room{step}"
        server.room(room, "alice", "bob")
        with bob.store.transaction():
            bob.store.delete("olm", alice.device.me.curve25519)
        with alice.store.transaction():
            alice.store.delete("olm", bob.device.me.curve25519)  # so that all steps are taken
        before, said = len(server.messages), len(bob.texts)
        is_killed = _kill_at(alice, killable, step, lambda room=room: alice.say("hello", room))
        alice.say("and on", room)
        expected = ["and on"] if step == 0 else ["hello", "and on"]
        assert bob.texts[said:] == expected, step
        assert bob.codes == [], step
        assert len({m["enc"]["ct"] for m in server.messages[before:]}) == len(expected)
        session = server.messages[-1]["enc"]["sid"]
        seen = [row for row in bob.store.ids("seen") if row.startswith(session)]
        assert len(seen) == len(expected), step
        if not is_killed:
            break
    assert step > 14


# Killed anywhere while it reads its mailbox, the client reads the rest of it afterwards.
def test_killed_while_receiving(server, alice, bob, killable):
    for step in count():
        room = f"room{step}"
        server.room(room, "alice", "bob")
        alice.do(alice.device.say(room, "hello", server.now))
        is_killed = _kill_at(bob, killable, step, bob.fetch)
        assert bob.read(server.messages[-1]).body == "hello", step
        assert not server.mailboxes[bob.address], step
        alice.say("again", room)
        assert bob.texts[-1] == "again", step
        if not is_killed:
            break
    assert step > 4


# Killed anywhere while it starts for the first time, the client has one identity and one device.
def test_killed_while_beginning(tmp_path, killable):
    server = Server()
    bob = Chat(server, "bob", tmp_path)
    for step in count():
        user, room = f"user{step}", f"room{step}"
        server.room(room, user, "bob")
        alice = Chat.__new__(Chat)
        is_killed = _begin(alice, killable, step, (server, user, tmp_path))
        alice.say("hello", room)
        assert bob.texts == ["hello"] * (step + 1)
        assert len(server.manifests[user]) == len(server.devices[user]) == 1
        alice.leave()
        if not is_killed:
            break
    assert step > 7
    server.close()


def _begin(chat, chats, step, about):
    """Start a client for the first time, killed at a step, and again. Returns whether it was."""
    opening = KeyStore.__init__

    def open_killable(store, *args):
        opening(store, *args)
        chats[id(store)] = chat
        chat.store = store

    KeyStore.__init__ = open_killable
    try:
        chat.__init__(*about, kill_at=step)
    except Killed:
        was_killed = True
        chat.store.close()
        if chat in chat.server.chats:
            chat.server.chats.remove(chat)
    else:
        was_killed = False
        chat.leave()
    finally:
        KeyStore.__init__ = opening
    chat.kill_at = None
    chats.clear()
    chat.come()
    return was_killed


# Killed at random, both of them, again and again: each thing said is read once, by everybody, no
# step of a ratchet was taken twice, and the mailboxes are empty.
def test_killed_at_random(server, alice, bob, killable):
    random = Random(5)
    said = []
    for number in range(60):
        one = random.choice([alice, bob])
        body = f"{one.user} {number}"
        was_killed = _kill_at(one, killable, random.randrange(12), partial(one.say, body))
        if was_killed and body not in _read_all(server, one):
            one.say(body)  # it was killed before it was in the outbox
        said.append(body)
        other = random.choice([alice, bob])
        _kill_at(other, killable, random.randrange(8), other.fetch)
        if random.random() < 0.1:
            server.now += 8 * DAY
    assert _read_all(server, alice) == _read_all(server, bob) == said
    assert len({message["enc"]["ct"] for message in server.messages}) == len(said)
    assert len(alice.store.ids("seen")) == len(bob.store.ids("seen")) == len(said)
    assert not any(server.mailboxes.values())


def _read_all(server, chat):
    return [chat.read(message).body for message in server.messages]


# A request whose answer was lost is repeated to the letter: the same ciphertext, the same txn.
def test_a_lost_answer(server, alice, bob):
    alice.say("first")

    def lose(answer, chat):
        raise ConnectionError

    server.lies["say"] = lose
    alice.is_refused(ConnectionError, "once")
    del server.lies["say"]
    del server.wire[:]
    alice.act(alice.device.start(server.now))
    assert bob.texts == ["first", "once"]
    assert len(server.messages) == 2
    assert any(server.messages[1]["enc"]["ct"] in line for line in server.wire)


def _killed_while_saying(chat, body):
    chat.kill_at = 2
    with pytest.raises(Killed):
        chat.say(body)
    chat.kill_at = None
    chat.leave()


# What the server refuses when it is sent after a restart is given back to the person.
def test_what_is_refused_after_a_restart_is_told(server, alice, bob):
    _killed_while_saying(alice, "a long letter")
    server.rooms["den"].update(e2ee=False)
    alice.come()
    assert alice.notices[-1].code == "not_sent"
    assert "a long letter" in alice.notices[-1].text
    assert not server.messages


# What a busy server refuses after a restart is kept, and goes out after the next one.
def test_what_is_refused_for_now_is_kept(server, alice, bob):
    _killed_while_saying(alice, "a long letter")
    server.refuse["say"] = ["not_stored"]
    alice.come()
    assert (alice.codes, bob.texts) == ([], [])
    alice.come_back()
    server.settle()
    assert bob.texts == ["a long letter"]


# A refusal is told to whoever asked, and leaves nothing behind that would go out later.
def test_a_refused_message(server, alice, bob):
    server.refuse["say"] = ["muted"]
    with pytest.raises(ServerRefused, match="muted"):
        alice.say("let me speak")
    alice.come_back()
    server.settle()
    assert bob.texts == []
    alice.say("thank you")
    assert bob.texts == ["thank you"]


# When keys could not be sent for now, such as for a full disk, they are given again with the very
# next message: nothing is said that nobody can read.
@pytest.mark.parametrize("code", ["rate_limited", "not_stored"])
def test_refused_keys(server, alice, bob, code):
    server.refuse["td.send"] = [code]
    with pytest.raises(ServerRefused, match=code):
        alice.say("one")
    alice.say("two")
    assert bob.texts == ["two"]
