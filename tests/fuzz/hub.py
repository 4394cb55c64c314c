"""The canary: how long greenlets kept the hub to themselves, without what others took of the CPU.

The greenlet that the fuzzer itself runs in is left out: it makes inputs, and is in nobody's way.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import greenlet

BLOCK_SECONDS = 0.1
_RUN_DELAY = 1  # the place in schedstat: nanoseconds of waiting for a CPU


class Canary:
    """Watches the greenlets of this thread from `start` to `stop`."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.longest_seconds = 0.0
        self._own = greenlet.getcurrent()
        self._began = time.monotonic()
        self._delay = self._waited_seconds()

    def start(self) -> None:
        """Begin to watch."""
        greenlet.settrace(self._switched)

    def stop(self) -> None:
        """Watch no more."""
        greenlet.settrace(None)

    @staticmethod
    def _waited_seconds() -> float:
        """Return for how long our threads have waited for a CPU so far: others are busy, too.

        All of them, since one that waits may hold the interpreter's lock. On a quiet machine: 0.
        """
        total = 0
        for path in Path("/proc/self/task").glob("*/schedstat"):
            with suppress(OSError, IndexError):
                total += int(path.read_text().split()[_RUN_DELAY])
        return total / 1e9

    def _switched(self, _event: str, greenlets: tuple[greenlet.greenlet, ...]) -> None:
        before, now = greenlets[0], time.monotonic()
        seconds = now - self._began
        if before is not self._own and seconds > self.longest_seconds and not _is_hub(before):
            seconds -= max(0.0, self._waited_seconds() - self._delay)
            self.longest_seconds = max(self.longest_seconds, seconds)
            if seconds > BLOCK_SECONDS:
                self.blocks.append(f"{seconds * 1000:.0f} ms in {_name(before)}")
        self._began = now
        if seconds > BLOCK_SECONDS / 10:
            self._delay = self._waited_seconds()


def _is_hub(each: greenlet.greenlet) -> bool:
    return each.parent is None or type(each).__name__ == "Hub"


def _name(each: greenlet.greenlet) -> str:
    return repr(each)
