"""The fuzzers, for a moment each, with the same inputs every time: see tests/fire/fuzz/.

That they are able to fail, mutants/fuzz.toml shows: with a check taken out of the code, the
fuzzer that is about it turns red.
"""

import gc
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

from app.protocol import COMMANDS
from tests.fire.fuzz import asking
from tests.fire.fuzz.batches import FUZZERS, MACHINE, NAMES, run
from tests.fire.fuzz.fuzzers import CORPUS
from tests.fire.fuzz.hub import BLOCK_SECONDS, TurnWatch, watched
from tests.kit.client import WAIT_SECONDS_MAX

EXAMPLES = {MACHINE: 12, "ndjson": 20, "store": 12, "http": 20, "control": 12, "service": 12}
_EXAMPLES = 25
SEED = 6


def _run(name: str, examples: int | None = None) -> None:
    run(name, SEED, examples or EXAMPLES.get(name, _EXAMPLES), is_brief=True)


# Whatever a fuzzer tries, what it is about holds; and so it does for all that was found before.
@pytest.mark.parametrize("name", NAMES)
def test_fuzzer(name: str) -> None:
    _run(name)


# The machine asks every command that there is.
def test_every_command_is_asked() -> None:
    assert set(COMMANDS.values()) == asking.ASKED.keys()


def _compute() -> None:
    """Use the CPU for longer than the hub may be blocked."""
    until = time.thread_time() + BLOCK_SECONDS * 1.2
    while time.thread_time() < until:
        pass


# A greenlet that computes for too long is noticed; so is what the fuzzer's own one asks of the
# server, and not what else it does.
def test_the_hub_is_watched() -> None:
    watch = TurnWatch()
    watch.start()
    try:
        gevent.spawn(gevent.sleep, 0).join()
        _compute()
        assert not watch.blocks
        with watched():
            _compute()
        assert len(watch.blocks) == 1
        assert "test_fuzz.py" in watch.blocks[0]
        watch.longest_seconds = 0.0
        gevent.spawn(_compute).join()
        assert len(watch.blocks) == 2
    finally:
        watch.stop()


# It is told whose a block was: what all of our threads computed meanwhile, beside the hub's.
def test_a_block_says_who_computed() -> None:
    watch = TurnWatch()
    watch.start()
    try:
        with watched(), ThreadPoolExecutor(1) as pool:
            pool.submit(_compute).result()
            time.sleep(BLOCK_SECONDS)  # so that it is a block, however long that one waited
    finally:
        watch.stop()
    here, in_all = re.search(r"\((\d+) ms of CPU here, (\d+) ms in all", watch.blocks[0]).groups()
    assert int(here) < BLOCK_SECONDS * 1000 <= int(in_all)


class _Garbage:
    """A ring, so that it has to be collected; that takes a while, and others get a turn in it."""

    def __init__(self, collecting: threading.Event, is_over: threading.Event) -> None:
        self.ring = self
        self.collecting = collecting
        self.is_over = is_over

    def __del__(self) -> None:
        time.sleep(BLOCK_SECONDS * 1.2)
        self.collecting.set()
        self.is_over.wait(WAIT_SECONDS_MAX)


# The garbage of the fuzzer is not the server's, whoever collects it, and though it is not done yet.
def test_a_collection_in_another_thread_is_no_block() -> None:
    watch, collecting, is_over = TurnWatch(), threading.Event(), threading.Event()
    watch.start()
    try:
        with ThreadPoolExecutor(1) as pool:
            gc.collect()
            _Garbage(collecting, is_over)
            with watched():
                collected = pool.submit(gc.collect)
                collecting.wait(WAIT_SECONDS_MAX)
            is_over.set()
            collected.result()
        assert not watch.blocks
    finally:
        watch.stop()


# Nor is the server to blame when another machine had the core meanwhile.
def test_a_stolen_core_is_no_block(monkeypatch: pytest.MonkeyPatch) -> None:
    stolen = 0.0
    monkeypatch.setattr("tests.kit.cores._stolen_seconds", lambda: [0.0, stolen])
    watch = TurnWatch()
    watch.start()
    try:
        with watched():
            stolen = 1.0
            time.sleep(BLOCK_SECONDS * 1.2)
        assert not watch.blocks
        with watched():
            time.sleep(BLOCK_SECONDS * 1.2)
        assert len(watch.blocks) == 1
    finally:
        watch.stop()


# What was found is kept where its fuzzer looks for it.
def test_the_corpus_is_tried() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} <= FUZZERS.keys()
