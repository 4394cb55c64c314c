"""Two servers next to each other: what one's figures are, in parts of the other's; what moved.

The machine is noisier than most differences that are looked for. So what is compared is played
right after each other, again and again. The ratio is the median of the pairs', without those in
which others had the server's core for too long, unless all are such. It has moved when that can't
be chance (where the true median lies, with 95 % confidence, all is on one side of 1) and is worth a
word (MOVED_MIN).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

from loads import Figures
from report import DIAGNOSTIC
from results import CORE_LOST_SHARE_MAX, MORE_IS_BETTER, Result

CHANCE_MAX = 0.05  # that the true median lies outside of the interval
MOVED_MIN = 0.05  # of the ratio from 1: less than that comes from where the memory happens to lie
NOISE, BETTER, WORSE, TOO_FEW = "", "better", "worse", "too few"


@dataclass(frozen=True)
class Movement:
    """One figure of one scene, in all pairs that are used."""

    scene: str
    figure: str
    before: Sequence[float]
    after: Sequence[float]
    pairs_played: int

    @property
    def ratios(self) -> list[float]:
        """How many times the first one's figure the second one's is, in each pair; sorted."""
        return sorted(two / one for one, two in zip(self.before, self.after, strict=True))

    @property
    def ratio(self) -> float:
        """The median of the pairs'."""
        return median(self.ratios)

    @property
    def verdict(self) -> str:
        """Whether it moved, and whereto."""
        interval = median_interval(self.ratios)
        if interval is None:
            return TOO_FEW
        low, high = interval
        if low <= 1 <= high or abs(self.ratio - 1) < MOVED_MIN:
            return NOISE
        return BETTER if (self.ratio > 1) == (self.figure in MORE_IS_BETTER) else WORSE


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return between which of the sorted values the true median lies, but for CHANCE_MAX.

    Of n values it is below the k lowest as rarely as n coins show fewer than k heads; that needs no
    word on how noise is spread. None when there are fewer than six values: then nothing is as rare.
    """
    count, left_out, chance = len(values), 0, 0.0
    while count and (chance := chance + 2 * comb(count, left_out) / 2**count) <= CHANCE_MAX:
        left_out += 1
    return (values[left_out - 1], values[-left_out]) if left_out else None


def movements(results: Sequence[Result], before: str, after: str) -> Iterator[Movement]:
    """Yield what can be compared of what both servers have played in the same rounds."""
    for scene in dict.fromkeys(result.scene for result in results):
        pairs = list(_pairs([each for each in results if each.scene == scene], before, after))
        quiet = [pair for pair in pairs if _lost_share(pair) <= CORE_LOST_SHARE_MAX] or pairs
        for name in _compared(quiet):
            firsts, seconds = (
                [figures[name] for figures in side] for side in zip(*quiet, strict=True)
            )
            yield Movement(scene, name, firsts, seconds, len(pairs))


def _pairs(results: Sequence[Result], one: str, two: str) -> Iterator[tuple[Figures, Figures]]:
    played = {(each.server, each.round): each.figures for each in results if each.figures}
    for number in sorted({number for _, number in played}):
        if (one, number) in played and (two, number) in played:
            yield played[one, number], played[two, number]


def _lost_share(pair: tuple[Figures, Figures]) -> float:
    return max(figures.get("server_core_lost_share", 0.0) for figures in pair)


def _compared(pairs: Sequence[tuple[Figures, Figures]]) -> Iterator[str]:
    """Yield the names of figures that say something: no sizes of the scene, and no paces."""
    every = [figures for pair in pairs for figures in pair]
    for name in every[0] if every else ():
        values = [figures.get(name, 0.0) for figures in every]
        is_pace = name == "deliveries_per_second" and "latency_p50_ms" in every[0]
        is_given = len(set(values)) == 1
        if min(values) > 0 and not (is_pace or is_given or name.endswith(DIAGNOSTIC)):
            yield name
