"""Which disturbance comes when. The seed says so, and a failing one can be run again.

The first part of a run has all of them, and many kills. In the second part nothing ends the server,
so that what grows in one long life can be seen to grow.
"""

import itertools
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from tests.chaos.disturbances import DISTURBANCES, Disturbance

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

    def steps(self, *, may_end: bool) -> Iterator[Step]:
        """Yield what comes next, for ever; without what ends the server, if it is to live."""
        chosen = [each for each in self._chosen if may_end or not each.ends]
        for number in itertools.count(1) if chosen else ():
            random = Random(f"{self._seed} {'storm' if may_end else 'life'} {number}")
            (disturbance,) = random.choices(chosen, [each.weight for each in chosen])
            yield Step(disturbance, random)
