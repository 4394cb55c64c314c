"""A server that is attacked, and must let everybody have a turn: `make fire ARGS=canary`.

Its own monitor writes down when a greenlet kept the others waiting for 100 ms, and a canary pings
it ten times a second: both are those of the chaos runs (tests/kit/hub_watch.py and canary.py), and
so is who judges them, and what is taken off, that the machine had no core. While a test starts or
ends the server it may be silent.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.canary import Canary
from tests.kit.hub_judge import HubJudge
from tests.kit.hub_watch import watch_hub
from tests.kit.prepared import name_of
from tests.kit.server_process import ServerProcess

CANARY = "the-canary"  # its account


class WatchedServer(ServerProcess):
    """A server under attack, with its monitor, and with a canary if it is to have one."""

    def __init__(
        self, folder: Path, *, prepared_by: str = "", has_canary: bool = False, **options: object
    ) -> None:
        functions = f"{name_of(watch_hub)} {prepared_by}"
        super().__init__(folder, prepared_by=functions, **options)
        self._waits_for_canary = has_canary  # that is to come, once there is a server
        self._canary = Canary(folder)
        self._judge = HubJudge(folder, lambda: self._canary.pings)

    def start(self) -> None:
        with self._excuse():
            super().start()
        self._canary.watch(self.pid)
        if self._waits_for_canary:
            self._waits_for_canary = False
            self._canary.start(self.port, self.token_of_new(CANARY), self.pid)
            self._canary.await_answer()

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._excuse(), super().held():
            yield

    def stop_before_its_clients(self, *arguments: object) -> int:
        with self._excuse():
            return super().stop_before_its_clients(*arguments)

    def _end(self, number: int) -> int:
        with self._excuse():
            return super()._end(number)

    def end_watch(self) -> list[str]:
        """Watch it no longer, and return when not everybody had a turn, in words."""
        if self._canary.pings:
            self._canary.await_answer()
            self._canary.stop()
        return [*self._judge.late_pings(), *self._judge.long_blocks()]

    def kill(self) -> None:
        super().kill()
        self._canary.stop()

    @contextmanager
    def _excuse(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._judge.excuse(began, time.monotonic())
