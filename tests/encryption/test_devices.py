"""Several devices of one person, and persons who make sure of each other."""

import json
import re

import pytest

from app.encryption import Device, KeyStore, approval, refusals
from app.encryption.payloads import ApprovedContent
from app.encryption.people import peer_of
from app.encryption.postbox import Letter
from app.encryption.refusals import ApprovalFailed, KeyFileRefused, NoSuchDevice, NothingToVerify
from app.encryption.sealing import seal
from app.encryption.verification import Verified, _letter
from app.protocol import signed
from app.protocol.signed import DeviceKeys
from tests.encryption.fakes import CHEAP, PASSPHRASE, Chat


@pytest.fixture
def phone(server, alice, tmp_path):
    """A second device of alice, which nobody has approved."""
    return Chat(server, "alice", tmp_path, "phone")


@pytest.fixture
def path(tmp_path):
    """Where a file of keys is put, under LONG."""
    return tmp_path / "keys.txt"


LONG = "a long passphrase"


def _approve(alice, phone, code=None):
    device = phone.device.me.device
    alice.act(alice.device.approve(device, code or phone.device.code, alice.server.now))


# A new device reads nothing until another one approves it, by the code that it shows.
def test_a_device_is_approved_by_its_code(server, alice, bob, phone):
    bob.say("before")
    assert (phone.texts, phone.codes) == ([], ["not_approved", "key_missing"])
    assert re.fullmatch("([A-Z2-7]{4}-){5}[A-Z2-7]{4}", phone.device.code)
    assert phone.device.code in phone.notices[0].text
    _approve(alice, phone, phone.device.code.lower().replace("-", " "))
    assert phone.notices[-1].code == "approved"
    bob.say("after")
    assert (alice.texts, phone.texts) == (["before", "after"], ["after"])
    phone.say("from the phone")
    assert bob.texts[-1] == alice.texts[-1] == "from the phone"
    assert [n.text for n in bob.notices if n.code == "new_device"] == [
        f"alice has a new device, {phone.device.me.device}, approved by another of theirs"
    ]
    assert [approved for _, approved in phone.do(phone.device.devices())] == [True, True]


# A code that was mistyped, or is of another device, approves nothing.
@pytest.mark.parametrize("code", [" ", "AAAA", "-".join(["AAAA"] * 6), "not a code", "1" * 24])
def test_a_wrong_code(server, alice, phone, code):
    with pytest.raises(ApprovalFailed):
        _approve(alice, phone, code)
    assert not phone.device.is_approved
    assert len(server.manifests["alice"]) == 1


# The server can't put another device in the place of the one that the person holds.
def test_the_server_swaps_the_device_to_approve(server, alice, phone, tmp_path):
    spy = Chat(server, "alice", tmp_path, "spy")
    device = phone.device.me.device
    payload = server.devices["alice"][spy.device.me.device]["payload"]
    forged = payload.replace(spy.device.me.device, device)
    signed = spy.device._olm.sign("device", forged)
    server.devices["alice"][device] = signed.model_dump()
    with pytest.raises(ApprovalFailed):
        _approve(alice, phone)


# The server can't approve a device itself, with an identity of its own making.
def test_the_server_approves_a_device(server, alice, phone, tmp_path):
    evil = Chat(server, "alice", tmp_path, account="alice#evil")
    server.views["alice#evil", "alice"] = "alice"
    devices = evil.do(evil.device._directory.devices("alice"))
    keys = devices[phone.device.me.device].device
    tag = approval.tag("A" * 24, approval.ANSWER, keys, evil.device._directory.own_aik)
    content = ApprovedContent(aik_seed=evil.store.get("identity")["seed"], tag=tag).dump()
    letter = Letter(peer_of("alice", keys), "approved", content)
    evil.act(evil.device._write([letter], server.now))
    assert "approval_failed" in phone.codes
    assert phone.store.get("identity") is None


# A device says of itself only what it signed.
def test_a_device_that_is_not_signed_by_itself(server, alice, phone):
    signed = server.devices["alice"][phone.device.me.device]
    signed["sig"] = server.devices["alice"][alice.device.me.device]["sig"]
    with pytest.raises(NoSuchDevice):
        _approve(alice, phone)
    assert "bad_signature" in alice.codes


# A revoked device reads nothing more, and is told so; it can't approve itself again.
def test_a_revoked_device(server, alice, bob, phone):
    _approve(alice, phone)
    bob.say("to both")
    assert phone.texts == ["to both"]
    alice.act(alice.device.revoke(phone.device.me.device))
    assert phone.notices[-1].code == "revoked"
    bob.say("to one")
    assert alice.texts[-1] == "to one"
    phone.fetch()
    assert phone.read(server.messages[-1]).refusal.code == "key_missing"
    phone.is_refused(refusals.Revoked, "hello?")
    with pytest.raises(NoSuchDevice):
        alice.do(alice.device.revoke("aaaaaaaa"))


