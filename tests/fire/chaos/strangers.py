"""What clients do to a server: those who stall, hang up, never read, and leave things half done.

They come beside the members, from addresses of their own, and say nothing in the members' rooms.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

from tests.fire.chaos.members import BODY_MARK, Surroundings
from tests.fire.chaos.server import token_of
from tests.kit.async_program import Program, Refused, open_socket
from tests.kit.ndjson import request_line
from tests.kit.sockets import reset_on_close

STRANGERS = 30  # accounts of those who come and go
STALLED = 40  # connections that never get through TLS
TLS_SHARE = 0.3
RETRY_SECONDS = 0.2
SLOW_READERS = 5
SLOW_BUFFER_BYTES = 4_096
BURST_MESSAGES = 800  # that the slow ones do not read: more than the server keeps for one
BURST_CHARS = 2_500  # of each
UPLOADS_LEFT = 8
UPLOAD_BYTES = 600_000  # that are promised
HOLD_SECONDS = 1.0, 3.0  # how long a trouble lasts
PIT = "pit"  # the room of strangers


PEOPLE = [f"stranger{number}" for number in range(STRANGERS)]


def source(random: Random) -> str:
    """Return a loopback address that no member has."""
    return f"127.1.{random.randrange(256)}.{random.randrange(1, 255)}"


@asynccontextmanager
async def stranger(around: Surroundings, number: int, random: Random) -> AsyncIterator[Program]:
    """Come as a program, logged in; hang up afterwards. Raises OSError, Refused."""
    program, has_tls = Program(), random.random() < TLS_SHARE
    await program.connect(around.port, source(random), around.tls if has_tls else None)
    try:
        await program.call("login", token=token_of(PEOPLE[number]))
        yield program
    finally:
        program.lines.transport.abort()


async def stall_tls(around: Surroundings, random: Random) -> None:
    """Begin TLS, and stay in the middle of it: silent, or at a byte a second."""
    hello = client_hello()
    sockets = [await open_socket(around.port, source(random)) for _ in range(STALLED)]
    try:
        loop = asyncio.get_running_loop()
        for each in sockets:
            await loop.sock_sendall(each, hello[: random.randrange(1, len(hello) // 2)])
        for _ in range(random.randrange(2, 7)):  # past the five seconds of a handshake, or not
            await asyncio.sleep(1)
            for each in sockets[::2]:
                with suppress(OSError):  # it was cut
                    await loop.sock_sendall(each, b"\0")
    finally:
        for each in sockets:
            each.close()


def client_hello() -> bytes:
    """Return what a browser sends first."""
    outgoing, context = ssl.MemoryBIO(), ssl.create_default_context()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


async def read_slowly(around: Surroundings, random: Random) -> None:
    """Enter a room with small buffers, and never read what is said there: far too much."""
    comings = [_never_reading(around, number, random) for number in range(SLOW_READERS)]
    slow = await asyncio.gather(*comings)
    try:
        async with stranger(around, SLOW_READERS, random) as loud:
            await loud.call("join", room=PIT)
            said = [_say_in_pit(around, loud, random, n) for n in range(BURST_MESSAGES)]
            await asyncio.gather(*said)
        await asyncio.sleep(random.uniform(*HOLD_SECONDS))
    finally:
        for each in slow:
            each.close()


async def _never_reading(around: Surroundings, number: int, random: Random) -> socket.socket:
    plain = await open_socket(around.port, source(random), SLOW_BUFFER_BYTES)
    asked = request_line("login", token=token_of(PEOPLE[number])) + request_line("join", room=PIT)
    await asyncio.get_running_loop().sock_sendall(plain, asked)
    return plain


async def _say_in_pit(around: Surroundings, loud: Program, random: Random, number: int) -> None:
    mark = f"{random.getrandbits(48):012x}"
    body = f"{BODY_MARK}-{mark}-{number}-{'p' * BURST_CHARS}"
    answer = await loud.ask("say", room=PIT, body=body)
    if answer["ok"]:
        around.oracle.acknowledge(PIT, answer["message_id"], body)


async def abandon_uploads(around: Surroundings, random: Random) -> None:
    """Begin to bring files, and leave: some politely, some with RST, some after a long silence."""
    async with stranger(around, 0, random) as program:
        await program.call("join", room=PIT)
        begun = []
        for number in range(UPLOADS_LEFT):
            offer = await program.call("file.offer", name=f"left{number}", room=PIT)
            begun.append(await _begin_upload(around, offer["url"], random))
        await asyncio.sleep(random.uniform(*HOLD_SECONDS))
        for each in begun:
            if random.random() < 0.5:
                reset_on_close(each)
            each.close()


async def _begin_upload(around: Surroundings, url: str, random: Random) -> socket.socket:
    plain = await open_socket(around.port, source(random))
    head = f"PUT {url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"
    data = random.randbytes(random.randrange(UPLOAD_BYTES))
    await asyncio.get_running_loop().sock_sendall(plain, head.encode() + data)
    return plain


async def come_in_vain(around: Surroundings, number: int, random: Random) -> None:
    """Come while there is no room, and stay if there is; again and again, until cancelled."""
    while True:
        with suppress(OSError, Refused):
            async with stranger(around, number % STRANGERS, random) as program:
                await program.lines.lost
        await asyncio.sleep(RETRY_SECONDS)
