"""A device of a user, as far as a server can tell: what it signs, and what it asks."""

import base64
import json
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.protocol.signatures import context
from app.protocol.signed import encode
from tests.kit.program import Line, Program

Signed = dict[str, str]


def sign(key: Ed25519PrivateKey, kind: str, payload: Any) -> Signed:
    """Sign a payload, which may be a text already."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    return {"payload": text, "sig": encode(key.sign(context(kind) + text.encode()))}


def new_aik() -> Ed25519PrivateKey:
    """Return an identity key."""
    return Ed25519PrivateKey.generate()


def public(key: Ed25519PrivateKey) -> str:
    """Return the public part of a key."""
    return encode(key.public_key().public_bytes_raw())


def manifest(aik: Ed25519PrivateKey, user: str, seq: int, *devices: "Device") -> Signed:
    """Return a signed list of devices."""
    listed = [device.keys for device in devices]
    payload = {"user": user, "aik": public(aik), "seq": seq, "devices": listed}
    return sign(aik, "manifest", payload)


class Device:
    """A device, and the program that speaks for it."""

    def __init__(self, program: Program, user: str = "") -> None:
        """Make keys, for the user of the program."""
        self.program = program
        self.user = user or program.name
        self.key = Ed25519PrivateKey.generate()
        self.id = base64.b32encode(os.urandom(5)).decode().lower()
        self.keys = {
            "id": self.id,
            "ed25519": public(self.key),
            "curve25519": encode(os.urandom(32)),
        }
        self.address = {"user": self.user, "device": self.id}

    @property
    def payload(self) -> dict[str, Any]:
        return {"user": self.user, "device": self.keys, "approval": encode(bytes(32))}

    @property
    def described(self) -> Signed:
        return sign(self.key, "device", self.payload)

    def put(self) -> "Device":
        """Make it known, or have its program speak for it again; returns itself."""
        assert self.program.call("keys.device.put", **self.described).keys() == {"id", "ok"}
        return self

    def one_time_key(self, number: int, **changes: Any) -> dict[str, str]:
        return self._key("one-time-key", f"o:{number}", changes)

    def fallback_key(self, number: int = 1, **changes: Any) -> dict[str, str]:
        return self._key("fallback-key", f"f:{number}", changes)

    def _key(self, kind: str, kid: str, changes: dict[str, Any]) -> dict[str, str]:
        payload = {**self.address, "kid": kid, "key": encode(os.urandom(32)), **changes}
        return {"kid": kid, **sign(self.key, kind, payload)}

    def offer(self, count: int = 0, *, fallback: bool = False, first: int = 1) -> Line:
        """Leave keys at the server; returns what it answers."""
        keys = [self.one_time_key(first + number) for number in range(count)]
        given = self.fallback_key() if fallback else None
        return self.program.call("keys.otk.put", otk=keys, fallback=given)

    def claim(self, *devices: "Device") -> Line:
        targets = [device.address for device in devices]
        return self.program.call("keys.claim", targets=targets)

    def send(self, txn: str, *letters: tuple["Device", str]) -> list[Line]:
        """Say something to devices; returns which failed."""
        msgs = [{**device.address, "body": body} for device, body in letters]
        return self.program.call("td.send", txn=txn, msgs=msgs)["failed"]

    def fetch(self, after: int = 0, limit: int = 100) -> list[Line]:
        return self.program.call("td.fetch", after=after, limit=limit)["items"]

    def bodies(self) -> list[str]:
        """Return what is in the mailbox."""
        return [item["body"] for item in self.fetch()]

    def event(self, name: str, **fields: Any) -> Line:
        return self.program.event(name, **fields)
