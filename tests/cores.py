"""How long threads were kept waiting by the machine, and not by themselves.

They wait for a core that other processes of this machine have, or lose the one that they have to
other machines: what is a core here may be a share of one.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

_STEAL = 8  # the place in a line of /proc/stat: ticks in which the core was another machine's
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Starved(NamedTuple):
    """What was kept from some threads, up to a moment."""

    waited_seconds: float  # by all of them together
    stolen_seconds: tuple[float, ...]  # of each core

    def until(self, later: "Starved") -> float:
        """Return for how many seconds they were kept waiting between two moments, at most."""
        pairs = zip(later.stolen_seconds, self.stolen_seconds, strict=False)
        stolen = max((after - before for after, before in pairs), default=0.0)
        return max(0.0, later.waited_seconds - self.waited_seconds) + stolen


class RunQueue:
    """Where threads wait, ready to run, until there is a core for them (proc(5), schedstat).

    All threads of a process count: one that waits may hold what another one waits for.
    """

    def __init__(self, process: int) -> None:
        self._folder = f"/proc/{process}/task"
        self._files: dict[str, BinaryIO] = {}

    def seconds(self) -> float:
        """Return how long they have waited up to now, all together."""
        with suppress(OSError):  # it is gone, or this process has no descriptor left
            for thread in set(os.listdir(self._folder)).difference(self._files):
                path = f"{self._folder}/{thread}/schedstat"
                self._files[thread] = open(path, "rb", buffering=0)  # noqa: SIM115 (held)
        total = 0
        for thread, file in list(self._files.items()):
            try:
                file.seek(0)
                total += int(file.read().split()[1])
            except OSError:  # the thread has ended
                self._files.pop(thread).close()
        return total / 1e9

    def close(self) -> None:
        """Look no more."""
        for file in self._files.values():
            file.close()


def starved(*queues: RunQueue) -> Starved:
    """Return what was kept up to now from the threads of these processes."""
    return Starved(sum(queue.seconds() for queue in queues), tuple(_stolen_seconds()))


def _stolen_seconds() -> list[float]:
    with suppress(OSError):  # as on other systems than Linux
        lines = Path("/proc/stat").read_text().splitlines()
        cores = [line.split() for line in lines if line.startswith("cpu")]
        return [int(fields[_STEAL]) / _TICKS_A_SECOND for fields in cores[1:]]
    return []
