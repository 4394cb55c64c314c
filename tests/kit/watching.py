"""A server that is attacked, and must let everybody have a turn: `make fire ARGS=canary`.

Its own monitor writes down when a greenlet kept the others waiting for 100 ms, and a canary pings
it ten times a second: both are those of the chaos runs (tests/kit/hub_watch.py and canary.py), and
so is who judges them, and what is taken off, that the machine had no core. While a test starts or
ends the server it may be silent.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.canary import Ping
from tests.kit.client import wait_until
from tests.kit.hub_judge import HubJudge
from tests.kit.hub_watch import BLOCKS, watch_hub
from tests.kit.prepared import name_of
from tests.kit.server_process import ROOT, STOP_SECONDS_MAX, ServerProcess

CANARY = "the-canary"  # its account
_PINGS = "pings"  # a file beside a server's data folder


class CanaryProcess:
    """The process that pings, from its first answer on."""

    def __init__(self, path: Path, port: int, token: str, pid: int) -> None:
        self._path = path
        with path.open("w") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.kit.canary", str(port), token],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=file,
                text=True,
            )
        self.watch(pid)
        wait_until(self.pings, "the canary is answered")

    def watch(self, pid: int) -> None:
        """Tell it which process the server is."""
        self._process.stdin.write(f"{pid}\n")
        self._process.stdin.flush()

    def pings(self) -> list[Ping]:
        """Return what it wrote up to now."""
        lines, _, _ = self._path.read_text().rpartition("\n")
        return [Ping(*json.loads(line)) for line in lines.splitlines()]

    def end(self) -> list[Ping]:
        """Return all that it wrote, the answer to a ping that is asked now too."""
        now = time.monotonic()
        wait_until(lambda: self.pings()[-1].at > now, "the canary is answered again")
        self._process.stdin.close()
        self._process.wait(STOP_SECONDS_MAX)
        return self.pings()

    def kill(self) -> None:
        """End it, however it is."""
        self._process.kill()
        self._process.wait()


class WatchedServer(ServerProcess):
    """A server under attack, with its monitor, and with a canary if it is to have one."""

    def __init__(
        self, folder: Path, *, prepared_by: str = "", has_canary: bool = False, **options: object
    ) -> None:
        functions = f"{name_of(watch_hub)} {prepared_by}"
        super().__init__(folder, prepared_by=functions, **options)
        self._has_canary = has_canary
        self._canary: CanaryProcess | None = None
        self._pings: list[Ping] = []
        self._judge = HubJudge(folder / BLOCKS, self._pings)

    def start(self) -> None:
        with self._excuse():
            super().start()
        if self._canary is not None:
            self._canary.watch(self.pid)
        elif self._has_canary:
            self._canary = CanaryProcess(
                self.folder / _PINGS, self.port, self._new_token(), self.pid
            )

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
        if self._canary is not None:
            self._pings += self._canary.end()
        return [*self._judge.late_pings(), *self._judge.long_blocks()]

    def kill(self) -> None:
        super().kill()
        if self._canary is not None:
            self._canary.kill()

    def _new_token(self) -> str:
        client = self.program()
        fields = {"name": CANARY, "password": "secret", "remember": CANARY}
        token = client.call("register", **fields)["token"]
        client.close()
        return token

    @contextmanager
    def _excuse(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._judge.excuse(began, time.monotonic())
