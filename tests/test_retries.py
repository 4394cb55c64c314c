"""A retry under the same txn is stored once: in the store, and in what its senders are told."""

from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, text

from app.store import messages as store
from app.store.database import writing_engine
from app.store.messages import NewMessage
from app.store.models import User

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
        newest_id = store.newest_id(connection)
        for batch in batches:
            ids = store.store(connection, [_message(*each) for each in batch])
            for (user_id, txn), message_id in zip(batch, ids, strict=True):
                if not txn or (user_id, txn) not in given:
                    assert message_id == newest_id + 1  # new ones rise, without a gap
                    newest_id = message_id
                if txn:
                    assert given.setdefault((user_id, txn), message_id) == message_id
        undone.rollback()


# What was stored under a txn is looked up by the index, however many messages there are.
def test_txns_are_looked_up(connection: Connection) -> None:
    statement = str(store._FIND_KEYS["sqlite"].compile(connection.engine))
    plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", ('[[1, "a"]]',) * 2)
    steps = [row[-1] for row in plan]
    assert any("SEARCH" in step and "(user_id=? AND txn=?)" in step for step in steps), steps
    assert not any(f"SCAN {table}" in step for step in steps for table in ("messages", "spent"))
