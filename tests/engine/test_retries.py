"""A retry under the same txn is stored once: in the store, and in what its senders are told."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, text

from app.database.database import writing_engine
from app.database.tables import User
from app.queries import messages as queries
from app.queries.messages import NewMessage
from app.values.times import TIME_MAX

USERS = 2


@pytest.fixture(scope="module")
def connection(
    tmp_path_factory: pytest.TempPathFactory, new_database: Path
) -> Iterator[Connection]:
    """A transaction on a database with two users and a room."""
    path = copy(new_database, tmp_path_factory.mktemp("store"))
    engine = writing_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for number in range(1, USERS + 1):
            connection.execute(
                insert(User),
                dict.fromkeys(("name", "key", "skeleton"), f"user{number}")
                | {"id": number, "password_hash": "", "created_at": 0},
            )
        connection.execute(
            text("INSERT INTO rooms VALUES (1, 'r', 'r', 'r', '', 1, 0, 0, 0, NULL, 0)")
        )
        yield connection
    engine.dispose()


def _message(user_id: int, txn: str | None, body: str = "hello") -> NewMessage:
    return NewMessage(1, None, user_id, False, body, 0, txn)


_txns = st.none() | st.sampled_from(["a", "b", "A", "a ", "~", "0", "00", '"', "\\"])
_messages = st.lists(st.tuples(st.integers(1, USERS), _txns), min_size=1, max_size=8)


# However says and retries fall into batches: one id a txn of a user, a new one for each without.
@given(st.lists(_messages, min_size=1, max_size=4))
def test_one_id_a_txn(connection: Connection, batches: list[list[tuple[int, str | None]]]) -> None:
    with connection.begin_nested() as undone:
        given: dict[tuple[int, str], int] = {}
        newest_id = queries.newest_id(connection)
        for batch in batches:
            ids, old, _ = queries.store(connection, [_message(*each) for each in batch])
            for place, ((user_id, txn), message_id) in enumerate(zip(batch, ids, strict=True)):
                is_new = not txn or (user_id, txn) not in given
                assert is_new == (place not in old)
                if is_new:
                    assert message_id == newest_id + 1  # new ones rise, without a gap
                    newest_id = message_id
                if txn:
                    assert given.setdefault((user_id, txn), message_id) == message_id
        undone.rollback()


_said = st.builds(
    NewMessage,
    room_id=st.just(1),
    recipient_id=st.none(),
    user_id=st.integers(1, USERS),
    is_action=st.booleans(),
    body=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    said_at=st.integers(0, TIME_MAX),
    txn=st.none(),
    sender_device=st.none() | st.just("a" * 8),
)
_in_private = _said.map(lambda each: each._replace(room_id=None, recipient_id=1))


# A batch that goes to the driver as one statement is the same rows as by the other way.
@given(st.lists(_said | _in_private, min_size=1, max_size=8))
def test_one_statement_is_the_same_rows(connection: Connection, batch: list[NewMessage]) -> None:
    columns = ", ".join(("id", *NewMessage._fields))
    driver = connection.connection.driver_connection
    statement = queries.one_statement(batch)
    assert statement is not None
    rows = []
    for execute in (
        lambda: queries.store(connection, batch).ids,
        lambda: queries.ids_up_to(
            driver.execute(statement[0], statement[1:]).lastrowid, len(batch)
        ),
    ):
        with connection.begin_nested() as undone:
            newest_id = queries.newest_id(connection)
            ids = execute()
            query = f"SELECT {columns} FROM messages WHERE id > {newest_id} ORDER BY id"
            rows.append([tuple(row) for row in connection.exec_driver_sql(query)])
            assert [row[0] for row in rows[-1]] == list(ids)
            undone.rollback()
    assert rows[0] == rows[1]


# What may have been stored before goes the other way.
def test_what_is_not_one_statement() -> None:
    assert queries.one_statement([_message(1, None), _message(1, "a")]) is None


# What was stored under a txn is looked up by the index, however many messages there are.
def test_txns_are_looked_up(connection: Connection) -> None:
    statement = str(queries._FIND_KEYS["sqlite"].compile(connection.engine))
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ('[[1, "a"]]',) * 2)
    steps = [row[-1] for row in plan]
    assert any("SEARCH" in step and "(user_id=? AND txn=?)" in step for step in steps), steps
    assert not any(f"SCAN {table}" in step for step in steps for table in ("messages", "spent"))
