"""How long a process was kept waiting by the machine, and not by itself."""

import os
from contextlib import suppress
from typing import BinaryIO


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
