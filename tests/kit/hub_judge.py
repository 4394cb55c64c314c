"""Whether the server let everybody have a turn: what its canary and its own monitor say of that.

While it was stopped, or began anew, it may be silent; those times are excused. What a machine with
too few cores made it wait for is not counted either; see canary.py and hub_watch.py. But while the
hub had a core, it waited for none: what it computes is its own, whatever its other threads waited
for. In all other time the canary has to be there: from one that does not ping nothing would be
heard.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.kit.canary import Ping
from tests.kit.hub_watch import BLOCKING_SECONDS_MAX, BLOCKS
from tests.kit.tail import Tail

ANSWER_SECONDS_MAX = 0.1  # for a ping, at any time that is not excused
PINGS_A_SECOND_MIN = 3  # of the ten: a machine that has much else to do takes its part
COUNTED_SECONDS = 5.0  # that are not excused, before it is said that there were too few
FRAMES_SHOWN = 3  # of a stack


class Block(NamedTuple):
    """A stretch in which one greenlet kept all others waiting."""

    at: float
    seconds: float
    ran_seconds: float  # in which its thread had a core
    starved_seconds: float  # that some thread of the server waited for one
    collecting_seconds: float
    stack: list[str]

    @property
    def blocked_seconds(self) -> float:
        """How long it was that the kernel was not to blame for."""
        return max(self.ran_seconds, self.seconds - self.starved_seconds)

    @property
    def where(self) -> str:
        """Where it was: the end of its stack."""
        return " > ".join(self.stack[-FRAMES_SHOWN:])


class HubJudge:
    """Holds both against what is excused."""

    def __init__(self, folder: Path, pings: Callable[[], Sequence[Ping]]) -> None:
        """Judge the server in a folder; `pings` tells all that there were."""
        self._blocks = Tail(folder / BLOCKS)
        self._pings = pings
        self._looked_at = 0  # pings
        self._excused: list[tuple[float, float]] = []
        self._counted_up_to = 0.0
        self._counted_seconds, self._counted_pings = 0.0, 0  # since there were enough, last time
        self.worst_ping: Ping | None = None
        self.worst_block: Block | None = None
        self.starved_pings = 0  # late, but for want of a core

    def excuse(self, began: float, ended: float) -> None:
        """Let it be silent in this time."""
        self._excused.append((began, ended))

    def _is_excused(self, began: float, ended: float) -> bool:
        return any(began <= last and ended >= first for first, last in self._excused)

    def _seconds_to_answer_for(self, began: float, ended: float) -> float:
        """Return how much of a time is not excused."""
        seconds = 0.0
        for first, last in sorted(self._excused):
            seconds += max(0.0, min(first, ended) - began)
            began = max(began, last)
        return seconds + max(0.0, ended - began)

    def faults(self, now: float) -> Iterator[str]:
        """Say when nobody got a turn, since last time, for too long; or nobody looked."""
        yield from self.late_pings()
        yield from self._missing_pings(now)
        yield from self.long_blocks()

    def long_blocks(self) -> Iterator[str]:
        """Say which greenlets kept all others waiting, since last time, for too long."""
        for line in self._blocks.new_lines():
            block = Block(**json.loads(line))
            if self._is_excused(block.at - block.seconds, block.at):
                continue
            if self.worst_block is None or block.blocked_seconds > self.worst_block.blocked_seconds:
                self.worst_block = block
            if block.blocked_seconds > BLOCKING_SECONDS_MAX:
                yield (
                    f"the hub was blocked for {block.blocked_seconds:.3f} s ("
                    f"{block.collecting_seconds:.3f} s of garbage collection) in {block.where}"
                )

    def late_pings(self) -> Iterator[str]:
        """Say which pings were answered too late, since last time."""
        pings = self._pings()[self._looked_at :]
        self._looked_at += len(pings)
        for ping in pings:
            if self._is_excused(ping.at, ping.at + ping.seconds):
                continue
            self._counted_pings += 1
            if self.worst_ping is None or ping.blocked_seconds > self.worst_ping.blocked_seconds:
                self.worst_ping = ping
            if ping.blocked_seconds > ANSWER_SECONDS_MAX:
                yield (
                    f"a ping was answered after {ping.seconds:.3f} s, of which the machine had "
                    f"no core for {ping.starved_seconds:.3f} s"
                )
            elif ping.seconds > ANSWER_SECONDS_MAX:
                self.starved_pings += 1

    def _missing_pings(self, now: float) -> Iterator[str]:
        self._counted_seconds += self._seconds_to_answer_for(self._counted_up_to, now)
        self._counted_up_to = now
        if self._counted_seconds < COUNTED_SECONDS:
            return
        count, seconds = self._counted_pings, self._counted_seconds
        self._counted_seconds, self._counted_pings = 0.0, 0
        if count < seconds * PINGS_A_SECOND_MIN:
            yield f"the canary had {count} answers in {seconds:.1f} s: who knows how the hub was?"
