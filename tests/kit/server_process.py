"""A real server in a process of its own, on a free port and a fresh folder."""

import itertools
import os
import re
import resource
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.kit import ROOT, forked
from tests.kit.client import WAIT_SECONDS_MAX, Client, wait_until
from tests.kit.forked import Forked, Origin
from tests.kit.prepared import PREPARED_BY, hash_quickly, name_of
from tests.kit.program import Program

STOP_SECONDS_MAX = WAIT_SECONDS_MAX
LOG_CHARS_SHOWN = 2_000  # of the end of it, when it did not start

# Tests are faster than people, and come from one address; the ones on limits set their own.
UNLIMITED = {
    "MESSAGE_RATE": "0",
    "LOGIN_ATTEMPTS": "0",
    "CONNECTIONS_PER_IP_MAX": "0",
    "REGISTRATIONS_PER_IP_PER_HOUR": "0",
}


_CAN_FORK = sys.platform == "linux"  # elsewhere it is not safe, once anything was imported


@cache
def _origin() -> Origin:
    """Return what this process forks its servers from."""
    return Origin()


def environment(folder: Path, **settings: object) -> dict[str, str]:
    """Return the environment of a process that works on a folder's data, with settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GREENROOM_")}
    given = {"DATA_DIR": folder / "var", **UNLIMITED, **settings}
    return kept | forked.STRICT | {f"GREENROOM_{key}": str(value) for key, value in given.items()}


def run_to_end(command: list[object], **options: object):
    """Run a program of this repository to its end; what it wrote is kept, as text."""
    given = {"cwd": ROOT, "text": True, "timeout": WAIT_SECONDS_MAX, "check": False}
    if "stdout" not in options:
        given["capture_output"] = True
    return subprocess.run(command, **given | options)


def manage(folder: Path, *arguments: str, stdin: str = "", **settings: object):
    """Run a command of manage.py to its end."""
    command = [sys.executable, ROOT / "manage.py", *arguments]
    return run_to_end(command, env=environment(folder, **settings), input=stdin)


def manage_prepared(folder: Path, prepared_by: str, *arguments: str) -> tuple[int, str]:
    """Run a command of manage.py to its end in a process that is prepared; see prepared.py.

    Returns its exit code, and what it wrote. Only where a process can be forked.
    """
    given = {**environment(folder), PREPARED_BY: prepared_by}
    log_path = folder / "manage.log"
    with log_path.open("a") as log:
        process = _origin().start(arguments, given, log)
    with process.stdout:
        output = process.stdout.read()
    return process.wait(STOP_SECONDS_MAX), output + log_path.read_text()


class ServerProcess:
    """A server that can be stopped, killed and started again on the same folder and port."""

    hashes_quickly = True  # where it is forked
    start_seconds_max = WAIT_SECONDS_MAX  # until it listens

    def __init__(
        self,
        folder: Path,
        *,
        open_files_max: int = 0,
        redirected: str = "",  # as a shell has it: 2>&-
        error_path: Path | None = None,  # where its standard error goes, in place of a file
        prepared_by: str = "",
        **settings: object,
    ) -> None:
        self.folder = folder
        self._prepared_by = prepared_by  # see tests/kit/prepared.py
        limit = f"ulimit -n {open_files_max} && " if open_files_max else ""
        shell = ["sh", "-c", f'{limit}exec "$@" {redirected}', "sh"]
        self._prefix = shell if limit or redirected else []
        self._error_path = error_path
        self.command: list[str] = []  # in place of manage.py; it is never forked
        self.settings = settings
        self.port = 0
        self.process: subprocess.Popen[str] | Forked | None = None
        self._clients: list[Client] = []

    def start(self) -> None:
        """Start it, and wait until it listens. Raises AssertionError, and ends it, if not."""
        self.launch()
        output, told = self.process.stdout, select.poll()
        told.register(output, select.POLLIN)
        is_in_time = bool(told.poll(self.start_seconds_max * 1000))
        first_line = output.readline() if is_in_time else ""  # when it listens, or ends without
        match = re.search(r"listens on \S+:(\d+)\.", first_line)
        how = f"not within {self.start_seconds_max:.0f} s"
        if match is None:
            self.kill()
            how = f"it ended with {self.process.returncode}" if is_in_time else how
        assert match, f"the server did not start: {how}; its log: {self.log[-LOG_CHARS_SHOWN:]}"
        self.port = int(match[1])

    def launch(self) -> None:
        """Start it, and don't wait until it listens."""
        self.log_path = self.folder / "server.log"
        arguments, given = ["runserver", str(self.port)], environment(self.folder, **self.settings)
        program = [ROOT / "manage.py"]
        if self._prepared_by:
            given[PREPARED_BY] = self._prepared_by
            program = ["-m", "tests.kit.prepared"]
        with (self._error_path or self.log_path).open("a") as log:
            if self._prefix or self.command or ROOT != forked.ROOT or not _CAN_FORK:
                command = self.command or [sys.executable, *program]
                self.process = subprocess.Popen(
                    [*self._prefix, *command, *arguments],
                    env=given,
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
            else:
                if self.hashes_quickly:
                    given[PREPARED_BY] = f"{name_of(hash_quickly)} {self._prepared_by}"
                self.process = _origin().start(arguments, given, log)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def expect_logged(self, text: str, times: int = 1) -> None:
        """Wait until the log says it that often: records are written behind the answers."""
        wait_until(lambda: self.log.count(text) >= times, f"the log says {text!r}")

    @property
    def pid(self) -> int:
        return self.process.pid

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have it do nothing for a while: whatever is sent to it meanwhile, it finds at once."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def watch_memory(self) -> Callable[[], int]:
        """Return what tells by how many bytes its memory was larger since than it is now."""
        folder = Path("/proc", str(self.pid))
        if not folder.exists():
            pytest.skip("memory is measured with Linux's /proc")

        def most_bytes() -> int:
            status = (folder / "status").read_text()
            return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

        (folder / "clear_refs").write_text("5")  # the most from now on
        before = most_bytes()
        return lambda: most_bytes() - before

    @contextmanager
    def database(self) -> Iterator[sqlite3.Connection]:
        """Open its database beside it; each statement is a transaction of its own."""
        path = self.folder / "var" / "greenroom.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            yield connection

    def connect(self, **options: object) -> Client:
        client = Client(self.port, **options)
        self._clients.append(client)
        return client

    def newcomer(self, **options: object) -> Client:
        """Connect as a person does, and read up to the prompt."""
        client = self.connect(**options)
        client.expect("login: ")
        return client

    def program(self, **options: object) -> Program:
        """Connect as a program does."""
        client = Program(self.port, **options)
        self._clients.append(client)
        return client

    def token_of_new(self, name: str) -> str:
        """Make an account, and return a token that logs in to it: that is quick."""
        with closing(self.program()) as program:
            made = program.call("register", name=name, password="secret", remember="tests")
            return made["token"]

    def control(self) -> Program:
        """Connect to the control socket, as manage.py does."""
        return self.program(control_path=self.folder / "var" / "control.sock")

    def operate(self, op: str, **fields: object) -> dict[str, object]:
        """Ask for something as the operator, and return the answer."""
        with closing(self.control()) as operator:
            return operator.call(op, **fields)

    def refuse(self, op: str, **fields: object) -> str:
        """Ask for something as the operator, and return the code with which it is refused."""
        with closing(self.control()) as operator:
            return operator.refused(op, **fields)

    def hang_up(self) -> None:
        """Let all its clients go."""
        for client in self._clients:
            client.close()

    def stop(self) -> int:
        """End it as an operator would, and return its exit code."""
        return self._end(signal.SIGTERM)

    def stop_before_its_clients(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, and let clients read what it told them. Returns its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(STOP_SECONDS_MAX)
        self.process.stdout.close()
        return code

    def limit_files(self, bytes_max: int | None) -> None:
        """Let it write no file beyond so many bytes; what it would add is refused by the kernel."""
        if not hasattr(resource, "prlimit"):
            pytest.skip("another process is limited with Linux's prlimit")
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
        limit = hard if bytes_max is None else bytes_max
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, hard))

    def limit_descriptors(self, more: int | None) -> None:
        """Let it open so many files and sockets more than it has; None: as many as it could."""
        if not hasattr(resource, "prlimit"):
            pytest.skip("another process is limited with Linux's prlimit")
        _, hard = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        opened = {int(path.name) for path in Path(f"/proc/{self.pid}/fd").iterdir()}
        unused = (number for number in itertools.count() if number not in opened)
        limit = hard if more is None else next(itertools.islice(unused, more, None))
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (limit, hard))

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        assert self.stop() == 0, self.log
        self.start()

    def _end(self, number: signal.Signals) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self._wait()

    def _wait(self) -> int:
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.hang_up()
