"""What twenty files at once cost the others: memory, and how long a line of the chat takes.

    python bench/files.py            # 256 MiB in, and out again
    python bench/files.py --full     # 1 GiB

Twenty clients send a file each, with curl, and then fetch it, while two others talk, 100 messages a
second. The sums of what came back are compared. It exits with 1 when a bar is missed.
"""

import argparse
import contextlib
import hashlib
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dialects import Greenroom
from generator import Crowd
from loads import Figures, Steady
from machine import Cores, alone, describe
from meter import Meter
from peers import Server, greenroom, served
from process import HOST, BenchError, ServerProcess

CLIENTS = 20
MIB_IN_ALL, MIB_IN_ALL_FULL = 256, 1_024
BYTES_PER_MIB = 1 << 20
MESSAGES_PER_SECOND = 100
MESSAGES_MAX = 60_000  # ten minutes of them: transfers that take longer are a failure
QUIET_MESSAGES = 300  # before the transfers, to compare with
ANSWER_SECONDS_MAX = 60
RSS_MIB_MAX = 64  # more than before
LATENCY_P99_MS_MAX = 50

_greenroom = Greenroom()


class Sender:
    """Somebody in a room with a file, who is asked one thing at a time."""

    def __init__(self, name: str, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), ANSWER_SECONDS_MAX)
        self._lines = self._socket.makefile("r", encoding="utf-8", newline="\n")
        self._ask(_greenroom.hello(name).request.decode(), "(.*)Hello, ")
        self._ask("/join files\n", "(Current users)")
        self.number = ""

    def place(self) -> str:
        """Return where to send a file."""
        return self._ask("/send file.bin\n", "curl -T .* (http.*)")

    def address(self) -> str:
        """Return where to fetch the file that was sent."""
        return self._ask(f"/get {self.number}\n", "curl -f -o .* (http.*)")

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._socket.close()

    def _ask(self, request: str, pattern: str) -> str:
        self._socket.sendall(request.encode())
        for line in self._lines:
            if match := re.match(pattern, line.strip()):
                return match[1]
        raise BenchError(f"no answer to {request}")


