"""The Protocol of the application, for asking.py and encrypted/."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from app.terminal.model import Model, Room
    from app.terminal.screen.screen import Screen
    from app.terminal.typed import Request


class Host(Protocol):
    """The application: it alone touches model and screen. It does so in one loop."""

    model: Model
    screen: Screen

    def beside(self, task: Coroutine[Any, Any, None]) -> None:
        """Run a task beside all else, until the user leaves."""

    def telling(self) -> AbstractContextManager[None]:
        """Tell the user of a refusal; draw the changes."""

    def ring(self) -> None:
        """Ring the terminal's bell, unless the user wants none."""

    def queue(self, asked: str | Request) -> None:
        """Queue a line or request until it is its turn.

        It is for the room in which it was typed.
        """

    async def enter(self, name: str, *, create: bool = True) -> Room:
        """Enter a room that the user is not in.

        `create`: make it if there is none. Raises CallRefused, ConnectionLost, CanNotDo.
        """
