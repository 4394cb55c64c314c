"""A life that is long enough to see what grows in it: half a minute.

The mutants run it, by its name; `make test` finds no test in a file that is called so.
"""

import io

from rich.console import Console

from tests.fire.chaos import trends
from tests.fire.chaos.kind import run_chaos
from tests.fire.chaos.run import Options


# Clients come and go, again and again, and nothing of them stays behind.
def test_nothing_grows_in_a_life() -> None:
    told = io.StringIO()
    options = Options(seconds=24, seed=8, clients=20, confidants=0, only=("resets",))
    run = run_chaos(options, Console(file=told))
    assert trends.growth(run.samples)
    assert run.oracle.violations_count == 0, told.getvalue()
