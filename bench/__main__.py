"""How much Greenroom carries, and what a delivery costs, next to redis, NATS and ngIRCd.

    python bench                          # everything, some thirteen minutes
    python bench --quick --only large     # a look
    python bench --publish                # and write docs/performance.md anew from it
    python bench --against main           # what moved since a revision of this repository

Every server is started here, alone, on one core; the load comes from this process, on another.
That the load is not what is measured shows in each run: how busy both cores were is in the table,
and so is the most that the generator can count, from a stand-in that only copies bytes (relay.py):
ten times what the peers reach, and still more than Greenroom. README.md says how to read it all.
"""

import argparse
import datetime
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from rich.console import Console

import against
import page
from catalogue import SHARED, USUAL, USUAL_QUICK
from machine import Cores, describe, measured
from options import PAIRS, PAIRS_QUICK, parse
from peers import PEERS, Server, greenroom
from playing import Plan, play_round
from report import show
from results import Report, Result, summarise
from scale import FULL, QUICK


def main() -> int | str:
    """Do what the command line asks for; return what sys.exit takes: 1 when a scene fell short."""
    arguments = parse(sys.argv[1:], __doc__ or "")
    if arguments.against:
        return measured(partial(compare, arguments))
    if arguments.stored:
        try:
            return finish(arguments, Report.load(arguments.stored))
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"{arguments.stored} is not what --json wrote: {error}"
    return measured(lambda cores: finish(arguments, compete(arguments, cores)))


def compete(arguments: argparse.Namespace, cores: Cores) -> Report:
    """Play all rounds against the peers that are here; return what came of it."""
    asked = [greenroom(arguments.durability)]
    asked += [peer for peer in PEERS if peer.name in arguments.peers]
    servers = [server for server in asked if server.is_here]
    scale, usual = (QUICK, USUAL_QUICK) if arguments.quick else (FULL, USUAL)
    plan = Plan(servers, cores.server, scale, arguments.only or usual)
    results: list[Result] = []
    for number in range(1, (arguments.rounds or 1) + 1):
        play_round(number, plan, noting(results))
    report = Report(
        made_at=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=shlex.join(["python", "bench", *sys.argv[1:]]),
        machine=describe(servers, cores),
        summaries=summarise(results),
        remarks=[*remarks(cores, asked, arguments.quick)],
    )
    report.save(arguments.json)
    return report


def compare(arguments: argparse.Namespace, cores: Cores) -> int:
    """Play pairs of two servers of ours, and show what moved."""
    scale = QUICK if arguments.quick else against.PAIR_SCALE
    pairs = arguments.rounds or (PAIRS_QUICK if arguments.quick else PAIRS)
    results: list[Result] = []
    with against.rivals(arguments.against, arguments.durability) as servers:
        plan = Plan(servers, cores.server, scale, arguments.only or SHARED)
        against.play_pairs(plan, pairs, noting(results))
        machine = describe(servers, cores)
    against.show(Console(), results, servers, machine)
    return int(any(result.failure for result in results))


def finish(arguments: argparse.Namespace, report: Report) -> int:
    """Show the report, publish it if asked to; return 1 when something failed or missed a bar."""
    show(Console(), report)
    if arguments.publish:
        page.publish(report)
    return int(any(summary.failures or summary.missed for summary in report.summaries))


def noting(results: list[Result]) -> Callable[[Result], None]:
    """Return what keeps each result, and says on stderr what came of each scene."""
    progress, began = Console(stderr=True), time.monotonic()

    def note(result: Result) -> None:
        results.append(result)
        outcome = result.failure or "{} {:,.2f}".format(*next(iter(result.figures.items())))
        seconds = time.monotonic() - began
        line = f"{seconds:4.0f} s, round {result.round}: {result.scene}, {result.server}: {outcome}"
        progress.print(line, markup=False, highlight=False, soft_wrap=True)

    return note


def remarks(cores: Cores, asked: Sequence[Server], is_quick: bool) -> Iterator[str]:
    """Say what about this run a reader must know."""
    for server in asked:
        if not server.is_here:
            yield f"{server.name}: not installed, left out"
    if cores.is_shared:
        yield "one core for server and generator: every figure is lower than it would be alone"
    if is_quick:
        yield "a quick run, of small scenes: a look, and nothing to quote"


if __name__ == "__main__":
    sys.exit(main())
