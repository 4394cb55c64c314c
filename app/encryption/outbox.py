"""What is to be sent, kept until the server has answered: after a crash the same bytes go again.

A row is a draft, of which no ratchet step was taken yet, or it is sealed: then it has the request
to the letter, with its `txn`, by which the server knows a repetition.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from app.encryption.flows import Ask, Flow, Json

if TYPE_CHECKING:
    from app.encryption.store import KeyStore

_DIGITS = 19  # ids are ordered as texts


def new_txn() -> str:
    """Return an id that no other request has."""
    return uuid.uuid4().hex


class Outbox:
    """The rows, in the order in which they go out. What writes is called inside a transaction."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        numbers = store.ids("outbox")
        self._last = int(numbers[-1]) if numbers else 0
        self._done: list[str] = []  # not removed yet: sent again after a crash, they do no harm

    def numbers(self) -> list[str]:
        """Return which rows have to go out."""
        return [number for number in self._store.ids("outbox") if number not in self._done]

    def row(self, number: str) -> Json | None:
        """Return a row."""
        return self._store.get("outbox", number)

    def add(self, row: Json) -> str:
        """Keep a row, and return its number."""
        self._last += 1
        number = f"{self._last:0{_DIGITS}}"
        self._store.put("outbox", number, row)
        for done in self._done:
            self._store.delete("outbox", done)
        self._done.clear()
        return number

    def add_request(self, op: str, fields: Json, **about: object) -> str:
        """Keep a request, and return its number."""
        return self.add({"op": op, "fields": fields, **about})

    def replace(self, number: str, row: Json) -> None:
        """Change a row: a draft becomes a request, or a request a draft again."""
        self._store.put("outbox", number, row)

    def remove(self, number: str) -> None:
        """Forget a row."""
        self._store.delete("outbox", number)

    def set_done(self, number: str) -> None:
        """Forget a row when the next one is added: it costs no write of its own."""
        self._done.append(number)


def request(row: Json) -> Flow[Json]:
    """Ask what a sealed row says. Raises ServerRefused."""
    answer = yield Ask(row["op"], row["fields"])
    return answer
