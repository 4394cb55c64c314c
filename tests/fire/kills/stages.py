"""The stages at which a server can be made to kill itself, as `kill -9` would in that very moment.

The product has no hook for it. A process that is prepared by `install` (tests/kit/prepared.py) has
some of the product's own functions wrapped, and listens to SQLAlchemy's events. Which stage is
armed, and at which passing of it the process ends, is written in a file beside its data: `arm`.
"""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

PREPARED_BY = "tests.fire.kills.stages:install"

# What writes for encryption, by its name in the code; each is a stage before it is committed, and
# one when it is, and neither in effect nor acknowledged.
WRITES = {
    "DeviceKeys.claim": "key claimed",
    "DeviceMail.send": "mail kept",
    "DeviceMail.let_go": "mail let go",
    "Devices.put_manifest": "devices listed",
    "Rosters.admit": "member added",
    "Rosters.resigning": "member removed",
}

STEPS_A_LOOK = 100  # of SQLite's machine, in a statement that is stopped amid it

# Each stage, and what the test does to pass it: see tests/fire/kills/failpoints.py.
STAGES = {
    "receive": "talk",  # bytes were read from a socket
    "append": "talk",  # a message is in the journal
    "begin": "talk",  # a transaction of messages has begun
    "insert": "talk",  # they are inserted
    "before commit": "talk",
    "after commit": "talk",  # in the writer's thread
    "plain batch": "plain",  # of messages without a txn: one statement, a transaction by itself
    "plain insert": "plain",  # amid that statement
    "plain commit": "plain",  # behind it, in the writer's thread
    "release": "talk",  # in the journal: nothing of the batch was sent
    "mid fan-out": "talk",  # one reader of a room was sent the batch, the others not
    "before answers": "talk",  # all readers were, and nobody has an answer
    "letter shown": "talk",  # a private message, to who is there; that it was is not noted
    "mail shown": "mail",  # likewise, at the login of who was away
    "mail noted": "mail",  # that it was is committed
    "file begun": "share",  # a file has its number
    "upload chunk": "share",  # a chunk is inserted
    "chunk kept": "share",  # and committed
    "file whole": "share",  # what says that a file is there is committed, and nobody knows
    "ban recorded": "ban",  # inserted, with its record
    "ban written": "ban",  # committed, and not in force
    **{f"{at}{act}": "encrypt" for act in WRITES.values() for at in ("before ", "")},
    "room made encrypted": "encrypt",  # in its transaction
    "room encrypted": "encrypt",  # committed, and nobody knows
    "encrypted message": "encrypt",  # likewise
    "copied before migration": "migrate",
    "migration step": "migrate",  # between its statements
    "before migration's commit": "migrate",
    "migrated": "migrate",  # committed, and the server does not know
}


def _plan_path(folder: Path) -> Path:
    return folder / "failpoint"


def arm(folder: Path, stage: str, passing: int) -> None:
    """Let the server in a folder end at so manieth a passing of a stage from now on."""
    assert stage in STAGES
    part = folder / "failpoint.part"
    part.write_text(f"{passing} {stage}")
    part.replace(_plan_path(folder))  # it is read whole, or not at all


def disarm(folder: Path) -> None:
    """Let the servers in a folder live."""
    _plan_path(folder).unlink(missing_ok=True)


class _Failpoints:
    """Ends the process at the stage that is armed."""

    def __init__(self, plan_path: Path) -> None:
        self._plan_path = plan_path
        self._passings: Counter[str] = Counter()
        self.inserting: object = None  # the connection with messages that are not committed
        self.noting: object = None  # that with what was seen, likewise
        self.is_migrating = False
        self.writing: set[str] = set()  # what, in the writer's transaction, of WRITES

    def reach(self, stage: str) -> None:
        """Pass a stage, if it can be."""
        try:
            passing, _, armed = self._plan_path.read_text().partition(" ")
        except FileNotFoundError:
            return
        if stage == armed:
            self._passings[stage] += 1
            if self._passings[stage] >= int(passing):
                os.kill(os.getpid(), signal.SIGKILL)


def install() -> None:
    """Wrap what is passed at each stage."""
    points = _Failpoints(_plan_path(Path(os.environ["GREENROOM_DATA_DIR"]).parent))
    _install_for_messages(points)
    _install_for_transactions(points)
    _install_for_plain_batches(points)
    _install_for_letters(points)
    _install_for_files_and_acts(points)
    _install_for_encryption(points)
    _install_for_migrations(points)


def _before(points: _Failpoints, owner: Any, name: str, stage: str) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        points.reach(stage)
        return original(*arguments, **options)

    setattr(owner, name, wrapper)


def _after(points: _Failpoints, owner: Any, name: str, stage: str) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        points.reach(stage)
        return result

    setattr(owner, name, wrapper)


def _install_for_messages(points: _Failpoints) -> None:
    from app.engine import delivery
    from app.engine.journal import Journal
    from app.net.connection import Connection
    from app.wires import wires

    for wire in wires.WIRES:
        _before(points, wire, "feed", "receive")
    _after(points, Journal, "append", "append")
    _before(points, delivery.Delivery, "send", "release")
    _stop_among_readers(points, delivery._Page)
    show = Connection.show

    def show_last(self: Connection, *shown: Any) -> None:
        if type(shown[0]).__name__ == "Stored":
            points.reach("before answers")
        show(self, *shown)

    Connection.show = show_last  # type: ignore[method-assign]


