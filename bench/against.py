"""Two servers of this repository, played in turn: A B, B A, ... and what moved between them.

Which two is one word: a revision, which is checked out beside this one and runs under the same
interpreter, or with the libraries of its own if they differ; `ndjson`, where everybody speaks it
next to where everybody speaks text; or `unmeasured`, a server that counts and logs nothing next to
the real one, which is scraped once a second, fifteen times as often as Prometheus does it.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TypeVar

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from dialects import Ndjson
from generator import Client, Crowd
from pairs import NOISE, TOO_FEW, Movement, movements
from peers import Server, greenroom, served
from playing import Note, Plan, play_solos
from process import HOST, REPOSITORY, BenchError, ServerProcess
from quantities import label, quantity
from results import Result
from scale import Scale
from scenes import Scene, play

NDJSON, UNMEASURED = "ndjson", "unmeasured"
KINDS = (NDJSON, UNMEASURED)
REAL = "measured"
SCRAPE_SECONDS = 1.0
PAIR_SCALE = Scale(  # many short turns tell more than a few long ones
    burst_messages=10_000,
    seconds=4,
    rooms=100,
    large=500,
    logins=150,
    idle_sessions=2_000,
    stored_messages=200_000,
    pages=100,
    herd=500,
    slow_pairs=1,
    file_mib=128,
)

Contender = TypeVar("Contender", "Server", "Stage")
Stage = tuple[Server, ServerProcess, Crowd, Sequence[Client]]


@contextlib.contextmanager
def rivals(word: str, durability: str) -> Iterator[tuple[Server, Server]]:
    """Yield the server to compare with, and the one that is compared. Raises BenchError."""
    ours = greenroom(durability, name="this")
    if word == NDJSON:
        yield replace(ours, name="text"), replace(ours, name=NDJSON, dialect=Ndjson())
    elif word == UNMEASURED:
        script = str(REPOSITORY / "bench" / "unmeasured.py")
        command = tuple(script if part == ours.needs else part for part in ours.command)
        yield replace(ours, name=UNMEASURED, command=command), replace(ours, name=REAL)
    else:
        with _checked_out(word) as folder:
            python = _python_of(folder)
            yield greenroom(durability, name=word, checkout=folder, python=python), ours


@contextlib.contextmanager
def _checked_out(revision: str) -> Iterator[Path]:
    """Check a revision out into a temporary folder, as a worktree of git's. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name:
        folder = Path(name) / "checkout"
        _git("worktree", "add", "--detach", str(folder), f"{revision}^{{commit}}")
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _python_of(folder: Path) -> str:
    """Return the interpreter for a checkout: ours, or one of its own if it needs other libraries.

    Raises BenchError.
    """
    ours, theirs = ((each / "requirements.txt").read_bytes() for each in (REPOSITORY, folder))
    if ours == theirs:
        return sys.executable
    _run("make", "-C", str(folder), "install", f"PYTHON={os.path.realpath(sys.executable)}")
    return str(folder / ".venv" / "bin" / "python")


def _git(*arguments: str) -> None:
    _run("git", "-C", str(REPOSITORY), *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"{' '.join(command[:4])}: {done.stderr.strip()}")


def play_pairs(plan: Plan, pairs: int, note: Note) -> None:
    """Play each scene on both so often; what is first in one pair is second in the next."""
    if plan.shared:
        try:
            _play_shared(plan, pairs, note)
        except (BenchError, OSError) as error:  # what was played till then still counts
            note(Result("pairs of servers", "both", 0, failure=str(error)))
    for number in range(pairs):
        play_solos(number, replace(plan, servers=_in_turn(plan.servers, number)), note)


def _in_turn(both: Sequence[Contender], number: int) -> Sequence[Contender]:
    return both if number % 2 == 0 else both[::-1]


def _play_shared(plan: Plan, pairs: int, note: Note) -> None:
    """Play on two servers that both run all the while: logging in takes longer than the scenes."""
    members = max(scene.members for scene in plan.shared)
    with contextlib.ExitStack() as stack:
        stages = [stack.enter_context(_staged(each, plan.core, members)) for each in plan.servers]
        for number in range(pairs):
            for scene in plan.shared:
                for stage in _in_turn(stages, number):
                    note(_play_on(stage, scene, number))


@contextlib.contextmanager
def _staged(server: Server, core: int, members: int) -> Iterator[Stage]:
    """Run a server, with so many logged in."""
    with served(server, core) as (process, crowd):
        names = (f"m{index}" for index in range(members))
        yield server, process, crowd, crowd.log_in(names, server.dialect.hello)


def _play_on(stage: Stage, scene: Scene, number: int) -> Result:
    """Play a scene on a server, and scrape that if it is the one that is to be."""
    server, process, crowd, members = stage
    is_scraped = server.name == REAL
    with _scraped(process.accepting_port()) if is_scraped else contextlib.nullcontext():
        return Result(scene.name, server.name, number, play(scene, crowd, members, process))


@contextlib.contextmanager
def _scraped(port: int) -> Iterator[None]:
    """Read the metrics again and again meanwhile."""
    is_over = threading.Event()

    def scrape() -> None:
        while not is_over.wait(SCRAPE_SECONDS):
            urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=5).read()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def show(
    console: Console,
    results: Sequence[Result],
    servers: Sequence[Server],
    machine: Mapping[str, str],
) -> None:
    """Print each figure of both, its ratio and how far that spreads, and last what moved."""
    before, after = (server.name for server in servers)
    compared = list(movements(results, before, after))
    table = Table("scene", "figure", box=SIMPLE, padding=0)
    for heading in (before, after, "ratio", "of the\npairs", "pairs", "moved"):
        table.add_column(heading, justify="right")
    for movement in compared:
        table.add_row(*_cells(movement))
    console.print(table)
    for name, value in machine.items():
        console.print(f"{name:>10}  {value}", markup=False, highlight=False, soft_wrap=True)
    for line in (*_failures(results), *_conclusion(compared, before, after)):
        console.print(f"- {line}", markup=False, highlight=False, soft_wrap=True)


def _cells(movement: Movement) -> Iterator[str]:
    ratios = movement.ratios
    yield movement.scene
    yield label(movement.figure)
    yield quantity(movement.figure, median(movement.before))
    yield quantity(movement.figure, median(movement.after))
    yield f"{movement.ratio:.2f}"
    yield f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
    yield f"{len(ratios)} of {movement.pairs_played}"
    yield movement.verdict


def _failures(results: Sequence[Result]) -> Iterator[str]:
    for result in results:
        if result.failure:
            yield f"{result.scene}, {result.server}: {result.failure}"


def _conclusion(compared: Sequence[Movement], before: str, after: str) -> Iterator[str]:
    """Say in words what a person wants to know."""
    if any(movement.verdict == TOO_FEW for movement in compared):
        yield "with fewer than six pairs nothing can be told from chance: see --rounds"
        return
    moved = [movement for movement in compared if movement.verdict != NOISE]
    for movement in moved:
        yield (
            f"{movement.scene}: {movement.figure.replace('_', ' ')} is {movement.verdict}:"
            f" {movement.ratio:.2f} times what it is with {before}"
        )
    if not moved:
        yield f"nothing moved beyond the noise between {before} and {after}"
