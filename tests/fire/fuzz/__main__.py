"""Run the fuzzers: python -m tests.fire fuzz --minutes 10 [--seed S] [--only NAME]."""

from __future__ import annotations

import sys
import time

import click
from rich.console import Console

from tests.fire.fuzz.batches import NAMES
from tests.fire.fuzz.run import Run, processes


@click.command()
@click.option("--minutes", type=click.FloatRange(0), default=1.0, show_default=True)
@click.option("--seed", type=int, help="that the first batch of each has; by default, the time")
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="this one; may be repeated")
def main(minutes: float, seed: int | None, only: tuple[str, ...]) -> None:
    """Try inputs of all fuzzers, or some, and say what failed and how to see it again."""
    first = int(time.time()) if seed is None else seed
    run = Run([*only] or NAMES, first, minutes * 60, Console())
    sys.exit(0 if run.go(processes()) else 1)


if __name__ == "__main__":
    main()
