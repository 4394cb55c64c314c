"""Bytes for the client's encryption: what is not right is refused in its own words, or read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from unittest.mock import patch

from hypothesis import strategies as st

from app.encryption import payloads
from app.encryption.envelope import pack, unpack
from app.encryption.notices import Shown
from app.encryption.payloads import Address, Envelope, FileReference, parse, parse_answer
from app.encryption.reading import Received
from app.encryption.refusals import EncryptionRefusal
from app.encryption.sealing import seal, unseal
from app.encryption.store import KeyStore
from app.protocol import signed
from app.protocol.signed import Shape
from tests.encryption.fakes import CHEAP, PASSPHRASE, Chat, Server
from tests.fire.fuzz.fuzzers import MEMORY, fuzzer
from tests.fire.fuzz.streams import JUNK

_MORE = [*JUNK, b"null", b"true", b"0", b"\xed\xa0\x80", b"[]", b"{}", b'"', b"A" * 43, b"1e400"]

# Shapes.

_KEY = signed.encode(bytes(32))
_ADDRESS = {"user": "bob", "device": "abcdefgh"}
_KEYS = {"id": "abcdefgh", "ed25519": _KEY, "curve25519": _KEY}
_FILE = {"id": 1, "name": "a", "type": "b", "size": 1, "key": _KEY, "sha256": _KEY}
_PARTY = {**_ADDRESS, "ed25519": _KEY}
_SAMPLES: list[tuple[type[Shape], dict[str, object]]] = [
    (signed.Signed, {"payload": "{}", "sig": "x"}),
    (signed.DevicePayload, {"user": "bob", "device": _KEYS, "approval": _KEY}),
    (signed.ManifestPayload, {"user": "bob", "aik": _KEY, "seq": 1, "devices": [_KEYS]}),
    (signed.OneTimeKeyPayload, {**_ADDRESS, "kid": "o:A", "key": _KEY}),
    (
        payloads.OlmBody,
        {"alg": "olm.v1", "sender": _ADDRESS, "curve25519": _KEY, "type": 0, "ct": "AAAA"},
    ),
    (
        payloads.Control,
        {"v": 1, "sender": _PARTY, "recipient": _PARTY, "kind": "verify", "content": "{}"},
    ),
    (payloads.RoomKeyContent, {"room": "@alice,bob", "sid": _KEY, "index": 0, "key": "x"}),
    (payloads.VerifyContent, {"vid": "x", "step": "mac", "value": "x"}),
    (payloads.FileReference, _FILE),
    (payloads.Content, {"t": "file", "file": _FILE}),
    (payloads.Encrypted, {"alg": "megolm.v1", "sid": "x", "ct": "x"}),
]


_payloads = st.integers(0, len(_SAMPLES) - 1).map(
    lambda place: bytes([place]) + json.dumps(_SAMPLES[place][1]).encode()
)


@fuzzer("payloads", _payloads, _MORE)
def check_payloads(data: bytes, _cuts: Sequence[int]) -> None:
    """A payload is read, or malformed."""
    kind = _SAMPLES[data[0] % len(_SAMPLES)][0] if data else signed.Signed
    text = data[1:].decode("utf-8", "surrogateescape")
    with suppress(EncryptionRefusal):
        parsed = parse(kind, text, "a payload")
        assert parse(kind, parsed.dump(), "a payload") == parsed
    with suppress(ValueError, RecursionError), suppress(EncryptionRefusal):
        parse_answer(kind, json.loads(text), "an answer")
    for make in (payloads.room_key_of, payloads.user_key):
        with suppress(EncryptionRefusal):
            assert make(make(text[:40])) == make(text[:40])


# Envelopes.


_envelopes = st.builds(
    lambda body, is_file: pack(
        Envelope(
            room="den",
            sender=Address(**_ADDRESS),
            mid="x",
            ts=0,
            t="file" if is_file else "text",
            body=None if is_file else body,
            file=FileReference(**_FILE) if is_file else None,
        )
    ),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.booleans(),
)


@fuzzer("envelope", _envelopes, _MORE)
def check_envelope(data: bytes, _cuts: Sequence[int]) -> None:
    """What was decrypted is read, or malformed."""
    with suppress(EncryptionRefusal):
        envelope = unpack(data)
        assert unpack(pack(envelope)) == envelope
    length = len(data) % 65_536
    framed = length.to_bytes(4, "big") + data[:length]
    with suppress(EncryptionRefusal):
        unpack(framed + bytes(-len(framed) % 256))


# A device: its mailbox, and what it reads.

_chats: list[tuple[Server, Chat, Chat]] = []


@contextmanager
def _two_people() -> Iterator[None]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY)))
        stack.enter_context(patch("app.encryption.olm.ONE_TIME_KEYS", 10))
        stack.enter_context(patch("app.encryption.owndevices._ONE_TIME_KEYS_LOW", 5))
        stack.enter_context(patch("app.encryption.store._SYNCHRONOUS", "OFF"))
        stack.enter_context(patch("app.encryption.store.os.fsync", lambda _descriptor: None))
        server = Server()
        server.room("den", "alice", "bob")
        alice, bob = Chat(server, "alice", folder), Chat(server, "bob", folder)
        alice.say("hello bob")
        _chats.append((server, alice, bob))
        try:
            yield
        finally:
            _chats.pop()
            server.close()


def _letter() -> bytes:
    """Return the body of an item that is right, but for what is inside."""
    _, alice, _ = _chats[0]
    me = alice.device.me
    body = {"alg": "olm.v1", "sender": {"user": "alice", "device": me.device}, "type": 0}
    return json.dumps({**body, "curve25519": me.curve25519, "ct": "AwogAAAA"}).encode()


_letters = st.binary(max_size=40) | _payloads.map(lambda data: data[1:])


@fuzzer("mailbox", _letters, _MORE, _two_people, variants=8)
def check_mailbox(data: bytes, _cuts: Sequence[int]) -> None:
    """Whatever is in a mailbox is taken in or passed over, and the mailbox is empty then."""
    server, alice, bob = _chats[0]
    body = _letter() if data[:1] == b"\0" else b""
    text = (body[: len(body) // 2] + data[1:] + body[len(body) // 2 :]) if body else data
    for errors in ("surrogateescape", "replace"):
        server.mail("bob", bob.device.me.device, text.decode("utf-8", errors), alice)
        bob.fetch()
    assert not server.mailboxes[bob.address]
    bob.notices.clear()


_messages = st.fixed_dictionaries(
    {},
    optional={
        "room": st.sampled_from(["den", "@alice,bob", "DEN", "\u202e", "@", "@a,b,c", "@bob"]),
        "user": st.sampled_from(["alice", "bob", "ALICE", "", "\ud800"]),
        "device": st.sampled_from(["", "abcdefgh", "x"]),
        "body": st.text(max_size=5),
        "enc": st.none()
        | st.fixed_dictionaries(
            {"alg": st.sampled_from(["megolm.v1", "x"]), "sid": st.just(_KEY), "ct": st.text()}
        ),
    },
).map(lambda each: json.dumps(each).encode())


@fuzzer("reading", _messages, _MORE, _two_people)
def check_reading(data: bytes, _cuts: Sequence[int]) -> None:
    """Whatever a server shows as a message is shown, or a sentence in its place."""
    server, _, bob = _chats[0]
    message = server.messages[0]
    text = data.decode("utf-8", "surrogateescape")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = {"enc": {**message["enc"], "ct": text}}
    if not isinstance(said, dict):
        said = {"enc": said}
    fields = {"room": "den", "id": 1, "user": "alice", "device": message["device"], **said}
    kept = {
        name: fields[name]
        for name, kind in (("room", str), ("id", int), ("user", str), ("device", str))
        if isinstance(fields[name], kind)
    }
    whole = {"room": "den", "id": 1, "user": "alice", "device": "", **kept}
    shown = bob.device.read(
        [Received(**whole, enc=fields.get("enc"), body=str(fields.get("body")))]
    )
    assert len(shown) == 1
    assert isinstance(shown[0], Shown)


# What is on the disk.


@fuzzer("sealed", st.just(seal(PASSPHRASE, b"key", "store", CHEAP).encode()), _MORE)
def check_sealed(data: bytes, _cuts: Sequence[int]) -> None:
    """What a passphrase does not open is refused."""
    with patch("app.encryption.sealing._MEMORY_KIB_MAX", 64), suppress(ValueError):
        unseal(PASSPHRASE, data.decode("utf-8", "surrogateescape"), "store")


_key_files = st.sampled_from([True, False]).map(
    lambda is_inside: (
        b"\0"
        + json.dumps(
            {
                "user": "bob",
                "keys": [
                    {
                        "owner": "alice/abcdefgh",
                        "ed25519": _KEY,
                        "aik": _KEY,
                        "content": {"room": "den", "sid": _KEY, "index": 0, "key": "AQ" * 20},
                    }
                ]
                * is_inside,
            }
        ).encode()
    )
)


@fuzzer("key-file", _key_files, _MORE, _two_people)
def check_key_file(data: bytes, _cuts: Sequence[int]) -> None:
    """A file of keys is taken in, or refused."""
    _, _, bob = _chats[0]
    with tempfile.NamedTemporaryFile(dir=MEMORY) as file:
        content = data
        if data[:1] == b"\0":  # what is inside, under the right passphrase
            content = (
                b"greenroom-keys/v1\n" + seal(PASSPHRASE, data[1:], "key-file", CHEAP).encode()
            )
        file.write(content)
        file.flush()
        with patch("app.encryption.sealing._MEMORY_KIB_MAX", 64), suppress(EncryptionRefusal):
            bob.device.import_keys(Path(file.name), PASSPHRASE)


_ROW_ID = "x" * 64  # the same place is in it, however long the number of an inode is
_stores: list[dict[Path, bytes]] = []  # the files of one that is right


def _make_store(folder: str) -> dict[Path, bytes]:
    """Return the files of a new store, and what is in them."""
    path = Path(folder) / "keys.db"
    with KeyStore(path, PASSPHRASE, CHEAP) as store, store.transaction():
        store.put("account", _ROW_ID, {"a": 1})
    return {each: each.read_bytes() for each in (path, path.with_name("keys.db.lock"))}


@contextmanager
def _a_store() -> Iterator[None]:
    """Have a store that is damaged where it lies: of a copy, nothing would be read."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        stack.enter_context(patch("app.encryption.sealing._MEMORY_KIB_MAX", 64))
        stack.enter_context(patch("app.encryption.store._SYNCHRONOUS", "OFF"))
        stack.enter_context(patch("app.encryption.store.os.fsync", lambda _descriptor: None))
        _stores.append(_make_store(folder))
        _open_damaged(bytes(2))
        try:
            yield
        finally:
            _stores.pop()


