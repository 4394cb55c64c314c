"""All members together: who is of which kind, where they sit, and who speaks next.

The seed says all of it. A new kind of member is a line in _KINDS.
"""

import asyncio
from collections import Counter
from random import Random
from typing import NamedTuple

from tests.chaos.members import Member, Person, ProgramMember, Surroundings
from tests.chaos.server import until
from tests.chaos.sharers import Sharer

MEMBERS_A_ROOM = 40  # as many rooms as that makes; most members sit in two of them
WAVES = 20
WAVE_SECONDS = 0.004  # less than a batch takes
SPEAKERS_A_WAVE = 30
RETURN_SECONDS_MAX = 60  # until all are back, whatever was done to the server


class Kind(NamedTuple):
    """A kind of member."""

    name: str
    make: type[Member]
    has_tls: bool
    weight: int


_KINDS = (
    Kind("text", Person, False, 20),
    Kind("text over TLS", Person, True, 10),
    Kind("NDJSON", ProgramMember, False, 35),
    Kind("NDJSON over TLS", ProgramMember, True, 20),
    Kind("files", Sharer, False, 10),
    Kind("files over TLS", Sharer, True, 5),
)


class Population:
    """See the top of this file."""

    def __init__(self, around: Surroundings, count: int, messages_a_second: float, seed: int):
        random = Random(f"{seed} population")
        self._around = around
        self._random = Random(f"{seed} talk")
        self._pause_seconds = 1 / messages_a_second
        self.rooms = [f"room{number}" for number in range(max(2, count // MEMBERS_A_ROOM))]
        self.kinds: Counter[str] = Counter()
        self.members: list[Member] = []
        weights = [kind.weight for kind in _KINDS]
        for number in range(count):
            (kind,) = random.choices(_KINDS, weights) if number >= len(_KINDS) else [_KINDS[number]]
            rooms = random.sample(self.rooms, 2)
            member = kind.make(around, number, rooms, Random(f"{seed} member {number}"))
            member.tls = around.tls if kind.has_tls else None
            self.members.append(member)
            self.kinds[kind.name] += 1

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Let all come, talk, and share."""
        for member in self.members:
            tasks.create_task(member.run())
            if isinstance(member, Sharer):
                tasks.create_task(member.share())
        tasks.create_task(self._talk())

    async def _talk(self) -> None:
        while not self._around.is_over:
            await asyncio.sleep(self._random.expovariate(1) * self._pause_seconds)
            member = self._random.choice(self.members)
            if member.is_here:
                member.say()

    async def speak_in_waves(self) -> None:
        """Let some say something at once, again and again: the server is in the middle of it."""
        for _ in range(WAVES):
            for member in self.members[:SPEAKERS_A_WAVE]:
                if member.is_here:
                    member.say()
            await asyncio.sleep(WAVE_SECONDS)

    @property
    def absent(self) -> list[Member]:
        """Those who are not in their rooms."""
        return [member for member in self.members if not member.is_here]

    async def gathered(self) -> float:
        """Wait until all are here; return after how long. Raises TimeoutError."""
        return await until(lambda: not self.absent, RETURN_SECONDS_MAX)

    def late_answers(self, now: float) -> int:
        """Return how many answers are overdue."""
        programs = [each for each in self.members if isinstance(each, ProgramMember)]
        return sum(each.late_answers(now) for each in programs)
