"""The order of the live rooms, kept up to date."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable


class Ranks:
    """The live rooms in order: the busiest first, then by name.

    The order is kept, since there may be many rooms, and any user may ask for a page of them.
    """

    def __init__(self) -> None:
        self._in_order: list[tuple[int, str]] = []
        self._of: dict[Hashable, tuple[int, str]] = {}

    def note(self, room: Hashable, key: str, people: int) -> None:
        """Put a room at its place: by its number of users, then by key."""
        rank, before = (-people, key), self._of.get(room)
        if rank == before:
            return
        if before is not None:
            del self._of[room], self._in_order[bisect_left(self._in_order, before)]
        if people:
            self._of[room] = rank
            insort(self._in_order, rank)

    def keys_behind(self, people: int, key: str, count: int) -> list[str]:
        """Return the keys of the rooms after one; with no people, the first rooms."""
        first = bisect_right(self._in_order, (-people, key)) if people else 0
        return [each for _, each in self._in_order[first : first + count]]
