"""Fixtures that many tests share."""

import itertools
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.database.migration import migrate
from tests.kit.client import Client
from tests.kit.house import house as house
from tests.kit.house import meanwhile as meanwhile
from tests.kit.house import new_house as new_house
from tests.kit.postgresql import postgres as postgres
from tests.kit.server_process import ServerProcess, environment
from tests.kit.signing import Device
from tests.kit.watching import WatchedServer

hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")  # no test is about time, and each run is as the last one


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without a row, to begin with a copy of: it saves a server half of its start."""
    path = tmp_path_factory.mktemp("new") / "greenroom.db"
    migrate(f"sqlite:///{path}")
    path.chmod(0o600)  # as a server makes it; so are the files that SQLite puts beside it
    return path


def _give_database(folder: Path, new_database: Path) -> None:
    data_folder = folder / "var"
    if not data_folder.exists():
        data_folder.mkdir(mode=0o700, parents=True)
        shutil.copy(new_database, data_folder)


@pytest.fixture
def data(tmp_path: Path, new_database: Path) -> Path:
    """A data directory in a folder without a server, and a database without a row in it."""
    _give_database(tmp_path, new_database)
    return tmp_path / "var"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--canary", action="store_true", help="attacks at length, watched")
    parser.addoption(
        "--monotonic-from",
        type=float,
        metavar="SECONDS",
        help="time.monotonic counts from there, as if the machine were so old; needs -n",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Shift the clock of the processes that run tests, and of all that they start.

    Also where they were started in the background, which ignores it, Ctrl-C ends what they start.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seconds = config.getoption("--monotonic-from")
    if seconds is not None and not hasattr(config, "workerinput"):
        os.environ["TESTS_MONOTONIC_SHIFT"] = str(seconds - time.monotonic())
        os.environ["PYTHONPATH"] = str(Path(__file__).parent / "kit" / "shifted")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a race is run: seldom enough for the suite, or as often as it takes."""
    return 200 if request.config.getoption("--canary") else 30


def _is_watched(request: pytest.FixtureRequest) -> bool:
    """Whether a test's servers are: how long others wait is no matter for a busy machine."""
    is_attack = request.module.__name__.startswith("tests.attacks.")
    return is_attack and request.config.getoption("--canary")


def _check_watched(process: ServerProcess) -> None:
    """Check that nobody waited for a turn, if it was watched: whatever the attack, others go on."""
    if isinstance(process, WatchedServer):
        faults = process.end_watch()
        assert not faults, "\n".join(faults)


def _check_warnings(process: ServerProcess) -> None:
    """Check that Python warned of nothing, also where it can't be raised: see forked.STRICT."""
    log = process.log if process.log_path.exists() else ""  # it may be told to write elsewhere
    assert not re.search(r"[a-z]Warning: ", log), log


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: Path
) -> Iterator[ServerProcess]:
    """One server for a module's tests, which use names of their own.

    Its settings are the module's SERVER_SETTINGS, if it has any. Where it is watched, a canary
    pings it.
    """
    settings = getattr(request.module, "SERVER_SETTINGS", {})
    folder = tmp_path_factory.mktemp("server")
    if _is_watched(request):
        process = WatchedServer(folder, has_canary=True, **settings)
    else:
        process = ServerProcess(folder, **settings)
    _give_database(process.folder, new_database)
    try:
        process.start()
        yield process
        process.hang_up()
        _check_watched(process)
        assert process.stop() == 0, process.log
        assert "Traceback" not in process.log, process.log
        _check_warnings(process)
    finally:
        process.kill()


@pytest.fixture
def start_server(
    request: pytest.FixtureRequest, tmp_path: Path, new_database: Path
) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers with settings of their own; they are ended after the test.

    Where they are watched, they have no canary: their settings may have no place for one.
    """
    started: list[ServerProcess] = []
    kind = WatchedServer if _is_watched(request) else ServerProcess

    def start(folder: str = ".", **settings: object) -> ServerProcess:
        _give_database(tmp_path / folder, new_database)
        process = kind(tmp_path / folder, **settings)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.kill()
    for process in started:
        _check_watched(process)
        _check_warnings(process)


@pytest.fixture
def run_here() -> Iterator[Callable[..., Result]]:
    """Run commands of manage.py on a folder, in this process: a new one would take a second."""
    mask, interval = os.umask(0o077), sys.getswitchinterval()

    def run(folder: Path, *arguments: str, stdin: str = "", **settings: object) -> Result:
        given = environment(folder, **settings)
        return CliRunner().invoke(main, arguments, stdin, given, catch_exceptions=False)

    yield run
    os.umask(mask)
    sys.setswitchinterval(interval)


@pytest.fixture(params=["alone", "beside a server"])
def run(
    request: pytest.FixtureRequest, run_here, tmp_path: Path, new_database: Path
) -> Callable[..., Result]:
    """Return what runs a command, on a folder of its own or on that of a running server."""
    if request.param == "alone":
        _give_database(tmp_path, new_database)
        folder = tmp_path
    else:
        folder = request.getfixturevalue("server").folder
    return lambda *arguments, **options: run_here(folder, *arguments, **options)


_numbers = itertools.count(1)  # so that each test has names of its own on a server that many share


@pytest.fixture
def new_name() -> Callable[[str], str]:
    """Return what makes a name that nobody has, of a user or a room."""
    return lambda word: f"{word}{next(_numbers)}"


@pytest.fixture
def pair(server: ServerProcess, new_name: Callable[[str], str]) -> tuple[Client, Client]:
    """A writer and a reader, alone in a room of which the writer is the owner."""
    room = new_name("room")
    writer = server.connect().register(new_name("writer")).join(room)
    reader = server.connect().register(new_name("reader")).join(room)
    writer.expect_lines(f"{reader.name} has joined the room.")
    return writer, reader


@pytest.fixture
def new_device(server: ServerProcess, new_name) -> Callable[..., Device]:
    """Return what makes a device of a new user, or of one that has one already."""

    def make(user: str = "") -> Device:
        program = server.program()
        program = program.log_in(user) if user else program.register(new_name("user"))
        return Device(program).put()

    return make
