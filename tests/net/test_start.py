"""Starting and stopping: what is wrong is told in one line and nothing touched; nothing is lost."""

import os
import re
import shutil
import signal
import socket
import stat
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.bounds import FILE_CHUNK_BYTES
from app.database import opening
from tests.kit.client import WAIT_SECONDS_MAX, wait_until
from tests.kit.commands import refused
from tests.kit.databases import change
from tests.kit.prepared import name_of
from tests.kit.server_process import ROOT, ServerProcess, manage, run_to_end
from tests.kit.transfers import ask_url, begin_get, begin_put, begun_files, share, status_of


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def used_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a server that was used, and stopped."""
    server = ServerProcess(tmp_path_factory.mktemp("used"))
    server.start()
    alice = server.connect().register("alice").join("lobby")
    alice.type(*(f"{number}: {'a long story ' * 20}" for number in range(300)))
    alice.expect("299: ")
    assert server.stop() == 0
    return server.folder / "var"


@pytest.fixture
def database(used_folder: Path, tmp_path) -> Path:
    """A copy of that data, to be spoilt."""
    return Path(shutil.copytree(used_folder, tmp_path / "var")) / "greenroom.db"


def _flip(first: int) -> Callable[[Path], None]:
    """Return what turns around 64 bytes of a file."""

    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        for place in range(first, first + 64):
            data[place] ^= 0xFF
        path.write_bytes(data)

    return flip


# Whoever can't use the database says why in one line, and leaves every byte as it was.
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: os.truncate(path, path.stat().st_size // 2), "is damaged"),
        *((_flip(4096 * page), "is damaged") for page in (0, 1, 20)),
        (lambda path: path.write_text("Dear diary,\n" * 500), "is damaged"),
        (lambda path: path.write_bytes(b""), "is empty or gone, though it held data"),
        # What is left of that one is no database by itself.
        (lambda path: path.rename(f"{path}-wal"), "is empty or gone, though it held data"),
        (
            lambda path: (path.unlink(), change(path, "CREATE TABLE recipes (id INTEGER)")),
            "is a database, but not one of Greenroom",
        ),
        (
            lambda path: change(path, "UPDATE alembic_version SET version_num = '9999'"),
            "is of a newer Greenroom (revision 9999)",
        ),
    ],
    ids=["half", "header", "page 2", "page 21", "text", "empty", "gone", "another's", "newer"],
)
def test_a_database_that_can_not_be_used(database: Path, tmp_path, run_here, spoil, why) -> None:
    spoil(database)
    before = _contents(database.parent)
    told = refused(run_here(tmp_path, "createuser", "alice", "--password", "secret"))
    assert told.startswith(f"{database} {why}")
    assert _contents(database.parent) == before


# A database that is open in a server is not opened in another, and the first one goes on.
def test_a_database_in_use(server) -> None:
    path = server.folder / "var" / "greenroom.db"
    told = refused(manage(server.folder, "runserver", "0"))
    assert told == f"{path} is open in another Greenroom; stop that one first"
    server.connect().register("alice")


# A port that is taken, or is another machine's, costs the database nothing: there is no folder yet.
@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.1"])
def test_an_address_that_can_not_be_had(tmp_path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"{host}:{taken.getsockname()[1]}"
        told = refused(manage(tmp_path, "runserver", address))
    assert told.startswith(f"can't listen on {address}: ")
    assert list(tmp_path.iterdir()) == []


# A database that can't be is refused as well.
@pytest.mark.parametrize(
    ("setting", "value", "why"),
    [
        ("DATA_DIR", "/dev/null/var", "can't open /dev/null/var/greenroom.db.lock: "),
        ("DATABASE_URL", "sqlite://", "GREENROOM_DATABASE_URL: the database must be a file"),
        ("DATABASE_URL", "mysql://x", "GREENROOM_DATABASE_URL: mysql is neither sqlite nor "),
        ("DATABASE_URL", "x", "GREENROOM_DATABASE_URL is no SQLAlchemy URL: "),
        ("DATABASE_URL", "postgresql+pg8000://x", "GREENROOM_DATABASE_URL: the driver pg8000 is "),
        pytest.param(
            *("DATABASE_URL", "postgresql+psycopg://127.0.0.1:1/x", "can't use the database: "),
            marks=pytest.mark.skipif(not find_spec("psycopg"), reason="psycopg is not here"),
        ),
    ],
)
def test_a_database_that_can_not_be(tmp_path, run_here, setting: str, value: str, why: str) -> None:
    arguments = ("createuser", "alice", "--password", "secret")
    assert refused(run_here(tmp_path, *arguments, **{setting: value})).startswith(why)


# The operator is told how to connect; from then on, a signal is heard.
def test_how_to_connect(start_server) -> None:
    process = start_server(prepared_by=name_of(_at_a_terminal)).process
    process.send_signal(signal.SIGHUP)  # without a certificate to load anew: its terminal is gone
    assert re.fullmatch(r"\(or: nc 127.0.0.1 \d+\). Ctrl-C stops it.\n", process.stdout.readline())
    assert process.wait(WAIT_SECONDS_MAX) == 0


# A server that does not come to listen, or ends before, is not waited for, and is not left behind.
@pytest.mark.parametrize(
    ("program", "why"), [("import time; time.sleep(600)", "not within"), ("exit(1)", "it ended")]
)
def test_a_server_that_does_not_start(tmp_path, program: str, why: str) -> None:
    server = ServerProcess(tmp_path)
    server.command = [sys.executable, "-c", program]
    server.start_seconds_max = 0.0 if why == "not within" else ServerProcess.start_seconds_max
    with pytest.raises(AssertionError, match=why):
        server.start()
    assert server.process.returncode is not None


def warn() -> None:
    warnings.warn("later it is gone", DeprecationWarning, stacklevel=1)


# What a later Python would do otherwise is an error in the servers of tests, also in forked ones.
@pytest.mark.parametrize("redirected", ["", "2>&2"])
def test_a_server_that_is_warned(tmp_path, redirected: str) -> None:
    server = ServerProcess(tmp_path, redirected=redirected, prepared_by=name_of(warn))
    with pytest.raises(AssertionError, match="DeprecationWarning: later it is gone"):
        server.start()


def stop_in_a_finalizer() -> None:
    """Let SIGTERM come while the database is opened, where Python ignores what is raised."""
    from app.net import main

    class Garbage:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def open_database(*arguments: object) -> object:
        Garbage()
        return opened(*arguments)

    opened, main.open_database = main.open_database, open_database


# A signal stops a server even where what it raises is lost: nobody sends a second one.
def test_a_signal_whose_exception_is_lost(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, prepared_by=name_of(stop_in_a_finalizer))
    server.start()
    code = server.process.wait(WAIT_SECONDS_MAX)
    server.kill()  # what it left open here
    assert (code, "stopping" in server.log) == (0, True)


# At SIGTERM everybody is told, in the midst of a conversation. What was accepted is stored and was
# shown to all, what was refused was shown to nobody, and the exit code is 0.
def test_sigterm_in_the_midst(start_server) -> None:
    server = start_server(HISTORY_REPLAY=1000)
    alice, bob = (server.connect().register(name).join("lobby") for name in ("alice", "bob"))
    alice.expect_lines("bob has joined the room.")
    alice.type(*map(str, range(20_000)))  # more than is stored until the signal comes
    bob.expect_lines("alice: 0")
    assert server.stop_before_its_clients() == 0
    *seen, goodbye = ["alice: 0", *bob.expect_end().splitlines()]
    *answers, goodbye_too = alice.expect_end().splitlines()
    assert goodbye == goodbye_too == "The server is shutting down. Goodbye."
    assert seen == [f"alice: {number}" for number in range(len(seen))]
    assert [line for line in answers if not line.startswith("Error: ")] == seen
    assert set(answers) - set(seen) <= {"Error: not stored: the server is shutting down"}

    server.start()
    carol = server.connect().register("carol").join("lobby")
    replayed = carol.catch_up()
    assert [line.partition("] ")[2] for line in replayed] == seen[-1000:]


# A signal that comes while a server starts ends it in good order, and in words. That a terminal is
# gone is none to a server that can't have one, or has been told not to mind.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_during_the_start(tmp_path, number: signal.Signals) -> None:
    at_a_terminal = f"{name_of(_at_a_terminal)} {name_of(_start_slowly)}"
    server = ServerProcess(tmp_path, prepared_by=at_a_terminal)
    server.launch()
    server.expect_logged("in the middle of the start")
    assert server.stop_before_its_clients(number) == 0
    assert server.log.splitlines()[-1] == "stopped before it listened; nobody was here yet"
    assert "Traceback" not in server.log


@pytest.mark.parametrize("where", ["_under_systemd", "_under_nohup"])
def test_a_hangup_during_the_start(tmp_path, where: str) -> None:
    server = ServerProcess(tmp_path, prepared_by=f"{__name__}:{where} {name_of(_start_slowly)}")
    server.launch()
    server.expect_logged("in the middle of the start")
    server.process.send_signal(signal.SIGHUP)
    (tmp_path / "go on").touch()
    assert "listens on" in server.process.stdout.readline()
    server.process.send_signal(signal.SIGHUP)  # nor later
    assert server.stop() == 0


def _start_slowly() -> None:
    from app.net import main

    open_database = main.open_database

    def open_slowly(url: Path, tell: Callable[..., None]) -> object:
        go_on = Path(url).parent.parent / "go on"
        print("in the middle of the start", file=sys.stderr, flush=True)
        while not go_on.exists():
            time.sleep(0.01)
        return open_database(url, tell)

    main.open_database = open_slowly


def _at_a_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though the tests may be run under nohup


def _under_systemd() -> None:
    os.environ["NOTIFY_SOCKET"] = "@nobody-listens-there"


def _under_nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


# Files that stop on their way, in or out, keep nobody waiting for longer than the goodbye is shown.
def test_a_transfer_that_stalls_at_the_end(start_server) -> None:
    server = start_server(prepared_by=name_of(_be_brief))
    alice = server.connect().register("alice").join("lobby")
    number = share(server, alice, "large.bin", b"x" * (8 << 20))
    with (
        begin_get(server, ask_url(alice, f"/get {number}")) as fetching,
        begin_put(server, ask_url(alice, "/send a.txt"), FILE_CHUNK_BYTES + 1, b"x") as coming,
    ):
        wait_until(lambda: begun_files(server) == 1, "it has begun")
        assert server.stop_before_its_clients() == 0
        assert len(fetching.read()) < 8 << 20
        assert status_of(coming) in (0, 503)  # cut, or told that it is not stored
    assert "cut transfers that had no end" in server.log
    assert "count=2" in server.log


# A client that is read slowly, for it is faster than it may, keeps nobody waiting at all.
def test_a_slow_rate_at_the_end(start_server) -> None:
    server = start_server(prepared_by=name_of(_let_rates_be_slow), MESSAGE_RATE="0.000001/3")
    alice = server.connect().register("alice")
    alice.type(*["/away lunch"] * 3)
    alice.expect_lines("You are away now; type /away again when you are back.")
    assert server.stop_before_its_clients() == 0
    assert alice.expect_end().endswith("The server is shutting down. Goodbye.\r\n")


def _let_rates_be_slow() -> None:
    from app import settings
    from app.net import server

    settings.MESSAGE_RATE_MIN = 1e-9
    server.DRAIN_SECONDS_MAX = 3_600


def _be_brief() -> None:
    from app.net import server  # in its process alone

    server.LAST_WORDS_SECONDS_MAX = 0.1
    server.DRAIN_SECONDS_MAX = 3_600  # that is not what ends it


# A second signal ends a server at once that still waits for somebody to read its goodbye.
def test_a_second_signal(start_server) -> None:
    server = start_server(OUTBOX_BYTES_MAX=1 << 30)
    stuck = server.connect(receive_buffer_bytes=4096).register("stuck")
    bob = server.connect().register("bob")
    for _ in range(80):  # more than the kernel takes
        stuck.type(*["/help"] * 100)
    stuck.type("/msg bob done")
    bob.expect_lines("[private] stuck: done")
    server.process.send_signal(signal.SIGTERM)
    assert bob.expect_end() == "The server is shutting down. Goodbye.\r\n"
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(WAIT_SECONDS_MAX) == 1


# Without the dependencies, manage.py says in one line what to do.
def test_without_dependencies() -> None:
    command = [sys.executable, "-I", "-S", ROOT / "manage.py", "--help"]
    run = run_to_end(command)
    assert (run.returncode, run.stdout) == (1, "")
    what_to_do = "run: make install && .venv/bin/python manage.py"
    assert run.stderr == f"Greenroom is not installed here; {what_to_do}\n"


# A start that was killed when it had copied an older database, and comes again within the second,
# finds the copy's name taken, and goes on.
def test_a_copy_of_the_same_second(tmp_path, monkeypatch) -> None:
    path, moment = tmp_path / "greenroom.db", time.gmtime(0)
    change(path, "CREATE TABLE kept (word)")
    monkeypatch.setattr(time, "gmtime", lambda: moment)
    first, second = (opening._back_up(path, "0001") for _ in range(2))
    assert first == second == tmp_path / "greenroom.db.0001.19700101T000000Z"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [path, first]
