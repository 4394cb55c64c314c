"""How long a server that was killed takes to serve again, with a write-ahead log of 100 MB.

    python bench/recovery.py [--runs 20]

A log grows so large when somebody reads for long, as a backup does, while much is written. Each run
starts a server on a copy of the same files, up to the answer to the first login, which is written.
It exits with 1 when the median is over the bar.
"""

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console

from dialects import Greenroom
from generator import Crowd
from house import make_room
from machine import Cores, alone, describe
from peers import Server, greenroom
from process import BenchError

LOG_BYTES = 100_000_000
ROWS_AT_ONCE = 100  # a transaction, as large as one of a busy server
BODY_BYTES = 500
RUNS = 20
MEDIAN_SECONDS_MAX = 2.0

_greenroom = Greenroom()


def fill_log(database: Path) -> None:
    """Write messages until the log is as large, and end without closing the database."""
    log = database.with_name(f"{database.name}-wal")
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA synchronous = OFF")  # it is read back by the same kernel
    [(room, owner)] = connection.execute(
        "SELECT rooms.id, users.id FROM rooms, users"
        " WHERE rooms.name = 'big' AND users.name = 'owner'"
    )
    now_ms, body = time.time_ns() // 1_000_000, "x" * BODY_BYTES
    while not log.exists() or log.stat().st_size < LOG_BYTES:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO messages (room_id, user_id, is_action, body, said_at)"
            " VALUES (?, ?, FALSE, ?, ?)",
            [(room, owner, body, now_ms)] * ROWS_AT_ONCE,
        )
        connection.execute("COMMIT")
    os._exit(0)  # as if killed: closing would empty the log


def recover(server: Server, core: int, files: Path, *suffixes: str) -> float:
    """Return the seconds from exec to the first login answered, on a copy of some of the files."""
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        for suffix in suffixes:
            shutil.copy(files / f"greenroom.db{suffix}", folder)
        os.sync()  # what was copied is not for the server to write
        began = time.monotonic()
        with (
            server.started(core, folder) as process,
            Crowd(server.door, process.accepting_port()) as crowd,
        ):
            crowd.log_in(["visitor"], _greenroom.hello)
            seconds = time.monotonic() - began
            process.kill()
    return seconds


def measure(server: Server, core: int, runs: int) -> tuple[list[float], list[float]]:
    """Return the seconds of each run, and of as many without a log. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name)
        make_room(server, core, folder)
        subprocess.run(
            [sys.executable, __file__, "--fill", str(folder / "greenroom.db")], check=True
        )
        pairs = [
            (recover(server, core, folder, "", "-wal"), recover(server, core, folder, ""))
            for _ in range(runs)
        ]
    with_log, without = zip(*pairs, strict=True)
    return list(with_log), list(without)


def main() -> int | str:
    """Measure, and show it; return what sys.exit takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.fill:
        fill_log(options.fill)
    server, cores, console = greenroom("full"), Cores.divided(), Console()
    os.sched_setaffinity(0, cores.generator)
    try:
        with alone(Console(stderr=True).print):
            seconds, without = measure(server, cores.server, options.runs)
    except (BenchError, OSError, subprocess.SubprocessError, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"
    console.print(
        f"serving after a kill with a log of {LOG_BYTES / 1e6:.0f} MB: median"
        f" {median(seconds):.2f} s, worst {max(seconds):.2f} s of {len(seconds)};"
        f" without a log {median(without):.2f} s; the bar is a median of"
        f" {MEDIAN_SECONDS_MAX:.0f} s"
    )
    for name, text in describe([server], cores).items():
        console.print(f"{name}: {text}", markup=False, highlight=False)
    return int(median(seconds) > MEDIAN_SECONDS_MAX)


if __name__ == "__main__":
    sys.exit(main())
