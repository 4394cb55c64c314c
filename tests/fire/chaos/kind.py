"""Let everything go wrong under hundreds of clients: `make fire ARGS="chaos --minutes 20"`."""

import asyncio
import shutil
import tempfile
from argparse import Namespace
from pathlib import Path

from rich.console import Console

from tests.fire.chaos.confidants import make_haste
from tests.fire.chaos.disturbances import DISTURBANCES
from tests.fire.chaos.report import Report
from tests.fire.chaos.run import Options, Run
from tests.fire.kinds import Kind
from tests.kit.sockets import raise_descriptor_limit


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


def _run(given: Namespace) -> bool:
    raise_descriptor_limit()
    make_haste()
    options = Options(
        seconds=given.seconds or given.minutes * 60,
        seed=given.seed,
        clients=given.clients,
        messages_a_second=given.rate,
        confidants=given.confidants,
        only=tuple(given.names),
    )
    return not run_chaos(options, Console()).oracle.violations_count


KIND = Kind(
    _run,
    [each.name for each in DISTURBANCES],
    {
        "minutes": (5.0, "how long"),
        "seconds": (0.0, "instead of minutes"),
        "clients": (200, "how many"),
        "rate": (60.0, "messages a second, of all together"),
        "confidants": (8, "who encrypt, beside the clients"),
    },
)
