"""Keep messages and keys until the server has answered them.

A row is a draft, for which no step of a ratchet was taken, or a request: then it is sealed, and the
same bytes are sent again after a crash. By its `txn` the server knows a repetition.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from app.encryption.flows import Ask, Flow, Json

if TYPE_CHECKING:
    from app.encryption.store import KeyStore

_DIGITS = 19  # ids are ordered as texts, so all have as many digits


def new_txn() -> str:
    """Return an id that no other request has."""
    return uuid.uuid4().hex


class Outbox:
    """The rows, in the order in which they are added.

    Methods that write are called inside a transaction.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        numbers = store.ids("outbox")
        self._last = int(numbers[-1]) if numbers else 0
        self._done: list[str] = []  # not removed yet: sending them again does no harm

    def numbers(self) -> list[str]:
        """Return the numbers of the rows to send, in order."""
        return [number for number in self._store.ids("outbox") if number not in self._done]

    def row(self, number: str) -> Json | None:
        """Return a row, or None."""
        return self._store.get("outbox", number)

    def add(self, row: Json) -> str:
        """Keep a row, and return its number. Rows that are done are removed with it."""
        self._last += 1
        number = f"{self._last:0{_DIGITS}}"
        self._store.put("outbox", number, row)
        for done in self._done:
            self._store.delete("outbox", done)
        self._done.clear()
        return number

    def add_request(self, op: str, fields: Json, **about: object) -> str:
        """Keep a sealed request, and return its number. `about` are other fields of its row."""
        return self.add({"op": op, "fields": fields, **about})

    def replace(self, number: str, row: Json) -> None:
        """Change a row. A draft becomes a request, or a request a draft again."""
        self._store.put("outbox", number, row)

    def remove(self, number: str) -> None:
        """Remove a row."""
        self._store.delete("outbox", number)

    def set_done(self, number: str) -> None:
        """Mark a row as done. The next `add` removes it, so that it costs no write of its own."""
        self._done.append(number)


def request(row: Json) -> Flow[Json]:
    """Send the request of a sealed row. Raises ServerRefused."""
    answer = yield Ask(row["op"], row["fields"])
    return answer
