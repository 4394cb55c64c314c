"""Chaos from the command line: `make fire ARGS="chaos --minutes 20 --seed 7"`."""

import argparse
import asyncio
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.fire.chaos.confidants import make_haste
from tests.fire.chaos.disturbances import DISTURBANCES
from tests.fire.chaos.report import Report
from tests.fire.chaos.run import Options, Run
from tests.kit.sockets import raise_descriptor_limit


def read_options(arguments: list[str]) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=5)
    length.add_argument("--seconds", type=float, help="instead of minutes")
    parser.add_argument("--seed", type=int, help="of a run that is to be repeated")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=float, default=60, help="messages a second, of all together")
    parser.add_argument("--confidants", type=int, default=8, help="who encrypt, beside the clients")
    names = [each.name for each in DISTURBANCES]
    parser.add_argument("--only", action="append", choices=names, help="these disturbances alone")
    given = parser.parse_args(arguments)
    return Options(
        seconds=given.minutes * 60 if given.seconds is None else given.seconds,
        seed=secrets.randbelow(1_000_000) if given.seed is None else given.seed,
        clients=given.clients,
        messages_a_second=given.rate,
        confidants=given.confidants,
        only=tuple(given.only or ()),
    )


def run_chaos(options: Options, console: Console) -> Run:
    """Do a run, and tell of it.

    What it leaves is kept, to be looked at, unless it came to its end and there was no violation.
    """
    folder = Path(tempfile.mkdtemp(prefix="greenroom-chaos-"))
    report = Report(console)
    run = Run(folder, options, report.cycle)
    is_sound = False
    try:
        report.begin(run)
        asyncio.run(run.go())
        report.end(run)
        is_sound = not run.oracle.violations_count
    finally:
        if run.server.process is not None:
            run.server.kill()
        if not is_sound:
            kept = run.server.keep()
            console.print(f"the database and the log are in {kept}", soft_wrap=True)
        run.server.unmount()
        if is_sound:
            shutil.rmtree(folder)
    return run


def main() -> None:
    """Run it; exit with 1 when a promise was broken."""
    raise_descriptor_limit()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing stays behind
    make_haste()
    run = run_chaos(read_options(sys.argv[1:]), Console())
    sys.exit(bool(run.oracle.violations_count))


if __name__ == "__main__":
    main()
