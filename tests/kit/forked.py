"""Starts servers by forking a process that has imported all that they need: a fifth of the work.

What it promises is what subprocess.Popen does for a server: a process of its own, with its own
environment, folder, standard output and error, and an exit code. It runs the same main(), and ends
as any Python does.

    the tests' process --asks--> the origin --forks--> a keeper --forks--> the server

The origin, `python -m tests.kit.forked`, has one thread and has begun nothing, so that it
can be forked. The keeper waits for its server, and tells how it ended.
"""

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO

from tests.kit import ROOT
from tests.kit.prepared import run

STRICT = {
    "PYTHONWARNINGS": "error",  # what a later Python takes back is a fault now
    "PYTHONFAULTHANDLER": "1",  # an interpreter that crashes says where
}
_REQUEST_BYTES_MAX = 1 << 16  # arguments and environment of a server


class Origin:
    """What servers are forked from; it ends with the process that made it."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.kit.forked", str(theirs.fileno())],
                cwd=ROOT,
                env=os.environ | STRICT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(self, arguments: Sequence[str], given: dict[str, str], error: IO) -> "Forked":
        """Run manage.py with these arguments, this environment, and that file as its log."""
        output, their_output = os.pipe()
        report, their_report = os.pipe()
        request = json.dumps({"arguments": arguments, "environment": given}).encode()
        assert len(request) <= _REQUEST_BYTES_MAX
        descriptors = [their_output, error.fileno(), their_report]
        socket.send_fds(self._channel, [request], descriptors)
        os.close(their_output)
        os.close(their_report)
        return Forked(os.fdopen(output), os.fdopen(report))


class Forked:
    """A server; the part of subprocess.Popen that tests use."""

    def __init__(self, stdout: IO[str], report: IO[str]) -> None:
        self.stdout = stdout
        self._report = report
        self.pid = int(report.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, as Popen has it, once there is one."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code. Raises subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("runserver", timeout or 0)
        return code

    def _look(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._report], [], [], seconds)[0]:
            self.returncode = os.waitstatus_to_exitcode(int(self._report.readline()))
            self._report.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has, and its keeper is about to tell
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.send_signal(signal.SIGKILL)


def _run_origin(channel: socket.socket) -> None:
    """Fork a keeper for each request, until nobody can ask any more. A server returns from here."""
    import app.net.main  # noqa: F401 (what takes long, once for all)
    from app.database import migration  # noqa: F401

    gc.collect()
    gc.freeze()  # or each server looks through all that was imported, and so gets a copy of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for keepers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, _REQUEST_BYTES_MAX, 3)
        if not data:
            return
        if not os.fork():
            channel.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(json.loads(data), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _keep(request: dict, output: int, error: int, report: int) -> None:
    """Fork a server, and tell its pid and how it ended. In the server, run it."""
    pid = os.fork()
    if pid:
        os.close(output)
        os.close(error)
        os.write(report, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(report, f"{status}\n".encode())
        os._exit(0)
    os.close(report)
    for descriptor, standard in ((output, 1), (error, 2)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])

    run(request["arguments"])  # raises SystemExit, as at the top


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        _run_origin(asked)
