"""The ledger behind the journal: it stores a batch, and says what is new in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from app.bounds import WRITES_SECONDS_MAX
from app.queries import messages as queries
from app.queries.messages import Stored

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.database.database import Database
    from app.queries.messages import NewMessage

Write = Callable[["Connection"], object]


class Ledger(Protocol):
    """Stores batches in one order. Both methods switch, and raise NotStored."""

    def append(
        self, messages: Sequence[NewMessage], seen: Mapping[int, int], writes: Sequence[Write]
    ) -> Stored:
        """Store messages, ids that users have seen, and decisions, in one transaction.

        One decision at least, and as many as there is time for.
        """

    def try_storing(self) -> None:
        """Try whether a batch could be stored."""


class LocalLedger:
    """The database of one server: its commits are in order, and all of them are its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self, messages: Sequence[NewMessage], seen: Mapping[int, int], writes: Sequence[Write]
    ) -> Stored:
        """See Ledger."""
        is_alone = self._database.is_sqlite and not seen and not writes
        if is_alone and (statement := queries.one_statement(messages)):
            last_id = self._database.write_statement(*statement)
            return Stored(queries.ids_up_to(last_id, len(messages)))

        def work(connection: Connection) -> Stored:
            stored = queries.store(connection, messages, seen)
            return stored._replace(written=_write_some(connection, writes)) if writes else stored

        return self._database.write_first(work)

    def try_storing(self) -> None:
        """See Ledger."""
        self._database.try_writing()


def _write_some(connection: Connection, writes: Sequence[Write]) -> int:
    """Write decisions while there is time; return how many."""
    ends_at = time.monotonic() + WRITES_SECONDS_MAX
    for number, write in enumerate(writes, 1):
        write(connection)
        if time.monotonic() > ends_at:
            return number
    return len(writes)
