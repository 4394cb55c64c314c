"""The planned end of the server: announced to all users, at once and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event as Signal

from app.chat.accounts.administration import tell_everybody
from app.errors import NotPossible
from app.protocol import server
from app.values.names import harmless
from app.values.times import check_reason, span_in_words

if TYPE_CHECKING:
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session


# The seconds before a shutdown at which it is announced again: users can still finish.
_REMINDERS_SECONDS = (86_400, 3_600, 1_800, 600, 300, 120, 60, 30, 10)


def reminders(seconds: int) -> Iterator[tuple[float, int]]:
    """Yield seconds to wait, and the seconds left then: for each announcement, and at last 0.

    The first announcement is at once.
    """
    left = seconds
    for due in (seconds, *(each for each in _REMINDERS_SECONDS if each < seconds), 0):
        yield left - due, due
        left = due


class Shutdown:
    """Sets `is_due` when the server is to stop."""

    def __init__(self, kit: Kit) -> None:
        self._acts, self._sessions = kit.acts, kit.present.sessions
        self._countdown: gevent.Greenlet[[int, str], None] | None = None
        self.is_due = Signal()

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {server.Shutdown: self.plan}

    def plan(self, session: Session, command: server.Shutdown) -> None:
        """Plan a shutdown, in place of an earlier plan; or cancel it.

        Switches. Raises Refusal.
        """
        if command.cancel:
            self._cancel(session)
            return
        check_reason(command.seconds, command.reason)
        seconds, reason = command.seconds or 0, harmless(command.reason)
        when = f"in {span_in_words(seconds)}" if seconds else "now"
        self._acts.write(session, "shutdown", when, reason=reason)
        self._forget_plan()
        session.client.show(server.ShutdownPlanned(seconds))
        self._countdown = gevent.spawn(self._count_down, seconds, reason)

    def stop(self) -> None:
        """End the countdown: the server stops. Never switches."""
        self._forget_plan()

    def _cancel(self, session: Session) -> None:
        self._check_is_planned()
        self._acts.write(session, "stay")
        self._check_is_planned()  # again: it may have begun since
        self._forget_plan()
        tell_everybody(self._sessions, server.ShutdownCalledOff())
        session.client.show(server.ShutdownCancelled())

    def _check_is_planned(self) -> None:
        if self._countdown is None or self.is_due.is_set():
            raise NotPossible("no shutdown is planned", code="not_planned")

    def _forget_plan(self) -> None:
        if self._countdown is not None:
            self._countdown.kill(block=False)  # it waits, or has ended
            self._countdown = None

    def _count_down(self, seconds: int, reason: str) -> None:
        for wait_seconds, left in reminders(seconds):
            gevent.sleep(wait_seconds)
            if left:
                tell_everybody(self._sessions, server.ShutdownNeared(left, reason))
        if reason and not seconds:
            tell_everybody(self._sessions, server.ShutdownNeared(0, reason))
        self.is_due.set()
