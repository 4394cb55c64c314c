"""A herd: thousands of programs come back at once to a server that was killed while they talked.

They log in by token and join their room with `since`, the id of the last message that they saw.
Measured is the time from the moment when the server accepts again until each is logged in, has
joined, and has read all that it missed. Then what each has seen, before and after, is held against
the database: nothing may be missing, nothing there twice, nothing out of order.
"""

import json
import selectors
import socket
import sqlite3
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

from accounts import DATABASE, make_accounts, token_of
from dialects import Ndjson
from loads import Figures
from peers import Server
from process import HOST, BenchError, ServerProcess
from scale import Scale

ROOMS = 20
CONNECT_SECONDS_MAX = 30
READ_BYTES = 262_144
PHASE_SECONDS_MAX = 120
MISSED_BEFORE = 40  # messages said in each room while half of its members are away
IN_FLIGHT_MAX = 200  # says under way when the server is killed
_dialect = Ndjson()


class Program:
    """One client of the herd: what it has seen of its room, over all its connections."""

    def __init__(self, number: int, room: str) -> None:
        self.name = f"p{number}"
        self.room = room
        self.seen: list[int] = []
        self.is_back = False
        self.answered_at = 0.0
        self.socket: socket.socket | None = None
        self._begun = b""

    def connect(self, port: int) -> socket.socket:
        """Open a connection, and ask for all at once: to be logged in, and to be where it was."""
        self.is_back, self._begun = False, b""
        self.socket = socket.create_connection((HOST, port), CONNECT_SECONDS_MAX)
        self.socket.setblocking(False)
        since = self.seen[-1] if self.seen else 0
        join = json.dumps({"op": "join", "room": self.room, "since": since})
        self.socket.send(_dialect.login(token_of(self.name)).request + join.encode() + b"\n")
        self.socket.send(b'{"op":"ping"}\n')
        return self.socket

    def read(self) -> bool:
        """Read what came; return whether there is more to come. Raises BenchError if refused."""
        assert self.socket is not None
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except ConnectionError:
            data = b""
        *lines, self._begun = (self._begun + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))
        return bool(data)

    def say(self, number: int) -> None:
        """Say something, and do not wait."""
        assert self.socket is not None
        self.socket.send(_dialect.say(self.room, b"message %d" % number))

    def hang_up(self) -> None:
        """Close the connection, if there is one."""
        if self.socket is not None:
            self.socket.close()
        self.socket = None

    def _take(self, line: dict[str, object]) -> None:
        if line.get("event") == "message":
            self.seen.append(int(str(line["id"])))
        elif line.get("ok") is False or line.get("is_complete") is False:
            raise BenchError(f"{self.name} is not served: {line}")
        elif line.get("sentence") == "Pong.":
            self.is_back, self.answered_at = True, time.monotonic()


class Herd:
    """All programs, read by one thread."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = programs
        self._selector = selectors.DefaultSelector()

    def connect(self, programs: Sequence[Program], port: int) -> None:
        """Connect these, as fast as the kernel lets."""
        for program in programs:
            self._selector.register(program.connect(port), selectors.EVENT_READ, program)
            self.read(0)

    def hang_up(self, programs: Sequence[Program]) -> None:
        """Let these go."""
        for program in programs:
            if program.socket is not None:
                self._selector.unregister(program.socket)
            program.hang_up()

    def read(self, seconds_max: float) -> None:
        """Read what there is to read. Who was cut is hung up."""
        for key, _ in self._selector.select(seconds_max):
            if not key.data.read():
                self.hang_up([key.data])

    def read_until(self, condition: Callable[[], bool], what: str) -> None:
        """Read until something holds. Raises BenchError when that takes too long."""
        deadline = time.monotonic() + PHASE_SECONDS_MAX
        while not condition():
            if time.monotonic() > deadline:
                raise BenchError(f"waited {PHASE_SECONDS_MAX} s in vain until {what}")
            self.read(0.05)


def come_back(server: Server, core: int, scale: Scale) -> Figures:
    """Let the herd talk, kill the server, start it again, and let all come back."""
    programs = [Program(number, f"room{number % ROOMS}") for number in range(scale.herd)]
    herd = Herd(programs)
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        with server.started(core, folder) as process:
            _talk_until_killed(process, folder, herd)
        killed_at = time.monotonic()
        with server.started(core, folder) as process:
            port = process.accepting_port()
            accepting_at = time.monotonic()
            herd.connect(programs, port)
            herd.read_until(lambda: all(each.is_back for each in programs), "all are back")
            cpu_seconds = process.cpu_seconds()
            _talk(herd, programs[:ROOMS], ROOMS)
            stored = _stored(folder)
            herd.read_until(
                lambda: all(len(each.seen) >= len(stored[each.room]) for each in programs),
                "all have seen all",
            )
            herd.hang_up(programs)
            server.check_exit(process.stop())
    for program in programs:
        if program.seen != stored[program.room]:
            raise BenchError(f"{program.name} saw {program.seen}, of {stored[program.room]}")
    back = sorted(each.answered_at - accepting_at for each in programs)
    return {
        "back_p50_seconds": median(back),
        "back_p99_seconds": quantiles(back, n=100)[98],
        "back_last_seconds": back[-1],
        "restart_seconds": accepting_at - killed_at,
        "server_cpu_seconds": cpu_seconds,
        "programs": len(programs),
    }


def _talk_until_killed(process: ServerProcess, folder: Path, herd: Herd) -> None:
    """Let all talk, and half of them leave; kill the server while messages are under way."""
    programs = herd.programs
    speakers, absent = programs[:ROOMS], programs[len(programs) // 2 :]
    port = process.accepting_port()
    _wait_until_served(port)
    make_accounts(folder, [program.name for program in programs])
    herd.connect(programs, port)
    herd.read_until(lambda: all(each.is_back for each in programs), "all are in")
    herd.hang_up(absent)
    _talk(herd, speakers, MISSED_BEFORE * ROOMS)
    seen = sum(len(each.seen) for each in speakers)
    for number in range(IN_FLIGHT_MAX):
        speakers[number % ROOMS].say(number)
    herd.read_until(lambda: sum(len(each.seen) for each in speakers) > seen, "one of those is seen")
    process.kill()
    herd.read_until(lambda: not any(each.socket for each in programs), "all know that it died")


def _wait_until_served(port: int) -> None:
    """Wait for an answer: the port accepts before the database is open."""
    with socket.create_connection((HOST, port), CONNECT_SECONDS_MAX) as connection:
        connection.send(b'{"op":"ping"}\n')
        connection.recv(READ_BYTES)


def _talk(herd: Herd, speakers: Sequence[Program], messages: int) -> None:
    """Let the speakers say so many messages in turns, until each has seen its own last one."""
    before = sum(len(speaker.seen) for speaker in speakers)
    for number in range(messages):
        speakers[number % len(speakers)].say(number)
        herd.read(0)
    herd.read_until(
        lambda: sum(len(speaker.seen) for speaker in speakers) >= before + messages, "it is said"
    )


def _stored(folder: Path) -> dict[str, list[int]]:
    """Return the ids of each room's messages, in their order."""
    stored: defaultdict[str, list[int]] = defaultdict(list)
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        for room, message_id in connection.execute(
            "SELECT rooms.name, messages.id FROM messages JOIN rooms ON rooms.id = room_id"
            " ORDER BY messages.id"
        ):
            stored[room].append(message_id)
    return stored
