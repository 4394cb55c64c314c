"""The order of the rooms that people are in, kept as they come and go."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable


class Ranks:
    """The rooms that people are in, in order: the busiest first, then by name.

    They are kept so, since there may be many, and anybody may ask for a page of them.
    """

    def __init__(self) -> None:
        self._in_order: list[tuple[int, str]] = []
        self._of: dict[Hashable, tuple[int, str]] = {}

    def note(self, room: Hashable, key: str, people: int) -> None:
        """Put a room where it belongs, by how many are in it now and what it is called."""
        rank, before = (-people, key), self._of.get(room)
        if rank == before:
            return
        if before is not None:
            del self._of[room], self._in_order[bisect_left(self._in_order, before)]
        if people:
            self._of[room] = rank
            insort(self._in_order, rank)

    def keys_behind(self, people: int, key: str, count: int) -> list[str]:
        """Return the keys of the next rooms behind one with so many people; of 0, the first."""
        first = bisect_right(self._in_order, (-people, key)) if people else 0
        return [each for _, each in self._in_order[first : first + count]]
