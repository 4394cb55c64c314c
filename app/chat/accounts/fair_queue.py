"""A queue for one worker: bounded, and fair by client address.

Addresses take turns, however many clients wait from each. Clients that have hung up come last: they
may be about to leave, or just have nothing more to say. Those that are gone by then are passed
over. When too many wait, clients that hung up are sent away first, then the last one of the address
with most.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from gevent.event import AsyncResult

from app.errors import Unavailable
from app.values.networks import origin

if TYPE_CHECKING:
    from app.engine.client import Client


class _Waiter(NamedTuple):
    client: Client
    turn: AsyncResult[None]


class Turns:
    """Gives one client at a time its turn."""

    def __init__(self, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._lines: OrderedDict[str, deque[_Waiter]] = OrderedDict()  # the first is due next
        self._hung_up: deque[_Waiter] = deque()
        self._waiting = 0
        self._is_taken = False

    @property
    def waiting(self) -> int:
        """The number of clients, with the one that has its turn."""
        return self._waiting + self._is_taken

    @contextmanager
    def turn(self, client: Client) -> Iterator[None]:
        """Wait for a turn, and hold it for the block. Switches. Raises Unavailable."""
        if self._is_taken:
            self._wait(client)  # the turn is handed over at its end
        self._is_taken = True
        try:
            yield
        finally:
            self._hand_over()

    def _wait(self, client: Client) -> None:
        counted = origin(client.address)
        if self._waiting >= self._waiting_max:
            self._make_room(counted)
        waiter = _Waiter(client, AsyncResult())
        self._lines.setdefault(counted, deque()).append(waiter)
        self._waiting += 1
        waiter.turn.get()
        if client.is_closing:  # the client is gone, so its turn is of no use
            self._hand_over()
            raise _busy()

    def _hand_over(self) -> None:
        waiter = self._next()
        if waiter is None:
            self._is_taken = False
        else:
            self._waiting -= 1
            waiter.turn.set()

    def _next(self) -> _Waiter | None:
        """Return the next client; on the way, move those that hung up to their own line."""
        while self._lines:
            counted, line = next(iter(self._lines.items()))
            waiter = line.popleft()
            self._lines.move_to_end(counted)
            if not line:
                del self._lines[counted]
            if not waiter.client.has_hung_up:
                return waiter
            self._hung_up.append(waiter)
        return self._hung_up.popleft() if self._hung_up else None

    def _make_room(self, counted: str) -> None:
        """Make room for a client of an address. Raises Unavailable if it must go itself."""
        losing = self._hung_up
        if not losing:
            losing = max(self._lines.values(), key=len)
            if len(losing) <= len(self._lines.get(counted, ())) + 1:
                raise _busy()
        self._waiting -= 1
        losing.pop().turn.set_exception(_busy())


def _busy() -> Unavailable:
    return Unavailable("the server is busy; try again in a minute", code="busy")
