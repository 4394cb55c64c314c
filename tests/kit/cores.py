"""How long threads were kept waiting by the machine, and not by themselves.

They wait for a core that other processes of this machine have, or lose the one that they have to
other machines: what is a core here may be a share of one.

Threads that wait at the same time do not wait for longer than one of them. So of each process that
counts whose threads waited most, and never more than the time that went by: a thread that has
nothing to do with what was late excuses no more than its own wait.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

_STEAL = 8  # the place in a line of /proc/stat: ticks in which the core was another machine's
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Starved(NamedTuple):
    """What was kept from the threads of some processes, up to a moment (time.monotonic)."""

    at: float
    waited_seconds: tuple[Mapping[str, float], ...]  # of each process, by each thread
    stolen_seconds: tuple[float, ...]  # of each core

    def until(self, later: "Starved") -> float:
        """Return for how many seconds they were kept waiting between two moments, at most."""
        processes = zip(later.waited_seconds, self.waited_seconds, strict=True)
        waited = sum(_longest_wait(after, before) for after, before in processes)
        cores = zip(later.stolen_seconds, self.stolen_seconds, strict=False)
        stolen = max((after - before for after, before in cores), default=0.0)
        return min(later.at - self.at, waited + stolen)


def _longest_wait(after: Mapping[str, float], before: Mapping[str, float]) -> float:
    """Return how long the thread waited that waited most, of those that were there all the time."""
    waits = (after[thread] - before[thread] for thread in after.keys() & before.keys())
    return max(waits, default=0.0)


class RunQueue:
    """Where threads wait, ready to run, until there is a core for them (proc(5), schedstat).

    Any thread of a process counts: one that waits may hold what another one waits for.
    """

    def __init__(self, process: int) -> None:
        self._folder = f"/proc/{process}/task"
        self._files: dict[str, BinaryIO] = {}

    def seconds(self) -> dict[str, float]:
        """Return how long each of them has waited up to now."""
        with suppress(OSError):  # it is gone, or this process has no descriptor left
            for thread in set(os.listdir(self._folder)).difference(self._files):
                path = f"{self._folder}/{thread}/schedstat"
                self._files[thread] = open(path, "rb", buffering=0)  # noqa: SIM115 (held)
        waits = {}
        for thread, file in list(self._files.items()):
            try:
                file.seek(0)
                waits[thread] = int(file.read().split()[1]) / 1e9
            except OSError:  # the thread has ended
                self._files.pop(thread).close()
        return waits

    def close(self) -> None:
        """Look no more."""
        for file in self._files.values():
            file.close()


def starved(*queues: RunQueue) -> Starved:
    """Return what was kept up to now from the threads of these processes."""
    waits = tuple(queue.seconds() for queue in queues)
    return Starved(time.monotonic(), waits, tuple(_stolen_seconds()))


def _stolen_seconds() -> list[float]:
    with suppress(OSError):  # as on other systems than Linux
        lines = Path("/proc/stat").read_text().splitlines()
        cores = [line.split() for line in lines if line.startswith("cpu")]
        return [int(fields[_STEAL]) / _TICKS_A_SECOND for fields in cores[1:]]
    return []
