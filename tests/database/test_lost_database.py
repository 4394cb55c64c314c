"""The database's file under a running server: what was answered is kept, or the server says no."""

import os
import shutil
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from app.database.database import Database
from app.database.lock import DatabaseLock
from tests.kit.client import wait_until
from tests.kit.server_process import ServerProcess


def _health(server: ServerProcess) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/healthz") as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def _remove(path: Path, _other: Path) -> None:
    path.unlink()


def _remove_log(path: Path, _other: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()


def _remove_index(path: Path, _other: Path) -> None:
    path.with_name(f"{path.name}-shm").unlink()


def _move_over(path: Path, other: Path) -> None:
    other.rename(path)


def _link(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


def _link_hard(path: Path, other: Path) -> None:
    path.unlink()
    os.link(other, path)


def _truncate(path: Path, _other: Path) -> None:
    os.truncate(path, 0)


def _cut_in_half(path: Path, _other: Path) -> None:
    os.truncate(path, path.stat().st_size // 8192 * 4096)


def _copy_over(path: Path, other: Path) -> None:
    shutil.copyfile(other, path)


def _forget_page_size(path: Path, _other: Path) -> None:
    with path.open("r+b") as file:
        file.seek(16)
        file.write(b"\0\0")


def _truncate_log(path: Path, _other: Path) -> None:
    os.truncate(f"{path}-wal", 0)


@pytest.fixture
def talking(start_server, tmp_path: Path, run_here) -> tuple[ServerProcess, Path]:
    """A server on which something was said, and a backup of before."""
    server = start_server()
    other = tmp_path / "before.db"
    assert run_here(server.folder, "backup", str(other)).exit_code == 0
    alice = server.connect().register("alice").join("lobby")
    alice.type("said")
    alice.expect_lines("alice: said")
    return server, other


# When its file is gone the server stores nothing any more and says so; and what it has stored can
# be copied from it, and restored.
@pytest.mark.parametrize(
    "harm",
    [
        _remove,
        _remove_log,
        _remove_index,
        _move_over,
        _link,
        _link_hard,
    ],
)
def test_a_file_that_is_gone(
    talking: tuple[ServerProcess, Path],
    tmp_path: Path,
    run_here,
    harm: Callable[[Path, Path], None],
) -> None:
    server, other = talking
    harm(server.folder / "var" / "greenroom.db", other)
    wait_until(lambda: "file is gone" in _health(server), "it is noticed")
    alice = server.connect().log_in("alice").join("lobby")
    alice.expect("said\r\n")
    alice.type("lost")
    alice.expect_line("Error: not stored: the database's file is gone; tell the operator")
    status = server.control().call("status")
    assert (status["is_storing"], status["concerns"][0]["name"]) == (False, "database_lost")
    assert server.control().refused("backup", path="/dev/null") == "not_stored"
    saved = tmp_path / "saved.db"
    copied = run_here(server.folder, "backup", str(saved))
    assert copied.exit_code == 0, copied.output
    server.stop()
    assert run_here(server.folder, "restore", str(saved)).exit_code == 0
    server.start()
    server.connect().log_in("alice").join("lobby").expect("alice: said\r\n")


# When it was cut off or overwritten, the server says so as well.
@pytest.mark.parametrize(
    "harm", [_truncate, _cut_in_half, _copy_over, _forget_page_size, _truncate_log]
)
def test_a_file_that_is_overwritten(
    talking: tuple[ServerProcess, Path], harm: Callable[[Path, Path], None]
) -> None:
    server, other = talking
    control = server.control()
    control.call("vacuum")  # so that the file has all of it
    alice = server.connect().log_in("alice").join("lobby")
    for number in range(3):
        alice.type(f"more {number}")
        alice.expect(f"more {number}\r\n")
    wait_until(lambda: control.call("status")["now"]["wal_bytes"], "the log was seen")
    harm(server.folder / "var" / "greenroom.db", other)
    wait_until(lambda: "file is overwritten" in _health(server), "it is noticed")
    alice.type("lost")
    alice.expect("Error: not stored: the database's file is overwritten; tell the operator")
    server.kill()


# A file that comes back is the same file, and what nobody may open any more is still written to.
def test_a_file_that_comes_back(talking: tuple[ServerProcess, Path]) -> None:
    server, other = talking
    path = server.folder / "var" / "greenroom.db"
    aside = other.with_name("aside.db")
    path.rename(aside)
    wait_until(lambda: "file is gone" in _health(server), "it is noticed")
    aside.rename(path)
    wait_until(lambda: _health(server) == "ok\n", "it is well")
    path.chmod(0)
    alice = server.connect().log_in("alice").join("lobby")
    alice.type("kept")
    alice.expect("alice: kept\r\n")
    path.chmod(0o600)
    server.kill()
    server.start()
    server.connect().log_in("alice").join("lobby").expect("alice: kept\r\n")


# A file that was restored is not taken for one that somebody overwrote, before the first write.
def test_a_restored_file_is_sound(tmp_path: Path, new_database: Path) -> None:
    path = tmp_path / "greenroom.db"
    shutil.copy(new_database, path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # as `restore` leaves it
    url = f"sqlite:///{path}"
    lock = DatabaseLock(url)
    try:
        database = Database(url, "normal", lock.held)
        assert database.look_at_files().fate.what == ""
        database.close()
    finally:
        lock.release()


# A full disk may cut off what brings the log into the file, behind the page that says how many
# there are. The log has the others, so nothing is lost, and the file is no overwritten one; but
# where some are in neither, it is.
@pytest.mark.parametrize(("cut_bytes", "fate"), [(0, ""), (100_000, "overwritten")])
def test_a_log_that_is_not_all_in_the_file(
    tmp_path: Path, new_database: Path, cut_bytes: int, fate: str
) -> None:
    path = tmp_path / "greenroom.db"
    shutil.copy(new_database, path)
    url = f"sqlite:///{path}"
    lock = DatabaseLock(url)
    try:
        database = Database(url, "normal", lock.held)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE more AS SELECT zeroblob(50000)")
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            with path.open("r+b") as file:
                file.seek(28)
                file.write(pages.to_bytes(4, "big"))
            os.truncate(path, new_database.stat().st_size - cut_bytes)
            assert database.look_at_files().fate.what == fate
        database.close()
    finally:
        lock.release()
