"""Signatures, each over its context and the exact payload: one kind never passes for another."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.encryption.payloads import AnyShape, Signed, decode, encode, parse
from app.encryption.refusals import BadSignature

if TYPE_CHECKING:
    from vodozemac import Account

PREFIX = "greenroom-e2ee/v1/"  # before the name of whatever is signed, hashed or authenticated


class Kind(StrEnum):
    """What can be signed."""

    DEVICE = "device"
    MANIFEST = "manifest"
    ONE_TIME_KEY = "one-time-key"
    FALLBACK_KEY = "fallback-key"


def context(name: str) -> bytes:
    """Return what precedes the data in everything that is signed or authenticated."""
    return f"{PREFIX}{name}\0".encode()


def sign_as_device(account: Account, kind: Kind, payload: str) -> Signed:
    """Sign with the key of this device."""
    signature = account.sign(context(kind) + payload.encode())
    return Signed(payload=payload, sig=signature.to_base64())


def sign_as_user(seed: str, kind: Kind, payload: str) -> Signed:
    """Sign with the identity key of the user, given its seed."""
    key = Ed25519PrivateKey.from_private_bytes(decode(seed))
    return Signed(payload=payload, sig=encode(key.sign(context(kind) + payload.encode())))


def public_key(seed: str) -> str:
    """Return the public identity key to a seed."""
    key = Ed25519PrivateKey.from_private_bytes(decode(seed))
    return encode(key.public_key().public_bytes_raw())


def verify(signed: Signed, kind: Kind, ed25519: str, *, what: str, user: str) -> None:
    """Check a signature. Raises BadSignature, which names what of whom it was."""
    try:
        key = Ed25519PublicKey.from_public_bytes(decode(ed25519))
        key.verify(decode(signed.sig), context(kind) + signed.payload.encode())
    except (InvalidSignature, ValueError) as error:
        raise BadSignature(what=what, user=user) from error


def open_signed(
    shape: type[AnyShape], signed: Signed, kind: Kind, ed25519: str, *, what: str, user: str
) -> AnyShape:
    """Check a signature, and read what it is over. Raises BadSignature, Malformed."""
    verify(signed, kind, ed25519, what=what, user=user)
    return parse(shape, signed.payload, what)
