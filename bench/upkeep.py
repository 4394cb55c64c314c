"""What upkeep costs the others: exports, backups, retention and purges of a room of a million.

    python bench/upkeep.py

Two people talk in a room, 100 messages a second, while another room of a million messages is
exported, backed up, reaped and purged. It exits with 1 when a bar is missed.
"""

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dialects import Greenroom
from generator import Crowd
from house import MESSAGES_AT_START, fill_room, make_room
from loads import Figures, Steady
from machine import Cores, alone, describe
from meter import Meter
from peers import MANAGE, Server, greenroom
from process import BenchError, ServerProcess

MESSAGES_PER_SECOND = 100
MESSAGES_MAX = 60_000  # ten minutes of them: upkeep that takes longer is a failure
QUIET_MESSAGES = 1_000  # before it, to compare with
LOOK_SECONDS = 0.5  # between looks whether what goes on in the server has come to its end
BYTES_PER_MIB = 1 << 20
KIB_PER_MIB = 1 << 10
RSS_MIB_MAX = 64  # more than before, of the server; of the command in all, twice that
LATENCY_P99_MS_MAX = 50

_greenroom = Greenroom()
IsOver = Callable[[], bool]


class Command:
    """A command of manage.py on the server's data. It is nice to the two who talk."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["nice", "-n", "19", sys.executable, str(MANAGE), *arguments],
            env=os.environ | {"GREENROOM_DATA_DIR": str(folder)},
            stdout=subprocess.DEVNULL,
        )
        self.rss_peak_mib = 0.0

    def is_over(self) -> bool:
        """Whether it has ended. Raises BenchError when it failed."""
        pid, status, usage = os.wait4(self._process.pid, os.WNOHANG)
        if not pid:
            return False
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.rss_peak_mib = usage.ru_maxrss / KIB_PER_MIB
        if self._process.returncode:
            raise BenchError(f"a command failed: {self._process.args!r}")
        return True


class Stage:
    """Two who talk, and what goes on meanwhile."""

    def __init__(self, process: ServerProcess, crowd: Crowd, folder: Path) -> None:
        self._process = process
        self._crowd = crowd
        self._folder = folder
        self._rss_before_bytes = process.rss_bytes()

    def quiet(self) -> Figures:
        """Talk, while nothing else goes on."""
        deadline = time.monotonic() + QUIET_MESSAGES / MESSAGES_PER_SECOND
        return self._talk_until(lambda: time.monotonic() > deadline)

    def command(self, *arguments: str, and_then: IsOver = lambda: True) -> Figures:
        """Talk while a command runs, and until what it began has ended."""
        command = Command(self._folder, *arguments)
        figures = self._talk_until(command.is_over)
        rest = self._talk_until(and_then) if not and_then() else figures
        return rest | {"command_rss_peak_mib": command.rss_peak_mib}

    def _talk_until(self, is_over: IsOver) -> Figures:
        speaker, *_ = self._crowd.clients.values()
        talk = Steady(self._crowd, [(speaker, "probe")], 2, MESSAGES_PER_SECOND, MESSAGES_MAX)
        self._process.forget_peak()
        meter, next_look = Meter(self._process), 0.0
        while not talk.is_spent:
            talk.step()
            if time.monotonic() > next_look:
                if is_over():
                    break
                next_look = time.monotonic() + LOOK_SECONDS
        usage = meter.stop()
        talk.finish()
        rss_bytes = self._process.rss_peak_bytes() - self._rss_before_bytes
        return (
            {"seconds": usage.wall_seconds}
            | talk.figures()
            | {"rss_more_mib": rss_bytes / BYTES_PER_MIB}
            | usage.shares()
        )


def main() -> int | str:
    """Measure, and show it; return what sys.exit takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    server, cores = greenroom(parser.parse_args().durability), Cores.divided()
    os.sched_setaffinity(0, cores.generator)
    console = Console()
    try:
        with alone(Console(stderr=True).print):
            phases = measure(server, cores.server)
    except (BenchError, OSError, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"
    show(console, phases)
    for name, text in describe([server], cores).items():
        console.print(f"{name}: {text}", markup=False, highlight=False)
    return int(any(_is_missed(figures) for figures in phases.values()))


def measure(server: Server, core: int) -> dict[str, Figures]:
    """Return the figures of each phase. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        database = folder / "greenroom.db"
        make_room(server, core, folder)
        fill_room(database)
        with (
            server.started(core, folder) as process,
            Crowd(_greenroom, process.accepting_port()) as crowd,
        ):
            couple = crowd.log_in(["speaker", "listener"], _greenroom.hello)
            crowd.join(couple, "probe")
            crowd.settle()
            phases = _phases(Stage(process, crowd, folder), folder)
            server.check_exit(process.stop())
    return phases


def _phases(stage: Stage, folder: Path) -> dict[str, Figures]:
    database, file = folder / "greenroom.db", str(folder / "export")
    return {
        "quiet": stage.quiet(),
        "export": stage.command("export", "big", "--output", file),
        "backup": stage.command("backup", str(folder / "backup.db")),
        "retention": stage.command(
            "retention", "big", "--days", "1", and_then=lambda: not _has_old(database)
        ),
        "purge": stage.command("purge", "--room", "big", "--yes"),
        "vacuum": stage.command("vacuum"),
    }


def _has_old(database: Path) -> bool:
    """Whether there are messages of the first nine tenths: of the days before yesterday."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        (first_id,) = connection.execute("SELECT min(id) FROM messages").fetchone()
    return bool(first_id < MESSAGES_AT_START * 9 // 10)


def _is_missed(figures: Figures) -> bool:
    return (
        figures["latency_p99_ms"] > LATENCY_P99_MS_MAX
        or figures["rss_more_mib"] > RSS_MIB_MAX
        or figures.get("command_rss_peak_mib", 0) > 2 * RSS_MIB_MAX
    )


def show(console: Console, phases: dict[str, Figures]) -> None:
    """Print a column a phase."""
    table = Table("", *phases)
    for name in dict.fromkeys(name for figures in phases.values() for name in figures):
        cells = (figures.get(name) for figures in phases.values())
        table.add_row(name, *("" if cell is None else f"{cell:.2f}" for cell in cells))
    console.print(table)
    bars = f"at most {RSS_MIB_MAX} MiB more, and a p99 of {LATENCY_P99_MS_MAX} ms"
    missed = [phase for phase, figures in phases.items() if _is_missed(figures)]
    console.print(f"bars: {bars}: {'missed while ' + ', '.join(missed) if missed else 'met'}")


if __name__ == "__main__":
    sys.exit(main())