# Devices that change the list at the same time both get their way.
def test_two_changes_at_once(server, alice, phone, tmp_path):
    _approve(alice, phone)
    tablet = Chat(server, "alice", tmp_path, "tablet")
    alice.do(alice.device.approve(tablet.device.me.device, tablet.device.code, server.now))
    phone.events.clear()  # it has not heard of it
    server.refuse["keys.manifest.put"] = ["manifest_conflict"]
    phone.act(phone.device.revoke(alice.device.me.device))
    assert [tablet.device.is_approved, alice.device.is_approved] == [True, False]


# Of two first devices that start at the same moment, one waits for the other's approval.
def test_two_first_devices_at_once(server, tmp_path):
    server.refuse["keys.manifest.put"] = ["manifest_conflict"]
    second = Chat(server, "dave", tmp_path)
    assert not second.device.is_approved
    assert second.codes == ["not_approved"]


# Old messages come to a new device in a file under a passphrase, and are marked for it.
def test_keys_are_exported_and_imported(server, alice, bob, phone, path):
    bob.say("an old story")
    path.write_bytes(alice.device.export_keys(LONG, CHEAP))
    _approve(alice, phone)
    with pytest.raises(KeyFileRefused):
        phone.device.import_keys(path, "a wrong passphrase")
    assert phone.device.import_keys(path, LONG) == (1, 0)
    shown = phone.read(server.messages[0])
    assert (shown.body, shown.mark) == ("an old story", "i")
    bob.say("a new one")  # the same session, now from bob himself
    assert phone.read(server.messages[0]).mark == "~"


# A file of keys is opened whole and unchanged, by the same person, or not at all.
def test_damaged_files_of_keys(server, alice, bob, path):
    alice.say("something")
    data = alice.device.export_keys(LONG, CHEAP)
    damaged = [data[:-9], data[:40], b"", b"\xff", data.replace(b'"passes": 1', b'"passes": 2')]
    damaged += [data.replace(b'"memory_kib": 8', b'"memory_kib": 99999999')]
    for wrong in damaged:
        path.write_bytes(wrong)
        with pytest.raises(KeyFileRefused):
            alice.device.import_keys(path, LONG)
    path.write_bytes(data)
    with pytest.raises(KeyFileRefused):
        bob.device.import_keys(path, LONG)


# A file of keys whose owner is no device is damaged, though its passphrase opens it.
def test_a_file_of_keys_of_nobody(bob, path):
    key = signed.encode(bytes(32))
    content = {"room": "den", "sid": key, "index": 0, "key": "AQ"}
    exported = {"owner": "alice/no device", "ed25519": key, "aik": key, "content": content}
    text = json.dumps({"user": "bob", "keys": [exported]})
    sealed = seal(LONG, text.encode(), "key-file", CHEAP)
    path.write_text(f"greenroom-keys/v1\n{sealed}")
    with pytest.raises(KeyFileRefused):
        bob.device.import_keys(path, LONG)


# A file of keys can't replace a key that is here.
def test_imported_keys_replace_nothing(server, alice, bob, path):
    bob.say("hello")
    path.write_bytes(alice.device.export_keys(LONG, CHEAP))
    assert alice.device.import_keys(path, LONG) == (1, 0)
    assert alice.read(server.messages[0]).mark == "~"


# Both persons see one fingerprint of sixty digits.
def test_fingerprints(server, alice, bob, tmp_path):
    ours = alice.do(alice.device.fingerprint("Bob"))
    assert re.fullmatch(r"(\d{5} ){11}\d{5}", ours)
    assert bob.do(bob.device.fingerprint("alice")) == ours
    carol = Chat(server, "carol", tmp_path)
    assert alice.do(alice.device.fingerprint("carol")) != ours
    assert carol.device.mark("bob") == "~"
    with pytest.raises(refusals.NoKeys):
        alice.do(alice.device.fingerprint("nobody"))


def _numbers(chat):
    texts = [notice.text for notice in chat.notices if notice.code == "verify_numbers"]
    return re.search(r"\d+-\d+-\d+", texts[-1])[0]


def _verify(one, other):
    for each, whom in ((one, other), (other, one)):
        each.act(each.device.verify(whom.user, one.server.now))


def _confirm(one, other, *, is_same=True):
    one.act(one.device.confirm(other.user, one.server.now, is_same=is_same))