def _places() -> list[int]:
    """Return the places in the file of a store where something is: most of it is empty."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path, *_ = files = _make_store(folder)
    around = 16  # bytes, for the places not to depend on keys, which are new each time
    whole = files[path]
    return [at for at in range(len(whole)) if any(whole[max(0, at - around) : at + around])]


_damages = st.builds(
    lambda place, data: place.to_bytes(2, "big") + data,
    st.sampled_from(_places()),
    st.binary(max_size=18),
)


@fuzzer("store", _damages, _MORE, _a_store, variants=12)
def check_store(data: bytes, _cuts: Sequence[int]) -> None:
    """A file of keys in which bytes were changed is opened, or refused."""
    _open_damaged(data)


def _open_damaged(data: bytes) -> None:
    """Put bytes into the file of a store, at a place; open it, and read all that it has."""
    path, lock = _stores[0]
    right = _stores[0][path]
    place = int.from_bytes(data[:2], "big") % len(right)
    for each in path.parent.glob("keys.db-*"):
        each.unlink()
    path.write_bytes(right[:place] + data[2:] + right[place + len(data[2:]) :])
    lock.write_bytes(_stores[0][lock])
    try:
        with KeyStore(path, PASSPHRASE, CHEAP) as store:
            store.rows("account")
            store.ids("account")
            store.get("account", _ROW_ID)
    except EncryptionRefusal:
        assert data[2:]  # what is not damaged is opened


FUZZERS = [
    *(check_payloads, check_envelope, check_mailbox, check_reading),
    *(check_sealed, check_key_file, check_store),
]
