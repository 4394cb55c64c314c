"""The canary: a client that pings ten times a second, and writes down how long each answer took.

    python -m tests.chaos.canary PORT TOKEN        the server's pid on standard input, at each start

It has a process of its own, for one that serves hundreds of clients in Python answers late itself.
On a busy machine everybody waits for a core. How long the server's threads and the canary had to is
written beside each answer (cores.py), so that this is not taken for a server that blocks.
"""

import asyncio
import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tests.cores import RunQueue, starved

PING_SECONDS = 0.1
ANSWER_SECONDS_MAX = 10
ANSWER_BYTES_MAX = 4_096


class Ping(NamedTuple):
    """A ping: when it was sent (time.monotonic), its answer's time, and what was waited for cores.

    Of one that was never answered, `seconds` is as long as the canary waited.
    """

    at: float
    seconds: float
    starved_seconds: float

    @property
    def blocked_seconds(self) -> float:
        """How long the answer took that was nobody's but the server's."""
        return max(0.0, self.seconds - self.starved_seconds)


class Canary:
    """The process, and what it wrote."""

    def __init__(self) -> None:
        self.pings: list[Ping] = []
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, port: int, token: str) -> None:
        """Begin, with what logs in: who does not is sent away after a while."""
        arguments = ["-m", "tests.chaos.canary", str(port), token]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )

    def watch(self, pid: int) -> None:
        """Tell it which process the server is."""
        self._process.stdin.write(f"{pid}\n".encode())

    async def listen(self) -> None:
        """Read what it writes, until it ends."""
        async for line in self._process.stdout:
            self.pings.append(Ping(*json.loads(line)))

    async def stop(self) -> None:
        """End it, if it was begun."""
        if self._process is not None:
            self._process.stdin.close()
            await self._process.wait()


def _ask(connection: socket.socket, queues: list[RunQueue], request: bytes) -> Ping:
    """Ask something, and wait for the answer. Raises OSError when it was cut off."""
    before, began = starved(*queues), time.monotonic()
    try:
        connection.sendall(request)
        is_answered = bool(connection.recv(ANSWER_BYTES_MAX))
    except TimeoutError:
        is_answered = True  # though late: the time says so
    if not is_answered:
        raise ConnectionResetError
    return Ping(began, time.monotonic() - began, before.until(starved(*queues)))


def _run(port: int, token: str) -> None:
    own, server, connection = RunQueue(os.getpid()), RunQueue(0), None
    login = json.dumps({"op": "login", "token": token}).encode() + b"\n"
    while True:
        if select.select([sys.stdin], [], [], PING_SECONDS)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            server.close()
            server = RunQueue(int(line))
        try:
            if connection is None:
                address = ("127.0.0.1", port)
                connection = socket.create_connection(address, ANSWER_SECONDS_MAX)
                _ask(connection, [own, server], login)
            ping = _ask(connection, [own, server], b'{"id":1,"op":"ping"}\n')
            print(json.dumps(ping), flush=True)
            if ping.seconds >= ANSWER_SECONDS_MAX:
                raise ConnectionResetError
        except OSError:  # the server is not there now
            if connection is not None:
                connection.close()
            connection = None


if __name__ == "__main__":
    _run(int(sys.argv[1]), sys.argv[2])
