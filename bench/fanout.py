"""How much Greenroom carries, and what a delivery costs, next to redis, NATS and ngIRCd.

    python bench/fanout.py --rounds 3 --json result.json

Every server is started here, alone, on one core; the load comes from this process, on another.
That the load is not what is measured shows in each run: how busy both cores were is in the table,
and so is the most that the generator can count, from a stand-in that only copies bytes (relay.py):
ten times what the peers reach, and still more than Greenroom. README.md says how to read it all.
"""

import argparse
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from house import house_scenes
from machine import Cores, alone, describe, raise_descriptor_limit
from peers import GREENROOM, PEERS, Server, greenroom, served
from process import BenchError
from report import Result, as_json, show, summarise
from scenes import Scene, play, shared_scenes

SHARED_SCENES = tuple(scene.name for scene in shared_scenes(None, 1))
ALL_SCENES = (*SHARED_SCENES, *house_scenes(1))
PEER_NAMES = tuple(peer.name for peer in PEERS)

Note = Callable[[Result], None]


def main() -> int | str:
    """Play the scenes the command line asks for; return what sys.exit takes, 1 if one failed."""
    arguments = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # through every finally
    asked = [greenroom(arguments.durability)]
    asked += [peer for peer in PEERS if peer.name in arguments.peers]
    servers = [server for server in asked if server.is_here]
    cores = Cores.divided()
    os.sched_setaffinity(0, cores.generator)
    try:
        raise_descriptor_limit()
        summaries = summarise(play_all(arguments, servers, cores.server))
    except (BenchError, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"
    machine = describe(servers, cores)
    show(Console(), summaries, machine, [*remarks(cores, asked)])
    if arguments.json:
        report = {"machine": machine, "options": vars(arguments), "scenes": as_json(summaries)}
        arguments.json.write_text(json.dumps(report, indent=1, default=str) + "\n")
    return int(any(summary.failures for summary in summaries))


def play_all(arguments: argparse.Namespace, servers: Sequence[Server], core: int) -> list[Result]:
    """Play all rounds, when no other bench is running; say on stderr what came of each scene."""
    progress = Console(stderr=True)
    results: list[Result] = []

    def note(result: Result) -> None:
        results.append(result)
        outcome = result.failure or "{} {:,.0f}".format(*next(iter(result.figures.items())))
        line = f"round {result.round}: {result.scene}, {result.server}: {outcome}"
        progress.print(line, markup=False, highlight=False, soft_wrap=True)

    with alone(say=progress.print):
        for number in range(1, arguments.rounds + 1):
            play_round(number, arguments, servers, core, note)
    return results


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the options, checked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add(
        "--scenes",
        type=partial(chosen, known=ALL_SCENES),
        default=SHARED_SCENES,
        help=f"of {','.join(ALL_SCENES)}; the last three are Greenroom's alone",
    )
    add(
        "--peers",
        type=partial(chosen, known=PEER_NAMES),
        default=PEER_NAMES,
        help=f"all, none, or some of {','.join(PEER_NAMES)} (the relay is the generator's ceiling)",
    )
    add("--rounds", type=count, default=1, help="play everything so often, and report medians")
    add("--seconds", type=count, default=10, help="how long a steady scene lasts")
    add("--messages", type=count, help="what each of the ten speakers sends in a burst")
    add("--idle-sessions", type=count, default=10_000, help="of the idle scene; 40 log in a second")
    add("--durability", choices=("full", "normal"), default="full", help="Greenroom's setting")
    add("--json", type=Path, help="write all figures of all rounds to this file, too")
    return parser.parse_args(words)


def chosen(text: str, known: Sequence[str]) -> tuple[str, ...]:
    """Read `all`, `none` or names with commas between them; names come out in `known`'s order."""
    names = {"all": set(known), "none": set()}.get(text, set(text.split(",")))
    if unknown := names - set(known):
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
    return tuple(name for name in known if name in names)


def count(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: not a number above 0")
    return int(text)


def play_round(
    number: int, arguments: argparse.Namespace, servers: Sequence[Server], core: int, note: Note
) -> None:
    """Let each server in turn play the scenes, so that a noisy minute does not hit one alone."""
    scenes = [
        scene
        for scene in shared_scenes(arguments.messages, arguments.seconds)
        if scene.name in arguments.scenes
    ]
    for server in servers:
        play_shared(server, scenes, core, number, note)
    for server in servers:
        if server.name == GREENROOM:
            play_house(server, arguments, core, number, note)


def play_shared(
    server: Server, scenes: Sequence[Scene], core: int, number: int, note: Note
) -> None:
    """Play the scenes one after the other in one run of the server.

    A failure ends the run, and what is left is played in a new one: a crowd in which somebody was
    cut, or has messages still to come, is of no use to the next scene.
    """
    waiting = deque(scenes)
    while waiting:
        try:
            with served(server, core) as (process, crowd):
                names = (f"m{index}" for index in range(max(scene.members for scene in scenes)))
                members = crowd.log_in(names, server.dialect.hello)
                while waiting:
                    figures = play(waiting[0], crowd, members, process)
                    note(Result(waiting.popleft().name, server.name, number, figures))
        except (BenchError, OSError) as error:
            scene = waiting.popleft().name if waiting else "shutdown"
            note(Result(scene, server.name, number, failure=str(error)))


def play_house(
    server: Server, arguments: argparse.Namespace, core: int, number: int, note: Note
) -> None:
    """Play Greenroom's own scenes, each in a run of its own."""
    for name, scene in house_scenes(arguments.idle_sessions).items():
        if name not in arguments.scenes:
            continue
        try:
            note(Result(name, server.name, number, scene(server, core)))
        except (BenchError, OSError) as error:
            note(Result(name, server.name, number, failure=str(error)))


def remarks(cores: Cores, asked: Sequence[Server]) -> Iterator[str]:
    """Say what about this run a reader must know."""
    for server in asked:
        if not server.is_here:
            yield f"{server.name}: not installed, left out"
    if cores.is_shared:
        yield "one core for server and generator: every figure is lower than it would be alone"


if __name__ == "__main__":
    sys.exit(main())
