"""The server under siege: manage.py as it is, on a folder with accounts, with an eye on its hub."""

import os
import time
from contextlib import suppress
from pathlib import Path

from app.chat.accounts import passwords
from app.settings import Settings
from tests.fire.chaos.server import ChaosServer
from tests.kit.hub_watch import watch_hub
from tests.kit.prepared import name_of
from tests.kit.server_process import UNLIMITED

PIPE_BYTES = 4_096  # written at once, or not at all
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def _as_shipped() -> dict[str, object]:
    """Return what the tests' servers lift, since they come from one address; a siege has many."""
    shipped = {name: getattr(Settings, name.lower()) for name in UNLIMITED}
    rate, burst = shipped["MESSAGE_RATE"]
    return {**shipped, "MESSAGE_RATE": f"{rate}/{burst}"}


def _unread_pipe(path: Path) -> Path:
    """Make a pipe that is full, and that nobody reads until this process ends."""
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * PIPE_BYTES)
    return path


class SiegeServer(ChaosServer):
    """Its settings are those that it is shipped with, but for what a scene is about."""

    passwords = passwords._context
    hashes_quickly = False

    def __init__(
        self, folder: Path, *, has_tls: bool, has_unread_log: bool = False, **options: object
    ) -> None:
        tls = {} if has_tls else {"TLS_CERT": "", "TLS_KEY": ""}
        given = {**_as_shipped(), **tls, **options}
        super().__init__(folder, prepared_by=name_of(watch_hub), **given)
        self.command = []
        self.data.mkdir(mode=0o700)
        if has_unread_log:
            self._error_path = _unread_pipe(folder / "pipe")
            (folder / "server.log").touch()

    def rss_bytes(self) -> int:
        """Return what it holds in memory now."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def hub_seconds(self) -> float:
        """Return for how long its first thread has had a core: the one that serves everybody."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/schedstat")
        return int(path.read_text().split()[0]) / 1e9

    def cpu_seconds(self) -> float:
        """Return for how long it has had a core, all its threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


class CpuShare:
    """How much of a core a server has, from now on."""

    def __init__(self, server: SiegeServer) -> None:
        self._server = server
        self._began, self._used = time.monotonic(), server.cpu_seconds()

    def percent(self) -> float:
        """Return it, up to now."""
        seconds = time.monotonic() - self._began
        return (self._server.cpu_seconds() - self._used) / seconds * 100
