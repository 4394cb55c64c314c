"""One room's messages as the database has them, and whether those who followed it saw just these.

Pure: nothing here talks to anybody. A message is its id and its body; no two bodies are the same.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial

Seen = tuple[int, str]  # an id, and a body
BODY_CHARS_SHOWN = 16


def short(body: str) -> str:
    """Return enough of a body to tell who said it."""
    return body[:BODY_CHARS_SHOWN]


def shown(seen: Seen) -> str:
    """Return a message as a person is told of it."""
    return f"{seen[0]} {short(seen[1])}"


class Stored:
    """What is stored of a room, in the order of the ids."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.bodies: list[str] = []
        self.places: dict[str, int] = {}

    def add(self, message_id: int, body: str) -> None:
        """Add a message, newer than all there are."""
        self.places[body] = len(self.ids)
        self.ids.append(message_id)
        self.bodies.append(body)

    @property
    def newest_id(self) -> int:
        """The id of the newest message; 0: there is none."""
        return self.ids[-1] if self.ids else 0

    def between(self, after_id: int, up_to_id: int) -> list[Seen]:
        """Return the messages after an id, up to another one."""
        part = slice(bisect_right(self.ids, after_id), bisect_right(self.ids, up_to_id))
        return list(zip(self.ids[part], self.bodies[part], strict=True))


Faults = Callable[[Stored], Iterator[str]]  # given what is stored by then, what is wrong


class Track:
    """What one program saw of a room, however often it came back: all of it, once, in order."""

    def __init__(self) -> None:
        self.last_id: int | None = None  # with what it comes back: `since`
        self._checked_id = 0  # up to where it was compared
        self._seen: list[Seen] = []
        self._aside: list[Seen] | None = None

    def begin_at(self, message_id: int) -> None:
        """Follow the room from behind a message on, if it was not followed before."""
        if self.last_id is None:
            self.last_id = self._checked_id = message_id

    def see(self, message_id: int, body: str) -> None:
        """See a message; while a return is under way, it is put aside."""
        if self._aside is not None:
            self._aside.append((message_id, body))
        else:
            self.page([(message_id, body)])

    def page(self, messages: list[Seen]) -> None:
        """See messages, whatever was put aside."""
        self._seen += messages
        self.last_id = messages[-1][0] if messages else self.last_id

    def put_aside(self) -> None:
        """Keep what comes until it is known whether something is missing before it."""
        self._aside = []

    def first_aside(self) -> int | None:
        """Return the id of the first message that was put aside, if there is one."""
        return self._aside[0][0] if self._aside else None

    def go_on(self, *, is_paged: bool) -> None:
        """See what was put aside; after pages of history, without what these had."""
        aside, self._aside = self._aside or [], None
        for message_id, body in aside:
            if not (is_paged and message_id <= (self.last_id or 0)):
                self.see(message_id, body)

    def is_behind(self, stored: Stored) -> bool:
        """Whether the newest of what is stored was not seen yet."""
        return (self.last_id or 0) < stored.newest_id

    def take(self) -> Faults:
        """Return what finds the faults in what was seen up to now."""
        seen, self._seen = self._seen, []
        return partial(self._faults, seen)

    def _faults(self, seen: list[Seen], stored: Stored) -> Iterator[str]:
        if not seen:
            return
        newest_id = max(message_id for message_id, _ in seen)
        expected = stored.between(self._checked_id, newest_id)
        self._checked_id = newest_id
        if seen != expected:
            yield from _differences(seen, expected, stored)


def _differences(seen: list[Seen], expected: list[Seen], stored: Stored) -> Iterator[str]:
    known = set(expected)
    strange = [each for each in seen if each not in known]
    lost = [each for each in strange if each[1] not in stored.places]
    if lost:
        yield f"saw {len(lost)} messages that are not in the database, first {shown(lost[0])}"
    elif strange:
        yield f"saw {len(strange)} messages again, or under another id, first {shown(strange[0])}"
    if len(set(seen)) < len(seen):
        yield f"saw {len(seen) - len(set(seen))} messages twice"
    missed = known.difference(seen)
    if missed:
        yield f"missed {len(missed)} messages, first {shown(min(missed))}"
    if [each[0] for each in seen] != sorted(each[0] for each in seen):
        yield "saw ids in another order than they rise"


class Visit:
    """What one person at a text wire saw of a room, from entering it until the line broke.

    The replay and what follows it are one stretch of the room.
    """

    def __init__(self) -> None:
        self._lines: list[tuple[bool, str]] = []  # whether it is live, and the body
        self._newest: str | None = None  # the body that was seen last
        self._next_place: int | None = None  # of the line that comes next, once one was compared

    def see(self, body: str, *, is_live: bool) -> None:
        """See a message."""
        self._lines.append((is_live, body))
        self._newest = body

    def is_behind(self, stored: Stored) -> bool:
        """Whether the newest of what is stored was not seen yet."""
        if self._newest is None:
            return bool(stored.ids)
        place = stored.places.get(self._newest)  # none: it was stored after all of these
        return place is not None and place < len(stored.ids) - 1

    def take(self) -> Callable[[Stored, int], Iterator[str]]:
        """Return what finds the faults, given also from which place on lines may be live."""
        lines, self._lines = self._lines, []
        return partial(self._faults, lines)

    def _faults(
        self, lines: list[tuple[bool, str]], stored: Stored, live_from: int
    ) -> Iterator[str]:
        for is_live, body in lines:
            place = stored.places.get(body)
            if place is None:
                yield f"saw a message that is not in the database: {short(body)}"
                continue
            if self._next_place not in (None, place):
                yield f"saw message {place} of the room where {self._next_place} was to come"
            if is_live and place < live_from:
                yield f"saw message {place} of the room live, and {live_from - 1} before"
            self._next_place = place + 1

    @property
    def next_place(self) -> int:
        """Behind what was compared."""
        return self._next_place or 0
