"""What a program says is stored once, however often it is cut off: `make fire ARGS=cuts`.

A server, a proxy before it, and a client that talks through the proxy from several threads. The
proxy cuts the connection between a request and its answer, at a random byte: before the request is
whole, behind it, within the answer, right behind that. The plan of the cuts follows from the seed.
"""

import math
import socket
import tempfile
import threading
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

from app.client import Backoff, Client
from tests.fire.kinds import Kind, hold
from tests.kit.databases import messages_of
from tests.kit.server_process import ServerProcess

SPEAKERS = 3
ANSWER_BYTES = 300  # of one's message as everybody sees it, and the answer behind it
HASTE = {"seconds_first": 0.002, "seconds_max": 0.02}  # nobody waits here for a server to start


class CuttingProxy:
    """Passes bytes on to a port, and cuts each connection that asks a given op, at random."""

    def __init__(self, port: int, op: str, cuts_max: int, random: Random) -> None:
        self.cuts = 0
        self._mark = f'"op": "{op}"'.encode()
        self._cuts_max = cuts_max
        self._random = random
        self._to = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # until it is closed
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(self._to)
                except OSError:
                    near.close()
                    continue
                threading.Thread(target=self._pass_on, args=(near, far), daemon=True).start()

    def _pass_on(self, near: socket.socket, far: socket.socket) -> None:
        """Pass requests on; another thread passes on what comes back."""
        passing = _Passing(far, near)
        with suppress(OSError):
            while data := near.recv(65536):
                asked_at = data.find(self._mark)
                if asked_at >= 0 and not passing.is_last and self._is_to_cut():
                    if self._random.random() < 0.3:
                        far.sendall(data[: self._random.randrange(asked_at, len(data))])
                        self.cuts += 1
                        break
                    passing.bytes_left = self._random.randrange(ANSWER_BYTES)
                far.sendall(data)
        self.cuts += passing.is_last
        passing.finish()

    def _is_to_cut(self) -> bool:
        return self.cuts < self._cuts_max and self._random.random() < 0.7

    def close(self) -> None:
        """Take no more connections."""
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()


class _Passing(threading.Thread):
    """Passes on what comes back on one connection, or the last `bytes_left` of it; then cuts it."""

    def __init__(self, far: socket.socket, near: socket.socket) -> None:
        super().__init__(daemon=True)
        self.bytes_left = math.inf
        self._far, self._near = far, near
        self.start()

    @property
    def is_last(self) -> bool:
        """Whether the connection is being cut."""
        return self.bytes_left < math.inf

    def run(self) -> None:
        with suppress(OSError):
            while self.bytes_left > 0 and (data := self._far.recv(65536)):
                passed = data[: int(min(self.bytes_left, len(data)))]
                self._near.sendall(passed)
                self.bytes_left -= len(passed)
        self._hang_up()

    def _hang_up(self) -> None:
        for each in (self._far, self._near):
            with suppress(OSError):  # the other side was first
                each.shutdown(socket.SHUT_RDWR)

    def finish(self) -> None:
        """End both ways, at once."""
        self._hang_up()
        self.join()
        self._far.close()
        self._near.close()


@contextmanager
def cutting(port: int, op: str, cuts_max: int, seed: int) -> Iterator[CuttingProxy]:
    """Run such a proxy."""
    proxy = CuttingProxy(port, op, cuts_max, Random(seed))
    try:
        yield proxy
    finally:
        proxy.close()


def say_through_cuts(server: ServerProcess, name: str, cuts: int, seed: int) -> int:
    """Say things until so many cuts have happened, check what is stored, return how many it were.

    Each body is stored once, under the id that `say` returned, and `events()` showed all that is
    stored, once and in order.
    """
    with cutting(server.port, "say", cuts, seed) as proxy:
        options = {"register": True, "remember": "cuts", "backoff": Backoff(**HASTE)}
        with Client(proxy.address, name=name, password="secret", **options) as client:
            client.join(name)

            def speak(speaker: int) -> dict[str, int]:
                told: dict[str, int] = {}
                while proxy.cuts < cuts:
                    body = f"{speaker}-{len(told)}"
                    told[body] = client.say(name, body)
                return told

            told: dict[str, int] = {}
            with ThreadPoolExecutor(SPEAKERS) as threads:
                for each in threads.map(speak, range(SPEAKERS)):
                    told |= each
            told["the end"] = client.say(name, "the end")
            shown = list(_shown_until(client, told["the end"]))
    with server.database() as database:
        stored = messages_of(database, name)
    assert sorted((number, body) for body, number in told.items()) == stored
    assert shown == stored
    return len(stored)


def _shown_until(client: Client, last_id: int) -> Iterator[tuple[int, str]]:
    for event in client.events():
        if event["event"] == "message":
            yield event["id"], event["body"]
            if event["id"] == last_id:
                return


def _cut(given: Namespace) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder))
        try:
            server.start()
            count = say_through_cuts(server, "cuts", given.cuts, given.seed)
        finally:
            server.kill()
    print(f"{given.cuts} cuts, {count} messages, each stored once and shown once")
    return []


def _run(given: Namespace) -> bool:
    return hold(["cuts"], lambda _: _cut(given))


KIND = Kind(_run, options={"cuts": (200, "how many")})
