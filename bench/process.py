"""One server as a process: pinned to one core, asked for its costs, and stopped by its pid.

Costs are the kernel's own figures. Nothing here signals a process it did not start.
"""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS_MAX = 60  # from exec to an accepting port; a database of a million messages included
STOP_SECONDS_MAX = 15  # from SIGTERM to exit, before SIGKILL
LOG_BYTES_SHOWN = 2_000  # of a server's log, when it did not start
DESCRIPTORS_MIN = 4_096  # 1,000 sessions, as many connections to publish on, and some air
BYTES_PER_KIB = 1_024
NS_PER_SECOND = 1_000_000_000


class BenchError(Exception):
    """A measurement that cannot be had: a server that died, refused, lost or stalled."""


@dataclass(frozen=True)
class Cores:
    """Which CPUs the servers run on, and which the generator. The same when there is only one."""

    server: int
    generator: frozenset[int]

    @classmethod
    def divided(cls) -> "Cores":
        """Give the first CPU this process may use to the servers, the others to the generator."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(first, frozenset(others or [first]))

    @property
    def is_shared(self) -> bool:
        """Whether server and generator take CPU from each other."""
        return self.server in self.generator

    def __str__(self) -> str:
        others = ", ".join(str(cpu) for cpu in sorted(self.generator))
        return f"servers on CPU {self.server}, the generator on {others}"


class ServerProcess:
    """A running server. Use `running`, which stops it whatever happens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.pid = process.pid
        self._port = port
        self._process = process
        self._log = log

    def accepting_port(self) -> int:
        """Wait until the port accepts a connection, and return it. Raises BenchError."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise BenchError(f"exited with {self._process.returncode}: {self._last_words()}")
            with contextlib.suppress(OSError), socket.create_connection((HOST, self._port), 1):
                return self._port
            time.sleep(0.005)
        raise BenchError(f"not accepting after {START_SECONDS_MAX} s: {self._last_words()}")

    def cpu_seconds(self) -> float:
        """CPU time of all threads since the start, those that have ended included.

        Read from the process's CPU clock (clock_getcpuclockid(3), made by hand: Python has no such
        call). /proc/PID/stat has the same figure in steps of 10 ms, /proc/PID/schedstat has the
        main thread alone.
        """
        return time.clock_gettime((~self.pid << 3) | 2)

    def rss_bytes(self) -> int:
        """Resident memory now."""
        return self._status_bytes("VmRSS")

    def rss_peak_bytes(self) -> int:
        """Resident memory at its highest since `forget_peak`."""
        return self._status_bytes("VmHWM")

    def forget_peak(self) -> None:
        """Let `rss_peak_bytes` start again from the memory in use now (proc(5), clear_refs)."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def stop(self) -> int:
        """Ask the server to end, wait for it, and return its exit code. Raises BenchError."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BenchError(f"killed: still there {STOP_SECONDS_MAX} s after SIGTERM") from None

    def kill(self) -> None:
        """End the server at once, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _status_bytes(self, field: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * BYTES_PER_KIB
        raise BenchError(f"no {field} in /proc/{self.pid}/status")

    def _last_words(self) -> str:
        return self._log.read_bytes()[-LOG_BYTES_SHOWN:].decode(errors="replace").strip()


@dataclass(frozen=True)
class Usage:
    """What a stretch of time cost, in seconds."""

    wall_seconds: float
    server_cpu_seconds: float
    generator_cpu_seconds: float
    generator_wait_seconds: float

    @property
    def server_share(self) -> float:
        """How much of its core the server used."""
        return self.server_cpu_seconds / self.wall_seconds

    @property
    def generator_share(self) -> float:
        """How much of its core the generator used; at 1 it is what was measured."""
        return self.generator_cpu_seconds / self.wall_seconds

    @property
    def disturbed_share(self) -> float:
        """How much of the time the generator could not run because others were on its core."""
        return self.generator_wait_seconds / self.wall_seconds


class Meter:
    """Reads the clocks when made; `stop` gives what has passed on them since."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._start = self._read()

    def stop(self) -> Usage:
        """Return the usage since the meter was made."""
        return Usage(*(now - then for now, then in zip(self._read(), self._start, strict=True)))

    def _read(self) -> tuple[float, float, float, float]:
        wall = time.monotonic()
        return wall, self._server.cpu_seconds(), time.process_time(), run_queue_seconds()


def run_queue_seconds() -> float:
    """Return how long this process has waited, ready to run, for a CPU (schedstats, 2nd field)."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / NS_PER_SECOND


@contextlib.contextmanager
def running(
    command: list[str], environment: dict[str, str], port: int, folder: Path, core: int
) -> Iterator[ServerProcess]:
    """Start `command`, pinned to `core`; kill it at the end if it still runs.

    Its working directory is the repository, its log `folder`/server.log. The pin is set before
    exec, so that runtimes which count the CPUs at their start (Go) count one.
    """
    log = folder / "server.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    server = ServerProcess(process, port, log)
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])


def raise_descriptor_limit() -> int:
    """Lift the soft limit of open files to the hard one, for children too; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < DESCRIPTORS_MIN:
        raise BenchError(f"at most {hard} open files here (ulimit -Hn), {DESCRIPTORS_MIN} needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
