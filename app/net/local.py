"""Carries out the operator's requests when no server runs, on a database of its own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.chat.service import Service
from app.database.database import Database
from app.database.opening import Note, open_database
from app.errors import Refusal
from app.protocol.event import Answer, Event
from app.protocol.server import Refused
from app.values.times import now
from app.wires.ndjson.events import render, render_answer, render_done
from app.wires.ndjson.requests import parse_request
from app.wires.words import sentence

if TYPE_CHECKING:
    from app.settings import Settings

_NO_ID = "null"


class LocalOperator:
    """Asks a service in this process, as the control socket asks that of a server."""

    def __init__(self, settings: Settings, note: Note) -> None:
        """Open the database, as a server does. Switches. Raises StartRefused."""
        self._lock = open_database(settings.url, note)
        self._service = Service(Database(settings.url, settings.durability), settings, now)
        self._client = _Operator()
        self._session = self._service.connect_operator(self._client)

    def ask(self, op: str, **fields: object) -> dict[str, Any]:
        """Return the answer, as a program gets it. Switches. Raises Refusal."""
        given = {key: value for key, value in fields.items() if value is not None}
        self._client.answer = render_done(_NO_ID)
        self._service.handle(self._session, parse_request({"op": op, **given}))
        answer: dict[str, Any] = json.loads(self._client.answer)
        return answer

    def close(self) -> None:
        """Commit all entries, and release the database. Switches."""
        self._service.close()
        self._lock.release()


class _Operator:
    """Implements app.engine.client.Client: keeps the answer alone."""

    address = "this terminal"
    wire = "ndjson"
    rooms_max = 0
    is_secure = True
    is_closing = has_hung_up = is_gone = False
    server = ""
    unread_bytes = 0
    render = staticmethod(render)

    def __init__(self) -> None:
        self.connected_at = now()
        self.answer = b""

    def send(self, _data: bytes) -> bool:
        return True

    def show(self, *shown: Event) -> None:
        for event in shown:
            if isinstance(event, Refused):
                raise Refusal(sentence(event), code=event.code)
            if isinstance(event, Answer):
                self.answer = render_answer(event, _NO_ID)

    show_at_leisure = close = show

    def wait_until_read(self) -> None:
        """Return at once: nothing waits."""
