"""Signatures, each over its context and the exact payload: one kind never passes for another."""

from enum import StrEnum

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.protocol.signed import Signed, decode

PREFIX = "greenroom-e2ee/v1/"  # before the name of all that is signed, hashed or authenticated


class Kind(StrEnum):
    """The kinds of signed texts."""

    DEVICE = "device"
    MANIFEST = "manifest"
    ONE_TIME_KEY = "one-time-key"
    FALLBACK_KEY = "fallback-key"


def context(name: str) -> bytes:
    """Return the bytes before the data in each signed text."""
    return f"{PREFIX}{name}\0".encode()


def is_signed(signed: Signed, kind: Kind, ed25519: str) -> bool:
    """Whether a signature is of that kind and key. It takes some 0.1 ms."""
    try:
        key = Ed25519PublicKey.from_public_bytes(decode(ed25519))
        key.verify(decode(signed.sig), context(kind) + signed.payload.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
