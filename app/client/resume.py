"""Know how far rooms were shown, and when to reconnect. Pure.

Promises, whatever happens to connections, and however often:
  1. Each message of a room is shown once, in the order of ids.
  2. Messages that the server did not replay, or that there was no space for, are a gap. No message
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
    """A room, and how far the program was shown it.

    All messages up to `shown_id` were shown. While none was shown, `entered_id` is the newest that
    was there before the client. While `is_behind`, later messages wait for history.
    """

    shown_id: int
    entered_id: int = 0
    is_behind: bool = False
    missed_id: float = 0  # the newest id while behind, since history was last asked


class Rooms:
    """A client's rooms, and how far each was shown."""

    def __init__(self) -> None:
        self._rooms: dict[str, _Room] = {}

    def join(self, since: int | None, answer: Answer) -> Event | None:
        """Note that a room was joined; return its gap, or None.

        It was joined with `since`; messages after that id come next.
        """
        name = answer["room"]
        room = self._rooms.setdefault(name, _Room(since or 0))
        if since is None:
            room.entered_id = answer["last_id"]
        return None if answer["is_complete"] else self._miss(name, room, math.inf)

    def leave(self, name: str) -> None:
        """Forget a room."""
        self._rooms.pop(name, None)

    def rename(self, name: str, new_name: str) -> None:
        """Note the new name of a room."""
        if name in self._rooms:
            self._rooms[new_name] = self._rooms.pop(name)

    def shown(self) -> list[tuple[str, int]]:
        """Return each room, with the id to join again with.

        All messages up to that id were shown.
        """
        return [(name, room.shown_id or room.entered_id) for name, room in self._rooms.items()]

    def take(self, message: Event, *, has_space: bool) -> Event | None:
        """Return what to show for a message that came.

        That is the message, the gap that it opens, or None.
        """
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
        """Return the id after which to ask history now. None if there is no gap any more."""
        room = self._rooms.get(name)
        if room is None or not room.is_behind:
            return None
        room.missed_id = 0  # messages until now are stored, so the answer has them
        return room.shown_id or room.entered_id

    def fill(self, page: Answer) -> list[Event]:
        """Return what to show for a page of history. That is messages, and a gap if one is left."""
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
    """Exponential waits before attempts to connect, with full jitter.

    So many clients do not come back at the same moment. `attempts_max`: how often in a row before
    giving up; None: for ever.
    """

    seconds_first: float = BACKOFF_SECONDS_FIRST
    seconds_max: float = BACKOFF_SECONDS_MAX
    attempts_max: int | None = None
    random: Random = field(default_factory=Random)
    _attempts: int = field(default=0, init=False)

    def next_seconds(self) -> float | None:
        """Return the seconds to wait before the next attempt. None if there is none."""
        if self._attempts == self.attempts_max:
            return None
        self._attempts += 1
        return self.random.uniform(0, self._window_seconds)

    def note_connected(self, seconds: float) -> None:
        """Note for how many seconds a connection held.

        If that is longer than the last wait could be, waits start again at the first. So a server
        that accepts and then cuts clients is not asked faster and faster.
        """
        if seconds > self._window_seconds:
            self._attempts = 0

    @property
    def _window_seconds(self) -> float:
        doublings = min(self._attempts - 1, 64)  # as a float it must stay finite
        return min(self.seconds_max, self.seconds_first * 2.0 ** max(0, doublings))
