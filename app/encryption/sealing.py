"""Data under a passphrase: Argon2id makes the key, AES-256-GCM seals. For store and key files."""

import json
import os
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from app.protocol.signatures import context
from app.protocol.signed import decode, encode
from app.values.names import parse_password

KEY_BYTES = 32
NONCE_BYTES = 12
_SALT_BYTES = 16
_MEMORY_KIB_MAX = 1 << 20  # of a file from elsewhere: 1 GiB, a few seconds
_PASSES_MAX = 20


class Cost(NamedTuple):
    """What a guess at a passphrase costs."""

    memory_kib: int
    passes: int


COST = Cost(memory_kib=64 << 10, passes=3)  # RFC 9106, for where memory is scarce: some 0.3 s


def seal(passphrase: str, data: bytes, purpose: str, cost: Cost = COST) -> str:
    """Return data that nobody opens without the passphrase, as JSON. Raises ValueError: none."""
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(NONCE_BYTES)
    head = {"v": 1, "memory_kib": cost.memory_kib, "passes": cost.passes, "salt": encode(salt)}
    sealed = AESGCM(_derive(passphrase, salt, cost)).encrypt(nonce, data, _bound(purpose, head))
    return json.dumps({**head, "nonce": encode(nonce), "ct": encode(sealed)})


def unseal(passphrase: str, text: str, purpose: str) -> bytes:
    """Open what `seal` made. Raises ValueError: a wrong passphrase, or other data."""
    try:
        sealed = json.loads(text)
        nonce, ciphertext = decode(sealed.pop("nonce")), decode(sealed.pop("ct"))
        cost = Cost(sealed["memory_kib"], sealed["passes"])
        if not (8 <= cost.memory_kib <= _MEMORY_KIB_MAX and 1 <= cost.passes <= _PASSES_MAX):
            raise ValueError("costs out of bounds")
        key = _derive(passphrase, decode(sealed["salt"]), cost)
        return AESGCM(key).decrypt(nonce, ciphertext, _bound(purpose, sealed))
    except (InvalidTag, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not opened by this passphrase") from error


def _derive(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    secret = parse_password(passphrase).encode()
    argon2 = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=cost.passes,
        lanes=1,
        memory_cost=cost.memory_kib,
    )
    return argon2.derive(secret)


def _bound(purpose: str, head: dict[str, object]) -> bytes:
    """Return what is authenticated beside the data, so that nobody makes a guess cheaper."""
    return context(purpose) + json.dumps(head, sort_keys=True).encode()
