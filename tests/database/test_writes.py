"""Writes that are no messages: they share transactions, fail alone, and let messages go first."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import gevent
import pytest
from sqlalchemy import Connection

from app.bounds import LOG_BYTES_KEPT
from app.database.database import Database
from app.engine.journal import WrittenEntry
from app.errors import NotStored
from app.measures import metrics
from app.protocol import accounts, moderation, rooms, server, talk
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.house import House

MANY = 50
Way = Callable[[Database], object]


@pytest.fixture
def database(data: Path, monkeypatch) -> Iterator[Database]:
    """A database with a table of notes; what is asked for at once fits into one transaction."""
    monkeypatch.setattr("app.database.database.WRITES_SECONDS_MAX", 3600)
    database = Database(f"sqlite:///{data / 'greenroom.db'}", "normal")
    database.write(lambda each: each.exec_driver_sql("CREATE TABLE notes (note UNIQUE)"))
    with gevent.Timeout(WAIT_SECONDS_MAX):
        yield database
    database.close()


def _noting(note: object) -> Callable[[Connection], object]:
    def work(connection: Connection) -> object:
        connection.exec_driver_sql("INSERT INTO notes VALUES (?)", (note,))
        return note

    return work


def _notes(database: Database) -> list[object]:
    query = "SELECT note FROM notes ORDER BY rowid"
    return list(database.read(lambda each: each.exec_driver_sql(query).scalars().all()))


def _transactions() -> float:
    return metrics.snapshot()["greenroom_commit_seconds_count",]


@contextmanager
def held(database: Database) -> Iterator[None]:
    """Let nothing be written meanwhile."""
    is_held, may_go_on = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        is_held.set()
        may_go_on.wait()

    holder = gevent.spawn(database.write, hold)
    while not is_held.is_set():
        gevent.sleep(0.001)
    try:
        yield
    finally:
        may_go_on.set()
    holder.get()


def _ask(database: Database, *works: Callable[[Connection], object]) -> list[gevent.Greenlet]:
    """Ask for writes, all at once."""
    asked = [gevent.spawn(database.write, work) for work in works]
    gevent.sleep(0)
    return asked


# What many ask for at once is committed together, in their order, and each has its own answer.
def test_writes_share_a_transaction(database: Database) -> None:
    before = _transactions()
    with held(database):
        asked = _ask(database, *map(_noting, range(MANY)))
    assert [each.get() for each in asked] == _notes(database) == list(range(MANY))
    assert _transactions() - before == 2  # that which held the others, and theirs


# Such a transaction takes no more than so many, and no more than fit into its time.
@pytest.mark.parametrize(("bound", "most"), [("TOGETHER_MAX", 10), ("SECONDS_MAX", 0)])
def test_a_shared_transaction_is_bounded(database, monkeypatch, bound: str, most: int) -> None:
    monkeypatch.setattr(f"app.database.database.WRITES_{bound}", most)
    before = _transactions()
    with held(database):
        asked = _ask(database, *map(_noting, range(MANY)))
    gevent.joinall(asked)
    assert _notes(database) == list(range(MANY))
    assert _transactions() - before == 1 + MANY / (most or 1)


def _by_work(database: Database) -> object:
    return database.write_first(_noting("a message"))


def _by_statement(database: Database) -> object:
    return database.write_statement("INSERT INTO notes VALUES (?)", "a message")


each_way = pytest.mark.parametrize("way", [_by_work, _by_statement])


# Messages do not wait for all that was asked for before.
@each_way
def test_messages_go_first(database: Database, way: Way) -> None:
    with held(database):
        asked = _ask(database, *map(_noting, range(MANY)))
        message = gevent.spawn(way, database)
        gevent.sleep(0)
    gevent.joinall([*asked, message])
    assert _notes(database) == ["a message", *range(MANY)]


# Nor for the rest of a transaction that has begun.
@each_way
def test_messages_do_not_wait_for_a_shared_transaction(database: Database, way: Way) -> None:
    is_begun, may_go_on = threading.Event(), threading.Event()

    def note_slowly(connection: Connection) -> None:
        _noting("slow")(connection)
        is_begun.set()
        may_go_on.wait()

    with held(database):
        asked = _ask(database, _noting("first"), note_slowly, _noting("last"))
    while not is_begun.is_set():
        gevent.sleep(0.001)
    message = gevent.spawn(way, database)
    gevent.sleep(0)
    may_go_on.set()
    gevent.joinall([*asked, message])
    assert _notes(database) == ["first", "slow", "a message", "last"]


# A statement that fails has changed nothing, and is told of as any other work.
def test_a_statement_fails_as_a_work_does(database: Database) -> None:
    _by_statement(database)
    told = []
    for way in (_by_work, _by_statement):
        with pytest.raises(NotStored) as refused:
            way(database)
        told.append(str(refused.value))
    assert told[0] == told[1]
    assert database.write_statement("INSERT INTO notes VALUES (?)", "another") == 2
    assert _notes(database) == ["a message", "another"]


# It is stored when it returns, or refused: never in a transaction that was left open.
def test_a_statement_is_a_transaction_by_itself(database: Database) -> None:
    database._driver.execute("BEGIN")
    with pytest.raises(NotStored, match="a transaction was not ended"):
        _by_statement(database)
    assert _notes(database) == []
    _by_statement(database)
    assert _notes(database) == ["a message"]


# What could not be committed is undone, and keeps nothing from being stored after it.
@each_way
def test_a_commit_that_fails(database: Database, way: Way) -> None:
    def refer_to_nothing(connection: Connection) -> None:
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # until COMMIT, which fails
        connection.exec_driver_sql("INSERT INTO tokens SELECT NULL, 7, x'00', '', 0, 0")

    with pytest.raises(NotStored, match="FOREIGN KEY"):
        database.write_first(refer_to_nothing)
    way(database)
    assert _notes(database) == ["a message"]


# What fails has changed nothing, and the others of its transaction have not failed.
def test_each_fails_alone(database: Database) -> None:

    def note_and_fail(connection: Connection) -> None:
        _noting("never")(connection)
        raise ZeroDivisionError("a bug")

    before = _transactions()
    with held(database):
        works = [_noting("1"), _noting("1"), note_and_fail, _noting("2")]
        one, twice, bug, two = _ask(database, *works)
    gevent.joinall([one, twice, bug, two])
    assert (one.value, two.value, _notes(database)) == ("1", "2", ["1", "2"])
    assert isinstance(twice.exception, NotStored)
    assert isinstance(bug.exception, ZeroDivisionError)
    assert _transactions() - before == 2


# Where the database undoes the whole transaction, as on a full disk, all are told, and it goes on.
def test_a_full_disk_fails_all(database: Database) -> None:
    pages = database.write(lambda each: each.exec_driver_sql("PRAGMA page_count").scalar_one())
    full, large = f"PRAGMA max_page_count = {pages}", "x" * 100_000
    with held(database):
        database_is_full = _ask(database, lambda each: each.exec_driver_sql(full).close())
        asked = _ask(database, _noting("small"), _noting(large), _noting("late"))
    gevent.joinall([*database_is_full, *asked])
    assert all(isinstance(each.exception, NotStored) for each in asked)
    assert all("(database or disk is full)" in str(each.exception) for each in asked)
    assert _notes(database) == []
    assert database.write(_noting("again")) == "again"


class _TooLarge(WrittenEntry):
    """What fills the disk: SQLite undoes the whole transaction."""

    def write(self, connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}").close()
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", ("x" * 100_000,))


# Nor is a batch shown when SQLite undid it because of what is written with it, like a purge's end.
def test_what_is_written_with_a_batch_undoes_it(house: House) -> None:
    alice = house.register("alice")
    written = _TooLarge(alice)
    house.do(alice, rooms.Join("lobby"), talk.Say("never"))
    house.service.journal.append(written)
    house.service.journal.settle(alice)
    assert not any(b"never" in each for each in alice.client.sent)
    assert alice.client.shown[-1] == server.Refused("not_stored", str(written.refusal))


# Nor is anything kept of the decisions behind it.
def test_what_is_written_behind_what_undid_it(house: House) -> None:
    alice, bob = house.register("alice", "den"), house.register("bob", "lair")
    with held(house.database):
        house.do(bob, talk.Say("the batch before"))
        while house.service.journal.waiting_entries:
            gevent.sleep(0.001)
        house.service.journal.append(_TooLarge(bob))
        setting = gevent.spawn(house.refused, alice, moderation.Topic("soup"))
        while not alice.unreleased:
            gevent.sleep(0.001)
    assert setting.get() == "not_stored"
    assert alice.rooms["den"].topic == ""
    assert house.read("SELECT topic FROM rooms WHERE key = 'den'") == [""]


# The log gives back to the disk what it took while somebody had the database open for long.
def test_a_log_that_has_grown(database: Database, data: Path) -> None:
    log, much = data / "greenroom.db-wal", "INSERT INTO notes VALUES (randomblob(4000000))"
    with closing(sqlite3.connect(data / "greenroom.db")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM notes").fetchall()
        while log.stat().st_size <= LOG_BYTES_KEPT:
            database.write(lambda each: each.exec_driver_sql(much).close())
    for note in ("brings the log into the database", "begins it anew"):
        database.write(_noting(note))
    assert log.stat().st_size <= LOG_BYTES_KEPT


# Nothing that was asked for is lost when the server ends.
def test_closing_waits_for_what_was_asked(database: Database) -> None:
    with held(database):
        asked = _ask(database, *map(_noting, range(MANY)))
    database.close()
    assert [each.value for each in asked] == list(range(MANY))


# Whatever users can ask for again and again costs no transaction each.
@pytest.mark.parametrize(
    "kind",
    [
        lambda number: talk.Ignore("victim"),
        lambda number: talk.Unignore("villain"),
        lambda number: accounts.Tokens(revoke=7),
        lambda number: rooms.Join(f"kitchen{number}"),
    ],
    ids=["ignore", "unignore", "tokens", "a new room"],
)
def test_repeated_commands_share_transactions(house: House, monkeypatch, kind: Callable) -> None:
    monkeypatch.setattr("app.database.database.WRITES_SECONDS_MAX", 3600)
    for name in ("victim", "villain"):
        house.register(name)
    people = [house.register(f"user{number}") for number in range(5)]
    for number, session in enumerate(people):
        house.do(session, rooms.Join(f"room{number}"), talk.Ignore("villain"))
    before = _transactions()
    with held(house.database):
        asked = [gevent.spawn(house.do, each, kind(number)) for number, each in enumerate(people)]
        while len(house.database._asked) <= len(people):  # the one that holds them, too
            gevent.sleep(0.001)
    gevent.joinall(asked)
    assert _transactions() - before == 2


# So it is with decisions: those that wait for a commit are the next one.
def test_decisions_share_transactions(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.engine.ledger.WRITES_SECONDS_MAX", 3600)
    people = [house.register(f"user{number}", f"room{number}") for number in range(5)]
    before = _transactions()
    with held(house.database):
        asked = [gevent.spawn(house.do, each, moderation.Topic("soup")) for each in people]
        while not all(each.unreleased for each in people):
            gevent.sleep(0.001)
    gevent.joinall(asked, raise_error=True)
    assert _transactions() - before <= 3  # what held them, the first, and the others
    assert [each.rooms[f"room{number}"].topic for number, each in enumerate(people)] == ["soup"] * 5


# There is an end to it: others, which wait for this commit, wait for no more than some of them.
def test_decisions_for_which_there_is_no_time(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.engine.ledger.WRITES_SECONDS_MAX", 0)
    people = [house.register(f"user{number}", f"room{number}") for number in range(5)]
    before = _transactions()
    gevent.joinall([gevent.spawn(house.do, each, moderation.Topic("soup")) for each in people])
    assert _transactions() - before == 5
    assert [each.rooms[f"room{number}"].topic for number, each in enumerate(people)] == ["soup"] * 5


# Nor do messages wait until all of them are written, nor a decision until there are no messages.
def test_a_message_overtakes_decisions(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.engine.ledger.WRITES_SECONDS_MAX", 0)
    people = [house.register(f"user{number}", f"room{number}") for number in range(5)]
    talker = house.register("talker", "room0")
    with held(house.database):
        asked = [gevent.spawn(house.do, each, moderation.Topic("soup")) for each in people]
        while not all(each.unreleased for each in people):
            gevent.sleep(0.001)
        house.do(talker, talk.Say("overtakes"))
    gevent.joinall(asked, raise_error=True)
    (after_all,) = house.read("SELECT count(*) FROM facts WHERE kind = 'TopicSet' AND after_id > 0")
    assert after_all >= 3  # but for those of the batch under way


def test_a_decision_overtakes_messages(house: House, monkeypatch) -> None:
    monkeypatch.setattr("app.engine.journal.BATCH_ENTRIES_MAX", 1)
    alice, bob = house.register("alice", "den"), house.register("bob", "den")
    with held(house.database):
        for number in range(5):
            house.do(bob, talk.Say(str(number)))
        muting = gevent.spawn(house.do, alice, moderation.Mute("bob"))
        while not alice.unreleased:
            gevent.sleep(0.001)
    muting.get()
    house.service.journal.settle(bob)
    assert len(house.read("SELECT id FROM messages")) <= 2
    refused = [each.code for each in bob.client.shown if isinstance(each, server.Refused)]
    assert refused == ["muted"] * len(refused)
    assert len(refused) >= 3
