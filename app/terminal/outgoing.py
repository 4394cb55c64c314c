"""Keep typed lines in order until they are carried out.

Urgent ones go first. A line of a room in the clear is on the disk, with its `txn`, until the server
has answered it. If this program is killed in between, it says the line again at its next start, and
the server keeps it once. A line that may be private stays in memory.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from app.terminal.memory import Kept
from app.terminal.model import Room
from app.terminal.typed import Request, is_talk


class Typed(NamedTuple):
    """A line or request, and where it was typed."""

    asked: str | Request
    room: Room
    txn: str = ""  # of a line that is said
    is_kept: bool = False  # whether it is on the disk


class Outgoing:
    """Lines and commands that wait for their turn. `changed` is called with their number."""

    def __init__(self, kept: Kept, changed: Callable[[int], None]) -> None:
        self._kept = kept
        self._changed = changed
        self._urgent: deque[Typed] = deque()
        self._waiting: deque[Typed] = deque()
        self._current: Typed | None = None
        self._has_some = asyncio.Event()

    def put(self, asked: str | Request, room: Room, *, is_stuck: bool) -> None:
        """Add a line or request. A command overtakes waiting lines if these are stuck."""
        if not isinstance(asked, str) or not is_talk(asked):
            (self._urgent if is_stuck else self._waiting).append(Typed(asked, room))
        else:
            is_private = room.is_encrypted or asked.lower().startswith("/msg ")
            is_kept = bool(room.name) and not is_private
            typed = Typed(asked, room, uuid.uuid4().hex, is_kept)
            if is_kept:
                self._kept.add([room.name, asked, typed.txn])
            self._waiting.append(typed)
        self._note()

    def put_back(self, room: Room, line: str, txn: str) -> None:
        """Add a line that an earlier run left. It is on the disk."""
        self._waiting.append(Typed(line, room, txn, is_kept=True))
        self._note()

    def left(self) -> Iterator[tuple[str, str, str]]:
        """Yield the lines that an earlier run left.

        They are on the disk. Each is room, line and `txn`.
        """
        for item in self._kept.items():
            if isinstance(item, list) and len(item) == 3 and all(isinstance(x, str) for x in item):
                yield item[0], item[1], item[2]

    async def next(self) -> Typed:
        """Wait for the next to carry out, and return it. Call `done` when it is carried out."""
        while not (self._urgent or self._waiting):
            await self._has_some.wait()
        self._current = (self._urgent or self._waiting).popleft()
        self._note()
        return self._current

    def done(self, *, is_answered: bool = True) -> None:
        """Finish the one that `next` returned. A line without an answer stays on the disk."""
        typed, self._current = self._current, None
        if typed and typed.is_kept and is_answered:
            self._forget(typed)
        self._note()

    def drop(self) -> int:
        """Forget the waiting lines; return how many. The one that is being said stays."""
        dropped = [typed for typed in self._waiting if typed.txn]
        self._waiting = deque(typed for typed in self._waiting if not typed.txn)
        for typed in dropped:
            if typed.is_kept:
                self._forget(typed)
        self._note()
        return len(dropped)

    def forget_left(self, room: str, line: str, txn: str) -> None:
        """Forget a line that an earlier run left. It is removed from the disk."""
        self._kept.remove([room, line, txn])

    @property
    def unsaid(self) -> list[Typed]:
        """The lines that the server has not answered."""
        current = [self._current] if self._current else []
        return [typed for typed in (*current, *self._waiting) if typed.txn]

    def _forget(self, typed: Typed) -> None:
        self._kept.remove([typed.room.name, typed.asked, typed.txn])

    def _note(self) -> None:
        if self._urgent or self._waiting:
            self._has_some.set()
        else:
            self._has_some.clear()
        count = len(self._urgent) + len(self._waiting) + (self._current is not None)
        self._changed(count)
