"""Seal files before sending; open them while they come. Pure.

Each chunk of 64 KiB is AES-256-GCM under the file's own random key. Its nonce is its number, and
whether it is the last: if a chunk is missing, repeated, moved or added, or the file is cut short,
opening it fails. The server is not told the name of the file.

    nonce: 11 bytes: the number of the chunk | 1 byte: 1 for the last chunk, else 0
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.encryption.payloads import FILE_TYPE_CHARS_MAX, FileReference
from app.encryption.refusals import FileDamaged
from app.errors import BadNameError
from app.protocol.signatures import context
from app.protocol.signed import decode, encode
from app.values.names import harmless, parse_file_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK_BYTES = 64 << 10
TAG_BYTES = 16
_SEALED_BYTES = CHUNK_BYTES + TAG_BYTES
_BOUND = context("file")  # authenticated beside each chunk


def sealed_bytes(size: int) -> int:
    """Return the sealed length of a file of `size` bytes."""
    chunks = max(1, -(-size // CHUNK_BYTES))
    return size + chunks * TAG_BYTES


def harmless_file_name(name: str) -> str:
    """Return a name that any disk and screen can take."""
    try:
        return harmless(parse_file_name(name))
    except BadNameError:
        return "file"


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


class FileSealer:
    """Seals one file; `reference` is for its readers."""

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._hash = hashlib.sha256()
        self._size = 0

    def seal(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the ciphertext of a file. Call it once. The parts are of any length."""
        cipher = AESGCM(self._key)
        number = 0
        kept = b""
        for part in parts:
            kept += part
            while len(kept) > CHUNK_BYTES:  # the chunk in hand might be the last
                yield self._chunk(cipher, number, kept[:CHUNK_BYTES], is_last=False)
                kept = kept[CHUNK_BYTES:]
                number += 1
        yield self._chunk(cipher, number, kept, is_last=True)

    def _chunk(self, cipher: AESGCM, number: int, chunk: bytes, *, is_last: bool) -> bytes:
        sealed = cipher.encrypt(_nonce(number, is_last=is_last), chunk, _BOUND)
        self._hash.update(sealed)
        self._size += len(chunk)
        return sealed

    def reference(self, file_id: int, name: str, file_type: str) -> FileReference:
        """Return the reference to put into the message.

        Call it once all was sealed, with the id that the server gave.
        """
        return FileReference(
            id=file_id,
            name=harmless_file_name(name),
            type=harmless(file_type)[:FILE_TYPE_CHARS_MAX],
            size=self._size,
            key=encode(self._key),
            sha256=encode(self._hash.digest()),
        )


class FileOpener:
    """Opens one file.

    Each chunk that it yields is authentic. Whether the file is whole is known only at its end.
    """

    def __init__(self, reference: FileReference) -> None:
        self._reference = reference
        self._cipher = AESGCM(decode(reference.key))
        self._hash = hashlib.sha256()
        self._kept = b""
        self._number = 0
        self._size = 0

    def open(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the file as its ciphertext comes.

        Keep nothing of it unless this comes to its end. Raises FileDamaged.
        """
        for part in parts:
            self._hash.update(part)
            self._kept += part
            while len(self._kept) > _SEALED_BYTES:
                yield self._chunk(self._kept[:_SEALED_BYTES], is_last=False)
                self._kept = self._kept[_SEALED_BYTES:]
        yield self._chunk(self._kept, is_last=True)
        is_whole = self._size == self._reference.size
        if not is_whole or encode(self._hash.digest()) != self._reference.sha256:
            raise FileDamaged(name=self._reference.name)

    def _chunk(self, sealed: bytes, *, is_last: bool) -> bytes:
        try:
            nonce = _nonce(self._number, is_last=is_last)
            chunk = self._cipher.decrypt(nonce, sealed, _BOUND)
        except (InvalidTag, ValueError) as error:
            raise FileDamaged(name=self._reference.name) from error
        self._number += 1
        self._size += len(chunk)
        return chunk
