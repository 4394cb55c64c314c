"""Ask for passphrases and passwords, hidden, until they are right.

A user who mistypes one types it again at once, without looking. Until it was right, or three were
wrong, or the user gave up, nothing typed is a line: else it would be said in the room.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from app.client import CallRefused
from app.terminal.typed import Mistyped, check_is_utf8

if TYPE_CHECKING:
    from app.terminal.host import Host

TRIES_MAX = 3
_MOMENT = "one moment"
_GIVEN_UP = "Nothing was done. From here on, what you type is said again."
_WRONG_PASSWORD = "login_refused"  # noqa: S105 - a code

_Act = Callable[..., Awaitable[None]]


class Asking:
    """Questions with hidden answers; see the top of this file."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def ask(self, questions: list[str], act: _Act, then: _Act | None = None) -> None:
        """Ask, and call `act` with the answers.

        After that lines can be typed again, and `then` follows. When `act` raises Mistyped, or a
        password is wrong, the questions are asked again.
        """
        self._ask(questions, act, then, TRIES_MAX)

    def _ask(self, questions: list[str], act: _Act, then: _Act | None, tries: int) -> None:
        def answered(*answers: str) -> None:
            self._host.screen.hold(_MOMENT)
            self._host.beside(self._try(questions, act, then, tries - 1, answers))

        self._host.screen.ask_hidden(questions, answered)

    async def _try(
        self,
        questions: list[str],
        act: _Act,
        then: _Act | None,
        tries: int,
        answers: tuple[str, ...],
    ) -> None:
        is_done = is_mistyped = False
        with self._host.telling():
            try:
                check_is_utf8("".join(answers))
                await act(*answers)
                is_done = True
            except (Mistyped, CallRefused) as refusal:
                is_mistyped = getattr(refusal, "code", _WRONG_PASSWORD) == _WRONG_PASSWORD
                raise
            finally:
                self._host.screen.release()
        if is_mistyped and tries:
            self._ask(questions, act, then, tries)
        elif is_mistyped:
            self._host.model.tell([_GIVEN_UP], "error")
        elif is_done and then:
            with self._host.telling():
                await then()


def the_same(answers: tuple[str, ...]) -> str:
    """Return what was typed each time. Raises Mistyped if it was not the same."""
    if len(set(answers)) > 1:
        raise Mistyped("those were two different passphrases")
    return answers[0]
