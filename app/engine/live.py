"""The live rooms: by key, in order, and within a bound of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.engine.ranks import Ranks
from app.engine.recent import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.engine.presence import Room
    from app.values.names import Name


class LiveRooms:
    """All live rooms. Never switches."""

    def __init__(self) -> None:
        self._by_key: dict[str, Room] = {}
        self._ranks = Ranks()
        self.shelf = Shelf()

    def __iter__(self) -> Iterator[Room]:
        return iter(self._by_key.values())

    def __len__(self) -> int:
        return len(self._by_key)

    def find(self, key: str) -> Room | None:
        """Return the live room of a name, by its key."""
        return self._by_key.get(key)

    def add(self, room: Room) -> None:
        """Make a room live from now on."""
        self._by_key[room.key] = room
        room.live = self
        room.recent.put_on(self.shelf)

    def remove(self, room: Room) -> None:
        """Make a room live no longer: the database has all of it."""
        if self._by_key.get(room.key) is room:
            del self._by_key[room.key]
            room.recent.put_on(None)

    def rename(self, room: Room, name: Name) -> None:
        """Give a room another name."""
        del self._by_key[room.key]
        room.key, room.name = name.key, name.shown
        self._by_key[room.key] = room
        self.note_rank(room)

    def note_rank(self, room: Room) -> None:
        """Update a room's rank, after a change of its users or its name."""
        self._ranks.note(room, room.key, len(room.present))

    def page(self, people: int, key: str, count: int) -> list[Room]:
        """Return the rooms after one, busiest first; with no people, the first rooms."""
        return [self._by_key[each] for each in self._ranks.keys_behind(people, key, count)]
