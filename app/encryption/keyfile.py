"""Keep keys to old messages in a file under a passphrase.

It is for another device of the same person.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.encryption.payloads import RoomKeyContent, parse
from app.encryption.people import Peer
from app.encryption.refusals import KeyFileRefused, Malformed, SessionConflict
from app.encryption.sealing import COST, Cost, seal, unseal
from app.protocol.signed import Key, Shape

if TYPE_CHECKING:
    from pathlib import Path

    from app.encryption.roomkeys import RoomKeys
    from app.encryption.store import KeyStore

MAGIC = "greenroom-keys/v1\n"  # the first line; the second is the JSON of `seal`
_PURPOSE = "key-file"
FILE_BYTES_MAX = 256 << 20  # some 400,000 keys


class _Exported(Shape):
    owner: str
    ed25519: Key
    aik: Key
    content: RoomKeyContent


class _KeyFile(Shape):
    user: str
    keys: list[_Exported]


def export_keys(keys: RoomKeys, user: str, passphrase: str, cost: Cost = COST) -> bytes:
    """Return the content of a file with all keys. Raises ValueError for an empty passphrase."""
    exported = {"user": user, "keys": keys.export()}
    return (MAGIC + seal(passphrase, json.dumps(exported).encode(), _PURPOSE, cost)).encode()


def import_keys(
    store: KeyStore, keys: RoomKeys, user: str, path: Path, passphrase: str
) -> tuple[int, int]:
    """Take in the keys of a file.

    Their messages are marked as imported. Returns how many keys it had, and how many were refused:
    malformed ones, and those that contradict a key that is here, which is kept. Raises
    KeyFileRefused.
    """
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX).decode()
        _, _, sealed = text.partition(MAGIC)
        content = unseal(passphrase, sealed, _PURPOSE).decode()
        found = parse(_KeyFile, content, "a file of keys")
        owners = [_owner(each) for each in found.keys]
    except (OSError, ValueError, Malformed) as error:
        raise KeyFileRefused(path=path) from error
    if found.user != user:
        raise KeyFileRefused(path=path)
    conflicts = 0
    with store.transaction():
        for owner, each in zip(owners, found.keys, strict=True):
            try:
                keys.take(owner, each.aik, each.content, is_imported=True)
            except (Malformed, SessionConflict):
                conflicts += 1
    return len(found.keys), conflicts


def _owner(exported: _Exported) -> Peer:
    """Return the device that made a key. Raises ValueError if it is no device."""
    user, _, device = exported.owner.partition("/")
    return Peer(user=user, device=device, ed25519=exported.ed25519, curve25519=exported.ed25519)
