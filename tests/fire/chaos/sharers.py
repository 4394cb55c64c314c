"""Programs that also share files over HTTP and fetch those of others, and compare their sums."""

import asyncio
import hashlib
import re
import ssl
from contextlib import suppress
from random import Random
from typing import NamedTuple

from tests.fire.chaos.members import NOT_STORED, ProgramMember, Surroundings
from tests.kit.async_program import ANSWER_SECONDS_MAX, Refused, open_socket

FILE_BYTES_MAX = 700_000  # three pieces of the server's
FILES_KEPT_MAX = 3  # of each sharer; the oldest goes, so that the disk holds all
PAUSE_SECONDS = 2.0  # between files, give or take
FIRST_PAUSE_SECONDS = 0.3  # before the first one
# With what a file may be refused: the server's troubles, and a sharer that was cut off meanwhile.
_REFUSED = {*NOT_STORED, "busy", "sent_out", "no_room", "which_room", "not_here"}


class Response(NamedTuple):
    """What was answered over HTTP."""

    status: int
    body: bytes


async def request(
    port: int, source: str, tls: ssl.SSLContext | None, method: str, url: str, body: bytes = b""
) -> Response:
    """Ask over HTTP on a connection of its own. Raises OSError, EOFError when it was cut off."""
    plain = await open_socket(port, source)
    name = "localhost" if tls else None
    try:
        reader, writer = await asyncio.open_connection(sock=plain, ssl=tls, server_hostname=name)
    except BaseException:
        plain.close()
        raise
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            head = (
                f"{method} {url} HTTP/1.1\r\nHost: localhost\r\n{length}Connection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            answered = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            said = re.search(r"(?i)^content-length: (\d+)", answered, re.MULTILINE)
            data = await reader.readexactly(int(said[1])) if said else await reader.read()
            return Response(int(answered.split()[1]), data)
    finally:
        writer.transport.abort()


class Sharer(ProgramMember):
    """See the top of this file."""

    def __init__(self, around: Surroundings, number: int, rooms: list[str], random: Random) -> None:
        super().__init__(around, number, rooms, random)
        self._mine: list[int] = []

    async def share(self) -> None:
        """Share files, fetch some, take some back, until it is over."""
        while not self._around.is_over:
            pause_seconds = PAUSE_SECONDS if self._mine else FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause_seconds * self._random.uniform(0.5, 1.5))
            if not self.is_here:
                continue
            with suppress(OSError, EOFError):  # cut off: it had not been acknowledged
                try:
                    await self._do_something()
                except Refused as refusal:
                    if str(refusal) not in _REFUSED:
                        self._oracle.violate(f"{self.name} was refused a file as {refusal}")

    async def _do_something(self) -> None:
        if len(self._mine) > FILES_KEPT_MAX:
            await self._take_back(self._mine[0])
        elif self._mine and self._random.random() < 0.5:
            await self._fetch(self._random.choice(self._mine))
        else:
            await self._bring()

    async def _bring(self) -> None:
        data = self._random.randbytes(int(self._random.random() ** 3 * FILE_BYTES_MAX) + 1)
        name = f"{self.name}.bin"
        room = self._random.choice(self.rooms)
        offer = await self.program.call("file.offer", name=name, size=len(data), room=room)
        answer = await self._request("PUT", offer["url"], data)
        said = re.match(rb"shared as (\d+): .* sha256 (\w+)", answer.body)
        if answer.status != 201 or not said:
            return  # refused, or it is too late: nothing was promised
        file_id, digest = int(said[1]), hashlib.sha256(data).hexdigest()
        if said[2].decode() != digest:
            self._oracle.violate(f"{self.name} was told another sum of file {file_id}")
        self._oracle.share(file_id, len(data), digest)
        self._mine.append(file_id)

    async def _fetch(self, file_id: int) -> None:
        there = await self.program.call("file.get", file=file_id)
        answer = await self._request("GET", there["url"])
        shared = self._oracle.shared(file_id)
        if answer.status != 200 or shared is None:
            return
        self._oracle.counts.files_fetched += 1
        if hashlib.sha256(answer.body).hexdigest() != shared.sha256:
            self._oracle.violate(f"{self.name} fetched other bytes of file {file_id}")

    async def _take_back(self, file_id: int) -> None:
        self._mine.remove(file_id)  # also if no answer comes: nobody knows then
        self._oracle.unshare(file_id)
        await self.program.call("file.unshare", file=file_id)

    async def _request(self, method: str, url: str, body: bytes = b"") -> Response:
        return await request(self._around.port, self.source, self.tls, method, url, body)
