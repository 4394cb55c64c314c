"""Devices that people may have, the same ones each time, and what these sign: right, and wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.protocol.devices import OfferedKey
from app.protocol.signed import encode
from tests.kit.signing import public, sign

BAD_SIGNATURE = encode(bytes(64))


def _key(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(sha256(seed.encode()).digest())


@dataclass(frozen=True)
class Kit:
    """The keys of a device."""

    user: str
    number: int

    @property
    def id(self) -> str:
        return f"{self.user:x<7}{self.number + 2}"

    @property
    def keys(self) -> dict[str, str]:
        curve25519 = encode(sha256(f"curve {self.id}".encode()).digest())
        return {"id": self.id, "ed25519": public(_key(self.id)), "curve25519": curve25519}

    @cache  # noqa: B019 (there are six of them)
    def described(self, version: int) -> dict[str, str]:
        """Return what it says of itself; a client never changes that."""
        approval = encode(bytes([version] * 32))
        payload = {"user": self.user, "device": self.keys, "approval": approval}
        return sign(_key(self.id), "device", payload)

    @cache  # noqa: B019
    def offered(self, kid: str, version: int) -> OfferedKey:
        """Return a one-time or fallback key; two versions of one are a mistake of its device."""
        key = encode(sha256(f"{self.id} {kid} {version}".encode()).digest())
        payload = {"user": self.user, "device": self.id, "kid": kid, "key": key}
        kind = "one-time-key" if kid.startswith("o:") else "fallback-key"
        return OfferedKey(kid=kid, **sign(_key(self.id), kind, payload))


def kit_of(device: str) -> Kit:
    """Return the keys of a device by its id."""
    return Kit(device[:-1].rstrip("x"), int(device[-1]) - 2)


@cache
def manifest(user: str, seq: int, numbers: tuple[int, ...]) -> dict[str, str]:
    """Return a user's list of these devices."""
    aik = _key(f"aik {user}")
    listed = [Kit(user, number).keys for number in numbers]
    return sign(aik, "manifest", {"user": user, "aik": public(aik), "seq": seq, "devices": listed})


def owner_of(payload: str) -> str | None:
    """Return whose payload it is; None when it is none."""
    user = json.loads(payload).get("user")
    return user if isinstance(user, str) else None


def device_of(payload: str) -> str | None:
    """Return whose key it is that a device signed; None when it is something else."""
    device = json.loads(payload).get("device")
    return device if isinstance(device, str) else None


def numbers_of(payload: str) -> list[int]:
    """Return the numbers of the devices on a list."""
    return [kit_of(keys["id"]).number for keys in json.loads(payload)["devices"]]


def one_of(number: int) -> int:
    """Return which of a user's two devices it is: mostly the same one."""
    return int(number % 4 == 3)
