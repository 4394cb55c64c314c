"""Delivering a released batch: rendered once per wire and room, one send per reader.

While a batch is released, people come and go in the middle of it. So each room has a page with its
events of the batch, and each reader a place on the page from which on they read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import gevent

from app.bounds import DELIVERIES_BETWEEN_YIELDS
from app.log import failure
from app.measures import metrics
from app.protocol.event import Answer, Event, RoomEvent
from app.protocol.files import FileShared
from app.protocol.server import LineOmitted
from app.protocol.talk import Said, SaidEncrypted

if TYPE_CHECKING:
    from app.engine.client import Render, Send
    from app.engine.presence import Room, Session


_HEARD = (Said, SaidEncrypted, FileShared)  # left out for users who ignore the sender


class _Page:
    """The events of one batch in one room."""

    __slots__ = ("events", "lines", "room", "starts")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.events: list[RoomEvent] = []
        self.lines: dict[Render, list[bytes]] = {}
        self.starts: dict[Session, int] = {}  # of sessions that don't read from the top

    def rendered(self, render: Render) -> list[bytes]:
        """Return the lines up to now, each rendered once."""
        lines = self.lines.setdefault(render, [])
        while len(lines) < len(self.events):
            try:
                lines.extend(map(render, self.events[len(lines) :]))  # keeps those before a fault
            except Exception as error:  # noqa: BLE001 (it costs this line, on this wire)
                kind = type(self.events[len(lines)]).__name__
                failure("an event can't be shown", error, kind=kind)
                lines.append(_in_its_place(render))
        return lines

    def rest_for(self, session: Session) -> bytes:
        """Return a session's unread lines, without those that it ignores."""
        start = self.starts.get(session, 0)
        lines = self.rendered(session.client.render)[start:]
        if not session.ignored:
            return b"".join(lines)
        return b"".join(
            line
            for line, event in zip(lines, self.events[start:], strict=True)
            if not (isinstance(event, _HEARD) and event.user in session.ignored)
        )

    def sends(self) -> Iterator[tuple[Send, bytes]]:
        """Yield each reader's `send`, and the bytes for it."""
        starts = self.starts
        for render, readers in self.room.readers.items():
            whole = b"".join(self.rendered(render))
            for session, send in readers.items():
                if session in starts or session.ignored:
                    yield send, self.rest_for(session)
                else:
                    yield send, whole


def _in_its_place(render: Render) -> bytes:
    """Return the stand-in for a line that can't be rendered; nothing if it can't be either."""
    with suppress(Exception):
        return render(LineOmitted())
    return b""


class Delivery:
    """One batch on its way to its readers. Entries of the journal fill it, in their order."""

    def __init__(self) -> None:
        self._pages: dict[Room, _Page] = {}
        self._answers: dict[Session, list[Answer]] = {}

    def show(self, room: Room, event: RoomEvent) -> None:
        """Show an event to all present readers of the room."""
        page = self._pages.get(room)
        if page is None:
            page = self._pages[room] = _Page(room)
        page.events.append(event)

    def answer(self, session: Session, answer: Answer) -> None:
        """Tell a session an answer, after all of this batch."""
        self._answers.setdefault(session, []).append(answer)

    def tell(self, session: Session, *told: Event) -> None:
        """Show a session events that concern it alone. A fault costs this session alone.

        Events of its rooms come first: see catch_up.
        """
        try:
            session.client.show(*told)
        except Exception as error:  # noqa: BLE001
            failure("an event can't be shown", error, kind=type(told[0]).__name__)

    def enter(self, room: Room, session: Session) -> None:
        """Make a session a reader of the room, from the next event on."""
        page = self._pages.get(room)
        if page is not None:
            page.starts[session] = len(page.events)
        room.take(session)

    def leave(self, room: Room, session: Session) -> bool:
        """Make a session a reader no longer, after sending the rest.

        Return whether it was the last one of its user. Does nothing when it is no reader.
        """
        if session.rooms.get(room.key) is not room:
            return False
        self.catch_up(session)
        return room.drop(session)

    def catch_up(self, session: Session) -> None:
        """Send a session its rooms' events, before one of its own."""
        if session.client.is_closing:
            return  # it goes nowhere, and a crowd that leaves would have much to catch up with
        for room in session.rooms.values():
            page = self._pages.get(room)
            if page is not None:
                session.client.send(page.rest_for(session))
                page.starts[session] = len(page.events)

    def send(self) -> None:
        """Send each reader the events not read yet. Switches now and then.

        Readers change only while a batch is released, so none comes or goes in between.
        """
        total = lines = 0
        for page in self._pages.values():
            count = behind = 0
            for send, data in page.sends():
                count += 1
                try:
                    if not send(data):
                        behind += 1
                except Exception as error:  # noqa: BLE001 (it costs this reader alone)
                    failure("a reader can't be sent what was said", error)
                if (total + count) % DELIVERIES_BETWEEN_YIELDS == 0:
                    gevent.sleep(0)
            page.room.is_lagging = behind * 2 > count
            total += count
            lines += count * len(page.events)
        metrics.SENDS.inc(total)
        metrics.DELIVERIES.inc(lines)
        for session, answers in self._answers.items():
            self.tell(session, *answers)
