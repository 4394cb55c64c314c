"""What a delivery costs on the NDJSON wire, next to the text wire, in pairs.

    python bench/wires.py --rounds 5

Each pair plays the same scenes on two servers of this repository, one after the other: once
everybody speaks text, once everybody speaks NDJSON. A message is more bytes there, and its sender
is answered besides. One pair begins with text, the next with NDJSON.
"""

import argparse
import os
import signal
import sys
from dataclasses import replace

from rich.console import Console

from dialects import Ndjson
from fanout import count, play_shared
from machine import Cores, alone, describe, raise_descriptor_limit
from pairs import show
from peers import Server, greenroom
from process import BenchError
from report import Result
from scenes import BurstScene, Scene, SteadyScene

TEXT, NDJSON = "text", "ndjson"
RATIO_MAX = 1.3  # of NDJSON's CPU a delivery to text's: what we want


def main() -> int | str:
    """Play the pairs; return what sys.exit takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=count, default=3, help="pairs; figures are medians")
    parser.add_argument("--seconds", type=count, default=5, help="how long a steady scene lasts")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # through every finally
    cores = Cores.divided()
    os.sched_setaffinity(0, cores.generator)
    wires = [
        replace(greenroom("full"), name=TEXT),
        replace(greenroom("full"), name=NDJSON, dialect=Ndjson()),
    ]
    progress, results = Console(stderr=True), list[Result]()
    try:
        raise_descriptor_limit()
        with alone(say=progress.print):
            for number in range(arguments.rounds):
                order = wires if number % 2 == 0 else wires[::-1]
                play_pair(order, arguments.seconds, cores.server, number, results)
                progress.print(f"pair {number + 1} of {arguments.rounds} is played")
    except (BenchError, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"
    show(results, TEXT, NDJSON, describe(wires[:1], cores))
    return int(any(result.failure for result in results))


def play_pair(
    wires: list[Server], seconds: int, core: int, number: int, results: list[Result]
) -> None:
    """Play the scenes on both, and note what each cost."""
    for server in wires:
        play_shared(server, scenes(seconds), core, number, results.append)


def scenes(seconds: int) -> list[Scene]:
    """Return the scenes: many deliveries a message, few, and as many as there can be."""
    return [
        SteadyScene("large", 1, 500, 10, 200, seconds),
        SteadyScene("rooms", 100, 10, 1, 2_000, seconds),
        BurstScene("burst200", 200, 5_000),
    ]


if __name__ == "__main__":
    sys.exit(main())
