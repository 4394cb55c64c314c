"""One server as a process: pinned to one core, asked for its costs, and stopped by its pid.

Costs are the kernel's own figures. Nothing here signals a process it did not start.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"
REPOSITORY = Path(__file__).resolve().parents[1]
START_SECONDS_MAX = 60  # from exec to an accepting port; a database of a million messages included
STOP_SECONDS_MAX = 15  # from SIGTERM to exit, before SIGKILL
LOG = "server.log"
LOG_BYTES_SHOWN = 2_000  # of a server's log, when it did not start
BYTES_PER_KIB = 1_024


class BenchError(Exception):
    """A measurement that cannot be had: a server that died, refused, lost or stalled."""


class ServerProcess:
    """A running server. Use `running`, which stops it whatever happens."""

    def __init__(
        self, process: subprocess.Popen[bytes], port: int, core: int, folder: Path
    ) -> None:
        self.pid = process.pid
        self.core = core
        self.folder = folder
        self._port = port
        self._process = process

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
        return (self.folder / LOG).read_bytes()[-LOG_BYTES_SHOWN:].decode(errors="replace").strip()


@contextlib.contextmanager
def running(
    command: list[str], environment: dict[str, str], port: int, folder: Path, core: int
) -> Iterator[ServerProcess]:
    """Start `command` in `folder`, pinned to `core`; kill it at the end if it still runs.

    Its log is LOG there. The pin is set before exec, so that runtimes which count the
    CPUs at their start (Go) count one.
    """
    with (folder / LOG).open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
    server = ServerProcess(process, port, core, folder)
    try:
        yield server
    finally:
        server.kill()


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.create_server((HOST, 0)) as listener:
        return int(listener.getsockname()[1])
