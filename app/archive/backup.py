"""Copies of an SQLite database, and the return to one. PostgreSQL has its own tools for that.

A copy is the database of one moment, also beside a server at work. It is searched for damage before
it has its name. A return to it leaves no trace of two histories:
  1. The database of before is kept beside it. The restored one is in its place whole, or not at
     all: a process that is killed, or without power, leaves one or the other there.
  2. No id is given twice: those of messages, files and tokens go on far behind the copy's.
  3. A client that asks for messages after a lost one is told that they are not complete.
  4. All tokens end, unless they are to be kept: those revoked since the copy would work again.
  5. The audit says so.
  6. No key of a device is handed out twice, and no mail of one has an earlier number. The keys are
     gone, and clients bring them again. A client that asks for changed devices is told to ask for
     those of all users.
  7. No revision of a room's roster is used twice: clients may remember those since the copy.
  8. Its values are such as a server writes: times that can be shown, text that moves no cursor,
     names, and no row that refers to a missing one.
  9. Its tables and indexes are, to the word, those that the migrations make. There is nothing else:
     a trigger, a generated column or ON CONFLICT IGNORE could lose later writes.
"""

import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.archive import contents as values
from app.bounds import (
    BACKUP_PAGES_AT_ONCE,
    DATABASE_BUSY_SECONDS_MAX,
    DEVICE_CHANGE_IDS_SKIPPED,
    DEVICE_MAIL_IDS_SKIPPED,
    FILE_IDS_SKIPPED,
    MESSAGE_IDS_SKIPPED,
    ROSTER_REVS_SKIPPED,
    TOKEN_IDS_SKIPPED,
)
from app.database.database import Url, first_line, is_sqlite, sqlite_path
from app.database.disk import log_path, open_private, size_bytes, sync
from app.database.held import refuse_other_name
from app.database.lock import DatabaseLock
from app.database.opening import revision_of
from app.database.tables import SCHEMA_REVISION
from app.errors import NotStored, StartRefused
from app.queries.audit import OPERATOR
from app.values.names import harmless

Progress = Callable[[int, int], None]  # (pages copied, pages in all)
Schema = set[tuple[str, str, object, object]]  # see _schema

# Texts and names in quotes, words, and other characters. In ASCII: to SQLite no other character is
# a blank, and `NOT NULL` with a no-break space would be the name of a type.
_WORD = re.compile(r"""\s*+('[^']*+'?|"[^"]*+"?|\w+|[^\w\s])""", re.ASCII)
_EDGES = {"(": 0, ",": 1, ")": 0}  # how deep in brackets these part columns and constraints

_IDS_SKIPPED = {
    "messages": MESSAGE_IDS_SKIPPED,
    "files": FILE_IDS_SKIPPED,
    "tokens": TOKEN_IDS_SKIPPED,
    "to_device": DEVICE_MAIL_IDS_SKIPPED,
    "device_changes": DEVICE_CHANGE_IDS_SKIPPED,
}


class Restored(NamedTuple):
    """The numbers of a restore, and the old database's new path."""

    messages: int
    last_id: int
    tokens_ended: int
    files_dropped: int
    migrated_from: str | None
    kept: Path | None


def back_up(url: Url, copy_path: Path, progress: Progress) -> None:
    """Copy the database to an empty file. Blocks. Raises StartRefused."""
    if not is_sqlite(url):
        raise StartRefused("this database is PostgreSQL's; back it up with: pg_dump -Fc DATABASE")
    path = sqlite_path(url)
    try:
        if not path.exists() or not path.stat().st_size:  # an empty file would make an empty copy
            raise StartRefused(f"there is no database at {path}")
        refuse_other_name(path)
        _copy(path, copy_path, progress)
    except OSError as error:
        raise StartRefused(f"{path} can't be read ({error.strerror})") from error
    except sqlite3.Error as error:
        raise StartRefused(f"can't copy {path}: {error}") from error


def copy_out(connection: Connection, copy_path: Path) -> None:
    """Copy a connection's open database to an empty file. Its own file may have moved.

    Blocks. Raises NotStored.
    """
    source = connection.connection.driver_connection
    try:
        if not isinstance(source, sqlite3.Connection):
            raise NotStored("this database is PostgreSQL's; back it up with: pg_dump -Fc DATABASE")
        if not copy_path.is_file() or copy_path.stat().st_size:
            raise NotStored(f"{copy_path} is no empty file")
        _fill(source, copy_path, lambda _done, _all: None)
    except (OSError, sqlite3.Error) as error:
        raise NotStored(f"the server can't copy to {copy_path}: {error}") from error


