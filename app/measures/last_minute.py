"""The last minute of the metrics: growth of counters, rates, and quantiles of times.

Time is an argument, in seconds of a clock that never jumps.
"""

from collections import deque
from itertools import pairwise
from math import inf

from app.bounds import MINUTE_SECONDS, PULSE_SECONDS, SNAPSHOT_SECONDS
from app.measures.metrics import Snapshot


class Growth:
    """The difference of two snapshots, `seconds` apart."""

    def __init__(self, then: Snapshot, now: Snapshot, seconds: float) -> None:
        self.seconds = seconds
        self._then = then
        self._now = now

    def of(self, name: str, *labels: str) -> int:
        """Return by how much a counter grew."""
        key = (name, *labels)
        return round(self._now.get(key, 0.0) - self._then.get(key, 0.0))

    def per_second(self, name: str, *labels: str) -> float:
        """Return the growth of a counter per second."""
        return round(self.of(name, *labels) / self.seconds, 2) if self.seconds > 0 else 0.0

    def by_label(self, name: str) -> dict[str, int]:
        """Return the growth of a counter's children, most first, without zeros."""
        grown = {key[1]: self.of(*key) for key in self._now if key[0] == name}
        most_first = sorted(grown, key=grown.__getitem__, reverse=True)
        return {label: grown[label] for label in most_first if grown[label]}

    def quantile(self, name: str, share: float) -> float | None:
        """Return a quantile of a histogram; None without samples.

        It is read from the buckets, so it is as exact as they are narrow.
        """
        buckets = [(0.0, 0), *self._buckets(f"{name}_bucket")]
        wanted = buckets[-1][1] * share
        for (low, below), (high, count) in pairwise(buckets):
            if count >= wanted and count > below:
                part = (wanted - below) / (count - below)
                return low if high == inf else round(low + (high - low) * part, 5)
        return None

    def _buckets(self, name: str) -> list[tuple[float, int]]:
        """Return each bucket's upper bound, and the samples below it."""
        return [(float(key[1]), self.of(*key)) for key in self._now if key[0] == name]


class LastMinute:
    """The last minute's snapshots, and the hub's delays in seconds."""

    def __init__(self, now: float, snapshot: Snapshot) -> None:
        """Begin with a first snapshot: there is none before it."""
        length = round(MINUTE_SECONDS / SNAPSHOT_SECONDS)
        self._snapshots = deque([(now, snapshot)], maxlen=length + 1)
        self._delays: deque[tuple[float, float]] = deque(
            maxlen=round(MINUTE_SECONDS / PULSE_SECONDS)
        )

    def note(self, now: float, snapshot: Snapshot) -> None:
        """Remember a snapshot."""
        self._snapshots.append((now, snapshot))

    def note_delay(self, now: float, seconds: float) -> None:
        """Remember by how many seconds the hub was late."""
        self._delays.append((now, seconds))

    def growth(self, now: float, snapshot: Snapshot, seconds: float = MINUTE_SECONDS) -> Growth:
        """Return the growth in the last `seconds`, up to a snapshot."""
        young = (each for each in self._snapshots if each[0] >= now - seconds)
        at, then = next(young, self._snapshots[-1])
        return Growth(then, snapshot, now - at)

    def worst_delay(self, now: float, seconds: float = MINUTE_SECONDS) -> float:
        """Return the hub's longest delay in the last `seconds`, in seconds."""
        return max((delay for at, delay in self._delays if at >= now - seconds), default=0.0)
