"""Engines, and the threads that use them: one that writes, a few that read.

SQLite blocks, and gevent's hub must not, so every statement runs in a native thread of our own. All
writes of the server go through one thread and one connection. Two connections that reset a
write-ahead log at once can corrupt it in SQLite before 3.51.3, which is why readers never
checkpoint.

A commit waits for the disk, so writes share one. A batch of messages is one transaction. All other
writes stand in a queue, in the order in which they were asked for. The next transaction takes as
many of them as fit into a few milliseconds, and ends early when a batch of messages comes. So
messages wait for one such transaction at most, however many writes are asked for. Each write has a
savepoint: it fails alone. It is answered when the transaction is committed. On PostgreSQL no write
shares a transaction: its locks would not follow the order of queries/locks.py.
"""

import os
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import gevent
import structlog
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.bounds import (
    CHECKPOINT_WAIT_MILLISECONDS,
    DATABASE_BUSY_SECONDS_MAX,
    LOG_BYTES_KEPT,
    READER_THREADS,
    WRITES_SECONDS_MAX,
    WRITES_TOGETHER_MAX,
)
from app.database import postgresql
from app.database.disk import log_path, size_bytes
from app.database.held import Fate, HeldFile
from app.errors import NotStored, StartRefused
from app.measures import metrics
from app.values.addresses import expand_home

log = structlog.get_logger()

Result = TypeVar("Result")
Url = str | Path  # a URL of SQLAlchemy's, or the path of SQLite's file: any, also with ? or %
Work = Callable[[Connection], Result]
Connect = Callable[[], AbstractContextManager[Any]]  # it begins a transaction, or none
# What a thread returns. An error is a value there: gevent prints what a pool's thread raises.
Outcome = tuple[Result | None, Exception | None]

_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}
_SYNCHRONOUS_COMMIT = {"full": "on", "normal": "off"}  # of PostgreSQL


def is_sqlite(url: Url) -> bool:
    """Whether the URL is of SQLite, not of PostgreSQL. Raises StartRefused."""
    if isinstance(url, Path):
        return True
    try:
        backend = make_url(url).get_backend_name()
    except SQLAlchemyError as error:
        raise StartRefused(f"GREENROOM_DATABASE_URL is no SQLAlchemy URL: {error}") from error
    if backend not in ("sqlite", "postgresql"):
        raise StartRefused(f"GREENROOM_DATABASE_URL: {backend} is neither sqlite nor postgresql")
    return backend == "sqlite"


def given_path(url: Url) -> Path:
    """Return the path of SQLite's file as it was given: perhaps a link.

    Raises StartRefused when the URL names no file, or has options.
    """
    if isinstance(url, Path):
        return url.absolute()
    parsed = make_url(url)
    if parsed.query:
        raise StartRefused("GREENROOM_DATABASE_URL: SQLite takes no options; leave out the ?...")
    if not parsed.database or parsed.database.startswith((":memory:", "file:")):
        raise StartRefused("GREENROOM_DATABASE_URL: the database must be a file")
    try:
        return Path(expand_home(parsed.database)).absolute()
    except ValueError as error:
        raise StartRefused(f"GREENROOM_DATABASE_URL: {error}") from error


def sqlite_path(url: Url) -> Path:
    """Return the path of SQLite's file, with all links resolved.

    SQLite's log lies beside that file. Raises StartRefused as `given_path` does, and when a link
    leads nowhere.
    """
    given = given_path(url)
    path = Path(os.path.realpath(given))
    if given.is_symlink() and not path.exists():
        raise StartRefused(
            f"{given} is a link to {path}, and there is nothing: is its disk mounted? To begin "
            f"there anew: touch {path}"
        )
    return path


def writing_engine(url: Url, durability: str = "full") -> Engine:
    """Make the engine of the one writer: its transactions begin with the write lock."""
    if not is_sqlite(url):
        commit = _SYNCHRONOUS_COMMIT[durability]
        return postgresql.make_engine(
            str(url),
            writes_alone=True,
            synchronous_commit=commit,
            default_transaction_isolation="read committed",  # sees what a lock was waited for
        )
    return _sqlite_engine(
        url,
        "BEGIN IMMEDIATE",
        "journal_mode = WAL",
        f"synchronous = {_SYNCHRONOUS[durability]}",
        "foreign_keys = ON",
        "secure_delete = ON",  # deleted data is overwritten
        "temp_store = MEMORY",  # else each batch makes, writes and removes a file to undo it with
        f"journal_size_limit = {LOG_BYTES_KEPT}",
    )


