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
from pkgutil import resolve_name
from typing import Any, NamedTuple

PREPARED_BY = "tests.fire.kills.stages:install"

# What writes for encryption, by its name in the code; each is a stage before it is committed, and
# one when it is, and neither in effect nor acknowledged.
WRITES = {
    "DeviceKeys.claim": "key claimed",
    "DeviceMail.send": "mail kept",
    "DeviceMail.let_go": "mail let go",
    "Devices.put_manifest": "devices listed",
    "MemberAdded": "member added",  # decisions, by their first fact
    "MemberRemoved": "member removed",
}

STEPS_A_LOOK = 100  # of SQLite's machine, in a statement that is stopped amid it


class Stage(NamedTuple):
    """A stage: the scene that passes it (see failpoints.py), and the function before or behind it.

    Where none is named, it is inside of one: see `install`.
    """

    scene: str
    before: str = ""
    behind: str = ""


_COMMITTED = {  # around the commits of WRITES
    f"{at}{act}": Stage("encrypt") for act in WRITES.values() for at in ("before ", "")
}
STAGES = {
    "receive": Stage("talk"),  # bytes were read from a socket
    "append": Stage("talk", behind="app.engine.journal:Journal.append"),
    "begin": Stage("talk"),  # a transaction of messages has begun
    "insert": Stage("talk"),  # they are inserted
    "before commit": Stage("talk"),
    "after commit": Stage("talk"),  # in the writer's thread
    "plain batch": Stage("plain"),  # of messages without a txn: one statement, a transaction alone
    "plain insert": Stage("plain"),  # amid that statement
    "plain commit": Stage("plain"),  # behind it, in the writer's thread
    # In the journal: nothing of the batch was sent.
    "release": Stage("talk", before="app.engine.delivery:Delivery.send"),
    "mid fan-out": Stage("talk"),  # one reader of a room was sent the batch, the others not
    "before answers": Stage("talk"),  # all readers were, and nobody has an answer
    # A private message, to who is there, or at the login of who was away; that it was is not noted.
    "letter shown": Stage("talk", before="app.engine.journal:Journal.note_seen"),
    "mail shown": Stage("mail", before="app.engine.journal:Journal.note_seen"),
    "mail noted": Stage("mail"),  # that it was is committed
    # A file has its number; a chunk is inserted, and committed; what says that a file is there is
    # inserted; it is committed, and nobody knows.
    "file begun": Stage("share", before="app.chat.files.transfers:Incoming.reserve"),
    "upload chunk": Stage("share", behind="app.queries.files:add_chunk"),
    "chunk kept": Stage("share", behind="app.chat.files.transfers:Incoming.add"),
    "file completed": Stage("share", behind="app.chat.files.transfers:Incoming.write_complete"),
    "file whole": Stage("share", before="app.engine.entries:Decision.release"),
    # A decision: inserted, with its record, and its fact; committed, and nobody knows.
    "ban recorded": Stage("ban", behind="app.queries.audit:record"),
    "ban logged": Stage("ban", behind="app.queries.facts:append"),
    "ban written": Stage("ban", before="app.engine.entries:Decision.release"),
    **_COMMITTED,
    # In its transaction; committed, and nobody knows.
    "room made encrypted": Stage("encrypt", behind="app.queries.members:encrypt"),
    "room encrypted": Stage("encrypt", before="app.engine.entries:Decision.release"),
    "encrypted message": Stage("encrypt"),  # likewise
    "copied before migration": Stage("migrate", behind="app.database.opening:_back_up"),
    "migration step": Stage("migrate"),  # between its statements
    "before migration's commit": Stage("migrate"),
    # Committed, and the server does not know.
    "migrated": Stage("migrate", behind="app.database.migration:migrate"),
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
    _install_for_encryption(points)
    _install_for_migrations(points)
    for name, stage in STAGES.items():
        module, _, path = (stage.before or stage.behind).partition(":")
        if module:
            owner, _, function = f"{module}.{path}".rpartition(".")
            _wrap(points, resolve_name(owner), function, name, is_before=bool(stage.before))


def _wrap(points: _Failpoints, owner: Any, name: str, stage: str, *, is_before: bool) -> None:
    """Let a stage be passed before a function, or behind it."""
    original = getattr(owner, name)

    @wraps(original)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        if is_before:
            points.reach(stage)
        result = original(*arguments, **options)
        if not is_before:
            points.reach(stage)
        return result

    setattr(owner, name, wrapper)


def _install_for_messages(points: _Failpoints) -> None:
    from app.engine import delivery
    from app.net.connection import Connection
    from app.wires import wires

    for wire in wires.WIRES:
        _wrap(points, wire, "feed", "receive", is_before=True)
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

    insert, commit = messages._insert, DefaultDialect.do_commit

    def insert_batch(connection: Any, batch: Any) -> Any:
        points.reach("begin")
        points.inserting = connection.connection.dbapi_connection
        return insert(connection, batch)

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

    messages._insert = insert_batch
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


def _install_for_encryption(points: _Failpoints) -> None:
    from app.database import database
    from app.database.database import Database
    from app.engine.entries import Decision
    from app.engine.journal import SaidEntry

    release = Decision.release
    write, attempt, note_id = Database.write, Database._attempt_to_write, SaidEntry.note_id
    attempt_alone = database._attempt_alone

    def write_for(work: Any) -> str:
        facts = getattr(getattr(work, "__self__", None), "facts", None)
        if facts:
            return WRITES.get(type(facts[0][1]).__name__, "")
        return WRITES.get(getattr(work, "__qualname__", "").partition(".<locals>")[0], "")

    def release_and_reach(self: Any, delivery: Any) -> None:
        points.reach(write_for(self.write) or "other")
        release(self, delivery)

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
    Decision.release = release_and_reach  # type: ignore[method-assign]
    Database.write = write_and_reach  # type: ignore[method-assign]
    database._attempt_alone = attempt_alone_and_remember
    SaidEntry.note_id = note_id_and_reach  # type: ignore[method-assign]


def _install_for_migrations(points: _Failpoints) -> None:
    from app.database import migration

    migrate = migration.migrate

    def migrate_step_by_step(url: str) -> None:
        points.is_migrating = True
        migrate(url)
        points.is_migrating = False

    migration.migrate = migrate_step_by_step
