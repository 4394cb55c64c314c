"""What asks for passphrases, and what encrypts, need of the screen that they are on."""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from app.terminal.model import Model, Room
    from app.terminal.screen.screen import Screen
    from app.terminal.typed import Request


class Host(Protocol):
    """The application; it alone touches model and screen, in one loop."""

    model: Model
    screen: Screen

    def beside(self, task: Coroutine[Any, Any, None]) -> None:
        """Do something beside all else, until the user leaves."""

    def telling(self) -> AbstractContextManager[None]:
        """Tell the user what is refused, and draw what has changed."""

    def ring(self) -> None:
        """Ring the terminal's bell, unless that is not wished."""

    def queue(self, asked: str | Request) -> None:
        """Carry it out when it is its turn, in the room where it was typed."""

    async def enter(self, name: str, *, create: bool = True) -> Room:
        """Enter a room that the user is not in, made if need be. Raises CallRefused, CanNotDo."""
