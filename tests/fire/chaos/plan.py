"""Which disturbance comes when. The seed says so, and a failing one can be run again.

The first part of a run has each of them once, in an order that the seed says, and then many kills.
In the second part nothing ends the server, so that what grows in one long life is seen to grow.
"""

import itertools
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from tests.fire.chaos.disturbances import DISTURBANCES, Disturbance

STORM_SHARE = 0.6  # of a run, before the long life begins


class Step(NamedTuple):
    """A disturbance, and the chance that it takes: its own, whatever happened before."""

    disturbance: Disturbance
    random: Random


class Plan:
    """Steps without end: each is asked for when the one before is done."""

    def __init__(self, seed: int, names: Sequence[str], *, has_disk: bool) -> None:
        """Take all disturbances that are possible here, or only those of some names."""
        self._seed = seed
        self._chosen = [
            each
            for each in DISTURBANCES
            if (not names or each.name in names) and (has_disk or each.name != "full disk")
        ]
        if not self._chosen:
            raise ValueError(f"there is no disturbance {', '.join(names)}")

    @property
    def names(self) -> list[str]:
        """What all of them are called."""
        return [each.name for each in self._chosen]

    def storm(self) -> Iterator[Step]:
        """Yield what comes next, for ever: each once, and then by their weights."""
        once = Random(f"{self._seed} once").sample(self._chosen, len(self._chosen))
        for number, disturbance in enumerate(once, 1):
            yield Step(disturbance, self._random("once", number))
        yield from self._weighted("storm", self._chosen)

    def life(self) -> Iterator[Step]:
        """Yield what comes next, for ever, to a server that is to live; nothing that ends it."""
        return self._weighted("life", [each for each in self._chosen if not each.ends])

    def _weighted(self, part: str, chosen: Sequence[Disturbance]) -> Iterator[Step]:
        for number in itertools.count(1) if chosen else ():
            random = self._random(part, number)
            (disturbance,) = random.choices(chosen, [each.weight for each in chosen])
            yield Step(disturbance, random)

    def _random(self, part: str, number: int) -> Random:
        return Random(f"{self._seed} {part} {number}")