def restore(
    url: Url, backup_path: Path, progress: Progress, now: int, *, keeps_tokens: bool
) -> Restored:
    """Return to a backup: see the top of this file. Blocks.

    Raises StartRefused when it is none, is of a newer Greenroom, or can't be restored, and
    DatabaseInUse when a server has the database. Then the database is as it was.
    """
    if not is_sqlite(url):
        raise StartRefused("this database is PostgreSQL's; restore it with: pg_restore")
    path, lock = sqlite_path(url), DatabaseLock(url, is_to_go=True)
    new_path = path.with_name(f"{path.name}.restoring")
    try:
        revision = _check(backup_path)
        _make_empty(new_path)
        _migrate(new_path, revision)
        made = _schema(new_path)
        _make_empty(new_path)
        _copy(backup_path, new_path, progress)
        _check_schema(new_path, backup_path, made)  # first: a trigger would act in a migration
        if revision != SCHEMA_REVISION:
            _migrate(new_path, SCHEMA_REVISION)
        values.check(new_path, backup_path)
        restored = _adapt(new_path, backup_path, now, keeps_tokens=keeps_tokens)
        kept = _put_in_place(new_path, path)
        lock.mark_ready()
    except (sqlite3.Error, OSError) as error:
        raise StartRefused(f"can't restore {backup_path}: {error}") from error
    except SQLAlchemyError as error:  # a migration met data that it does not expect
        raise StartRefused(f"can't restore {backup_path}: {first_line(error)}") from error
    finally:
        _remove(new_path)
        lock.release()
    migrated_from = revision if revision != SCHEMA_REVISION else None
    return restored._replace(migrated_from=migrated_from, kept=kept)


def _copy(path: Path, copy_path: Path, progress: Progress) -> None:
    """Copy a database of this moment, and check the copy. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
        source.execute("BEGIN")  # else a write in between would make the copy begin again
        _fill(source, copy_path, progress)


def _fill(source: sqlite3.Connection, copy_path: Path, progress: Progress) -> None:
    """Copy an open transaction's database, and check the copy. Raises sqlite3.Error."""
    with closing(sqlite3.connect(copy_path)) as copy:
        source.execute("SELECT count(*) FROM sqlite_master").fetchone()
        source.backup(
            copy,
            pages=BACKUP_PAGES_AT_ONCE,
            progress=lambda _status, remaining, total: progress(total - remaining, total),
        )
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it
        (verdict,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"it is damaged ({str(verdict).splitlines()[-1]})")


def _check(path: Path) -> str:
    """Return the revision of a backup. Raises StartRefused when it can't be restored."""
    from app.database.migration import is_known_revision

    if not path.is_file():
        raise StartRefused(f"there is no file {path}")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
            revision = revision_of(source, path)
    except sqlite3.Error as error:
        raise StartRefused(f"{path} is no backup: {error}") from error
    if revision is None:
        raise StartRefused(f"{path} is empty")
    if not is_known_revision(revision):
        raise StartRefused(
            f"{path} is of a newer Greenroom (revision {revision}); restore it with that version"
        )
    return revision


def _make_empty(path: Path) -> None:
    _remove(path)
    open(path, "xb", opener=open_private).close()


def _schema(path: Path) -> Schema:
    """Return all parts of a database: type, name, table and statement of each."""
    query = (
        "SELECT type, name, tbl_name, sql FROM sqlite_master"
        " WHERE NOT (type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4'))"  # of ANALYZE
    )
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(query).fetchall()
        (encoding,) = connection.execute("PRAGMA encoding").fetchone()
    schema: Schema = {("encoding", encoding, None, None)}
    for kind, name, table, statement in rows:
        parts = _parts(statement, table) if statement else None  # an index of UNIQUE has none
        schema.add((str(kind), str(name), table, parts))
    return schema


def _parts(statement: str, table: str) -> tuple[str, ...]:
    """Split a CREATE into parts; sort those whose order has no meaning: columns, constraints.

    Their order differs where a column was added later, or a table was built again. Case and blanks
    outside of quotes have no meaning either, nor have quotes around the table's own name.
    """
    parts, depth = [""], 0
    for word in _words(statement):
        depth -= word == ")"
        if depth == _EDGES.get(word):
            parts.append("")
        elif word[0] in "'\"":
            parts[-1] += (table if word == f'"{table}"' else word) + " "
        else:
            parts[-1] += word.lower() + " "
        depth += word == "("
    is_table = parts[0].startswith("create table")
    return (parts[0], *(sorted(parts[1:]) if is_table else parts[1:]))


def _words(statement: str) -> Iterator[str]:
    match = _WORD.match(statement)
    while match:
        yield match[1]
        match = _WORD.match(statement, match.end())


