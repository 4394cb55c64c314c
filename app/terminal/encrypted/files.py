"""Send and fetch files of encrypted rooms.

Only their ciphertext leaves this machine. A file is sealed into a temporary one, which is sent; an
encrypted message tells of it. A fetched file is opened while it comes, and kept if it is whole and
as its sender sent it.
"""

import asyncio
import mimetypes
import re
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from app.encryption import EncryptionRefusal, FileOpener, FileReference, FileSealer
from app.protocol.signed import decode
from app.terminal.encrypted.thread import Encryption
from app.terminal.files.files import Files, url_of
from app.terminal.files.transfers import PIECE_BYTES, TransferFailed, download, upload

_KEPT_AS = re.compile(r"shared as ([0-9]{1,18})\b")


class SealedFiles:
    """Sends and fetches files that the server can't read."""

    def __init__(self, files: Files, encryption: Encryption) -> None:
        self._files = files
        self._encryption = encryption

    async def send(self, path: Path, whom: dict[str, str]) -> str:
        """Send a file to a room or user.

        Returns the sentence to tell. Raises TransferFailed, CallRefused, CanNotDo, ConnectionLost,
        OSError.
        """
        with tempfile.NamedTemporaryFile() as sealed:
            sealer = await asyncio.to_thread(_seal, path, sealed)
            offer = await self._files.call(
                "file.offer", size=Path(sealed.name).stat().st_size, e2ee=True, **whom
            )
            progress = self._files.progress(path.name)
            told = await asyncio.to_thread(
                upload, self._files.server, url_of(offer), Path(sealed.name), progress
            )
        file_type = mimetypes.guess_type(path.name)[0] or ""
        reference = sealer.reference(_number_in(told), path.name, file_type)
        room = whom.get("room") or self._encryption.private_room(whom["user"])
        await self._encryption.drive(lambda device, at: device.say_file(room, reference, at))
        return f"{path.name} is sent, encrypted, and arrived whole."

    async def get(self, reference: FileReference) -> str:
        """Fetch a file that a message told of. Returns the sentence to tell. Raises as `send`."""
        offer = await self._files.call("file.get", file=reference.id)
        size = offer.get("size")
        if not isinstance(size, int):
            raise TransferFailed("the server does not say how large it is")
        where = await asyncio.to_thread(
            download,
            self._files.server,
            url_of(offer),
            self._files.downloads,
            reference.name,
            size,
            decode(reference.sha256).hex(),
            self._files.progress(reference.name),
            partial(_opened, reference),
        )
        return f"{where} is here, and is what was sent."


def _seal(path: Path, sealed: IO[bytes]) -> FileSealer:
    sealer = FileSealer()
    with path.open("rb") as file:
        for chunk in sealer.seal(iter(partial(file.read, PIECE_BYTES), b"")):
            sealed.write(chunk)
    sealed.flush()
    return sealer


def _number_in(told: str) -> int:
    """Return the number of a file in the server's answer. Raises TransferFailed."""
    match = _KEPT_AS.search(told)
    if match is None:
        raise TransferFailed("the server does not say under which number it keeps it")
    return int(match[1])


def _opened(reference: FileReference, parts: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from FileOpener(reference).open(parts)
    except EncryptionRefusal as refusal:
        raise TransferFailed(str(refusal)) from refusal
