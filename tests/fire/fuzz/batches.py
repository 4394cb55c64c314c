"""A batch: one seed of one fuzzer, in this process. The same seed tries the same inputs."""

from __future__ import annotations

import faulthandler
import sys
import time
import traceback
from array import array
from dataclasses import dataclass

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.stateful import run_state_machine_as_test

from tests.fire.fuzz import keys, sockets, streams
from tests.fire.fuzz.fuzzers import CUTS, SALT, Fuzzer, take_inputs
from tests.fire.fuzz.hub import TurnWatch
from tests.fire.fuzz.machine import Chat
from tests.fire.fuzz.world import in_a_hurry

MACHINE = "machine"
STEPS = 40  # of the machine, in an example
BATCH_SECONDS_MAX = 400  # hypothesis takes 300 to make an input that fails smaller
FUZZERS: dict[str, Fuzzer] = {
    each.name: each for each in (*streams.FUZZERS, *sockets.FUZZERS, *keys.FUZZERS)
}
NAMES = [MACHINE, *FUZZERS]
EXAMPLES = {MACHINE: 60, "http": 300, "store": 150, "mailbox": 150, "key-file": 200}
_EXAMPLES = 500  # of the others
_DATABASE = ".hypothesis/fuzz"


@dataclass(frozen=True)
class Result:
    """What became of a batch."""

    name: str
    seed: int
    inputs: array[int]  # what tells them apart
    seconds: float
    failure: str = ""
    blocks: tuple[str, ...] = ()
    longest_block_seconds: float = 0.0


def settings_of(examples: int, *, is_brief: bool = False) -> hypothesis.settings:
    """Return how hypothesis runs a batch.

    What fails is made smaller, for up to five minutes, kept, and tried first the next time; unless
    it has to be brief.
    """
    return hypothesis.settings(
        deadline=None,
        max_examples=examples,
        stateful_step_count=STEPS,
        database=DirectoryBasedExampleDatabase(_DATABASE) if not is_brief else None,
        phases=[Phase.reuse, Phase.generate, *([] if is_brief else [Phase.shrink])],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


def run_machine(seed: int, how: hypothesis.settings) -> None:
    """Let people chat. Raises what fails."""
    with in_a_hurry():
        run_state_machine_as_test(hypothesis.seed(seed)(Chat), settings=how)


def run_fuzzer(fuzzer: Fuzzer, seed: int, how: hypothesis.settings) -> None:
    """Try inputs of a fuzzer: those that are kept, and new ones. Raises what fails."""

    @hypothesis.seed(seed)
    @how
    @given(fuzzer.drawn, CUTS, SALT)
    def try_inputs(data: bytes, cuts: list[int], salt: int) -> None:
        fuzzer.try_all(data, cuts, salt)

    try_inputs.hypothesis.inner_test._hypothesis_internal_add_digest = fuzzer.name.encode()
    with fuzzer.around():
        for data in fuzzer.corpus():
            fuzzer.try_one(data, [])
            fuzzer.try_one(data, [1, 2, 3])
        try_inputs()


def run(name: str, seed: int, examples: int | None = None, *, is_brief: bool = False) -> None:
    """Run a batch. Raises what fails."""
    how = settings_of(examples or EXAMPLES.get(name, _EXAMPLES), is_brief=is_brief)
    if name == MACHINE:
        run_machine(seed, how)
    else:
        run_fuzzer(FUZZERS[name], seed, how)


def measured(name: str, seed: int) -> Result:
    """Run a batch, and return what became of it: in a process of its own, or a hang ends all."""
    faulthandler.dump_traceback_later(BATCH_SECONDS_MAX, exit=True)
    take_inputs()
    began, failure, watch = time.monotonic(), "", TurnWatch()
    watch.start()
    try:
        run(name, seed)
    except BaseException as error:  # noqa: BLE001 (it is what is looked for)
        failure = "".join(traceback.format_exception(error, chain=True, limit=-6))
    finally:
        watch.stop()
        faulthandler.cancel_dump_traceback_later()
    sys.stdout.flush()
    return Result(
        name,
        seed,
        take_inputs(),
        time.monotonic() - began,
        failure,
        tuple(watch.blocks),
        watch.longest_seconds,
    )
