"""What a stretch of time cost, and who else was on the cores: the kernel's own figures."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from process import BenchError, ServerProcess

NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Usage:
    """What a stretch of time cost, in seconds."""

    wall_seconds: float
    server_cpu_seconds: float
    server_core_idle_seconds: float
    generator_cpu_seconds: float
    generator_wait_seconds: float

    def shares(self) -> dict[str, float]:
        """Return who had how much of the two cores.

        A generator that used all of its core is what was measured. Time lost is what other
        programs, and the kernel on its own account, took on a core that was meant for one process.
        """
        lost = self.wall_seconds - self.server_cpu_seconds - self.server_core_idle_seconds
        seconds = {
            "server_share": self.server_cpu_seconds,
            "server_core_lost_share": max(0.0, lost),
            "generator_share": self.generator_cpu_seconds,
            "generator_core_lost_share": self.generator_wait_seconds,
        }
        return {name: value / self.wall_seconds for name, value in seconds.items()}


class Meter:
    """Reads the clocks when made; `stop` gives what has passed on them since."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._start = self._read()

    def stop(self) -> Usage:
        """Return the usage since the meter was made."""
        return Usage(*(now - then for now, then in zip(self._read(), self._start, strict=True)))

    def _read(self) -> tuple[float, float, float, float, float]:
        return (
            time.monotonic(),
            self._server.cpu_seconds(),
            idle_seconds(self._server.core),
            time.process_time(),
            run_queue_seconds(),
        )


def idle_seconds(core: int) -> float:
    """Return how long a CPU has had nothing to do since boot, waiting for disks included."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            return (int(ticks[3]) + int(ticks[4])) / os.sysconf("SC_CLK_TCK")
    raise BenchError(f"no cpu{core} in /proc/stat")


def run_queue_seconds() -> float:
    """Return how long this process has waited, ready to run, for a CPU (schedstats, 2nd field)."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / NS_PER_SECOND
