"""Approve a new device of a user, by a code. Pure.

The new device makes the code, 120 random bits, and shows it. The user types it at an approved
device. Both sides authenticate with it. The new device authenticates its keys, so that no other
device is approved in its place. The old one authenticates the identity that it hands over, so that
the new one does not take over an identity that a server made up. The key of the tags (HMAC-SHA-256)
is derived by HKDF (RFC 5869).
"""

import base64
import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.encryption.refusals import ApprovalFailed
from app.protocol.signatures import context
from app.protocol.signed import DeviceKeys, decode, encode

_CODE_BYTES = 15  # 24 characters of 5 bits
_GROUP_CHARS = 4
REQUEST, ANSWER = "approval-request", "approval-answer"


def new_code() -> str:
    """Return a new code: 24 characters in groups of 4."""
    text = base64.b32encode(os.urandom(_CODE_BYTES)).decode()
    return "-".join(text[i : i + _GROUP_CHARS] for i in range(0, len(text), _GROUP_CHARS))


def tag(code: str, purpose: str, device: DeviceKeys, about: str) -> str:
    """Return proof of the code, for this device and purpose.

    Raises ValueError for a text that is no code.
    """
    mac = _mac(code, purpose, device, about)
    return encode(mac.finalize())


def check(code: str, purpose: str, device: DeviceKeys, about: str, proof: str) -> None:
    """Check the proof of `tag`. Raises ApprovalFailed."""
    try:
        _mac(code, purpose, device, about).verify(decode(proof))
    except (InvalidSignature, ValueError) as error:
        raise ApprovalFailed(device=device.id) from error


def _mac(code: str, purpose: str, device: DeviceKeys, about: str) -> HMAC:
    typed = "".join(code.split()).replace("-", "").upper()
    secret = base64.b32decode(typed)
    if len(secret) != _CODE_BYTES:
        raise ValueError("a code has 24 characters")
    key = HKDF(SHA256(), 32, salt=None, info=context("approval")).derive(secret)
    mac = HMAC(key, SHA256())
    mac.update(context(purpose) + "\0".join((device.dump(), about)).encode())
    return mac
