"""Those who talk all the time: people at the text wire and programs, each plain or over TLS.

A member comes back by itself whenever it is cut off, and remembers what it saw and said. It says
only what it is told to (population.py bounds the rate), and each body is one of its own: `zqx`, who
says it, and which one it is. When it is there it answers for what the oracle compares.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from random import Random
from typing import Protocol

from tests.fire.chaos.oracle import Oracle, Rooms
from tests.fire.chaos.rooms import Track, Visit
from tests.fire.chaos.server import PASSWORD, token_of
from tests.kit.async_program import ANSWER_SECONDS_MAX, Line, Lines, Program, Refused, open_lines

BODY_MARK = "zqx"  # in each body, and in nothing else: the log is searched for it
FILLING_CHARS_MAX = 400  # behind it, so that bodies differ in length
RETURN_SECONDS_MIN, RETURN_SECONDS_MAX = 0.05, 1.0  # between tries; doubled each time
RETRIED_SHARE = 0.7  # of what was not answered: said again under its txn
NOT_STORED = {"not_stored", "shutting_down"}
# How a server ends a conversation that it can't go on with now: nothing that a client could help.
TURNED_AWAY = {*NOT_STORED, "full", "busy", "login_timeout", "too_slow"}

_SHOWN = re.compile(rf"(\[[^\]]*\] )?([\w.-]+): ({BODY_MARK}-\S+)\r?")


class Surroundings(Protocol):
    """What members need to know of the run."""

    port: int
    oracle: Oracle
    tls: ssl.SSLContext
    is_over: bool


class Member:
    """One of those who talk. `is_here` while it is in its rooms."""

    def __init__(self, around: Surroundings, number: int, rooms: list[str], random: Random) -> None:
        self.name = f"c{number}"
        self.source = f"127.0.{1 + number // 250}.{1 + number % 250}"
        self.rooms = rooms
        self.is_here = False
        self.tls: ssl.SSLContext | None = None
        self.trouble = "has not come yet"  # the last one, for whoever asks why it is not here
        self._around = around
        self._oracle = around.oracle
        self._random = random
        self._count = 0
        self.lines: Lines | None = None

    async def run(self) -> None:
        """Come, stay, and come back, until it is over."""
        pause = RETURN_SECONDS_MIN
        while not self._around.is_over:
            try:
                self.lines = await self._enter()
                self.is_here, pause = True, RETURN_SECONDS_MIN
                self._oracle.counts.arrivals += 1
                await self.lines.lost
                self.trouble = "was cut off"
            except Refused as refusal:
                self._complain(str(refusal))
            except OSError as error:  # TimeoutError and ssl.SSLError are some
                self.trouble = f"{type(error).__name__}: {error}"
            finally:
                self.is_here = False
                self._hang_up()
            await asyncio.sleep(pause * self._random.uniform(0.5, 1.5))
            pause = min(RETURN_SECONDS_MAX, pause * 2)

    def _hang_up(self) -> None:
        if self.lines is not None:
            self.lines.transport.abort()
            self.lines = None

    def _complain(self, code: str) -> None:
        """Take a refusal: as the server's trouble, or as a promise that it broke."""
        self.trouble = code
        if code not in TURNED_AWAY:
            self._oracle.violate(f"{self.name} was refused as {code}")

    def _new_body(self) -> str:
        self._count += 1
        filling = "y" * int(self._random.random() ** 4 * FILLING_CHARS_MAX)
        return f"{BODY_MARK}-{self.name}-{self._count}-{filling}"

    async def _enter(self) -> Lines:
        """Log in, and enter the rooms. Raises OSError, Refused."""
        raise NotImplementedError

    def say(self) -> None:
        """Say something, in one of its rooms."""
        self.say_in(self._random.choice(self.rooms))

    def say_in(self, room: str) -> None:
        """Say something in a room."""
        raise NotImplementedError

    def behind(self, rooms: Rooms) -> list[str]:
        """Return the rooms of which it has not seen the newest of what is stored."""
        raise NotImplementedError

    def take(self) -> Callable[[Rooms], Iterator[str]]:
        """See Observer."""
        raise NotImplementedError


class Person(Member):
    """Somebody at nc, in one room: sees no ids, and has each line back as a receipt."""

    def __init__(self, around: Surroundings, number: int, rooms: list[str], random: Random) -> None:
        super().__init__(around, number, rooms[:1], random)
        self._visits: list[Visit] = []
        self._live_from = 0  # the place behind the last line that was live
        self._welcome: asyncio.Future[None]

    async def _enter(self) -> Lines:
        self._welcome = asyncio.get_running_loop().create_future()
        visit = Visit()
        self._visits.append(visit)
        port, source = self._around.port, self.source
        lines = await open_lines(port, source, self.tls, lambda line: self._on_line(visit, line))
        lines.lost.add_done_callback(lambda _: self._refuse_entry("lost before it was welcome"))
        lines.write(f"/login {self.name} {PASSWORD}\r\n/join {self.rooms[0]}\r\n".encode())
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                await self._welcome
        except BaseException:
            lines.transport.abort()
            raise
        return lines

    def _on_line(self, visit: Visit, data: bytes) -> None:
        line = data.decode()
        said = _SHOWN.fullmatch(line)
        if said:
            self._oracle.counts.seen += 1
            visit.see(said[3], is_live=not said[1])
            if said[2] == self.name and not said[1]:
                self._oracle.counts.acknowledged += 1
        elif line.startswith("Welcome to room ") and not self._welcome.done():
            self._welcome.set_result(None)
        elif "Error: " in line:
            self._on_refusal(line)

    def _on_refusal(self, line: str) -> None:
        if "not stored" in line:
            self._oracle.counts.refused += 1
        elif "something went wrong here" in line:
            self._oracle.violate(f"{self.name} was told: {line.strip()}")
        self.trouble = line.strip()
        self._refuse_entry(self.trouble)

    def _refuse_entry(self, reason: str) -> None:
        """Let it try again, if it is not welcome yet."""
        if not self._welcome.done():
            self._welcome.set_exception(ConnectionResetError(reason))

    def say_in(self, room: str) -> None:
        """See Member."""
        if self.lines is not None:
            self._oracle.counts.said += 1
            self.lines.write(f"{self._new_body()}\r\n".encode())

    def behind(self, rooms: Rooms) -> list[str]:
        """See Member."""
        visit = self._visits[-1]
        return [room for room in self.rooms if visit.is_behind(rooms[room])]

    def take(self) -> Callable[[Rooms], Iterator[str]]:
        """See Observer."""
        looks = [(visit, visit.take()) for visit in self._visits]
        self._visits = self._visits[-1:]  # the others can't see any more

        def find(rooms: Rooms) -> Iterator[str]:
            for visit, faults in looks:
                for fault in faults(rooms[self.rooms[0]], self._live_from):
                    yield f"{self.name} in {self.rooms[0]} {fault}"
                self._live_from = max(self._live_from, visit.next_place)

        return find


