"""Databases of some revision in which something was said, and what a test looks for in one."""

import shutil
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config

from app.database.database import migrating_engine
from app.database.opening import open_database
from app.errors import StartRefused
from tests.kit.server_process import ROOT

DATABASE = Path("var", "greenroom.db")  # in the folder of a server
OLD_REVISION = "0002"
SAID_BEFORE = "from before"

Messages = list[tuple[int, str]]


@cache
def _new_database(revision: str) -> bytes:
    """Return a database of a revision, without a row: to make one takes long."""
    config = Config(ROOT / "alembic.ini")
    config.set_main_option("script_location", str(ROOT / "migrations"))
    with TemporaryDirectory(prefix="greenroom-new-") as folder:
        path = Path(folder, "new.db")
        engine = migrating_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        engine.dispose()
        return path.read_bytes()


def make_database(path: Path, revision: str = "head", body: str = SAID_BEFORE) -> None:
    """Make a database in which a veteran has said something in the room "old"."""
    path.write_bytes(_new_database(revision))
    with closing(sqlite3.connect(path)) as connection, connection:
        for table, values in {
            "users": {"id": 1, "name": "veteran", "key": "veteran", "password_hash": "none"},
            "rooms": {"id": 1, "name": "old", "key": "old", "owner_id": 1},
            "messages": {"room_id": 1, "user_id": 1, "is_action": 0, "body": body},
        }.items():
            _insert(connection, table, values)


def _insert(connection: sqlite3.Connection, table: str, values: dict[str, object]) -> None:
    """Insert a row, with 0 wherever a revision wants something more."""
    columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
    needed = {
        name: 0
        for _, name, _, is_not_null, default, is_key in columns
        if is_not_null and default is None and not is_key
    }
    row = needed | values
    places = ", ".join("?" * len(row))
    statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})"
    connection.execute(statement, list(row.values()))


def copy_killed(path: Path, copy_path: Path, body: str) -> None:
    """Copy a database as a server leaves it that was killed when something was said.

    That is in the log beside it, and nowhere else.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            said = {"room_id": 1, "user_id": 1, "is_action": 0, "body": body}
            _insert(connection, "messages", said)
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{copy_path}{suffix}")


def messages(path: Path) -> Messages:
    """Return what was said, and that database is whole. Raises AssertionError."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute("SELECT id, body FROM messages ORDER BY id").fetchall()


def open_as_a_server(path: Path) -> bool:
    """Open a database as a server does, and return whether it was migrated.

    Raises AssertionError where a server would refuse.
    """
    notes: list[str] = []
    try:
        open_database(f"sqlite:///{path}", notes.append).release()
    except StartRefused as refusal:
        raise AssertionError(f"not opened: {refusal}") from refusal
    return bool(notes)
