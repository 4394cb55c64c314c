"""Giving what was removed back to the disk: SQLite alone. PostgreSQL does it by itself.

What is deleted is overwritten in the database's file, for its writer has `secure_delete`; older
copies of it are in the write-ahead log until that is emptied, and in free pages from before. So
both go: while a server runs, in small pieces; without one, the whole file is written anew.
"""

import sqlite3
from contextlib import closing

from sqlalchemy import Connection

from app.bounds import VACUUM_PAGES_AT_ONCE
from app.database.database import Url, sqlite_path
from app.errors import StartRefused


def give_back_some(connection: Connection) -> int:
    """Give some of the free pages back to the disk, and return how many."""
    before = _free_pages(connection)
    for _ in range(VACUUM_PAGES_AT_ONCE):  # Python makes one step of it, which frees one page
        connection.exec_driver_sql("PRAGMA incremental_vacuum(1)")
    return before - _free_pages(connection)


def _free_pages(connection: Connection) -> int:
    return int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())


def rewrite(url: Url) -> tuple[int, int]:
    """Write the database anew, without what was removed; return its bytes before and after.

    From then on `give_back_some` works on it, also if it is of an older Greenroom. Blocks. Nobody
    else may have it open. Raises StartRefused when it fails, as for want of room on the disk.
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
