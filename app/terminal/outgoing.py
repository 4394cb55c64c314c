"""What was typed and is not carried out yet, in its order; what is urgent goes first.

A line of a room in the clear is on the disk until the server has answered it, with the `txn` under
which it is said: killed in between, this program says it again at its next start, and the server
keeps it once. What may be private stays in memory.
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
    """A line, or a request made of one, and the room where it was typed."""

    asked: str | Request
    room: Room
    txn: str = ""  # of what is said
    is_kept: bool = False  # on the disk


class Outgoing:
    """Lines and commands that wait for their turn; `changed` is told how many do."""

    def __init__(self, kept: Kept, changed: Callable[[int], None]) -> None:
        self._kept = kept
        self._changed = changed
        self._urgent: deque[Typed] = deque()
        self._waiting: deque[Typed] = deque()
        self._current: Typed | None = None
        self._has_some = asyncio.Event()

    def put(self, asked: str | Request, room: Room, *, is_stuck: bool) -> None:
        """Let something wait for its turn; a command overtakes what is stuck."""
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
        """Let a line wait that an earlier run left on the disk."""
        self._waiting.append(Typed(line, room, txn, is_kept=True))
        self._note()

    def left(self) -> Iterator[tuple[str, str, str]]:
        """Yield room, line and `txn` of what an earlier run left on the disk."""
        for item in self._kept.items():
            if isinstance(item, list) and len(item) == 3 and all(isinstance(x, str) for x in item):
                yield item[0], item[1], item[2]

    async def next(self) -> Typed:
        """Return what is to be carried out now; call `done` when it is."""
        while not (self._urgent or self._waiting):
            await self._has_some.wait()
        self._current = (self._urgent or self._waiting).popleft()
        self._note()
        return self._current

    def done(self, *, is_answered: bool = True) -> None:
        """Go on behind what `next` returned; what nobody answered stays on the disk."""
        typed, self._current = self._current, None
        if typed and typed.is_kept and is_answered:
            self._forget(typed)
        self._note()

    def drop(self) -> int:
        """Forget the lines that wait, but for the one that is being said; return how many."""
        dropped = [typed for typed in self._waiting if typed.txn]
        self._waiting = deque(typed for typed in self._waiting if not typed.txn)
        for typed in dropped:
            if typed.is_kept:
                self._forget(typed)
        self._note()
        return len(dropped)

    def forget_left(self, room: str, line: str, txn: str) -> None:
        """Forget a line that an earlier run left on the disk."""
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
