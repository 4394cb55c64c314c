"""The two loads: as fast as it goes, and at a steady pace.

Neither may be what is measured, so each does little a delivery: the burst counts markers in one
buffer that is never copied, the steady load cuts out one time stamp. Each is prepared when made, so
that `run` is all there is to measure.
"""

import select
import time
from collections.abc import Sequence
from statistics import quantiles
from typing import Protocol

from dialects import BODY_BYTES, MARKER, body, numbers
from generator import Client, Crowd
from process import BenchError

BUFFER_BYTES = 262_144  # read at once: stays in the core's cache until it is counted
STALL_SECONDS_MAX = 20  # without a byte from anybody: what is missing is lost
BURST_SECONDS_MAX = 300
LAST_SECONDS_MAX = 10  # after the last message of a steady load was sent, for its deliveries
NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000

Figures = dict[str, float]  # by name, the unit last


class Load(Protocol):
    """What members of rooms are made to say."""

    @property
    def deliveries(self) -> int:
        """How many messages readers have to read, all readers together."""
        ...

    def run(self) -> None:
        """Send everything, and return when every delivery has come.

        Raises BenchError when deliveries are missing or too many, or a client is cut.
        """
        ...

    def figures(self) -> Figures:
        """Return what only this load knows."""
        ...


class Burst:
    """Speakers who send all they have as fast as it is taken, and readers who count what comes."""

    def __init__(
        self, crowd: Crowd, room: str, members: Sequence[Client], speakers: int, messages: int
    ) -> None:
        """The first `speakers` of the members will send `messages` each, and read like all."""
        self._crowd = crowd
        self._buffer = bytearray(BUFFER_BYTES)
        say = crowd.dialect.say
        script = b"".join(say(room, body(number)) for number in range(messages))
        self._unsent = {
            crowd.speaker(member).socket.fileno(): memoryview(script)
            for member in members[:speakers]
        }
        own = 0 if crowd.dialect.echoes else messages
        self._missing = dict.fromkeys(crowd.clients, 0)
        for index, member in enumerate(members):
            due = speakers * messages - (own if index < speakers else 0)
            self._missing[member.socket.fileno()] = due
        self.deliveries = sum(self._missing.values())

    def run(self) -> None:
        """Send, and count for each reader, until nobody misses anything."""
        deadline = time.monotonic() + BURST_SECONDS_MAX
        for descriptor in self._unsent:
            self._crowd.epoll.modify(descriptor, select.EPOLLIN | select.EPOLLOUT)
        missing = self.deliveries
        while missing > 0:
            ready = self._crowd.epoll.poll(STALL_SECONDS_MAX)
            if not ready or time.monotonic() > deadline:
                raise BenchError(f"{missing:,} of {self.deliveries:,} deliveries do not come")
            for descriptor, event in ready:
                if event & ~select.EPOLLOUT:
                    missing -= self._count(descriptor)
                if event & select.EPOLLOUT:
                    self._send(descriptor)
        if any(self._missing.values()):
            raise BenchError("some deliveries came twice, others did not come")

    def figures(self) -> Figures:
        """Nothing: a burst has no latency but its length."""
        return {}

    def _send(self, descriptor: int) -> None:
        """Send as much as the socket takes; ask no more whether it takes more when all is sent."""
        sent = self._crowd.clients[descriptor].socket.send(self._unsent[descriptor])
        self._unsent[descriptor] = self._unsent[descriptor][sent:]
        if not self._unsent[descriptor]:
            self._crowd.epoll.modify(descriptor, select.EPOLLIN)

    def _count(self, descriptor: int) -> int:
        """Read once, and return how many messages it was."""
        client = self._crowd.clients[descriptor]
        try:
            size = client.socket.recv_into(self._buffer)
        except ConnectionError:
            size = 0
        if not size:
            missing = self._missing[descriptor]
            raise BenchError(f"{client.name} was cut with {missing:,} messages still to come")
        found = self._buffer.count(MARKER, 0, size)
        self._missing[descriptor] -= found
        return found


class Steady:
    """Speakers who take turns at an even pace, and readers who note when each message came.

    A message carries the time of its sending, read from the clock right before. There is a latency
    for every delivery to every reader, and for every message how long after its turn it was sent,
    which is the generator's own doing.
    """

    def __init__(
        self,
        crowd: Crowd,
        turns: Sequence[tuple[Client, str]],
        readers_per_message: int,
        messages_per_second: int,
        messages: int,
        body_bytes: int = BODY_BYTES,
    ) -> None:
        """`turns` says who speaks in which room, over and over until `messages` are sent."""
        self.deliveries = messages * readers_per_message
        self._crowd = crowd
        self._turns = [(crowd.speaker(member), room) for member, room in turns]
        self._readers_per_message = readers_per_message
        self._interval_ns = NS_PER_SECOND // messages_per_second
        self._messages = messages
        self._body_bytes = body_bytes
        self._start_ns = 0
        self._latencies_ns: list[int] = []
        self._lateness_ns: list[int] = []

    @property
    def is_spent(self) -> bool:
        """Whether all messages are sent."""
        return len(self._lateness_ns) >= self._messages

    @property
    def _missing(self) -> int:
        return len(self._lateness_ns) * self._readers_per_message - len(self._latencies_ns)

    def run(self) -> None:
        """Send at the pace, and read in between, until nothing is missing of all together."""
        while not self.is_spent:
            self.step()
        self.finish()

    def figures(self) -> Figures:
        """Return the latencies of the deliveries, and how late the generator itself was."""
        latencies = quantiles(self._latencies_ns, n=100)
        return {
            "latency_p50_ms": latencies[49] / NS_PER_MS,
            "latency_p99_ms": latencies[98] / NS_PER_MS,
            "send_lateness_p99_ms": quantiles(self._lateness_ns, n=100)[98] / NS_PER_MS,
        }

    def step(self) -> None:
        """Send a message if one is due; else read until the next is."""
        sent = len(self._lateness_ns)
        now_ns = time.monotonic_ns()
        self._start_ns = self._start_ns or now_ns
        late_ns = now_ns - self._start_ns - sent * self._interval_ns
        if late_ns < 0:
            self._read(-late_ns / NS_PER_SECOND)
            return
        speaker, room = self._turns[sent % len(self._turns)]
        speaker.send(speaker.dialect.say(room, body(time.monotonic_ns(), self._body_bytes)))
        self._lateness_ns.append(late_ns)

    def finish(self) -> None:
        """Read until nothing that was sent is missing."""
        deadline = time.monotonic() + LAST_SECONDS_MAX
        while self._missing > 0:
            if time.monotonic() > deadline:
                raise BenchError(f"{self._missing:,} deliveries did not come")
            self._read(1)
        if self._missing < 0:
            raise BenchError(f"{-self._missing:,} deliveries more than there should be")

    def _read(self, seconds_max: float) -> None:
        for client, data in self._crowd.receive(seconds_max):
            now_ns = time.monotonic_ns()
            read = client.partial_line + data
            end = read.rfind(b"\n") + 1
            client.partial_line = read[end:]
            self._latencies_ns.extend(now_ns - sent_ns for sent_ns in numbers(read[:end]))
