"""The server under chaos: manage.py as it is, with a clock that can jump and an eye on its hub.

    python -m tests.kit.hub_watch FOLDER runserver ...

Nothing of this is in app/. In FOLDER, `clock` holds by how many milliseconds the clock is wrong, as
eight bytes; `blocks` is written a line for each time that nobody got a turn for 100 ms; `greenlets`
is written with how many there are, upon SIGUSR1.

A hub that waits for a core is not blocked: how long the kernel let it wait is in each line, too. So
is how long the hub's thread had a core, for then it waited for nothing, whatever other threads did;
and how long the garbage collector had all threads wait, whose work is in nobody's stack.
"""

import gc
import json
import mmap
import os
import signal
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import NamedTuple
from weakref import WeakSet

import gevent
from gevent import Greenlet

from app.chat.accounts import passwords
from app.cli import main
from app.values import times
from tests.kit.cores import RunQueue, Starved, starved
from tests.kit.prepared import QUICK_HASHES

BLOCKS = "blocks"  # the file, beside a server's data folder
BLOCKING_SECONDS_MAX = 0.1  # in which everybody gets a turn
SAMPLE_SECONDS = 0.02  # between looks at who is having a turn

# Hashes that cost nothing: how people at telnet come back by the hundred is not the question here.
PASSWORDS = passwords._context.copy(**QUICK_HASHES)


class _Moment(NamedTuple):
    """What there has been up to a moment (time.monotonic)."""

    at: float
    ran_seconds: float  # of the hub's thread, on a core
    starved: Starved
    collected_seconds: float


class BlockRecorder:
    """Writes down when a greenlet kept the others waiting, for how long, and where it was.

    It is made by the hub's thread, and looks from the monitor's.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")  # now: later there may be no descriptor for it
        self._run_queue = RunQueue(os.getpid())
        self._hub_thread = threading.get_ident()
        self._hub_clock = time.pthread_getcpuclockid(self._hub_thread)
        gevent.config.monitor_thread = True
        gevent.config.max_blocking_time = SAMPLE_SECONDS  # so often its first function is called
        warnings.filterwarnings("ignore", "Unable to monitor memory")  # and nobody asks it to
        gevent.sleep(0)  # the monitor ends at once when it finds a hub that has not begun
        self._monitor = gevent.get_hub().start_periodic_monitoring_thread()
        self._switches = 0
        self._collected, self._collection_began = 0.0, time.monotonic()
        gc.callbacks.append(self._on_collection)
        self._switched = self._now()
        self._told_at = self._switched.at
        self._monitor.add_monitoring_function(self._look, SAMPLE_SECONDS)
        # gevent's own report looks through all objects, and may crash the interpreter (its #1969).
        self._monitor.add_monitoring_function(self._monitor.monitor_blocking, None)

    def _now(self) -> _Moment:
        ran = time.clock_gettime(self._hub_clock)
        return _Moment(time.monotonic(), ran, starved(self._run_queue), self._collected)

    def _on_collection(self, phase: str, _info: object) -> None:
        if phase == "start":
            self._collection_began = time.monotonic()
        else:
            self._collected += time.monotonic() - self._collection_began

    def _look(self, hub: object) -> None:
        """Notice the last switch of greenlets, and write down each 100 ms without one."""
        tracer = self._monitor._greenlet_tracer
        switches = tracer.greenlet_switch_counter
        if switches == self._switches and tracer.active_greenlet in (None, hub):
            return  # it waits for I/O
        now = self._now()
        if switches != self._switches:
            self._switches, self._switched, self._told_at = switches, now, now.at
        elif now.at - self._told_at >= BLOCKING_SECONDS_MAX:
            self._told_at = now.at
            self._write(self._switched, now)

    def _write(self, before: _Moment, now: _Moment) -> None:
        record = {
            "at": now.at,
            "seconds": now.at - before.at,
            "ran_seconds": now.ran_seconds - before.ran_seconds,
            "starved_seconds": before.starved.until(now.starved),
            "collecting_seconds": now.collected_seconds - before.collected_seconds,
            "stack": self._stack(),
        }
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def _stack(self) -> list[str]:
        """Return where the hub's thread is, innermost last, without letting it go on meanwhile."""
        places, frame = [], sys._current_frames()[self._hub_thread]
        while frame is not None:
            places.append((frame.f_code, frame.f_lineno))
            frame = frame.f_back
        return [
            f"{code.co_filename}:{line}, in {code.co_qualname}" for code, line in reversed(places)
        ]


def watch_hub() -> None:
    """Let this process write down what blocks its hub, before it is a server; see prepared.py."""
    BlockRecorder(Path(os.environ["GREENROOM_DATA_DIR"]).parent / BLOCKS)


class Greenlets:
    """Counts those that were spawned and have not ended.

    To look through all objects of the process would be simpler, and break it: a tuple that another
    thread is about to make may be seen by nobody else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spawned: WeakSet[Greenlet] = WeakSet()
        Greenlet.add_spawn_callback(self._spawned.add)

    def write(self) -> None:
        """Write how many there are."""
        partial = self._path.with_suffix(".partial")
        partial.write_text(str(sum(not each.dead for each in self._spawned)))
        partial.replace(self._path)


def _run(folder: Path, arguments: list[str]) -> None:
    with (folder / "clock").open("rb") as file:
        wrong_by = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    true_now = times.now
    times.now = lambda: true_now() + int.from_bytes(wrong_by[:8], "big", signed=True)
    passwords._context = PASSWORDS
    BlockRecorder(folder / BLOCKS)
    greenlets = Greenlets(folder / "greenlets")
    signal.signal(signal.SIGUSR1, lambda *_: greenlets.write())
    main(arguments, prog_name="manage.py")


if __name__ == "__main__":
    _run(Path(sys.argv[1]), sys.argv[2:])
