"""Two servers next to each other: what one costs a delivery, in parts of what the other does.

The machine is noisier than most differences that are looked for. So what is compared is played
right after each other, again and again. The ratio is the median of the pairs', without those in
which others had the server's core for too long, unless all are such. Beside it stands how the best
of each compare: whatever else runs makes a delivery dearer, and never cheaper.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from report import CORE_LOST_SHARE_MAX, Result


class Pair(NamedTuple):
    """What a delivery cost each of the two, in microseconds of CPU; what of the core was lost."""

    first_us: float
    second_us: float
    lost_share: float

    @property
    def ratio(self) -> float:
        """How many times the first one's cost the second one's is."""
        return self.second_us / self.first_us


def show(results: Sequence[Result], first: str, second: str, machine: Mapping[str, str]) -> None:
    """Print for each scene the medians of both, of the pairs' ratios, and how far those spread."""
    console = Console()
    table = Table("scene", f"{first}\nCPU us", f"{second}\nCPU us", "ratio")
    for heading in ("of the pairs", "at best", "pairs"):
        table.add_column(heading)
    for scene in dict.fromkeys(result.scene for result in results):
        pairs = list(_pairs([each for each in results if each.scene == scene], first, second))
        if pairs:
            table.add_row(scene, *_cells(pairs))
    console.print(table)
    for name, value in machine.items():
        console.print(f"{name}: {value}", highlight=False)
    for result in results:
        if result.failure:
            console.print(f"{result.scene}, {result.server}: {result.failure}")


def _pairs(results: Iterable[Result], first: str, second: str) -> Iterator[Pair]:
    """Yield what both have played in the same round."""
    played = {(each.server, each.round): each.figures for each in results if each.figures}
    for number in sorted({number for _, number in played}):
        if (first, number) in played and (second, number) in played:
            both = played[first, number], played[second, number]
            first_us, second_us = (figures["cpu_us_per_delivery"] for figures in both)
            lost_share = max(figures["server_core_lost_share"] for figures in both)
            yield Pair(first_us, second_us, lost_share)


def _cells(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield what stands behind the scene."""
    quiet = [pair for pair in pairs if pair.lost_share <= CORE_LOST_SHARE_MAX] or pairs
    ratios = sorted(pair.ratio for pair in quiet)
    best = min(pair.second_us for pair in pairs) / min(pair.first_us for pair in pairs)
    yield f"{median(pair.first_us for pair in quiet):.3f}"
    yield f"{median(pair.second_us for pair in quiet):.3f}"
    yield f"{median(ratios):.3f}"
    yield f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    yield f"{best:.3f}"
    yield f"{len(quiet)} of {len(pairs)}"
