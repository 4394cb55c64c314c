"""What a client remembers to come back without a gap, and when it tries to. Pure: no socket.

What it promises, whatever happens to connections in between, and however often:
  1. Each message of a room is shown once, in the order of ids.
  2. What the server did not replay whole, or what there was no space for, is a gap, and nothing
     behind a gap is shown before history has filled it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Any

Event = dict[str, Any]
Answer = dict[str, Any]

BACKOFF_SECONDS_FIRST = 0.25  # a restarted server is back in a second or two
BACKOFF_SECONDS_MAX = 15.0  # a herd of thousands, spread so wide, is no load


@dataclass
class _Room:
    """How far the program was shown a room: all up to `shown_id`, and when behind, only that.

    While it was shown nothing, `entered_id` is the newest message that was there before it.
    """

    shown_id: int
    entered_id: int = 0
    is_behind: bool = False
    missed_id: float = 0  # the newest that came while behind, since history was last asked


class Rooms:
    """Which rooms a client is in, and what it has seen there."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}

    def join(self, since: int | None, answer: Answer) -> Event | None:
        """Note that what comes next is what came after `since`; return the gap, if there is one."""
        name = answer["room"]
        room = self._rooms.setdefault(name, _Room(since or 0))
        if since is None:
            room.entered_id = answer["last_id"]
        return None if answer["is_complete"] else self._miss(name, room, math.inf)

    def leave(self, name: str) -> None:
        """Forget a room."""
        self._rooms.pop(name, None)

    def rename(self, name: str, new_name: str) -> None:
        """Note that a room has another name now, and is the same room."""
        if name in self._rooms:
            self._rooms[new_name] = self._rooms.pop(name)

    def shown(self) -> list[tuple[str, int]]:
        """Return for each room the id up to which all was shown: join again with it as `since`."""
        return [(name, room.shown_id or room.entered_id) for name, room in self._rooms.items()]

    def take(self, message: Event, *, has_space: bool) -> Event | None:
        """Return what to show when a message came: it, the gap that it opens, or nothing."""
        name, message_id = message["room"], message["id"]
        room = self._rooms.get(name)
        if room is None or message_id <= room.shown_id:
            return None
        if room.is_behind or not has_space:
            return self._miss(name, room, message_id)
        room.shown_id = message_id
        return message

    def _miss(self, name: str, room: _Room, message_id: float) -> Event | None:
        room.missed_id = max(room.missed_id, message_id)
        if room.is_behind:
            return None
        room.is_behind = True
        return _gap(name)

    def ask(self, name: str) -> int | None:
        """Return after which id to ask history now; None when there is no gap any more."""
        room = self._rooms.get(name)
        if room is None or not room.is_behind:
            return None
        room.missed_id = 0  # what came until now is stored, so the answer has it
        return room.shown_id or room.entered_id

    def fill(self, page: Answer) -> list[Event]:
        """Return what to show now that history answered: messages, and a gap if one is left."""
        room = self._rooms.get(page["room"])
        if room is None:
            return []
        new = [message for message in page["messages"] if message["id"] > room.shown_id]
        room.shown_id = max(room.shown_id, page["last_id"])
        room.is_behind = page["has_more"] or room.missed_id > room.shown_id
        shown = [{**message, "event": "message", "is_replayed": True} for message in new]
        return [*shown, _gap(page["room"])] if room.is_behind else shown


def _gap(name: str) -> Event:
    return {"event": "gap", "room": name}


@dataclass
class Backoff:
    """When to try again: exponential, with full jitter, so that a herd does not come back as one.

    `attempts_max`: how often in a row, before giving up; None: for ever.
    """

    seconds_first: float = BACKOFF_SECONDS_FIRST
    seconds_max: float = BACKOFF_SECONDS_MAX
    attempts_max: int | None = None
    random: Random = field(default_factory=Random)
    _attempts: int = field(default=0, init=False)

    def next_seconds(self) -> float | None:
        """Return how long to wait before the next attempt; None: there is none."""
        if self._attempts == self.attempts_max:
            return None
        self._attempts += 1
        return self.random.uniform(0, self._window_seconds)

    def note_connected(self, seconds: float) -> None:
        """Begin anew after a connection that held for longer than was waited for it.

        A server that takes clients in and cuts them at once is not asked faster and faster.
        """
        if seconds > self._window_seconds:
            self._attempts = 0

    @property
    def _window_seconds(self) -> float:
        doublings = min(self._attempts - 1, 64)  # as a float it must stay finite
        return min(self.seconds_max, self.seconds_first * 2.0 ** max(0, doublings))
