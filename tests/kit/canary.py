"""The canary: a client that pings ten times a second, and writes down how long each answer took.

    python -m tests.kit.canary PORT TOKEN        the server's pid on standard input, at each start

It has a process of its own, for one that serves hundreds of clients in Python answers late itself.
On a busy machine everybody waits for a core. How long the server's threads and the canary had to is
written beside each answer (cores.py), so that this is not taken for a server that blocks.
"""

import json
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from tests.kit import ROOT
from tests.kit.client import wait_until
from tests.kit.cores import RunQueue, starved
from tests.kit.ndjson import request_line
from tests.kit.tail import Tail

PING_SECONDS = 0.1
ANSWER_SECONDS_MAX = 10


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
    """The process, and what it wrote, in a file of a folder that has none yet."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "pings"
        self._written = Tail(self._path)
        self._pings: list[Ping] = []
        self._process: subprocess.Popen[str] | None = None

    def start(self, port: int, token: str, pid: int) -> None:
        """Begin, with what logs in: who does not is sent away after a while."""
        with self._path.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.kit.canary", str(port), token],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=file,
                text=True,
            )
        self.watch(pid)

    def watch(self, pid: int) -> None:
        """Tell it which process the server is, if it was begun."""
        if self._process is not None:
            self._process.stdin.write(f"{pid}\n")
            self._process.stdin.flush()

    @property
    def pings(self) -> list[Ping]:
        """What it wrote up to now."""
        self._pings += [Ping(*json.loads(line)) for line in self._written.new_lines()]
        return self._pings

    def await_answer(self) -> None:
        """Wait until a ping that is sent from now on is answered."""
        now = time.monotonic()
        wait_until(lambda: any(ping.at > now for ping in self.pings[-1:]), "the canary is answered")

    def stop(self) -> None:
        """End it, if it was begun and is there."""
        if self._process is not None and self._process.poll() is None:
            self._process.stdin.close()
            self._process.wait()


class Line:
    """A connection to the server, and what is asked there."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")
        self._asked = 0

    def ask(self, queues: list[RunQueue], op: str, **fields: str) -> Ping:
        """Ask something, and wait until it is done. Raises OSError when it was not, or cut off.

        An answer that does not come is a late one: the time says so.
        """
        self._asked += 1
        asked = request_line(op, id=self._asked, **fields)
        before, began = starved(*queues), time.monotonic()
        try:
            self._connection.sendall(asked)
            answer = self._answer()
        except TimeoutError:
            answer = {"ok": True}
        if not answer["ok"]:
            raise ConnectionAbortedError(answer["error"])
        return Ping(began, time.monotonic() - began, before.until(starved(*queues)))

    def _answer(self) -> dict[str, Any]:
        """Return the answer to what was asked last; nothing else that is told is one."""
        for text in self._lines:
            told = json.loads(text) if text.endswith(b"\n") else {}  # cut off in the middle
            if told.get("id") == self._asked and "ok" in told:
                return told
        raise ConnectionResetError

    def close(self) -> None:
        """Ask no more."""
        self._lines.close()
        self._connection.close()


def _run(port: int, token: str) -> None:
    own, server, line = RunQueue(os.getpid()), RunQueue(0), None
    while True:
        if select.select([sys.stdin], [], [], PING_SECONDS)[0]:
            pid = sys.stdin.readline()
            if not pid:
                return
            server.close()
            server = RunQueue(int(pid))
        try:
            if line is None:
                address = ("127.0.0.1", port)
                line = Line(socket.create_connection(address, ANSWER_SECONDS_MAX))
                line.ask([own, server], "login", token=token)
            ping = line.ask([own, server], "ping")
            print(json.dumps(ping), flush=True)
            if ping.seconds >= ANSWER_SECONDS_MAX:
                raise ConnectionResetError
        except (OSError, ValueError):
            # The server is not there now, or does not do what it is asked; or we said it too late
            # for want of a core, and were greeted as a person is.
            if line is not None:
                line.close()
            line = None


if __name__ == "__main__":
    _run(int(sys.argv[1]), sys.argv[2])
