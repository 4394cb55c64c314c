"""Opening the database at start: undamaged, of our own version, and by one server at a time.

Every fault is found before any change, and told in one line. On SQLite a missing database is made,
and an older one is copied beside itself and then migrated. On PostgreSQL the operator runs
`alembic upgrade head`.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError

from app.bounds import DATABASE_CHECK_SECONDS_MAX
from app.database.database import Url, first_line, is_sqlite, reading_engine, sqlite_path
from app.database.disk import log_path, open_private, size_bytes, sync
from app.database.held import refuse_other_name
from app.database.lock import DatabaseLock
from app.database.tables import SCHEMA_REVISION
from app.errors import StartRefused

Note = Callable[[str], None]


def open_database(url: Url, note: Note) -> DatabaseLock:
    """Make the database ready for one server; return its lock.

    `note` gets a sentence about each thing that was done. Blocks. Raises StartRefused when the
    database can't be used; then it is as it was.
    """
    lock = DatabaseLock(url)
    try:
        if is_sqlite(url):
            _open_sqlite(url, lock, note)
        else:
            _check_postgresql(url)
    except BaseException:
        lock.release()
        raise
    return lock


def check_readable(url: Url) -> None:
    """Check that there is a database of this version. Change nothing. Blocks.

    Raises StartRefused, with one line that says what to do.
    """
    if not is_sqlite(url):
        _check_postgresql(url)
        return
    path = sqlite_path(url)
    try:
        is_there = size_bytes(path) > 0
    except OSError as error:
        raise StartRefused(f"{path} can't be read ({error.strerror})") from error
    if not is_there:
        raise StartRefused(f"there is no database at {path}; manage.py runserver makes one")
    refuse_other_name(path)
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
        try:
            revision = revision_of(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StartRefused(f"{path} can't be read ({error})") from error
    if revision != SCHEMA_REVISION:
        raise StartRefused(
            f"{path} is at revision {revision}, and this Greenroom needs {SCHEMA_REVISION}; a "
            "server of this version migrates it when it starts: manage.py runserver"
        )


def _open_sqlite(url: Url, lock: DatabaseLock, note: Note) -> None:
    path = sqlite_path(url)
    log_bytes, database_bytes = size_bytes(log_path(path)), size_bytes(path)
    if not database_bytes and (log_bytes or lock.was_ready):
        raise StartRefused(
            f"{path} is empty or gone, though it held data; restore it from a backup, or remove "
            f"every {path.name}* to begin anew"
        )
    revision = _examine(path, note) if database_bytes else None
    if revision != SCHEMA_REVISION:
        _migrate(url, path, revision, note)
    lock.mark_ready()


def _examine(path: Path, note: Note) -> str | None:
    """Look for damage, and return the schema's revision.

    Return None when there is no table. Raises StartRefused.
    """
    # Without a log to read, "immutable" leaves not even a -shm file behind.
    mode = "mode=ro" if log_path(path).exists() else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(f"{path.as_uri()}?{mode}", uri=True)
        try:
            _check_pages(connection, path, note)
            return revision_of(connection, path)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StartRefused(f"{path} is damaged ({error}); restore it from a backup") from error


def _check_pages(connection: sqlite3.Connection, path: Path, note: Note) -> None:
    deadline = time.monotonic() + DATABASE_CHECK_SECONDS_MAX
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
    try:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if str(error) != "interrupted":
            raise
        note(f"looked at a part of {path} only, for it is large")
        return
    finally:
        connection.set_progress_handler(None, 0)
    if verdict != "ok":
        finding = str(verdict).splitlines()[-1]
        raise StartRefused(f"{path} is damaged ({finding}); restore it from a backup")


def revision_of(connection: sqlite3.Connection, path: Path) -> str | None:
    """Return the schema's revision; None when there is no table. Raises StartRefused."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise StartRefused(f"{path} is a database, but not one of Greenroom")
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _migrate(url: Url, path: Path, revision: str | None, note: Note) -> None:
    from app.database.migration import is_known_revision, migrate

    if revision is not None:
        if not is_known_revision(revision):
            raise StartRefused(
                f"{path} is of a newer Greenroom (revision {revision}); run that version, or "
                "restore a backup of this one"
            )
        note(f"copied the database to {_back_up(path, revision)}")
    migrate(url)
    note(f"migrated {path} to revision {SCHEMA_REVISION}")


def _back_up(path: Path, revision: str) -> Path:
    """Copy a database beside itself, and return the copy's path.

    The copy gets that name once it is whole and on the disk.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    copy_path = path.with_name(f"{path.name}.{revision}.{stamp}")
    part = path.with_name(f"{path.name}.{revision}.part")
    part.unlink(missing_ok=True)  # of a start that was killed
    open(part, "xb", opener=open_private).close()
    source, copy = sqlite3.connect(path), sqlite3.connect(part)
    try:
        source.backup(copy)
    finally:
        source.close()
        copy.close()
    sync(part)
    part.replace(copy_path)  # an older one of this second is equal: nothing was migrated since
    sync(path.parent)
    return copy_path


def _check_postgresql(url: Url) -> None:
    engine = reading_engine(url)
    try:
        with engine.begin() as connection:
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
            revision = None
            if inspect(connection).has_table("alembic_version"):
                query = text("SELECT version_num FROM alembic_version")
                revision = connection.execute(query).scalar()
    except SQLAlchemyError as error:
        raise StartRefused(f"can't use the database: {first_line(error)}") from error
    finally:
        engine.dispose()
    if encoding != "UTF8":
        raise StartRefused(
            f"the database can't hold every text, for its encoding is {encoding}; make one with: "
            "createdb --encoding UTF8 --template template0"
        )
    if revision != SCHEMA_REVISION:
        _refuse_revision(revision)


def _refuse_revision(revision: str | None) -> NoReturn:
    from app.database.migration import is_known_revision

    if revision is not None and not is_known_revision(revision):
        raise StartRefused(
            f"the database is of a newer Greenroom (revision {revision}); run that version"
        )
    found = f"at revision {revision}" if revision else "empty"
    raise StartRefused(
        f"the database is {found}, and this Greenroom needs revision {SCHEMA_REVISION}; "
        "run: alembic upgrade head"
    )
