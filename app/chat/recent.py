"""The newest messages of a live room, in memory: so many, and no more text than is shown at once.

What is encrypted is long, and there may be many rooms; no reader is replayed more than that anyway.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from app.settings import REPLAY_BYTES_MAX

if TYPE_CHECKING:
    from app import events


class Recent:
    """A room's newest messages, oldest first; one at least, if there is any."""

    __slots__ = ("_is_all", "_messages", "_size_bytes", "count_max")

    def __init__(
        self, count_max: int, messages: Iterable[events.Message] = (), *, is_all: bool = True
    ) -> None:
        """Keep at most so many of these messages, of which there are no others if `is_all`."""
        self.count_max = count_max
        self._is_all = is_all
        self._messages: deque[events.Message] = deque()
        self._size_bytes = 0
        for said in messages:
            self.append(said)

    def __iter__(self) -> Iterator[events.Message]:
        return iter(self._messages)

    @property
    def last_id(self) -> int:
        """The id of the newest message; 0 when there is none."""
        return self._messages[-1].id if self._messages else 0

    def append(self, said: events.Message) -> None:
        """Keep one more, and let go of the oldest where it is too much."""
        self._messages.append(said)
        self._size_bytes += said.size_bytes
        while len(self._messages) > self.count_max or (
            self._size_bytes > REPLAY_BYTES_MAX and len(self._messages) > 1
        ):
            self._size_bytes -= self._messages.popleft().size_bytes
            self._is_all = False

    def has_all_since(self, message_id: int) -> bool:
        """Whether every message of the room after that one is here."""
        return self._is_all or self._messages[0].id <= message_id

    def said_since(self, said_at: int) -> Recent:
        """Return those that were said since then, now that the others are gone for good."""
        kept = [said for said in self._messages if said.at >= said_at]
        is_all = self._is_all or len(kept) < len(self._messages)
        return Recent(self.count_max, kept, is_all=is_all)

    def in_room(self, name: str) -> Recent:
        """Return them as said in a room of another name."""
        renamed = (replace(said, room=name) for said in self._messages)
        return Recent(self.count_max, renamed, is_all=self._is_all)
