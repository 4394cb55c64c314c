"""Honest people, who must not notice: what they do again and again, and how long it takes."""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event
from typing import NamedTuple, TypeVar

from tests.fire.chaos.report import p99
from tests.fire.siege.siege import Siege
from tests.kit.cores import RunQueue, starved
from tests.kit.program import Program

LOGIN_PAUSE_SECONDS = 0.3
HEARD_SECONDS_MAX = 0.1
SAY_PAUSE_SECONDS = 0.1  # as fast as one may speak for long

Result = TypeVar("Result")


@contextmanager
def again_and_again(act: Callable[[], Result], pause_seconds: float) -> Iterator[list[Result]]:
    """Do something in a thread until the end; give what it returned. Raises what it raises."""
    results: list[Result] = []
    is_over = Event()

    def run() -> None:
        results.append(act())
        while not is_over.wait(pause_seconds):
            results.append(act())

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(run)
        try:
            yield results
        finally:
            is_over.set()
        running.result()


class Login(NamedTuple):
    """How a newcomer fared."""

    answer: str
    seconds: float


@contextmanager
def newcomers(siege: Siege, pause_seconds: float = LOGIN_PAUSE_SECONDS) -> Iterator[list[Login]]:
    """Let honest newcomers log in by password, one after the other."""

    def come() -> Login:
        began = time.monotonic()
        return Login(siege.log_in(), time.monotonic() - began)

    with again_and_again(come, pause_seconds) as logins:
        yield logins


def expect_served(siege: Siege, logins: list[Login], seconds_max: float, when: str) -> None:
    """Want all newcomers to have been let in, in time."""
    siege.findings.within(f"logins {when}", {login.answer for login in logins}, {"ok"})
    worst = max(login.seconds for login in logins)
    what = f"the longest of {len(logins)} logins {when}"
    siege.findings.at_most(what, worst, seconds_max, "s")


@contextmanager
def stopwatch(siege: Siege) -> Iterator[Callable[[Callable[[], object]], float]]:
    """Give what does something, and returns its seconds; those that want of cores took are none."""
    with closing(RunQueue(os.getpid())) as own, closing(RunQueue(siege.server.pid)) as server:

        def seconds_of(act: Callable[[], object]) -> float:
            before = starved(own, server)
            act()
            after = starved(own, server)
            return max(0.0, after.at - before.at - before.until(after))

        yield seconds_of


@contextmanager
def couple(siege: Siege, first: Program, second: Program) -> Iterator[list[float]]:
    """Let two who are in a room talk; how long the other one took to hear it is in the list."""
    numbers, asked = itertools.count(1), []

    def say_and_hear() -> None:
        body = f"number {next(numbers)}"
        asked.append(first.ask("say", body=body))
        second.event(body=body)

    def say() -> float:
        seconds = seconds_of(say_and_hear)
        first.answer(asked.pop())
        first.events.clear()
        return seconds

    with stopwatch(siege) as seconds_of, again_and_again(say, SAY_PAUSE_SECONDS) as heard:
        yield heard


def expect_prompt_talk(siege: Siege, heard: list[float], when: str) -> None:
    """Want two who talked to have heard each other at once."""
    what = f"p99 of {len(heard)} messages {when} (median {statistics.median(heard):.3f} s)"
    siege.findings.at_most(what, p99(heard), HEARD_SECONDS_MAX, "s")