def reading_engine(url: Url) -> Engine:
    """Make an engine whose connections can't write and never checkpoint."""
    if not is_sqlite(url):
        return postgresql.make_engine(
            str(url),
            default_transaction_read_only="on",
            default_transaction_isolation="repeatable read",
        )
    return _sqlite_engine(url, "BEGIN", "wal_autocheckpoint = 0", "query_only = ON")


def migrating_engine(url: Url) -> Engine:
    """Make the engine of migrations: without foreign keys, since they replace whole tables."""
    if not is_sqlite(url):
        return postgresql.make_engine(str(url))
    return _sqlite_engine(
        url,
        "BEGIN IMMEDIATE",
        "auto_vacuum = INCREMENTAL",  # of a database without a table; in others it changes nothing
        "journal_mode = WAL",
        "secure_delete = ON",
        "foreign_keys = OFF",
        mode="rwc",
    )


def _sqlite_engine(url: Url, begin: str, *pragmas: str, mode: str = "rw") -> Engine:
    """Make an engine; in the mode "rw" it creates no file."""
    connect = partial(
        sqlite3.connect,
        f"{sqlite_path(url).as_uri()}?mode={mode}",
        uri=True,
        timeout=DATABASE_BUSY_SECONDS_MAX,
        isolation_level=None,  # the driver begins nothing by itself: see _begin
        check_same_thread=False,
    )
    engine = create_engine(
        "sqlite:///a file",  # `connect` knows the path
        creator=connect,
        pool_size=READER_THREADS,
    )

    @event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    @event.listens_for(engine, "commit")
    def _commit(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:  # SQLite undid it, and the error was hidden from us
            error = sqlite3.OperationalError("the transaction was undone")
            raise DBAPIError(None, None, error)

    return engine


class FilesOnDisk(NamedTuple):
    """The files' sizes, the free space, and the file's fate. Sizes are None on PostgreSQL."""

    database_bytes: int | None = None
    wal_bytes: int | None = None
    free_bytes: int | None = None
    fate: Fate = Fate()


class _Asked(NamedTuple):
    """A write that was asked for, and its future outcome."""

    work: Work[Any]
    outcome: "AsyncResult[Outcome[Any]]"


class Database:
    """Run work in transactions, for the server's greenlets."""

    def __init__(self, url: Url, durability: str, held: HeldFile | None = None) -> None:
        """Open it; `held` is SQLite's file, whose fate is watched. Blocks. Raises StartRefused."""
        self._held = held
        self.fate = ""  # of its file, as `look_at_files` found it
        self._path = sqlite_path(url) if is_sqlite(url) else None
        self._writing = writing_engine(url, durability)
        self._driver: sqlite3.Connection | None = None  # of the writer: SQLite's own connection
        event.listen(self._writing, "connect", self._note_driver)
        self._reading = reading_engine(url)
        self._writer = ThreadPool(1)
        self._readers = ThreadPool(READER_THREADS)
        self._looker = ThreadPool(1)  # a disk that hangs keeps no reading thread
        if self._path is not None:
            self._writing.connect().close()  # a restored file has no log yet: see HeldFile.fate
            self._open_readers()
        self._writing_since: float | None = None  # set by the writer's thread
        self._asked: deque[_Asked] = deque()
        self._writes: gevent.Greenlet[[], None] | None = None  # runs what was asked for
        self._is_first_waiting = False  # cleared by the writer's thread

    def write(self, work: Work[Result]) -> Result:
        """Run `work` in a transaction, in the order of requests.

        Other writes may share the transaction. Switches. Raises NotStored when the database could
        not take it; then nothing has changed.
        """
        self._check_fate()
        outcome: AsyncResult[Outcome[Result]] = AsyncResult()
        self._asked.append(_Asked(work, outcome))
        if self._writes is None:
            self._writes = gevent.spawn(self._write_what_was_asked)
        return _result(outcome.get())  # type: ignore[arg-type]  # it waits until there is one

    def write_first(self, work: Work[Result]) -> Result:
        """Run `work` in a transaction of its own, first: for messages.

        One greenlet alone calls it. Switches. Raises NotStored, as `write` does.
        """
        return self._go_first(self._writing.begin, work)

    def write_statement(self, statement: str, parameter: str) -> int:
        """Run one INSERT of SQLite's, and return its last id.

        It is a transaction by itself, and goes first, as `write_first` does. It goes by the driver,
        since SQLAlchemy's own work takes as long as the statement. Switches. Raises NotStored.
        """
        last_id: int = self._go_first(
            self._by_driver, lambda driver: driver.execute(statement, (parameter,)).lastrowid
        )
        return last_id

    def _go_first(self, connect: Connect, work: Callable[[Any], Result]) -> Result:
        self._check_fate()
        self._is_first_waiting = True
        outcome: Outcome[Result] = self._writer.apply(self._attempt_first, (connect, work))
        return _result(outcome)

    def _check_fate(self) -> None:
        if self.fate:
            raise NotStored(f"not stored: the database's file is {self.fate}; tell the operator")

    def read(self, work: Work[Result]) -> Result:
        """Run `work` in a transaction that sees committed data. Switches. Raises NotStored."""
        outcome: Outcome[Result] = self._readers.apply(_attempt, (self._reading.begin, work))
        return _result(outcome)

    def try_writing(self) -> None:
        """Make a write that changes nothing. Switches. Raises NotStored when that is impossible."""
        statement = "UPDATE alembic_version SET version_num = version_num"
        self.write_first(lambda connection: connection.exec_driver_sql(statement))

    def write_a_piece(self, work: Work[Result]) -> Result:
        """Run one piece of work of many, then rest as long.

        So other writes have the writer for at least half of the time. Switches. Raises NotStored.
        """
        began = time.monotonic()
        result = self.write(work)
        gevent.sleep(time.monotonic() - began)
        return result

    def empty_log(self) -> bool:
        """Move SQLite's write-ahead log into its file, and empty it.

        Return whether that was possible: not while a transaction reads an older state. Switches.
        Raises NotStored.
        """
        outcome: Outcome[bool] = self._writer.apply(
            self._attempt_to_write, (self._writing.connect, _empty_log)
        )
        return _result(outcome)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file of SQLite's."""
        return self._path is not None

    def writing_seconds(self, now: float) -> float:
        """Return the seconds that the current write has taken; 0 without one."""
        since = self._writing_since
        return 0.0 if since is None else max(0.0, now - since)

    def look_at_files(self) -> FilesOnDisk:
        """Return the sizes and fate; a bad fate refuses writes. Switches. Raises OSError."""
        files = self._look_at_files()
        if files.fate.is_cut:
            with suppress(NotStored):
                self.try_writing()
            files = self._look_at_files()
        self.fate = files.fate.what
        return files

    def _look_at_files(self) -> FilesOnDisk:
        arguments = (self._path, self._held)
        outcome: Outcome[FilesOnDisk] = self._looker.apply(_look_at_files, arguments)
        return _result(outcome)

    def _open_readers(self) -> None:
        """Open the file for all readers now: later, its path may lead to another one."""
        connections = [self._reading.connect() for _ in range(READER_THREADS)]
        for connection in connections:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
            connection.close()

    def _write_what_was_asked(self) -> None:
        """Run the writes asked for, until none is left. Switches."""
        while self._asked:
            most = WRITES_TOGETHER_MAX if self.is_sqlite else 1
            works = [asked.work for asked in islice(self._asked, most)]
            try:
                outcomes = self._writer.apply(self._attempt_some, (works,))
            except Exception as error:  # noqa: BLE001 (a bug must not keep all others waiting)
                outcomes = [(None, error)] * len(works)
            for outcome in outcomes:
                self._asked.popleft().outcome.set(outcome)
        self._writes = None

    def _attempt_first(self, connect: Connect, work: Callable[[Any], Result]) -> Outcome[Result]:
        self._is_first_waiting = False
        return self._attempt_to_write(connect, work)

    @contextmanager
    def _by_driver(self) -> Iterator[sqlite3.Connection]:
        """Give the driver's connection: for a statement that is a transaction by itself."""
        driver = self._driver
        assert driver is not None  # noqa: S101 (it connected when the database was opened)
        try:
            if driver.in_transaction:  # else the statement becomes a part of that transaction
                driver.rollback()  # as after a BEGIN that is refused
                raise sqlite3.OperationalError("a transaction was not ended")
            yield driver
        except sqlite3.Error as error:  # raised as SQLAlchemy raises those of other statements
            raise DBAPIError(None, None, error) from error

    def _note_driver(self, driver: sqlite3.Connection, _record: object) -> None:
        self._driver = driver

    def _attempt_some(self, works: Sequence[Work[Any]]) -> Sequence[Outcome[Any]]:
        """Run the first of some works in one transaction.

        Return the outcomes of those that ran. When the transaction could not be committed, its
        error is the outcome of all works.
        """
        if len(works) == 1:
            return [self._attempt_to_write(self._writing.begin, works[0])]
        outcomes, error = self._attempt_to_write(
            self._writing.begin, lambda connection: list(self._outcomes(connection, works))
        )
        return outcomes or [(None, error)] * len(works)

    def _outcomes(
        self, connection: Connection, works: Sequence[Work[Any]]
    ) -> Iterator[Outcome[Any]]:
        ends_at = time.monotonic() + WRITES_SECONDS_MAX
        for work in works:
            yield _attempt_alone(connection, work)
            if self._is_first_waiting or time.monotonic() > ends_at:
                return

    def _attempt_to_write(self, connect: Connect, work: Callable[[Any], Result]) -> Outcome[Result]:
        """Run work in the writer's thread, and time it: without the wait for that thread."""
        self._writing_since = began_at = time.monotonic()
        result, error = _attempt(connect, work)
        self._writing_since = None
        metrics.COMMIT.observe(time.monotonic() - began_at)
        if isinstance(error, SQLAlchemyError):
            metrics.COMMITS_FAILED.inc()
        return result, error

    def close(self) -> None:
        """Wait for pending writes, and close. Switches."""
        if self._writes is not None:
            self._writes.join()
        for pool, engine in ((self._readers, self._reading), (self._writer, self._writing)):
            pool.apply(engine.dispose)
            pool.kill()
        if not self._looker.task_queue.unfinished_tasks:  # no wait for one that hangs
            self._looker.kill()


def _result(outcome: Outcome[Result]) -> Result:
    """Return a thread's result, or raise its error: the database's as NotStored."""
    result, error = outcome
    if isinstance(error, SQLAlchemyError):
        raise NotStored(
            f"not stored: the database can't be used now ({_reason(error)}); try again later"
        ) from error
    if error:
        raise error
    return result  # type: ignore[return-value]  # None is what such work returns


def _attempt(connect: Connect, work: Callable[[Any], Result]) -> Outcome[Result]:
    try:
        with connect() as connection:
            return work(connection), None
    except Exception as error:  # noqa: BLE001 (raised again in the greenlet that asked)
        return None, error


def _attempt_alone(connection: Connection, work: Work[Result]) -> Outcome[Result]:
    """Run one work of a transaction, in a savepoint.

    Its error is returned, and the other works are kept. Raises SQLAlchemyError when the database
    has undone the whole transaction, as on a full disk.
    """
    savepoint = connection.begin_nested()
    try:
        result = work(connection)
        savepoint.commit()
    except Exception as error:  # noqa: BLE001 (raised again in the greenlet that asked)
        try:
            savepoint.rollback()
        except SQLAlchemyError as undone:  # the whole transaction, and that savepoint with it
            raise error if isinstance(error, SQLAlchemyError) else undone from error
        return None, error
    return result, None


def run_alone(connection: Connection, work: Work[Result]) -> Result:
    """Run one work of a transaction, in a savepoint.

    If it raises, the other works are kept. Raises NotStored when the database could not take it,
    and SQLAlchemyError as `_attempt_alone` does.
    """
    return _result(_attempt_alone(connection, work))


def _empty_log(connection: Connection) -> bool:
    """Empty the log, by the driver: no transaction may be open. See Database.empty_log."""
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101 (the connection is open)
    driver.execute(f"PRAGMA busy_timeout = {CHECKPOINT_WAIT_MILLISECONDS}")
    try:
        (is_busy, _, _) = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:  # as of a full disk, raised as SQLAlchemy raises others
        raise DBAPIError(None, None, error) from error
    finally:
        driver.execute(f"PRAGMA busy_timeout = {DATABASE_BUSY_SECONDS_MAX * 1_000}")
    return not is_busy


def _look_at_files(path: Path | None, held: HeldFile | None) -> Outcome[FilesOnDisk]:
    if path is None:
        return FilesOnDisk(), None
    try:
        fate = held.fate() if held else Fate()
        if fate.what:
            return FilesOnDisk(fate=fate), None
        wal_bytes = size_bytes(log_path(path))
        free_bytes = shutil.disk_usage(path.parent).free
        return FilesOnDisk(path.stat().st_size, wal_bytes, free_bytes, fate), None
    except OSError as error:
        return None, error


def _reason(error: SQLAlchemyError) -> str:
    """Return the database's reason, for clients: its address and our name go to the log."""
    reason = first_line(error)
    if not postgresql.is_out_of_reach(error):
        return reason
    log.warning("no connection to the database", reason=reason)
    return "it is out of reach"


def first_line(error: SQLAlchemyError) -> str:
    """Return the first line of the database's error: no statement, no parameters."""
    return str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
