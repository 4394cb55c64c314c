"""The database's file under a running server: what was answered is kept, or the server says no."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from app.database.database import Database
from app.database.lock import DatabaseLock
from tests.kit.client import wait_until
from tests.kit.databases import change
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import request


def _is_told(server: ServerProcess, fate: str) -> bool:
    return fate in request(server, "GET", "/healthz").body.decode()


def _forget_page_size(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\0\0")


# What becomes of a database's file, where there is another one.
GONE = {
    "removed": lambda path, _: path.unlink(),
    "no log": lambda path, _: Path(f"{path}-wal").unlink(),
    "no index": lambda path, _: Path(f"{path}-shm").unlink(),
    "another": lambda path, other: other.rename(path),
    "link": lambda path, other: (path.unlink(), path.symlink_to(other)),
    "hard link": lambda path, other: (path.unlink(), os.link(other, path)),
}
OVERWRITTEN = {
    "empty": lambda path, _: os.truncate(path, 0),
    "half": lambda path, _: os.truncate(path, path.stat().st_size // 8192 * 4096),
    "another": lambda path, other: shutil.copyfile(other, path),
    "no page size": lambda path, _: _forget_page_size(path),
    "empty log": lambda path, _: os.truncate(f"{path}-wal", 0),
}
Harm = Callable[[Path, Path], object]


@pytest.fixture
def talking(start_server, tmp_path, run_here) -> tuple[ServerProcess, Path]:
    """A server on which something was said, and a backup of before."""
    server = start_server()
    other = tmp_path / "before.db"
    assert run_here(server.folder, "backup", str(other)).exit_code == 0
    alice = server.connect().register("alice").join("lobby")
    alice.exchange("said", "alice: said")
    return server, other


# When its file is gone the server stores nothing any more and says so; and what it has stored can
# be copied from it, and restored.
@pytest.mark.parametrize("harm", GONE.values(), ids=GONE)
def test_a_file_that_is_gone(talking, tmp_path, run_here, harm: Harm) -> None:
    server, other = talking
    harm(server.folder / "var" / "greenroom.db", other)
    wait_until(lambda: _is_told(server, "file is gone"), "it is noticed")
    alice = server.connect().log_in("alice").join("lobby")
    alice.expect("said\r\n")
    alice.exchange("lost", "Error: not stored: the database's file is gone; tell the operator")
    status = server.operate("status")
    assert (status["is_storing"], status["concerns"][0]["name"]) == (False, "database_lost")
    assert server.refuse("backup", path="/dev/null") == "not_stored"
    saved = str(tmp_path / "saved.db")
    copied = run_here(server.folder, "backup", saved)
    assert copied.exit_code == 0, copied.output
    server.stop()
    assert run_here(server.folder, "restore", saved).exit_code == 0
    server.start()
    server.connect().log_in("alice").join("lobby").expect("alice: said\r\n")


# When it was cut off or overwritten, the server says so as well.
@pytest.mark.parametrize("harm", OVERWRITTEN.values(), ids=OVERWRITTEN)
def test_a_file_that_is_overwritten(talking, harm: Harm) -> None:
    server, other = talking
    server.operate("vacuum")  # so that the file has all of it
    alice = server.connect().log_in("alice").join("lobby")
    for number in range(3):
        alice.type(f"more {number}")
        alice.expect(f"more {number}\r\n")
    wait_until(lambda: server.operate("status")["now"]["wal_bytes"], "the log was seen")
    harm(server.folder / "var" / "greenroom.db", other)
    wait_until(lambda: _is_told(server, "file is overwritten"), "it is noticed")
    alice.type("lost")
    alice.expect("Error: not stored: the database's file is overwritten; tell the operator")
    server.kill()


# A file that comes back is the same file, and what nobody may open any more is still written to.
def test_a_file_that_comes_back(talking: tuple[ServerProcess, Path]) -> None:
    server, other = talking
    path = server.folder / "var" / "greenroom.db"
    aside = other.with_name("aside.db")
    path.rename(aside)
    wait_until(lambda: _is_told(server, "file is gone"), "it is noticed")
    aside.rename(path)
    wait_until(lambda: _is_told(server, "ok\n"), "it is well")
    path.chmod(0)
    alice = server.connect().log_in("alice").join("lobby")
    alice.type("kept")
    alice.expect("alice: kept\r\n")
    path.chmod(0o600)
    server.kill()
    server.start()
    server.connect().log_in("alice").join("lobby").expect("alice: kept\r\n")


@contextmanager
def _opened(path: Path) -> Iterator[Database]:
    """Open a database as a server does."""
    url = f"sqlite:///{path}"
    lock = DatabaseLock(url)
    with ExitStack() as ending:
        ending.callback(lock.release)
        yield ending.enter_context(closing(Database(url, "normal", lock.held)))


# A file that was restored is not taken for one that somebody overwrote, before the first write.
def test_a_restored_file_is_sound(data: Path) -> None:
    change(data / "greenroom.db", "PRAGMA journal_mode = DELETE")  # as `restore` leaves it
    with _opened(data / "greenroom.db") as database:
        assert database.look_at_files().fate.what == ""


# A full disk may cut off what brings the log into the file, behind the page that says how many
# there are. The log has the others, so nothing is lost, and the file is no overwritten one; but
# where some are in neither, it is.
@pytest.mark.parametrize(("cut_bytes", "fate"), [(0, ""), (100_000, "overwritten")])
def test_a_log_that_is_not_all_in_the_file(data: Path, cut_bytes: int, fate: str) -> None:
    path = data / "greenroom.db"
    size = path.stat().st_size
    with _opened(path) as database, closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE more AS SELECT zeroblob(50000)")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        with path.open("r+b") as file:
            file.seek(28)
            file.write(pages.to_bytes(4, "big"))
        os.truncate(path, size - cut_bytes)
        assert database.look_at_files().fate.what == fate
