"""What upkeep costs the others: exports, backups, retention and purges of a room of a million.

Two people talk, while another room of a million messages is exported, backed up, reaped and purged.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from math import inf
from pathlib import Path

from accounts import DATABASE
from couple import Couple, by_phase
from generator import Crowd
from house import fill_room, make_room
from loads import Figures
from peers import MANAGE, Server
from process import BenchError
from scale import Scale

QUIET_SECONDS = 10  # before it, to compare with
LOOK_SECONDS = 0.5  # between looks whether what goes on in the server has come to its end
BYTES_PER_KIB = 1 << 10
KEPT_MAX = 100_000  # messages of the last day, and of the minutes that it takes

IsOver = Callable[[], bool]


class Command:
    """A command of manage.py on the server's data. It is nice to the two who talk."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["nice", "-n", "19", sys.executable, str(MANAGE), *arguments],
            env=os.environ | {"GREENROOM_DATA_DIR": str(folder)},
            stdout=subprocess.DEVNULL,
        )
        self.rss_peak_bytes = 0.0

    def is_over(self) -> bool:
        """Whether it has ended. Raises BenchError when it failed."""
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if not pid:
            return False
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.rss_peak_bytes = usage.ru_maxrss * BYTES_PER_KIB
        if self._process.returncode:
            raise BenchError(f"a command failed: {self._process.args!r}")
        return True


class Stage:
    """Two who talk, and what goes on meanwhile."""

    def __init__(self, couple: Couple, folder: Path) -> None:
        self._couple = couple
        self._folder = folder

    def quiet(self) -> Figures:
        """Talk, while nothing else goes on."""
        deadline = time.monotonic() + QUIET_SECONDS
        return self._couple.talk_while(lambda: time.monotonic() < deadline)

    def command(self, *arguments: str, and_then: IsOver = lambda: True) -> Figures:
        """Talk while a command runs, and until what it began has ended."""
        command = Command(self._folder, *arguments)
        figures = self._couple.talk_while(_looking(command.is_over))
        rest = figures if and_then() else self._couple.talk_while(_looking(and_then))
        return rest | {"command_rss_peak_bytes": command.rss_peak_bytes}


def _looking(is_over: IsOver) -> Callable[[], bool]:
    """Return whether something still goes on, of which one should not ask too often."""
    next_look = -inf

    def is_busy() -> bool:
        nonlocal next_look
        if time.monotonic() < next_look:
            return True
        next_look = time.monotonic() + LOOK_SECONDS
        return not is_over()

    return is_busy


def upkeep(server: Server, core: int, scale: Scale) -> Figures:
    """Return the figures of each phase. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        make_room(server, core, folder)
        fill_room(folder, scale.stored_messages)
        with (
            server.started(core, folder) as process,
            Crowd(server.door, process.accepting_port()) as crowd,
        ):
            stage = Stage(Couple(process, crowd), folder)
            phases = _phases(stage, folder, scale.stored_messages)
            server.check_exit(process.stop())
    return by_phase(phases)


def _phases(stage: Stage, folder: Path, messages: int) -> dict[str, Figures]:
    file = str(folder / "export")
    return {
        "quiet": stage.quiet(),
        "export": stage.command("export", "big", "--output", file),
        "backup": stage.command("backup", str(folder / "backup.db")),
        "retention": stage.command(
            "retention", "big", "--days", "1", and_then=lambda: not _has_old(folder, messages)
        ),
        "purge": stage.command("purge", "--room", "big", "--yes"),
        "vacuum": stage.command("vacuum"),
    }


def _has_old(folder: Path, messages: int) -> bool:
    """Whether there are messages of before yesterday: one was said each second."""
    uri = (folder / DATABASE).as_uri()
    with closing(sqlite3.connect(f"{uri}?mode=ro", uri=True)) as connection:
        (first_id,) = connection.execute("SELECT min(id) FROM messages").fetchone()
    return bool(first_id < messages - KEPT_MAX)