def _check_schema(path: Path, backup_path: Path, made: Schema) -> None:
    """Check that a copy has the migrations' schema. Raises StartRefused."""
    there = _schema(path)
    if there == made:
        return
    kind, name, *_ = max(there - made or made - there, key=itemgetter(0, 1))
    if there - made:
        kind = f"an {kind}" if kind in ("index", "encoding") else f"a {kind}"
        raise StartRefused(
            f"{backup_path} has {kind} {harmless(name)} that no Greenroom makes; "
            "take another backup"
        )
    raise StartRefused(
        f"{backup_path} lacks the {kind} {name}, which each Greenroom makes; take another backup"
    )


def _migrate(path: Path, revision: str) -> None:
    from app.database.migration import migrate

    migrate(path, revision)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def _adapt(path: Path, backup_path: Path, now: int, *, keeps_tokens: bool) -> Restored:
    """Begin a new history in a copy, in one transaction."""
    with closing(sqlite3.connect(path)) as connection, connection:
        last_id = _skip_ids(connection)
        connection.execute(
            "INSERT INTO restorations (after_id, up_to_id, done_at) VALUES (?, ?, ?)",
            (last_id, last_id + MESSAGE_IDS_SKIPPED, now),
        )
        connection.execute(
            "UPDATE rooms SET roster_rev = roster_rev + ? WHERE e2ee_from IS NOT NULL",
            (ROSTER_REVS_SKIPPED,),
        )
        connection.execute(
            "DELETE FROM file_chunks WHERE file_id IN (SELECT id FROM files WHERE sha256 IS NULL)"
        )
        files = connection.execute("DELETE FROM files WHERE sha256 IS NULL").rowcount
        connection.execute(
            "UPDATE users SET"
            " file_count = (SELECT count(*) FROM files WHERE user_id = users.id),"
            " file_bytes = (SELECT coalesce(sum(size), 0) FROM files WHERE user_id = users.id)"
        )
        tokens = 0 if keeps_tokens else connection.execute("DELETE FROM tokens").rowcount
        for table in ("one_time_keys", "fallback_keys", "device_changes"):
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 (names of ours)
        (messages,) = connection.execute("SELECT count(*) FROM messages").fetchone()
        connection.execute(
            "INSERT INTO audit (done_at, actor, action, target, room, reason)"
            " VALUES (?, ?, 'restore', '', '', ?)",
            (now, OPERATOR, f"{harmless(backup_path.name)}: up to message {last_id}"),
        )
    return Restored(messages, last_id, tokens, files, None, None)


def _skip_ids(connection: sqlite3.Connection) -> int:
    """Move the next ids far behind those that were given; return the last id of a message.

    The ids of rows count as given, whatever the table of last ids says.
    """
    given = dict(connection.execute("SELECT name, max(seq) FROM sqlite_sequence GROUP BY name"))
    for table in _IDS_SKIPPED:
        query = f"SELECT coalesce(max(id), 0) FROM {table}"  # noqa: S608 (names of ours)
        given[table] = max(given.get(table, 0), *connection.execute(query).fetchone())
    for table, skipped in _IDS_SKIPPED.items():
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        row = (table, given.get(table, 0) + skipped)
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", row)
    return int(given.get("messages", 0))


def _put_in_place(new_path: Path, path: Path) -> Path | None:
    """Put a database in the place of another; return the other's new path, if there was one.

    At each moment one of them is in its place, and whole, also if this process is cut off.
    """
    sync(new_path)
    kept = _keep(path) if path.exists() else None
    _remove_beside(path)
    sync(path.parent)  # first: files beside the old database would spoil the new one
    new_path.replace(path)
    sync(path.parent)
    return kept


def _keep(path: Path) -> Path:
    """Give a database a second name, and return that. Raises StartRefused."""
    _empty_log(path)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    kept = path.with_name(f"{path.name}.before-restore.{stamp}")
    if kept.exists():  # it was kept a moment ago
        raise StartRefused(f"{kept} is there already; try again in a second")
    os.link(path, kept)
    if log_path(path).exists():
        os.link(log_path(path), log_path(kept))
    return kept


def _empty_log(path: Path) -> None:
    """Bring a database's log into it: then one file has all of it.

    The log of a damaged database is left as it is. Raises StartRefused.
    """
    if not size_bytes(path):  # SQLite would throw the log away
        return
    try:
        with closing(sqlite3.connect(path, timeout=DATABASE_BUSY_SECONDS_MAX)) as connection:
            is_busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.OperationalError as error:
        raise StartRefused(f"can't use {path} ({error}); move it away, and try again") from error
    except sqlite3.DatabaseError:
        return
    if is_busy:
        raise StartRefused(f"{path} is being read; try again when that is over")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _remove_beside(path)


def _remove_beside(path: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