class ProgramMember(Member):
    """A program in several rooms: comes back with `since`, and says again what was not answered."""

    def __init__(self, around: Surroundings, number: int, rooms: list[str], random: Random) -> None:
        super().__init__(around, number, rooms, random)
        self._tracks = {room: Track() for room in rooms}
        self._unanswered: dict[str, tuple[str, float]] = {}  # by body: the room, and since when
        self._retried: set[str] = set()  # bodies that were sent more than once
        self.program = Program()

    async def _enter(self) -> Lines:
        program = self.program = Program(self._on_event)
        await program.connect(self._around.port, self.source, self.tls)
        try:
            await program.call("login", token=token_of(self.name))
            await self._arrive(program)
        except BaseException:
            program.lines.transport.abort()
            raise
        return program.lines

    async def _arrive(self, program: Program) -> None:
        """Enter the rooms, when it is logged in. Raises OSError, Refused."""
        for room in self.rooms:
            await self._join(program, room)
        self._say_again()

    async def _join(self, program: Program, room: str) -> None:
        """Enter a room, and catch up with what was said there, over pages if need be."""
        track = self._tracks[room]
        track.put_aside()
        since = {} if track.last_id is None else {"since": track.last_id}
        answer = await program.call("join", room=room, **since)
        await program.call("ping")  # the replay is behind the answer, and before this one
        first_id = track.first_aside()
        track.begin_at(answer["last_id"] if first_id is None else first_id - 1)
        is_paged = bool(since) and not answer["is_complete"]
        if is_paged:
            self._oracle.counts.incomplete += 1
            await self._page(program, room, track)
        track.go_on(is_paged=is_paged)

    async def _page(self, program: Program, room: str, track: Track) -> None:
        has_more = True
        while has_more:
            page = await program.call("history", room=room, after=track.last_id, count=500)
            track.page([(message["id"], self._take_body(message)) for message in page["messages"]])
            has_more = page["has_more"]

    def _on_event(self, event: Line) -> None:
        if event["event"] == "message":
            self._oracle.counts.seen += 1
            self._tracks[event["room"]].see(event["id"], self._take_body(event))

    def _take_body(self, message: Line) -> str:
        """Return what the database should have of a message that is seen."""
        body: str = message["body"]
        return body

    def say_in(self, room: str) -> None:
        """See Member."""
        self._oracle.counts.said += 1
        self._send(room, self._new_body())

    def behind(self, rooms: Rooms) -> list[str]:
        """See Member."""
        return [room for room, track in self._tracks.items() if track.is_behind(rooms[room])]

    def _say_again(self) -> None:
        waiting, self._unanswered = self._unanswered, {}
        for body, (room, _) in waiting.items():
            if self._random.random() < RETRIED_SHARE:
                self._oracle.counts.retried += 1
                self._retried.add(body)
                self._send(room, body)

    def _send(self, room: str, body: str) -> None:
        self._unanswered[body] = room, time.monotonic()
        txn = body.rpartition("-")[0]
        asked = self.program.ask("say", room=room, body=body, txn=txn)
        asked.add_done_callback(lambda answered: self._on_answer(room, body, answered))

    def _on_answer(self, room: str, body: str, answered: asyncio.Future[Line]) -> None:
        with suppress(OSError, asyncio.CancelledError):  # lost: it stays unanswered
            answer = answered.result()
            self._unanswered.pop(body, None)
            if answer["ok"]:
                self._oracle.acknowledge(room, answer["message_id"], body)
                return
            self._oracle.counts.refused += 1
            if answer["error"] not in NOT_STORED:
                self._oracle.violate(f"{self.name} was refused as {answer['error']}")
            elif body not in self._retried:
                self._oracle.refuse(body)

    def late_answers(self, now: float) -> int:
        """Return how many answers are overdue."""
        times = self._unanswered.values() if self.is_here else ()
        return sum(now - since > ANSWER_SECONDS_MAX for _, since in times)

    def take(self) -> Callable[[Rooms], Iterator[str]]:
        """See Observer."""
        looks = [(room, track.take()) for room, track in self._tracks.items()]

        def find(rooms: Rooms) -> Iterator[str]:
            for room, faults in looks:
                yield from (f"{self.name} in {room} {fault}" for fault in faults(rooms[room]))

        return find
