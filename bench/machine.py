"""What the figures were measured on: they mean nothing without it."""

import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from peers import Server
from process import Cores

FSYNCS = 50
FSYNC_BYTES = 4_096  # a page of the database
US_PER_SECOND = 1_000_000


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
    _, kind = max((len(place), kind) for place, kind in mounts if folder.is_relative_to(place))
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
