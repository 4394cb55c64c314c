"""Sign and verify a context with the exact payload (Ed25519).

With the context, a signature of one kind never passes for one of another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.encryption.payloads import parse
from app.encryption.refusals import BadSignature
from app.protocol.signatures import Kind, context, is_signed
from app.protocol.signed import AnyShape, Signed, decode, encode

if TYPE_CHECKING:
    from vodozemac import Account


def sign_as_device(account: Account, kind: Kind, payload: str) -> Signed:
    """Sign with the key of this device."""
    signature = account.sign(context(kind) + payload.encode())
    return Signed(payload=payload, sig=signature.to_base64())


def sign_as_user(seed: str, kind: Kind, payload: str) -> Signed:
    """Sign with the user's identity key, given its seed."""
    key = Ed25519PrivateKey.from_private_bytes(decode(seed))
    return Signed(payload=payload, sig=encode(key.sign(context(kind) + payload.encode())))


def public_key(seed: str) -> str:
    """Return the public key of a seed, both in base64."""
    key = Ed25519PrivateKey.from_private_bytes(decode(seed))
    return encode(key.public_key().public_bytes_raw())


def verify(signed: Signed, kind: Kind, ed25519: str, *, what: str, user: str) -> None:
    """Check a signature. Raises BadSignature, which says `what` is signed, and by which user."""
    if not is_signed(signed, kind, ed25519):
        raise BadSignature(what=what, user=user)


def open_signed(
    shape: type[AnyShape], signed: Signed, kind: Kind, ed25519: str, *, what: str, user: str
) -> AnyShape:
    """Check a signature, and read its payload. Raises BadSignature, Malformed."""
    verify(signed, kind, ed25519, what=what, user=user)
    return parse(shape, signed.payload, what)
