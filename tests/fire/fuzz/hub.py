"""How long we kept the hub to ourselves, without what others took of the CPU.

It looks at each stretch between two switches of greenlets. In the greenlet that the fuzzer itself
runs in, only what is `watched` counts: the rest makes inputs, and is in nobody's way. Nor does it
count when Python collects the garbage that they leave.

A stretch is as long as it used the CPU, or as it took, less the time for which the machine kept
our threads waiting: any of them, since one that waits may hold the interpreter's lock. So on a
machine that has much else to do, what computes for too long is seen as surely as on a quiet one;
what sleeps for too long is seen if no other one waited for as long meanwhile. Of a stretch that is
told of, it is told what this thread computed in it, and what all of ours did: so whose it was.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import greenlet

from tests.kit import ROOT
from tests.kit.cores import RunQueue, starved

BLOCK_SECONDS = 0.1
_FRESH_SECONDS = 0.005  # for so long it is taken that our threads have not waited any longer
_FRAMES_SHOWN = 3
_OURS = tuple(f"{ROOT / folder}{os.sep}" for folder in ("app", "tests"))

_watches: list[TurnWatch] = []  # the one that watches now


@contextmanager
def watched() -> Iterator[None]:
    """Have what the fuzzer's own greenlet does meanwhile count: it is what a server would do."""
    watch = _watches[-1] if _watches else None
    if watch is None:
        yield
        return
    was_watched = watch.enter()
    try:
        yield
    finally:
        watch.leave(was_watched=was_watched)


class TurnWatch:
    """Watches the greenlets of this thread from `start` to `stop`."""

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self.longest_seconds = 0.0
        self._own = greenlet.getcurrent()
        self._is_watched = False  # what that one does now
        self._run_queue = RunQueue(os.getpid())
        self._looked_at = -math.inf
        self._collection_began = math.inf  # there is none
        self._begin()

    def start(self) -> None:
        """Begin to watch."""
        _watches.append(self)
        gc.callbacks.append(self._collects)
        greenlet.settrace(self._switched)

    def stop(self) -> None:
        """Watch no more."""
        greenlet.settrace(None)
        gc.callbacks.remove(self._collects)
        _watches.remove(self)
        self._run_queue.close()

    def enter(self) -> bool:
        """Let the fuzzer's own greenlet count from now on; say whether it did before."""
        was_watched, self._is_watched = self._is_watched, True
        self._begin()
        return was_watched

    def leave(self, *, was_watched: bool) -> None:
        """End what `enter` began."""
        self._end(self._own)
        self._is_watched = was_watched
        self._begin()

    def _switched(self, _event: str, greenlets: tuple[greenlet.greenlet, ...]) -> None:
        before = greenlets[0]
        if self._is_watched if before is self._own else not _is_hub(before):
            self._end(before)
        self._begin()

    def _begin(self) -> None:
        now = time.monotonic()
        if now - self._looked_at > _FRESH_SECONDS:
            self._starved, self._looked_at = starved(self._run_queue), now
        self._began_cpu_of_all = time.process_time()
        self._began, self._began_cpu = time.monotonic(), time.thread_time()

    def _end(self, who: greenlet.greenlet) -> None:
        seconds = min(time.monotonic(), self._collection_began) - self._began
        if seconds <= min(self.longest_seconds, BLOCK_SECONDS):
            return
        used = time.thread_time() - self._began_cpu
        seconds = max(used, seconds - self._starved.until(starved(self._run_queue)))
        self.longest_seconds = max(self.longest_seconds, seconds)
        if seconds > BLOCK_SECONDS:
            used_by_all = time.process_time() - self._began_cpu_of_all
            cpu = f"{used * 1000:.0f} ms of CPU here, {used_by_all * 1000:.0f} ms in all threads"
            self.blocks.append(f"{seconds * 1000:.0f} ms ({cpu}) in {who!r}, {_where(who)}")

    def _collects(self, phase: str, _about: dict[str, int]) -> None:
        """Leave out the time in which garbage is collected, here or in another thread.

        That one may let go of the interpreter before it has said that it is done: what ends
        meanwhile ended, as far as this matters, when the collection began.
        """
        if phase == "start":
            self._collection_began = time.monotonic()
            self._collection_cpu = time.thread_time()
            self._collection_cpu_of_all = time.process_time()
        else:
            self._began += time.monotonic() - max(self._collection_began, self._began)
            self._began_cpu += time.thread_time() - self._collection_cpu
            self._began_cpu_of_all += time.process_time() - self._collection_cpu_of_all
            self._collection_began = math.inf


def _where(who: greenlet.greenlet) -> str:
    """Return where a greenlet is: its innermost lines of ours, the last one first."""
    if who.dead:
        return "ended"
    stack = reversed(traceback.extract_stack(who.gr_frame or sys._getframe()))
    ours = [
        frame for frame in stack if frame.filename.startswith(_OURS) and frame.filename != __file__
    ]
    return " in ".join(
        f"{Path(frame.filename).name}:{frame.lineno}" for frame in ours[:_FRAMES_SHOWN]
    )


def _is_hub(each: greenlet.greenlet) -> bool:
    return each.parent is None or type(each).__name__ == "Hub"
