"""Seal data under a passphrase.

Argon2id (RFC 9106) makes the key, and AES-256-GCM seals. Stores and key files use it.
"""

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
_MEMORY_KIB_MAX = 1 << 20  # 1 GiB: a file from elsewhere costs a few seconds at most
_PASSES_MAX = 20


class Cost(NamedTuple):
    """The cost of one guess at a passphrase."""

    memory_kib: int
    passes: int


COST = Cost(memory_kib=64 << 10, passes=3)  # RFC 9106, section 4, but one lane: some 0.3 s


def seal(passphrase: str, data: bytes, purpose: str, cost: Cost = COST) -> str:
    """Return data sealed under a passphrase, as JSON.

    `purpose` is authenticated with it. Raises ValueError for an empty passphrase.
    """
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(NONCE_BYTES)
    head = {"v": 1, "memory_kib": cost.memory_kib, "passes": cost.passes, "salt": encode(salt)}
    sealed = AESGCM(_derive(passphrase, salt, cost)).encrypt(nonce, data, _bound(purpose, head))
    return json.dumps({**head, "nonce": encode(nonce), "ct": encode(sealed)})


def unseal(passphrase: str, text: str, purpose: str) -> bytes:
    """Open the JSON of `seal`.

    Raises ValueError for a wrong passphrase, another purpose, or damaged data.
    """
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
    """Return the data authenticated beside the ciphertext: purpose and head.

    So the costs can't be changed to make guesses cheaper.
    """
    return context(purpose) + json.dumps(head, sort_keys=True).encode()
