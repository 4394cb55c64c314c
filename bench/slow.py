"""One reader among hundreds is stopped with SIGSTOP: what the others feel of it.

The same load is played with that reader reading and with it stopped, in turn. It is long enough,
and its messages are, that the kernel's buffers for the stopped one are full after some seconds, and
then what Greenroom may keep for it: what it does about such a reader falls into what is measured.
"""

import select
import signal
import subprocess
import sys
from dataclasses import replace
from statistics import median

from loads import Figures
from peers import Server, served
from process import REPOSITORY, BenchError
from scale import Scale
from scenes import large_room, play

BODY_BYTES = 400  # 200 a second: some 85 KB/s that one reader does not read; IRC has lines of 512
OUTBOX_BYTES_MAX = 1 << 17  # an eighth of what it is else: full within the scene
SECONDS_MAX = 6  # of one load; there are several
THERE_SECONDS_MAX = 30
CUT_SECONDS_MAX = 0.5  # from going on until it knows that it was cut


def slow(server: Server, core: int, scale: Scale) -> Figures:
    """Return the figures with the reader stopped, and how they compare to those without."""
    seconds = min(scale.seconds, SECONDS_MAX)
    scene = replace(large_room("slow", scale, BODY_BYTES), seconds=seconds)
    reading, stopped = list[Figures](), list[Figures]()
    limit = {"GREENROOM_OUTBOX_BYTES_MAX": str(OUTBOX_BYTES_MAX)}
    server = replace(server, environment=server.environment | limit)
    with served(server, core) as (process, crowd):
        names = (f"m{index}" for index in range(scene.members))
        members = crowd.log_in(names, server.dialect.hello)
        for number in range(scale.slow_pairs):
            turns = (False, True) if number % 2 == 0 else (True, False)
            for is_stopped in turns:
                name = f"slow{number}{'s' if is_stopped else 'r'}"
                with Reader(server, process.accepting_port(), name, "slow0") as reader:
                    if is_stopped:
                        reader.stop()
                    figures = play(scene, crowd, members, process)
                    figures["cut"] = reader.was_cut()
                (stopped if is_stopped else reading).append(figures)
    medians = {name: median(each[name] for each in stopped) for name in stopped[0]}
    return medians | _ratios(reading, stopped)


def _ratios(reading: list[Figures], stopped: list[Figures]) -> Figures:
    """Return what the others' p99 was without, and how many times that it is: of the pairs."""
    without_ms = [figures["latency_p99_ms"] for figures in reading]
    with_ms = [figures["latency_p99_ms"] for figures in stopped]
    ratios = [one / other for one, other in zip(with_ms, without_ms, strict=True)]
    return {
        "latency_p99_reading_ms": median(without_ms),
        "latency_p99_ratio": median(ratios),
        "latency_p99_ratio_min": min(ratios),
        "latency_p99_ratio_max": max(ratios),
        "cut_reading": max(figures["cut"] for figures in reading),
    }


class Reader:
    """The process of the one reader (stopped.py). A context manager: it ends with the block."""

    def __init__(self, server: Server, port: int, name: str, room: str) -> None:
        script = str(REPOSITORY / "bench" / "stopped.py")
        self._process = subprocess.Popen(
            [sys.executable, script, str(port), type(server.dialect).__name__, name, room],
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> "Reader":
        if self._said(THERE_SECONDS_MAX) != b"there\n":
            self._process.kill()
            raise BenchError("the reader that is to be stopped did not come in")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def stop(self) -> None:
        """Stop it: from now on it reads nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def was_cut(self) -> bool:
        """Let it go on if it was stopped, and look whether the server has closed on it."""
        self._process.send_signal(signal.SIGCONT)
        return self._said(CUT_SECONDS_MAX) == b"cut\n"

    def _said(self, seconds_max: float) -> bytes:
        """Return its next line, or nothing when there is none in time."""
        output = self._process.stdout
        assert output is not None
        ready, _, _ = select.select([output], [], [], seconds_max)
        return output.readline() if ready else b""
