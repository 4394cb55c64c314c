"""Giving freed space back to the disk, on SQLite alone. PostgreSQL does it by itself.

Deleted data is overwritten in the database's file, since its writer has `secure_delete`. Older
copies of it are in the write-ahead log until that is emptied, and in pages freed before. So both
go: in small pieces while a server runs; without one, the whole file is written again.
"""

import sqlite3
from contextlib import closing

from sqlalchemy import Connection

from app.bounds import VACUUM_PAGES_AT_ONCE
from app.database.database import Url, sqlite_path
from app.errors import StartRefused


def give_back_some(connection: Connection) -> int:
    """Give some free pages back to the disk; return their number."""
    before = _free_pages(connection)
    for _ in range(VACUUM_PAGES_AT_ONCE):  # Python makes one step of it, which frees one page
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
    return before - _free_pages(connection)


def _free_pages(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def rewrite(url: Url) -> tuple[int, int]:
    """Write the database again without deleted data; return its bytes before and after.

    From then on `give_back_some` works on it, also if an older Greenroom made it. No other program
    may have it open. Blocks. Raises StartRefused when it fails, as for want of room on the disk.
    """
    path = sqlite_path(url)
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            before = path.stat().st_size
            for step in ("auto_vacuum = INCREMENTAL", "secure_delete = ON"):
                connection.execute(f"PRAGMA {step}")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return before, path.stat().st_size
    except sqlite3.Error as error:
        raise StartRefused(f"{path} can't be written anew: {error}; nothing was changed") from error
