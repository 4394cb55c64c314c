"""All members together: who is of which kind, where they sit, and who speaks next.

The seed says all of it. A new kind of member is a line in _KINDS.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from tests.fire.chaos.confidants import Confidant, Confiding
from tests.fire.chaos.members import Member, Person, ProgramMember
from tests.fire.chaos.oracle import Rooms
from tests.fire.chaos.sharers import Sharer
from tests.kit.client import until

MEMBERS_A_ROOM = 40  # as many rooms as that makes; most members sit in two of them
WAVES = 40
WAVE_SECONDS = 0.002  # less than a batch takes: there is always one that waits
SPEAKERS_A_WAVE = 30
SECRETS_A_SECOND = 4  # that all confidants say together
READ_SECONDS_MAX = 15  # until all of them have read what was said, and said what is left
RETURN_SECONDS_MAX = 60  # until all are back, whatever was done to the server
# 2,000 of them need 32 s on two cores: they are one process, and do both ends of each TLS session.
RETURN_SECONDS_A_CLIENT = 0.03  # so that those are held to the minute, and only more have longer


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

    def __init__(self, around: Confiding, count: int, messages_a_second: float, seed: int):
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
        self._talkers = list(self.members)
        self.confidants = [
            Confidant(around, count + place, Random(f"{seed} confidant {place}"))
            for place in range(len(around.circle.names))
        ]
        self.members += self.confidants
        self.kinds["encrypted"] = len(self.confidants)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Let all come, talk, and share."""
        for member in self.members:
            tasks.create_task(member.run())
            if isinstance(member, Sharer):
                tasks.create_task(member.share())
        tasks.create_task(self._talk(self._talkers, self._pause_seconds))
        if self.confidants:
            tasks.create_task(self._talk(self.confidants, 1 / SECRETS_A_SECOND))
        for confidant in self.confidants:
            tasks.create_task(confidant.keep_up())

    async def _talk(self, members: Sequence[Member], pause_seconds: float) -> None:
        while not self._around.is_over:
            await asyncio.sleep(self._random.expovariate(1) * pause_seconds)
            member = self._random.choice(members)
            if member.is_here:
                member.say()

    async def speak_in_waves(self) -> None:
        """Let some say something at once, again and again: the server is in the middle of it."""
        for _ in range(WAVES):
            self.speak_at_once()
            await asyncio.sleep(WAVE_SECONDS)

    def speak_at_once(self) -> None:
        """Let some say something, all in one moment."""
        for member in (*self._talkers[:SPEAKERS_A_WAVE], *self.confidants):
            if member.is_here:
                member.say()

    def speakers(self) -> dict[str, Member]:
        """Return somebody who could say something now, for each room that has anybody."""
        talkers = list(self._talkers)
        if self._around.circle.may_talk:
            talkers += self.confidants
        self._random.shuffle(talkers)
        return {room: each for each in talkers if each.is_here for room in each.rooms}

    def behind(self, rooms: Rooms) -> list[tuple[Member, list[str]]]:
        """Return who of those who are here has not seen the newest that is stored, and where."""
        found = [(each, each.behind(rooms)) for each in self.members if each.is_here]
        return [(each, missed) for each, missed in found if missed]

    async def read_all(self) -> None:
        """Wait until confidants have read what they saw by now, and said what was left."""
        circle = self._around.circle
        owed, seen = circle.owed, [(each, set(each.unread)) for each in self.confidants]

        def is_done() -> bool:
            return not (owed & circle.owed or any(each.due(ids) for each, ids in seen))

        try:
            await until(is_done, READ_SECONDS_MAX)
        except TimeoutError:
            circle.give_up(owed)
            for each, ids in seen:
                each.give_up(ids)

    async def welcome(self, returned: Confidant) -> None:
        """Wait until a confidant who was gone is back, and accepted by all. Raises TimeoutError."""

        def is_welcome() -> bool:
            if returned.roster is None or not returned.is_here:
                return False
            others = [each.roster for each in self.confidants]
            return all(
                roster and roster.rev >= returned.roster.rev and returned.name in roster.accepted
                for roster in others
            )

        await until(is_welcome, RETURN_SECONDS_MAX)
        returned.be_welcome()

    async def finish_secrets(self) -> None:
        """Let confidants say no more, read what there is, and empty their mailboxes."""
        self._around.circle.is_over = True
        await self.gathered()
        await self.read_all()
        for confidant in self.confidants:
            await confidant.finish()

    @property
    def absent(self) -> list[Member]:
        """Those who are not in their rooms."""
        return [member for member in self.members if not member.is_here]

    async def gathered(self) -> float:
        """Wait until all are here; return after how long. Raises TimeoutError."""
        seconds_max = max(RETURN_SECONDS_MAX, len(self.members) * RETURN_SECONDS_A_CLIENT)
        return await until(lambda: not self.absent, seconds_max)

    def late_answers(self, now: float) -> int:
        """Return how many answers are overdue."""
        programs = [each for each in self.members if isinstance(each, ProgramMember)]
        return sum(each.late_answers(now) for each in programs)
