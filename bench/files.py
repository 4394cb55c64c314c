"""What twenty files at once cost the others: memory, and how long a line of the chat takes.

Twenty clients send a file each, with curl, and then fetch it, while two others talk. The sums of
what came back are compared.
"""

import contextlib
import hashlib
import os
import re
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from couple import Couple, by_phase
from dialects import Greenroom
from loads import Figures
from peers import Server, served
from process import HOST, BenchError
from scale import Scale

CLIENTS = 20
BYTES_PER_MIB = 1 << 20
QUIET_SECONDS = 3  # before the transfers, to compare with
ANSWER_SECONDS_MAX = 60

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


def files(server: Server, core: int, scale: Scale) -> Figures:
    """Measure with nobody who sends, with all who send, with all who fetch. Raises BenchError."""
    file_bytes = scale.file_mib * BYTES_PER_MIB // CLIENTS
    with (
        tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name,
        served(_without_limits(server), core) as (process, crowd),
        _senders(process.accepting_port()) as senders,
    ):
        folder = Path(name)
        (folder / "file.bin").write_bytes(os.urandom(file_bytes))
        couple = Couple(process, crowd)
        deadline = time.monotonic() + QUIET_SECONDS
        return by_phase(
            {
                "quiet": couple.talk_while(lambda: time.monotonic() < deadline),
                "sending": _talk_during(couple, _send(senders, folder), scale),
                "fetching": _talk_during(couple, _fetch(senders, folder), scale),
            }
        )


def _without_limits(server: Server) -> Server:
    large = str(1 << 40)
    limits = {"GREENROOM_FILE_BYTES_MAX": large, "GREENROOM_FILE_QUOTA_BYTES": large}
    return replace(server, environment=server.environment | limits)


def _talk_during(couple: Couple, transfers: list["Transfer"], scale: Scale) -> Figures:
    """Talk until all transfers have ended; return what it cost."""
    figures = couple.talk_while(lambda: any(each.process.poll() is None for each in transfers))
    for transfer in transfers:
        transfer.check()
    return {"mib_per_second": scale.file_mib / figures["seconds"]} | figures


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
