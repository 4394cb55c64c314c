"""Whether something grows that should not, in the long life at the end of a run. Pure.

The slope is the median of the slopes between any two samples (Theil and Sen): a few that are far
off, taken in the middle of a trouble, do not move it.
"""

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

SAMPLES_MIN = 8  # fewer say nothing
WARM_UP_SHARE = 0.25  # of the samples, which are left out: pools fill, tables are read
# By how much each may grow over what is left of the life, as the slope says.
RESIDENT_SHARE_MAX = 0.10  # of what it was: rooms keep some more of what was said, the heap frays
DESCRIPTORS_MAX = 3  # besides connections
GREENLETS_MAX = 6  # likewise: some come and go with what is under way


@dataclass(frozen=True)
class Sample:
    """How the server was at one time. Descriptors and greenlets are those besides connections."""

    at: float
    resident_bytes: float
    descriptors: float
    greenlets: float


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the median slope."""
    pairs = itertools.combinations(points, 2)
    return statistics.median([(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairs if x2 > x1])


def growth(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """Return by how much each figure grew after the warm-up, and by how much it may."""
    rest = samples[int(len(samples) * WARM_UP_SHARE) :]
    if len(rest) < SAMPLES_MIN:
        return {}
    seconds = rest[-1].at - rest[0].at
    typical = statistics.median([each.resident_bytes for each in rest])
    bounds = {
        "resident_bytes": typical * RESIDENT_SHARE_MAX,
        "descriptors": DESCRIPTORS_MAX,
        "greenlets": GREENLETS_MAX,
    }
    return {
        name: (slope([(each.at, getattr(each, name)) for each in rest]) * seconds, bound)
        for name, bound in bounds.items()
    }


def faults(samples: Sequence[Sample]) -> Iterator[str]:
    """Say what grew by more than it may."""
    for name, (grown, bound) in growth(samples).items():
        if grown > bound:
            yield f"{name} grew by {grown:,.0f} in one life; at most {bound:,.0f} are let pass"
