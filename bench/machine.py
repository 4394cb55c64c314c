"""The machine: its cores divided, its one lock for benches, its limits, and what it is.

Figures mean nothing without the description.
"""

import contextlib
import fcntl
import os
import platform
import resource
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import TextIO

from peers import Server
from process import BenchError

ALONE_SECONDS_MAX = 1_800  # for another bench to end
ALONE_SECONDS_BETWEEN = 2  # looking whether it has
DESCRIPTORS_MIN = 4_096  # 1,000 sessions, as many connections to publish on, and some air
FSYNCS = 50
FSYNC_BYTES = 4_096  # a page of the database
US_PER_SECOND = 1_000_000


@dataclass(frozen=True)
class Cores:
    """Which CPUs the servers run on, and which the generator. The same when there is only one."""

    server: int
    generator: frozenset[int]

    @classmethod
    def divided(cls) -> "Cores":
        """Give the first CPU this process may use to the servers, the others to the generator."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(first, frozenset(others or [first]))

    @property
    def is_shared(self) -> bool:
        """Whether server and generator take CPU from each other."""
        return self.server in self.generator

    def __str__(self) -> str:
        others = ", ".join(str(cpu) for cpu in sorted(self.generator))
        return f"servers on CPU {self.server}, the generator on {others}"


def measured(play: Callable[[Cores], int]) -> int | str:
    """Run what measures, alone on a machine whose cores are divided; return what sys.exit takes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # through every finally
    cores = Cores.divided()
    os.sched_setaffinity(0, cores.generator)
    try:
        raise_descriptor_limit()
        with alone(say=lambda text: print(text, file=sys.stderr)):
            return play(cores)
    except (BenchError, OSError, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"


@contextlib.contextmanager
def alone(say: Callable[[str], None]) -> Iterator[None]:
    """Hold the machine's one lock for benches: two at a time would measure each other.

    Waits for another to end, and says so. Raises BenchError when it does not.
    """
    deadline = time.monotonic() + ALONE_SECONDS_MAX
    path = Path(tempfile.gettempdir()) / "greenroom-bench.lock"
    if not path.exists():
        path.touch()
    with path.open() as file:  # it may be another user's, and can be locked all the same
        if not _is_locked(file):
            say("another bench is running on this machine: waiting for it to end")
        while not _is_locked(file):
            if time.monotonic() > deadline:
                raise BenchError(f"another bench has not ended in {ALONE_SECONDS_MAX} s")
            time.sleep(ALONE_SECONDS_BETWEEN)
        yield


def _is_locked(file: TextIO) -> bool:
    """Lock the file unless another holds it; whoever closes it gives it up."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def raise_descriptor_limit() -> None:
    """Lift the soft limit of open files to the hard one, for children too. Raises BenchError."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < DESCRIPTORS_MIN:
        raise BenchError(f"at most {hard} open files here (ulimit -Hn), {DESCRIPTORS_MIN} needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def describe(servers: Iterable[Server], cores: Cores) -> dict[str, str]:
    """Return what hardware, system and versions of the servers are here, a line of text each."""
    return {
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores; {cores}",
        "kernel": platform.release(),
        "python": f"{platform.python_version()}, gevent {_package('gevent')},"
        f" SQLite {sqlite3.sqlite_version}",
        "disk": f"{_filesystem()}, {_fsync_us():.0f} us an fsync",
    } | {server.name: server.version for server in servers}


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _package(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _filesystem() -> str:
    """Return the type of the file system that holds the temporary folders, databases included."""
    folder = Path(tempfile.gettempdir()).resolve()
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    places = [(place.replace(r"\040", " "), kind) for place, kind in mounts]  # spaces: proc(5)
    _, kind = max((len(place), kind) for place, kind in places if folder.is_relative_to(place))
    return kind


def _fsync_us() -> float:
    """Return what a durable commit costs at least here: a page appended and synced, the median."""
    times = []
    with tempfile.TemporaryFile() as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            os.write(file.fileno(), bytes(FSYNC_BYTES))
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return median(times) * US_PER_SECOND