def _stop_among_readers(points: _Failpoints, page: Any) -> None:
    sends: Callable[..., Iterator[object]] = page.sends

    def some_sends(self: Any) -> Iterator[object]:
        for place, each in enumerate(sends(self)):
            if place:
                points.reach("mid fan-out")
            yield each

    page.sends = some_sends


def _install_for_transactions(points: _Failpoints) -> None:
    from sqlalchemy import Engine, event
    from sqlalchemy.engine.default import DefaultDialect

    from app.queries import messages

    store, commit = messages.store, DefaultDialect.do_commit

    def store_batch(connection: Any, batch: Any) -> Any:
        points.reach("begin")
        points.inserting = connection.connection.dbapi_connection
        return store(connection, batch)

    def do_commit(self: Any, connection: Any) -> None:
        has_messages = points.inserting is connection.dbapi_connection
        points.inserting = None if has_messages else points.inserting
        if points.is_migrating:
            points.reach("before migration's commit")
        elif has_messages:
            points.reach("before commit")
        for act in points.writing:
            points.reach(f"before {act}")
        commit(self, connection)
        if has_messages:
            points.reach("after commit")

    messages.store = store_batch
    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]

    @event.listens_for(Engine, "after_cursor_execute")
    def _executed(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if points.is_migrating and not statement.startswith(("PRAGMA", "SELECT")):
            points.reach("migration step")
        elif statement.startswith("INSERT INTO messages"):
            points.reach("insert")


def _install_for_plain_batches(points: _Failpoints) -> None:
    from app.database.database import Database

    by_driver = Database._by_driver

    @contextmanager
    def by_driver_in_steps(self: Database) -> Iterator[Any]:
        points.reach("plain batch")
        with by_driver(self) as driver:
            driver.set_progress_handler(lambda: points.reach("plain insert"), STEPS_A_LOOK)
            yield driver
            driver.set_progress_handler(None, 0)
        points.reach("plain commit")

    Database._by_driver = by_driver_in_steps  # type: ignore[method-assign]


def _install_for_letters(points: _Failpoints) -> None:
    from sqlalchemy.engine.default import DefaultDialect

    from app.engine.journal import Journal
    from app.queries import messages

    note_seen, commit = messages.note_seen, DefaultDialect.do_commit

    def note_and_remember(connection: Any, seen: Any) -> None:
        points.noting = connection.connection.dbapi_connection if seen else None
        note_seen(connection, seen)

    def do_commit(self: Any, connection: Any) -> None:
        is_noted = points.noting is connection.dbapi_connection
        commit(self, connection)
        if is_noted:
            points.noting = None
            points.reach("mail noted")

    messages.note_seen = note_and_remember
    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]
    for stage in ("letter shown", "mail shown"):
        _before(points, Journal, "note_seen", stage)


def _install_for_files_and_acts(points: _Failpoints) -> None:
    from app.chat.files.transfers import Incoming
    from app.engine.decisions import Acts
    from app.queries import audit, files

    _before(points, Incoming, "reserve", "file begun")
    _after(points, files, "add_chunk", "upload chunk")
    _after(points, Incoming, "add", "chunk kept")
    _after(points, Incoming, "complete", "file whole")
    _after(points, audit, "record", "ban recorded")
    _after(points, Acts, "write", "ban written")


def _install_for_encryption(points: _Failpoints) -> None:
    from app.chat.rooms import encryption as encrypted_rooms
    from app.database import database
    from app.database.database import Database
    from app.engine.journal import SaidEntry

    write, attempt, note_id = Database.write, Database._attempt_to_write, SaidEntry.note_id
    attempt_alone = database._attempt_alone

    def write_for(work: Any) -> str:
        return WRITES.get(getattr(work, "__qualname__", "").partition(".<locals>")[0], "")

    def attempt_to_write(self: Database, connect: Any, work: Any) -> Any:
        points.writing = {write_for(work)} - {""}
        try:
            return attempt(self, connect, work)
        finally:
            points.writing = set()

    def attempt_alone_and_remember(connection: Any, work: Any) -> Any:
        points.writing |= {write_for(work)} - {""}
        return attempt_alone(connection, work)

    def write_and_reach(self: Database, work: Any) -> Any:
        result = write(self, work)
        points.reach(write_for(work) or "other")
        return result

    def note_id_and_reach(self: Any, message_id: int, *, is_new: bool) -> None:
        note_id(self, message_id, is_new=is_new)
        if type(self.said).__name__ == "SaidEncrypted":
            points.reach("encrypted message")

    Database._attempt_to_write = attempt_to_write  # type: ignore[method-assign]
    Database.write = write_and_reach  # type: ignore[method-assign]
    database._attempt_alone = attempt_alone_and_remember
    SaidEntry.note_id = note_id_and_reach  # type: ignore[method-assign]
    _after(points, encrypted_rooms._Encryption, "write", "room made encrypted")
    _before(points, encrypted_rooms._Encryption, "release", "room encrypted")


def _install_for_migrations(points: _Failpoints) -> None:
    from app.database import migration, opening

    migrate = migration.migrate

    def migrate_step_by_step(url: str) -> None:
        points.is_migrating = True
        migrate(url)
        points.is_migrating = False

    migration.migrate = migrate_step_by_step
    _after(points, opening, "_back_up", "copied before migration")
    _after(points, migration, "migrate", "migrated")
