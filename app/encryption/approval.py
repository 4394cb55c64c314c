"""A new device of a user, approved on one that is: by a code that only the user carries over. Pure.

The new device makes the code, 120 random bits, and shows it. With it both sides authenticate: the
new one its keys, so that no other device is approved in its place; the old one the identity that it
hands over, so that the new one does not come to speak for an identity that a server made up.
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
    """Return a code to show: 24 characters in groups."""
    text = base64.b32encode(os.urandom(_CODE_BYTES)).decode()
    return "-".join(text[i : i + _GROUP_CHARS] for i in range(0, len(text), _GROUP_CHARS))


def tag(code: str, purpose: str, device: DeviceKeys, about: str) -> str:
    """Return proof that who made it knows the code, and means this device. Raises ValueError."""
    mac = _mac(code, purpose, device, about)
    return encode(mac.finalize())


def check(code: str, purpose: str, device: DeviceKeys, about: str, proof: str) -> None:
    """Check such a proof. Raises ApprovalFailed."""
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
