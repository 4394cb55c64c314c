"""Encryption as people at `manage.py chat` meet it, with a server in memory that may lie."""

import copy
import sys

import pytest

from app.terminal import main
from tests.kit.encrypted_terminal import PASSPHRASE, sat_down
from tests.kit.scenes import enter, evening, go_to, is_in

MARKER = "m4rk3r"


# The usual path: who enters an encrypted room for the first time is asked for a passphrase, says
# something, and the others read it, each name with its mark. Nothing of it is on a disk or a wire.
@evening
async def test_the_usual_path(server, tmp_path) -> None:
    async with sat_down(server, tmp_path, "alice", "bob") as (alice, bob):
        await enter(alice, bob)
        alice.type(f"hello {MARKER}", "/me waves")
        for person in (alice, bob):
            await person.sees(f"~ alice: hello {MARKER}", "~ * alice waves")
        bob.type(f"/msg alice psst {MARKER}")
        await alice.sees(f"~ [private] bob: psst {MARKER}")
        await bob.sees(f"~ [private to alice] psst {MARKER}")
        assert alice.client.clear == bob.client.clear == []
        assert not any(MARKER in line for line in server.wire)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".db"]) == 2
    assert not [path for path in files if MARKER.encode() in path.read_bytes()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


# Without open keys, nothing is said where anything was ever encrypted, whatever the server says of
# it, and what came is shown as sealed; once they are open, it is read in its place.
@evening
async def test_closed_keys(server, tmp_path) -> None:
    async with sat_down(server, tmp_path, "alice", "bob") as (alice, bob):
        await enter(alice, bob)
        alice.type("hello")
        await bob.sees("~ alice: hello")
    server.rooms["den"]["e2ee"] = False
    async with sat_down(server, tmp_path, "alice", "bob") as (alice, bob):
        bob.encryption.open(PASSPHRASE)
        await is_in("den", alice)  # as the last time
        server.rooms["den"]["e2ee"] = True
        await go_to("den", bob)
        server.rooms["den"]["e2ee"] = False
        alice.type("/join den")
        await alice.sees("den is encrypted: type /unlock")
        alice.type("hello", "/msg bob hello", f"/send {__file__}")
        await alice.until(
            lambda: len([line for line in alice.lines if "your keys are not open" in line]) == 3
        )
        server.rooms["den"]["e2ee"] = True
        bob.type("good morning")
        await alice.sees("bob: [encrypted]")
        alice.type("/unlock")
        await alice.answers("wrong")
        await alice.sees("Error: that passphrase does not open")
        await alice.answers(PASSPHRASE)
        await alice.sees("~ bob: good morning")
        assert not any("[encrypted]" in line for line in alice.lines)
        assert alice.client.clear == []


# What is for one user who has no keys goes in the clear, marked so, and that is told once.
@evening
async def test_private_messages_in_the_clear(alice, server) -> None:
    alice.type("/msg dave hi")
    await alice.sees("- [private to dave] hi", "/unlock makes keys")
    await alice.enter()
    alice.type("/msg dave one", "/msg erin two")
    await alice.sees("- [private to erin] two", "erin has no keys")
    assert alice.client.clear == ["hi", "one", "two"]
    assert "/msg" not in alice.history.filename.read_text()
    told = [line for line in alice.model.home.lines if "The server can read" in line.text]
    assert len(told) == 1


# What can't be believed is shown as the sentence that says why, in the place of the text; so is
# what has no key yet, until the key comes.
@evening
async def test_what_can_not_be_believed(alice, bob, server) -> None:
    await enter(alice, bob)
    server.lies["td.fetch"] = lambda answer, chat: {"items": []}
    bob.type("one")
    await alice.sees("a message of bob is waiting for its key")
    server.lies.clear()
    server.push("alice", {"event": "td"})
    await alice.sees("~ bob: one")
    assert not any("waiting" in line for line in alice.lines)
    event = copy.deepcopy(server.messages[-1]) | {"id": 90}
    server.push("alice", event)
    server.push("alice", event | {"id": 91, "enc": None, "body": "in the clear"})
    await alice.sees(
        "! the server shows an earlier message of bob again",
        "- a message shown as from bob is not encrypted",
    )
    assert not any("in the clear" in line for line in alice.lines)


# Who comes later reads nothing before they are accepted, which one line asks for, once; and whoever
# was in the room at the first look is accepted.
@evening
async def test_newcomers(alice, bob, server) -> None:
    server.rooms["den"]["members"] = ["alice", "tess"]
    await alice.enter()
    await alice.sees("who reads you there: alice", "tess has no keys yet")
    server.change_members("den", add="bob")
    await alice.sees("bob is new in den and can't read you; type: /members accept bob")
    await bob.enter()
    alice.type("one", "/members")
    await alice.sees("Who reads you in den: ~ alice", "Who can't yet: bob")
    await alice.sees("Who has no keys yet, and can't: tess")
    await bob.sees("waiting for its key; alice may have to accept you")
    server.change_members("den", add="carol")
    await alice.sees("carol is new in den")
    assert len([line for line in alice.lines if "bob is new" in line]) == 1
    alice.type("/members accept bob", "two")
    await alice.sees("Who reads you in den: ~ alice, ~ bob", "Who can't yet: carol")
    await bob.sees("~ alice: two")


# What could not be sent goes out when the connection is back, or when the program is started again,
# once; the room in which it was said is entered for that.
@pytest.mark.parametrize("is_new_run", [False, True])
@evening
async def test_what_was_kept_back(server, tmp_path, is_new_run: bool) -> None:
    async with sat_down(server, tmp_path, "alice", "bob") as (alice, bob):
        await enter(alice, bob)
        alice.client.losses = {"keys.claim": 1}
        alice.type("hello")
        await alice.sees("What you said goes out when the connection is back.")
        if not is_new_run:
            alice.client.seat.events.append({"event": "connected"})
            await bob.sees("~ alice: hello")
    (tmp_path / "rooms").unlink()  # or they come back to den by themselves
    async with sat_down(server, tmp_path, "alice", "bob") as (alice, bob):
        bob.encryption.open(PASSPHRASE)
        await go_to("den", bob)
        bob.type("/history")
        alice.type("/unlock")
        await alice.answers(PASSPHRASE)
        if is_new_run:
            await alice.sees("~ alice: hello")
        await bob.sees("~ alice: hello")
        await go_to("den", alice)
        alice.type("bye")
        await bob.sees("~ alice: bye")
        assert len(server.messages) == 2


# When a copy of the keys is in use elsewhere, nothing more is sent, and that is why.
@evening
async def test_copied_keys(alice, bob, server) -> None:
    await enter(alice, bob)
    alice.type("one")
    await bob.sees("~ alice: one")
    store = alice.keys._store
    earlier = store.get("outbound", "den")
    with store.transaction():
        store.put("outbound", "den", earlier | {"count": 0})
    server.push("alice", server.messages[-1])
    await alice.sees("a copy of this device's keys is in use elsewhere")
    alice.type("two")
    await alice.sees("Error: a copy of this device's keys")
    assert len(server.messages) == 1


# Two people compare numbers, and have the mark for it; the digits are the same for both.
@evening
async def test_verifying(alice, bob) -> None:
    await enter(alice, bob)
    alice.type("/fingerprint bob")
    bob.type("/fingerprint alice")
    for person in (alice, bob):
        await person.sees("sees the same 60 digits")
        await person.sees("Are they not, somebody is.")
    assert alice.lines[-3:-1] == bob.lines[-3:-1]
    alice.type("/verify bob")
    await bob.sees("alice wants to compare numbers with you; type: /verify alice")
    bob.type("/verify alice")
    await alice.sees("does bob see")
    await bob.sees("does alice see")
    alice.type("/verify bob yes")
    await alice.sees("Noted; now bob has to say so too.")
    bob.type("/verify alice yes")
    await alice.sees("bob is verified")
    await bob.sees("alice is verified")
    bob.type("hello")
    await alice.sees("✓ bob: hello")
    alice.type("/verify bob no", "/trust bob", "/members")
    await alice.sees("Error: no verification with bob", "The identity of bob has not changed")
    await alice.sees("~ alice, ✓ bob")


# Another device of one's own reads when the code that it shows was typed at the first; what was
# said before comes over in a file; and a device that is revoked reads nothing more.
@evening
async def test_another_device(server, tmp_path) -> None:
    (other := tmp_path / "other").mkdir()
    async with (
        sat_down(server, tmp_path, "alice", "bob") as (alice, bob),
        sat_down(server, other, "alice") as (phone,),
    ):
        await enter(alice, bob)
        bob.type("one")
        await alice.sees("~ bob: one")
        await phone.enter()
        await phone.sees("this device is not approved; on one that is, type: /device approve")
        line = next(line for line in phone.lines if "/device approve" in line)
        command = line[line.index("/device approve") :]
        alice.type(command, "/devices")
        await alice.sees("is approved: it reads from now on", ": approved, this one")
        await phone.sees("this device is approved, and can read from now on")
        alice.type("it is mine")
        await bob.sees("~ alice: it is mine")  # and so has been told of the new device
        bob.type("two")
        await phone.sees("~ bob: two")
        alice.type(f"/keys export {tmp_path}/exported")
        await alice.answers("for the file", "for the file")
        await alice.sees("has the keys to all that you can read")
        phone.type("/history", f"/keys import {tmp_path}/exported")
        await phone.answers("for the file")
        await phone.sees("keys came from", "~ bob: one")
        alice.type(f"/device revoke {command.split()[2]}", "/devices", "now")
        await alice.sees("is revoked", ": not approved")
        await phone.sees("this device was revoked")
        await bob.sees("~ alice: now")
        bob.type("three")
        await alice.sees("~ bob: three")
        assert not any("three" in line for line in phone.lines)


# What can't be done is said in one line: two programs with one file of keys, a passphrase that is
# the password, two different ones, and commands that make no sense.
@evening
async def test_what_is_refused(alice, server, tmp_path) -> None:
    alice.type("/unlock")
    for one, other, sentence in (
        ("one", "other", "those were two different passphrases"),
        ("secret", "secret", "that is your password"),
        ("short", "short", "a passphrase has at least 8 characters"),
    ):
        await alice.answers(one, other)
        await alice.sees(f"Error: {sentence}")
    await alice.sees("From here on, what you type is said again.")
    assert not alice.keys.is_there
    assert not [line for line in alice.lines if "are not open" in line]
    await alice.enter()
    async with sat_down(server, tmp_path, "alice") as (again,):
        again.type("/unlock")
        await again.answers(PASSPHRASE)
        await again.sees("are open in another chat; close that one first")
    for path, sentence in (
        ("~unknown/keys", "~unknown is nobody's home folder"),
        ("/nowhere/keys", "/nowhere/keys: No such file or directory"),
    ):
        alice.type(f"/keys export {path}")
        await alice.answers(PASSPHRASE, PASSPHRASE)
        await alice.sees(f"Error: {sentence}")
    alice.type("/send ~unknown/a", "/unlock", "/device revoke", "/verify")
    alice.type("/members accept zoe", "/trust zoe")
    await alice.sees(
        "Error: ~unknown is nobody's home folder",
        "Error: your keys are open",
        "Error: usage: /device approve|revoke|begin-anew [ID] [CODE]",
        "Error: usage: /verify USER [yes|no]",
        "Error: zoe is not in den",
        "Error: zoe has no keys yet",
    )


# Who mistypes a passphrase, and types it once more without looking, says it nowhere.
@pytest.mark.parametrize(
    ("command", "mistyped"),
    [
        ("/encrypt", [(PASSPHRASE, "typo"), ("typo", PASSPHRASE)]),
        ("/unlock", [("secret", "secret"), (PASSPHRASE, "typo")]),
        ("/device begin-anew", [(PASSPHRASE, "typo"), ("short", "short")]),
    ],
)
@evening
async def test_a_mistyped_passphrase(alice, server, command: str, mistyped) -> None:
    await go_to("lobby", alice)
    alice.type(command)
    for number, answers in enumerate(mistyped, start=1):
        await alice.answers(*answers)
        await alice.until(
            lambda number=number: (
                len([row for row in alice.lines if row.startswith("» Error")]) == number
            )
        )
    await alice.answers(PASSPHRASE, PASSPHRASE)
    await alice.sees("Your keys are made.")
    await alice.until(lambda: alice.terminal.screen.is_idle and not alice.model.waiting)
    await alice.until(lambda: command != "/encrypt" or server.rooms["lobby"]["e2ee"])
    assert alice.client.clear == []


# Who has lost their passphrase begins anew with the keys closed: what they saw encrypted stays so,
# others are warned, and go on when they trust it; the old file is kept.
@evening
async def test_a_lost_passphrase(server, tmp_path) -> None:
    async with sat_down(server, tmp_path, "alice", "bob") as (alice, bob):
        await enter(alice, bob)
        bob.type("/msg alice psst")
        await alice.sees("~ [private] bob: psst")
    server.rooms["den"]["e2ee"] = False
    honest, server._keys_of = (
        server._keys_of,
        lambda chat, user: (
            {"manifest": None, "devices": []} if user == "bob" else honest(chat, user)
        ),
    )
    async with sat_down(server, tmp_path, "alice") as (alice,):
        await is_in("den", alice)  # as the last time
        told = [line.text for line in alice.model.home.lines]
        assert any("if the passphrase is lost, /device begin-anew makes" in each for each in told)
        alice.type("/unlock")
        await alice.answers("wrong")
        await alice.sees("If it is lost: Ctrl-C gives up", "does not open")
        alice.type("\x03/device begin-anew")
        await alice.answers("another passphrase", "another passphrase")
        await alice.sees("Your old keys are kept in", "You have another identity")
        assert alice.encryption.is_open
        alice.type("/join den", "hello", "/msg bob hello")
        await alice.sees("no longer encrypted", "the server hides the keys of bob")
        assert alice.client.clear == []
    assert len(list(tmp_path.rglob("*.lost-1.db"))) == 1
    server._keys_of = honest
    server.rooms["den"]["e2ee"] = True
    async with sat_down(server, tmp_path, "alice", "bob") as (alice, bob):
        alice.encryption.open("another passphrase")
        bob.encryption.open(PASSPHRASE)
        await go_to("den", alice, bob)
        bob.type("is that you?", "/trust alice", "hello again")
        await bob.sees("the identity of alice has changed", "is accepted")
        await alice.sees("~ bob: hello again")


# A file arrives as it was sent, and is never put over another; one that was changed or cut short on
# its way is not kept, and the server has neither its name nor its bytes.
@evening
async def test_files(alice, bob, tmp_path, http) -> None:
    path = tmp_path / f"{MARKER}.txt"
    path.write_bytes(MARKER.encode() * 20_000)
    await enter(alice, bob)
    alice.type(f"/send {path}")
    await alice.sees("is sent, encrypted, and arrived whole")
    await bob.sees(f"~ * alice shares {MARKER}.txt (120 KB): /get 17")
    kept = http.files["/f/17"]
    assert MARKER.encode() not in kept
    assert set(alice.client.offered) == {"room", "size", "e2ee"}
    bob.client.offered = alice.client.offered
    bob.type("/get 17", "/get 17")
    await bob.sees(f"{MARKER}.txt is here", f"{MARKER} (2).txt is here")
    for spoiled in (kept[:-1] + bytes([kept[-1] ^ 1]), kept[: (64 << 10) + 16]):
        http.files["/f/17"], bob.client.offered = spoiled, {"size": len(spoiled)}
        bob.type("/get 17")
        await bob.sees(f"Error: the file {MARKER}.txt was damaged or tampered with")
        bob.model.current.lines.clear()
    fetched = [each.read_bytes() for each in bob.downloads.iterdir()]
    assert fetched == [path.read_bytes()] * 2


# Without the library, all is as before, and a room that is encrypted says what is missing.
@evening
async def test_without_the_library(alice, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "app.terminal.encrypted.thread", None)
        assert main._encryption(None, tmp_path, None) is None
    alice.terminal._secrecy = None
    await go_to("lobby", alice)
    alice.type("hello", "/join den")
    await alice.sees("den is encrypted; what is encrypted needs a library")
    alice.type("hello again", "/unlock")
    await alice.until(lambda: len([x for x in alice.lines if "Error: what is" in x]) == 2)
    assert alice.client.clear == ["hello"]
