"""Try inputs that nobody would think of: `make fire ARGS="fuzz --minutes 10"`.

All fuzzers in turn, in a process a core: a line of progress, then a table.

Each batch has a seed of its own; the first one of a fuzzer has the seed that was given. So the line
that a failure comes with tries the same inputs again, at once.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from argparse import Namespace
from array import array
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from math import inf

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tests.fire.fuzz.batches import FUZZERS, MACHINE, NAMES, Result, measured
from tests.fire.fuzz.hub import BLOCK_SECONDS
from tests.fire.kinds import Kind

_LOOK_SECONDS = 0.5  # between looks at the clock
_LINE_SECONDS = 30.0  # between lines of progress where there is no terminal
_SHARES = {MACHINE: 7.0, "control": 2.0, "service": 2.0, "http": 2.0}  # of the time; others: 1
_SEEN_BITS = 1 << 29  # of 5 million inputs, a hundredth is not counted then
_BATCHES_A_PROCESS = 100  # what hypothesis remembers of them goes with the process


class Seen:
    """Which inputs there were. At times it takes a new one for one of them; never the reverse."""

    def __init__(self) -> None:
        self._bits = bytearray(_SEEN_BITS // 8)

    def add(self, digest: int) -> bool:
        """Note an input, and say whether it is new."""
        place, bit = divmod(digest % _SEEN_BITS, 8)
        is_new = not self._bits[place] >> bit & 1
        self._bits[place] |= 1 << bit
        return is_new


@dataclass
class Run:
    """What was tried so far."""

    names: Sequence[str]
    seed: int
    seconds: float
    console: Console
    began: float = field(default_factory=time.monotonic)
    used_seconds: Counter[str] = field(default_factory=Counter)
    inputs: Counter[str] = field(default_factory=Counter)
    seen: Seen = field(default_factory=lambda: Seen())
    batches: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Result] = field(default_factory=dict)
    blocks: list[str] = field(default_factory=list)
    longest_block_seconds: float = 0.0
    _said_at: float = -inf

    @property
    def is_over(self) -> bool:
        return time.monotonic() - self.began > self.seconds or self.failures.keys() >= set(
            self.names
        )

    def go(self, processes: int) -> bool:
        """Try until the time is over; say whether nothing failed."""
        pool = ProcessPoolExecutor(
            processes,
            multiprocessing.get_context("spawn"),
            max_tasks_per_child=_BATCHES_A_PROCESS,
        )
        under_way: dict[Future[Result], tuple[str, int]] = {}
        with pool, Live(console=self.console, transient=True, auto_refresh=False) as live:
            while under_way or not self.is_over:
                while len(under_way) < processes and not self.is_over:
                    name, seed = self._next()
                    under_way[pool.submit(measured, name, seed)] = name, seed
                done, _ = wait(under_way, _LOOK_SECONDS, FIRST_COMPLETED)
                for each in done:
                    if not self._count(each, *under_way.pop(each)):
                        under_way.clear()
                        self.seconds = 0
                self._say(live)
        self._summarise()
        return not (self.failures or self.blocks)

    def _next(self) -> tuple[str, int]:
        """Return which fuzzer has had least of its share of the time, and the next seed of it."""
        left = [name for name in self.names if name not in self.failures]
        name = min(left, key=lambda each: self.used_seconds[each] / _SHARES.get(each, 1.0))
        seed = self.seed + self.batches[name]
        self.batches[name] += 1
        self.used_seconds[name] += 1.0  # more or less: it is put right when the batch is through
        return name, seed

    def _count(self, done: Future[Result], name: str, seed: int) -> bool:
        """Count a batch, and say whether there can be more of them."""
        try:
            result = done.result()
        except BrokenProcessPool:
            text = "its process ended: a hang is above, with where it was"
            self.failures[name] = Result(name, seed, array("Q"), 0.0, text)
            return False
        self.used_seconds[name] += result.seconds - 1.0
        self.inputs[name] += sum(map(self.seen.add, result.inputs))
        self.blocks += [f"{each} ({_again(name, seed)})" for each in result.blocks]
        self.longest_block_seconds = max(self.longest_block_seconds, result.longest_block_seconds)
        if result.failure and name not in self.failures:
            self.failures[name] = result
            self.console.print(Text(f"{name} failed: {_again(name, seed)}", "bold red"))
            self.console.print(Text(result.failure))
        return True

    def _say(self, live: Live) -> None:
        now = time.monotonic()
        left = max(0, self.seconds - (now - self.began))
        line = f"{self.inputs.total():,} inputs, {len(self.failures)} failed, {left:.0f} s to go"
        if self.console.is_terminal:
            live.update(Text(line), refresh=True)
        elif now - self._said_at > _LINE_SECONDS:
            self._said_at = now
            self.console.print(line, highlight=False)

    def _summarise(self) -> None:
        table = Table("fuzzer", "what holds", box=None, pad_edge=False)
        for title in ("batches", "inputs", "a second"):
            table.add_column(title, justify="right")
        table.add_column("")
        for name in self.names:
            rule = FUZZERS[name].rule if name in FUZZERS else "People see what the model says."
            rate = self.inputs[name] / max(self.used_seconds[name], 0.1)
            numbers = (f"{self.batches[name]}", f"{self.inputs[name]:,}", f"{rate:,.0f}")
            table.add_row(name, rule, *numbers, "FAILED" if name in self.failures else "ok")
        self.console.print(table)
        minutes = (time.monotonic() - self.began) / 60
        block = f"{self.longest_block_seconds * 1000:.0f} ms"
        self.console.print(
            f"{self.inputs.total():,} inputs in {minutes:.1f} minutes, seed {self.seed}: "
            f"{len(self.failures)} fuzzers failed; the hub was blocked for {block} at most, "
            f"{len(self.blocks)} times for over {BLOCK_SECONDS * 1000:.0f} ms.",
            highlight=False,
        )
        for name, result in self.failures.items():
            self.console.print(f"  {name}: {_again(name, result.seed)}", highlight=False)
        for block in self.blocks:
            self.console.print(f"  blocked: {block}", highlight=False)


def _again(name: str, seed: int) -> str:
    return f'make fire ARGS="fuzz --minutes 0.1 --only {name} --seed {seed}"'


def processes() -> int:
    """Return how many cores we may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


def _run(given: Namespace) -> bool:
    return Run(given.names, given.seed, given.minutes * 60, Console()).go(processes())


KIND = Kind(_run, NAMES, {"minutes": (1.0, "how long")})
