"""The right to migrate or serve a database: one process at a time.

The right ends with its process.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.database import postgresql
from app.database.database import (
    Url,
    first_line,
    given_path,
    is_sqlite,
    reading_engine,
    sqlite_path,
)
from app.database.disk import make_private_folder, open_private, sync
from app.database.held import HeldFile, forget_cut_restore
from app.errors import DatabaseInUse, StartRefused

_READY = "ready"  # in the lock file, once the database beside it was made


class DatabaseLock:
    """The sole right to migrate and serve a database.

    `was_ready` says whether there was a database before. Then an empty or missing file is damage,
    not a beginning. `held` is SQLite's file, once there is one.
    """

    def __init__(self, url: Url, *, is_to_go: bool = False) -> None:
        """Take the right; `is_to_go` if another file replaces the database.

        Blocks. Raises DatabaseInUse when another process has it, and StartRefused.
        """
        self.held: HeldFile | None = None
        self._is_to_go = is_to_go
        self._path: Path | None = None
        self._file: TextIO | None = None
        self._connection: Connection | None = None
        self.was_ready = True
        if is_sqlite(url):
            self._path, self._given = sqlite_path(url), given_path(url)
            self._lock_path(self._path)
        else:
            self._lock_postgresql(url)

    def _lock_path(self, path: Path) -> None:
        """Lock the file beside the database, and the database, if it exists."""
        self._lock_file(path)
        try:
            forget_cut_restore(path)
            self._hold(path)
        except OSError as error:
            self.release()
            raise StartRefused(f"can't open {path}: {error.strerror}") from error
        except BaseException:
            self.release()
            raise

    def _hold(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            self.held = HeldFile(path, self._given, is_to_go=self._is_to_go)

    def _lock_file(self, path: Path) -> None:
        lock_path = path.with_name(path.name + ".lock")
        try:
            make_private_folder(path.parent)
            self._file = open(lock_path, "a+", opener=open_private)  # noqa: SIM115 (held for long)
        except OSError as error:
            raise StartRefused(f"can't open {lock_path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise DatabaseInUse(
                f"{path} is open in another Greenroom; stop that one first"
            ) from None
        self._file.seek(0)
        self.was_ready = self._file.read().startswith(_READY)

    def _lock_postgresql(self, url: Url) -> None:
        try:
            self._connection = reading_engine(url).connect()
            is_ours = postgresql.take_to_serve(self._connection)
        except SQLAlchemyError as error:
            raise StartRefused(f"can't use the database: {first_line(error)}") from error
        if not is_ours:
            self.release()
            raise DatabaseInUse("the database is open in another Greenroom; stop that one first")

    def mark_ready(self) -> None:
        """Record on disk that the database exists, and hold it."""
        if self._path and not self.held:
            self._hold(self._path)
        if self._path and self._file and not self.was_ready:
            self._file.write(_READY + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
            sync(self._path.parent)
            self.was_ready = True

    def release(self) -> None:
        """Give the right back, after the database was closed."""
        if self.held:
            self.held.close()
        if self._file:
            self._file.close()
        if self._connection:
            self._connection.close()
            self._connection.engine.dispose()
