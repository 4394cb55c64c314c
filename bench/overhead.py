"""What metrics and the log cost a delivery: a server with them next to one without, in pairs.

    python bench/overhead.py --pairs 12

Both run all the while, on one core; a scene is played on one, and right after it on the other. One
pair begins with the one, the next with the other. The server is scraped meanwhile, once a second:
fifteen times as often as Prometheus does it.
"""

import argparse
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console

from fanout import count
from generator import Client, Crowd
from machine import Cores, alone, describe, raise_descriptor_limit
from pairs import show
from peers import Server, greenroom, served
from process import HOST, REPOSITORY, BenchError, ServerProcess
from report import Result
from scenes import BurstScene, Scene, SteadyScene, play

WITHOUT, WITH = "without", "with"
SCRAPE_SECONDS = 1.0

Stage = tuple[Server, ServerProcess, Crowd, Sequence[Client]]


def main() -> int | str:
    """Play the pairs; return what sys.exit takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--pairs", type=count, default=8, help="of each scene")
    parser.add_argument("--seconds", type=count, default=4, help="how long a steady scene lasts")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # through every finally
    cores = Cores.divided()
    os.sched_setaffinity(0, cores.generator)
    real = replace(greenroom("full"), name=WITH)
    script = str(REPOSITORY / "bench" / "unmeasured.py")
    command = tuple(script if part == real.needs else part for part in real.command)
    bare = replace(real, name=WITHOUT, command=command)
    progress = Console(stderr=True)
    try:
        raise_descriptor_limit()
        with alone(say=progress.print):
            servers = (bare, real)
            results = play_all(servers, arguments.pairs, arguments.seconds, cores.server, progress)
    except (BenchError, OSError, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"
    show(results, WITHOUT, WITH, describe([real], cores))
    return 0


def scenes(seconds: int) -> list[Scene]:
    """Return the scenes: many deliveries a message, few, and as many as there can be."""
    return [
        SteadyScene("large", 1, 500, 10, 200, seconds),
        SteadyScene("rooms", 100, 10, 1, 2_000, seconds),
        BurstScene("burst200", 200, 10_000),
    ]


def play_all(
    servers: Sequence[Server], pairs: int, seconds: int, core: int, progress: Console
) -> list[Result]:
    """Play all pairs of all scenes, with everybody logged in at both servers all the while."""
    played, results = scenes(seconds), list[Result]()
    members = max(scene.members for scene in played)
    with staged(servers[0], core, members) as bare, staged(servers[1], core, members) as real:
        for number in range(pairs):
            for scene in played:
                for stage in (bare, real) if number % 2 == 0 else (real, bare):
                    results.append(play_on(stage, scene, number))
            progress.print(f"pair {number + 1} of {pairs} is played")
    return results


def play_on(stage: Stage, scene: Scene, number: int) -> Result:
    """Play a scene at one server, which is scraped if it has anything to scrape."""
    server, process, crowd, members = stage
    if server.name == WITHOUT:
        return Result(scene.name, server.name, number, play(scene, crowd, members, process))
    with scraped(process.accepting_port()):
        return Result(scene.name, server.name, number, play(scene, crowd, members, process))


@contextmanager
def staged(server: Server, core: int, members: int) -> Iterator[Stage]:
    """Run a server, with so many logged in."""
    with served(server, core) as (process, crowd):
        names = (f"m{index}" for index in range(members))
        yield server, process, crowd, crowd.log_in(names, server.dialect.hello)


@contextmanager
def scraped(port: int) -> Iterator[None]:
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


if __name__ == "__main__":
    sys.exit(main())