def main() -> int | str:
    """Measure, and show it; return what sys.exit takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help=f"{MIB_IN_ALL_FULL} MiB each way")
    parser.add_argument("--durability", choices=("full", "normal"), default="full")
    arguments = parser.parse_args()
    file_bytes = (MIB_IN_ALL_FULL if arguments.full else MIB_IN_ALL) * BYTES_PER_MIB // CLIENTS
    cores = Cores.divided()
    os.sched_setaffinity(0, cores.generator)
    server = _without_limits(greenroom(arguments.durability))
    console = Console()
    try:
        with alone(Console(stderr=True).print):
            phases = measure(server, cores.server, file_bytes)
    except (BenchError, OSError, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"
    show(console, phases)
    for name, text in describe([server], cores).items():
        console.print(f"{name}: {text}", markup=False, highlight=False)
    return int(any(_is_missed(figures) for figures in phases.values()))


def _without_limits(server: Server) -> Server:
    large = str(1 << 40)
    limits = {"GREENROOM_FILE_BYTES_MAX": large, "GREENROOM_FILE_QUOTA_BYTES": large}
    return replace(server, environment=server.environment | limits)


def measure(server: Server, core: int, file_bytes: int) -> dict[str, Figures]:
    """Return the figures of each phase: nobody sends, all send, all fetch. Raises BenchError."""
    with (
        tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name,
        served(server, core) as (process, crowd),
        _senders(process.accepting_port()) as senders,
    ):
        folder = Path(name)
        (folder / "file.bin").write_bytes(os.urandom(file_bytes))
        couple = crowd.log_in(["speaker", "listener"], _greenroom.hello)
        crowd.join(couple, "probe")
        crowd.settle()
        stage = Stage(process, crowd, file_bytes)
        return {
            "quiet": stage.play(list, QUIET_MESSAGES),
            "sending": stage.play(lambda: _send(senders, folder)),
            "fetching": stage.play(lambda: _fetch(senders, folder)),
        }


class Stage:
    """Two who talk, and what goes on meanwhile."""

    def __init__(self, process: ServerProcess, crowd: Crowd, file_bytes: int) -> None:
        self._process = process
        self._crowd = crowd
        self._total_mib = CLIENTS * file_bytes / BYTES_PER_MIB
        self._rss_before_bytes = process.rss_bytes()

    def play(self, begin: Callable[[], list["Transfer"]], messages: int = MESSAGES_MAX) -> Figures:
        """Talk until all transfers have ended, or all is said; return what it cost."""
        transfers = begin()
        waiting = [transfer.process for transfer in transfers]
        speaker, *_ = self._crowd.clients.values()
        talk = Steady(self._crowd, [(speaker, "probe")], 2, MESSAGES_PER_SECOND, messages)
        self._process.forget_peak()
        meter = Meter(self._process)
        while not talk.is_spent and (not transfers or any(each.poll() is None for each in waiting)):
            talk.step()
        usage = meter.stop()
        talk.finish()
        for transfer in transfers:
            transfer.check()
        rss_bytes = self._process.rss_peak_bytes() - self._rss_before_bytes
        return (
            {"mib_per_second": self._total_mib / usage.wall_seconds if transfers else 0.0}
            | talk.figures()
            | {"rss_more_mib": rss_bytes / BYTES_PER_MIB}
            | usage.shares()
        )


class Transfer:
    """A curl that runs, and what is to be done with its answer.

    It is nice to the two who talk: how long it holds their core is not what is measured.
    """

    def __init__(self, command: list[str], then: Callable[[str], None]) -> None:
        self.process = subprocess.Popen(
            ["nice", "-n", "19", "curl", "-sS", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._then = then

    def check(self) -> None:
        """Look at the answer. Raises BenchError when it is not as it should be."""
        output, _ = self.process.communicate(timeout=ANSWER_SECONDS_MAX)
        if self.process.returncode:
            raise BenchError(f"curl failed: {output}")
        self._then(output)


def _send(senders: list[Sender], folder: Path) -> list[Transfer]:
    path = folder / "file.bin"
    note = partial(_note_number, wanted=_sum(path))
    return [Transfer(["-T", str(path), each.place()], partial(note, each)) for each in senders]


def _note_number(sender: Sender, told: str, wanted: str) -> None:
    match = re.match(rf"shared as (\d+): .* sha256 {wanted}", told)
    if match is None:
        raise BenchError(f"not stored as it was sent: {told}")
    sender.number = match[1]


def _fetch(senders: list[Sender], folder: Path) -> list[Transfer]:
    """Fetch all, and keep the first: to write them all would keep the disk from the server."""
    path, size = folder / "fetched.bin", (folder / "file.bin").stat().st_size
    compare = partial(_compare, path, wanted=_sum(folder / "file.bin"), size=size)
    first, *others = (["-w", "%{size_download}", each.address()] for each in senders)
    commands = [["-o", str(path), *first], *(["-o", "/dev/null", *each] for each in others)]
    return [Transfer(command, compare) for command in commands]


def _compare(path: Path, told: str, wanted: str, size: int) -> None:
    if told != str(size) or _sum(path) != wanted:
        raise BenchError("what was fetched is not what was sent")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _senders(port: int) -> Iterator[list[Sender]]:
    senders = [Sender(f"sender{number}", port) for number in range(CLIENTS)]
    try:
        yield senders
    finally:
        for sender in senders:
            sender.close()


def _is_missed(figures: Figures) -> bool:
    is_late = figures["latency_p99_ms"] > LATENCY_P99_MS_MAX
    return is_late or figures["rss_more_mib"] > RSS_MIB_MAX


def show(console: Console, phases: dict[str, Figures]) -> None:
    """Print a column a phase."""
    table = Table("", *phases)
    for name in phases["quiet"]:
        table.add_row(name, *(f"{figures[name]:.2f}" for figures in phases.values()))
    console.print(table)
    bars = f"at most {RSS_MIB_MAX} MiB more, and a p99 of {LATENCY_P99_MS_MAX} ms"
    missed = [phase for phase, figures in phases.items() if _is_missed(figures)]
    console.print(f"bars: {bars}: {'missed while ' + ', '.join(missed) if missed else 'met'}")


if __name__ == "__main__":
    sys.exit(main())