# Two persons compare three numbers; when both say yes, each is verified to the other.
def test_a_verification(server, alice, bob):
    _verify(alice, bob)
    assert _numbers(alice) == _numbers(bob)
    assert [notice.code for notice in bob.notices] == ["verify_asked", "verify_numbers"]
    _confirm(alice, bob)
    assert alice.device.mark("bob") == "~"  # until bob's proof is there
    _confirm(bob, alice)
    assert (alice.device.mark("bob"), bob.device.mark("alice")) == ("✓", "✓")
    alice.say("for sure")
    assert bob.shown[-1].mark == "✓"
    bob.come_back()
    assert bob.device.mark("alice") == "✓"


# It does not matter which device of the other one answers.
def test_a_verification_with_several_devices(server, alice, bob, phone):
    _approve(alice, phone)
    _verify(bob, phone)
    assert _numbers(phone) == _numbers(bob)
    _confirm(phone, bob)
    _confirm(bob, phone)
    assert (phone.device.mark("bob"), bob.device.mark("alice")) == ("✓", "✓")


# When both begin at the same moment, it is one verification.
def test_both_begin_at_once(server, alice, bob):
    alice.do(alice.device.verify("bob", server.now))
    bob.act(bob.device.verify("alice", server.now))
    assert _numbers(alice) == _numbers(bob)


# Other numbers end it, and block what is sent to the other one, on both sides.
def test_numbers_that_differ(server, alice, bob):
    _verify(alice, bob)
    _confirm(alice, bob, is_same=False)
    assert (alice.device.mark("bob"), bob.device.mark("alice")) == ("!", "!")
    alice.is_refused(refusals.IdentityChanged, "hello?")
    alice.do(alice.device.trust("bob", server.now))
    alice.say("hello")
    with pytest.raises(NothingToVerify):
        _confirm(alice, bob)


# Ten minutes are enough for a telephone call.
def test_a_verification_that_takes_too_long(server, alice, bob):
    _verify(alice, bob)
    server.now += 600_000
    with pytest.raises(NothingToVerify):
        _confirm(alice, bob)


def _in_between(server, tmp_path):
    """Return somebody who has been between alice and bob from the start: as bob, and as alice."""
    as_bob = Chat(server, "bob", tmp_path, account="bob#evil")
    as_alice = Chat(server, "alice", tmp_path, account="alice#evil")
    for one, other in (("alice", "bob"), ("bob", "alice")):
        server.views |= {(one, other): f"{other}#evil", (f"{other}#evil", one): one}
    return as_bob, as_alice


# Somebody in between from the start: fingerprints differ, and so do the numbers.
def test_somebody_in_between(server, alice, bob, tmp_path):
    as_bob, as_alice = _in_between(server, tmp_path)
    assert alice.do(alice.device.fingerprint("bob")) != bob.do(bob.device.fingerprint("alice"))
    _verify(alice, as_bob)
    _verify(as_alice, bob)
    assert _numbers(alice) == _numbers(as_bob)
    assert _numbers(alice) != _numbers(bob)


def _pass_on(source, target, to):
    """Have a verification that comes to one who is in between go on to the other side."""

    def take(peer, content, *rest):
        target.do(target.device._write([Letter(to.device.me, "verify", content.dump())], 0))
        return Verified()

    source.device._verifications.take = take


# Who passes the verification itself on, keys and all, still has other identities: it fails.
def test_somebody_in_between_passes_everything_on(server, alice, bob, tmp_path):
    as_bob, as_alice = _in_between(server, tmp_path)
    as_alice.do(as_alice.device.fingerprint("bob"))
    as_bob.do(as_bob.device.fingerprint("alice"))
    _pass_on(as_bob, as_alice, bob)
    _pass_on(as_alice, as_bob, alice)
    _verify(alice, bob)
    assert _numbers(alice) != _numbers(bob)
    _confirm(alice, bob)  # even though nobody looked
    assert "verification_failed" in bob.codes
    with pytest.raises(NothingToVerify):
        _confirm(bob, alice)
    assert bob.device.mark("alice") == "!"


# A key that is not the one that its owner committed to ends the verification.
def test_a_key_other_than_the_committed_one(server, alice, bob):
    alice.act(alice.device.verify("bob", server.now))
    verifications = bob.device._verifications
    bob.do(bob.device.verify("alice", server.now))
    verifications._take_key_pair(verifications._attempts["alice"])  # after the commitment
    server.settle()
    assert "verification_failed" in alice.codes
    assert alice.device.mark("bob") == "!"


