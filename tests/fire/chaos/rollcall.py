"""The roll call: when all are back, something is said in each room, and all who are there see it.

Who gets nothing more, and is not told so, would not be missed otherwise: nothing that they saw is
wrong, and when they are cut off and come back, they are shown all of it.
"""

import asyncio
import time
from math import inf

from tests.fire.chaos.oracle import Oracle
from tests.fire.chaos.population import Population
from tests.kit.client import until

ECHO_SECONDS_MAX = 20  # until something that is said is stored; and until all have seen it
LOOK_SECONDS = 0.1  # between looks into the database
AGAIN_SECONDS = 1.0  # until something is said once more in a room of which nothing is stored


class RollCall:
    """See the top of this file. It takes a moment, unless something is wrong."""

    def __init__(self, oracle: Oracle, population: Population) -> None:
        self._oracle = oracle
        self._population = population

    async def hold(self) -> None:
        """Speak, and wait until all have heard it; complain of those who have not."""
        for room in await self._speak():
            self._oracle.violate(f"nothing of what is said in {room} is stored")
        rooms, population = self._oracle.rooms, self._population
        try:
            await until(lambda: not population.behind(rooms), ECHO_SECONDS_MAX)
        except TimeoutError:
            for member, missed in population.behind(rooms):
                where = ", ".join(f"{room} ({rooms[room].newest_id})" for room in missed)
                self._oracle.violate(f"{member.name} is there, and does not see the end of {where}")

    async def _speak(self) -> set[str]:
        """Say something in each room until it is stored; return the rooms where nothing is."""
        await self._oracle.learn()
        ids = {room: stored.newest_id for room, stored in self._oracle.rooms.items()}
        silent = set(self._population.speakers())
        began, said_at = time.monotonic(), -inf
        while silent and time.monotonic() - began < ECHO_SECONDS_MAX:
            if time.monotonic() - said_at > AGAIN_SECONDS:
                speakers, said_at = self._population.speakers(), time.monotonic()
                for room in silent & speakers.keys():
                    speakers[room].say_in(room)
            await asyncio.sleep(LOOK_SECONDS)
            await self._oracle.learn()
            rooms = self._oracle.rooms
            silent = {room for room in silent if rooms[room].newest_id == ids.get(room, 0)}
        return silent
