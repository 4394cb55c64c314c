"""What a person reads: a line for each cycle, and a summary at the end."""

import itertools
import statistics
import time
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console

from tests.fire.chaos import trends

if TYPE_CHECKING:
    from tests.fire.chaos.oracle import Violation
    from tests.fire.chaos.run import Cycle, Run

VIOLATIONS_SHOWN = 6  # of a cycle: the others are mostly the same, as somebody else saw it
NOTES_SHOWN = 20


def p99(values: list[float]) -> float:
    """Return what all but a hundredth stay below."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


class Report:
    """Writes to a terminal, or to a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._disturbances: Counter[str] = Counter()

    def begin(self, run: "Run") -> None:
        """Say what is about to happen."""
        options, kinds = run.options, run.population.kinds
        who = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        self._print(f"seed {options.seed}, {options.seconds:.0f} s, clients: {who}")
        if not run.server.has_disk:
            self._print("no tmpfs can be mounted here: the disk is never full in this run")

    def cycle(self, run: "Run", cycle: "Cycle") -> None:
        """Say how a cycle went."""
        self._disturbances[cycle.name] += 1
        counts = run.oracle.counts
        seconds = int(time.monotonic() - self._began)
        colour = "red" if cycle.violations else "green"
        self._print(
            f"{seconds // 60:2}:{seconds % 60:02} [bold]{cycle.number:3} {cycle.name:23}[/bold]"
            f"{cycle.seconds:5.1f} s, back in {cycle.back_seconds:4.1f} s; "
            f"{counts.said:,} said, {counts.acknowledged:,} acknowledged, {counts.seen:,} seen; "
            f"[{colour}]{cycle.violations} violations[/{colour}]"
        )

    def end(self, run: "Run") -> None:
        """Say what it all came to."""
        counts, oracle = run.oracle.counts, run.oracle
        self._print("")
        self._row("cycles", f"{run.cycles}: {_listed(self._disturbances)}")
        left_out = [name for name in run.plan.names if name not in self._disturbances]
        if left_out:
            self._row("left out", f"{', '.join(left_out)}: the run was too short for all")
        self._row("kills", f"{run.kills}{_recoveries(run.recoveries_seconds)}")
        self._row(
            "messages",
            f"{counts.said:,} said, {counts.acknowledged:,} acknowledged, {counts.seen:,} seen, "
            f"{counts.refused:,} refused, {counts.retried:,} said again",
        )
        circle, confidants = run.circle, run.population.confidants
        kills = sum(confidant.kills for confidant in confidants)
        self._row(
            "encrypted",
            f"{circle.said_count:,} said, {circle.read_count:,} read; {kills} clients were killed",
        )
        self._row("files", f"{counts.files_shared:,} shared, {counts.files_fetched:,} fetched")
        paged = f"{counts.incomplete} had to page through history"
        self._row("clients", f"came {counts.arrivals:,} times; {paged}")
        self._hub(run)
        grown_by = trends.growth(run.samples)
        if not grown_by:
            self._row("growth", "the last life was too short to say; a longer run has a longer one")
        for name, (grown, bound) in grown_by.items():
            self._row(name, f"grew by {grown:,.0f} in the last life; {bound:,.0f} are let pass")
        for note in oracle.notes[:NOTES_SHOWN]:
            self._row("note", note)
        for cycle, violations in itertools.groupby(oracle.violations, lambda each: each.cycle):
            self._violations(run.options.seed, cycle, list(violations))
        colour = "red" if oracle.violations_count else "green"
        self._print(f"[bold {colour}]{oracle.violations_count} violations[/bold {colour}]")

    def _violations(self, seed: int, cycle: int, violations: "list[Violation]") -> None:
        where = f"seed {seed}, cycle {cycle}, {violations[0].disturbance}:"
        self._print(f"[red]{where}[/red] {len(violations)} violations")
        for each in violations[:VIOLATIONS_SHOWN]:
            self._row("", each.sentence)

    def _hub(self, run: "Run") -> None:
        ping, block = run.hub.worst_ping, run.hub.worst_block
        if ping is None:
            self._row("canary", "no ping was answered in any time that counts")
        else:
            self._row(
                "canary",
                f"{len(run.canary.pings):,} pings; the worst took {ping.seconds * 1000:.0f} ms, "
                f"{ping.starved_seconds * 1000:.0f} ms of it for want of a core; "
                f"{run.hub.starved_pings} were late for that alone",
            )
        if block is not None:
            starved = f"{block.starved_seconds:.3f} s of it for want of a core"
            wait = f"one greenlet kept all others waiting {block.seconds:.3f} s"
            self._row("hub", f"{wait}, {starved}")
            self._row("", f"in {block.where}")
        if run.pulse is not None:
            self._row("pulse", _pulse(run.pulse))

    def _row(self, name: str, text: str) -> None:
        self._console.print(f"{name:15}", end="")
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _recoveries(seconds: list[float]) -> str:
    if not seconds:
        return ""
    median = statistics.median(seconds)
    return f"; serving again after {median:.2f} s (median), {p99(seconds):.2f} s (p99)"


def _pulse(figures: dict[str, float]) -> str:
    """Say how late the server itself found its hub, in the long life."""
    name = "greenroom_hub_delay_seconds_bucket"
    all_beats = figures[f"{name} +Inf"]
    late = all_beats - figures[f"{name} 0.1"]
    return f"{late:.0f} of {all_beats:.0f} beats were over 100 ms late, for whatever reason"