# An identity that changed while numbers were compared is not the verified one.
def test_an_identity_that_changes_meanwhile(server, alice, bob, tmp_path):
    _verify(alice, bob)
    server.manifests["bob"].clear()
    Chat(server, "bob", tmp_path, "new")
    alice.attend()
    alice.do(alice.device.fingerprint("bob"))
    _confirm(alice, bob)
    with pytest.raises(Exception, match="did not sign"):
        _confirm(bob, alice)
    assert alice.device.mark("bob") == "!"


# Steps of a verification that belong to nothing are passed over.
def test_steps_out_of_order(server, alice, bob):
    for step in ("commit", "key", "mac", "cancel"):
        bob.do(bob.device.fingerprint("alice"))
        bob.do(bob.device._postbox.reach([alice.device.me], server.now))
        bob.do(bob.device._write([_letter(alice.device.me, "x", step, "A" * 43)], server.now))
    server.settle()
    assert alice.device.mark("bob") == "~"
    _verify(alice, bob)
    assert _numbers(alice) == _numbers(bob)


# The keys in a file are those of one user.
def test_the_store_of_another_user(alice):
    alice.leave()
    with KeyStore(alice.path, PASSPHRASE, CHEAP) as store, pytest.raises(refusals.Malformed):
        Device(store, "bob")


# A code that could be guessed is none, whoever made it.
@pytest.mark.parametrize("code", ["", "AAAAAAAA", "AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA-AAAA"])
def test_a_short_code(alice, code):
    me = alice.device.me
    keys = DeviceKeys(id=me.device, ed25519=me.ed25519, curve25519=me.curve25519)
    with pytest.raises(ValueError, match="24 characters"):
        approval.tag(code, approval.REQUEST, keys, "alice")


# A device that is revoked while a message is on its way does not read that message.
def test_a_revocation_while_keys_are_sent(server, alice, bob, phone):
    _approve(alice, phone)
    bob.do(bob.device.fingerprint("alice"))

    def revoke(answer, chat):
        del server.lies["td.send"]
        alice.do(alice.device.revoke(phone.device.me.device))
        bob.device.pushed({"event": "keys_changed", "users": ["alice"]})
        return answer

    server.lies["td.send"] = revoke
    bob.say("for one device")
    assert alice.texts == ["for one device"]
    phone.fetch()
    assert phone.read(server.messages[0]).refusal.code == "key_missing"


# What somebody said under another identity than the one that is trusted now stays marked.
def test_words_of_an_earlier_identity(server, alice, bob, tmp_path):
    bob.say("as I was")
    bob.leave()
    server.manifests["bob"].clear()
    Chat(server, "bob", tmp_path, "new")
    alice.do(alice.device.fingerprint("bob"))
    alice.do(alice.device.trust("bob", server.now))
    assert (alice.device.mark("bob"), alice.read(server.messages[0]).mark) == ("~", "!")


# No two devices have one code.
def test_each_device_has_a_code(alice, phone):
    assert alice.device.code != phone.device.code


# A verification is with one device of a person: what another one says to it is passed over.
def test_another_device_of_the_same_person_interferes(server, alice, bob, phone):
    _approve(alice, phone)
    _verify(bob, alice)
    phone.do(phone.device.fingerprint("bob"))
    phone.do(phone.device._postbox.reach([bob.device.me], server.now))
    vid = bob.device._verifications._attempts["alice"].vid
    phone.act(phone.device._write([_letter(bob.device.me, vid, "cancel")], server.now))
    assert bob.device.mark("alice") == "~"
    _confirm(alice, bob)
    _confirm(bob, alice)
    assert bob.device.mark("alice") == "✓"


# Who has lost all devices begins anew: others are warned, and talk again once they trust it.
def test_beginning_anew(server, alice, bob, phone):
    bob.say("to the lost one")
    alice.leave()
    phone.act(phone.device.begin_anew())
    assert phone.device.is_approved
    assert phone.notices[-1].code == "approved"
    bob.is_refused(refusals.IdentityChanged, "is that you?")
    bob.do(bob.device.trust("alice", server.now))
    bob.say("welcome back")
    phone.say("thank you")
    assert (phone.texts[0], bob.texts[-1]) == ("welcome back", "thank you")


# Who finds another identity in the place of theirs can put theirs back there, as a new one.
def test_beginning_anew_after_a_theft(server, alice, bob, tmp_path):
    server.manifests["alice"].clear()
    thief = Chat(server, "alice", tmp_path, "thief")
    alice.attend()
    alice.is_refused(refusals.IdentityLost, "who am I?")
    alice.do(alice.device.begin_anew())
    alice.say("it is me again")
    server.settle()
    with pytest.raises((refusals.IdentityLost, refusals.NotApproved)):
        thief.say("no, me")
