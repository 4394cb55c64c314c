"""Databases of some revision in which something was said, and what a test looks for in one."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import alembic.config
from alembic import command
from alembic.config import Config

from app.database.database import migrating_engine
from app.database.opening import open_database
from app.errors import StartRefused
from tests.kit import ROOT

DATABASE = Path("var", "greenroom.db")  # in the folder of a server
OLD_REVISION = "0002"
SAID_BEFORE = "from before"

Messages = list[tuple[int, str]]


@cache
def new_database(revision: str) -> bytes:
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
    path.write_bytes(new_database(revision))
    with closing(sqlite3.connect(path)) as connection, connection:
        furnish_old_room(connection, [body])


def furnish_old_room(connection: sqlite3.Connection, bodies: Iterable[str]) -> None:
    """Let a veteran have said things in the room "old"."""
    insert(connection, "users", "id name key password_hash", [(1, "veteran", "veteran", "none")])
    insert(connection, "rooms", "id name key owner_id", [(1, "old", "old", 1)])
    insert(connection, "messages", "room_id user_id body", ((1, 1, body) for body in bodies))


def insert(
    connection: sqlite3.Connection, table: str, columns: str, rows: Iterable[tuple[object, ...]]
) -> None:
    """Insert rows, with 0 wherever a revision wants something more than these columns."""
    names = columns.split()
    needed = [
        name
        for _, name, _, is_not_null, default, is_key in connection.execute(
            f"PRAGMA table_info({table})"
        )
        if is_not_null and default is None and not is_key and name not in names
    ]
    values = ", ".join(["?"] * len(names) + ["0"] * len(needed))
    statement = f"INSERT INTO {table} ({', '.join(names + needed)}) VALUES ({values})"
    connection.executemany(statement, rows)


def copy_killed(path: Path, copy_path: Path, body: str) -> None:
    """Copy a database as a server leaves it that was killed when something was said.

    That is in the log beside it, and nowhere else.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        with connection:
            insert(connection, "messages", "room_id user_id body", [(1, 1, body)])
        for suffix in ("", "-wal"):
            shutil.copy(f"{path}{suffix}", f"{copy_path}{suffix}")


def check_whole(connection: sqlite3.Connection) -> None:
    """Raise AssertionError when SQLite finds something wrong with a database."""
    for pragma, right in (("integrity_check(5)", [("ok",)]), ("foreign_key_check", [])):
        found = connection.execute(f"PRAGMA {pragma}").fetchall()
        assert found == right, f"{pragma}: {found[:5]}"


def change(path: Path, *statements: str) -> None:
    """Change a database as another program would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(";".join(statements))


def rows(path: Path, query: str) -> list[tuple]:
    """Return what a database has."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def run_alembic(url: str, *arguments: str) -> None:
    """Run `alembic` upon a database."""
    alembic.config.main(["-c", str(ROOT / "alembic.ini"), "-x", f"url={url}", *arguments])


def messages(path: Path) -> Messages:
    """Return what was said, and that database is whole. Raises AssertionError."""
    with closing(sqlite3.connect(path)) as connection:
        check_whole(connection)
        return connection.execute("SELECT id, body FROM messages ORDER BY id").fetchall()


def messages_of(connection: sqlite3.Connection, room: str) -> Messages:
    """Return what was said in a room, in the order of the ids."""
    statement = (
        "SELECT messages.id, body FROM messages JOIN rooms ON rooms.id = room_id"
        " WHERE rooms.name = ? ORDER BY messages.id"
    )
    return connection.execute(statement, [room]).fetchall()


def file_bytes(connection: sqlite3.Connection, file_id: int) -> bytes:
    """Return what is in a file."""
    pieces = "SELECT data FROM file_chunks WHERE file_id = ? ORDER BY place"
    return b"".join(data for (data,) in connection.execute(pieces, [file_id]))


def revision_of(connection: sqlite3.Connection) -> str:
    """Return which version of the schema a database has."""
    [(revision,)] = connection.execute("SELECT version_num FROM alembic_version")
    return revision


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
