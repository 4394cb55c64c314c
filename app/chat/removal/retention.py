"""Retention: removing old messages and files, and the rest of deleted rooms.

Claimed keys and mail of devices go as well, when they are old. A greenlet looks for them now and
then, and removes them in small pieces, with rests in between. A room of a million messages is gone
after a while, and no client waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import structlog
from gevent.event import Event as Signal

from app.bounds import LISTED_MAX, REAP_SECONDS, RETENTION_DAYS_MAX, ROOM_REAP_SECONDS
from app.engine import apply
from app.engine.entries import Decision
from app.errors import BadLine, Unavailable
from app.protocol import removal
from app.queries import device_keys, device_mail, facts
from app.queries import retention as queries
from app.queries.retention import Old
from app.values.names import parse_name
from app.values.sizes import parse_whole

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.files.transfers import Transfers
    from app.chat.rooms.rooms import Rooms
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session


_WORDS = {"forever": queries.FOR_EVER, "default": None}

log = structlog.get_logger()


class Retention:
    """The retention of messages: its days, and the removal after them."""

    def __init__(self, kit: Kit, rooms: Rooms, transfers: Transfers) -> None:
        self._database, self._journal = kit.database, kit.journal
        self._clock, self._acts = kit.clock, kit.acts
        self._rooms = rooms
        self._transfers = transfers
        self._days = kit.settings.retention_days
        self._has_work = Signal()
        self._is_stopping = False

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {removal.Retention: self.show_or_set}

    def show_or_set(self, session: Session, command: removal.Retention) -> None:
        """Show how long messages are kept, or set a room's days. Switches. Raises Refusal."""
        if not command.room:
            session.client.show_at_leisure(self._listed(command.after))
            return
        days, room = _parse_days(command.keep), self._rooms.find(command.room)
        self._acts.write(
            session,
            "retention",
            change=lambda connection: queries.set_days(connection, room.id, days),
            room=room.name,
            reason=command.keep,
        )
        self._has_work.set()
        kept = self._days if days is None else days
        session.client.show(removal.RetentionSet(room.name, kept))

    def _listed(self, after: str) -> removal.RetentionListed:
        after_key = parse_name(after).key if after else ""
        found = self._database.read(
            lambda connection: queries.on_their_own(connection, after_key, LISTED_MAX + 1)
        )
        rooms = [removal.RoomRetention(room.name, room.days or 0) for room in found]
        has_more = len(rooms) > LISTED_MAX
        return removal.RetentionListed(self._days, rooms[:LISTED_MAX], has_more)

    def run(self) -> None:
        """Remove old data now and then, until `stop`. Switches."""
        while not self._is_stopping:
            self._has_work.clear()
            try:
                self.reap()
            except Unavailable as refusal:
                log.warning("old messages not removed", reason=str(refusal))
            self._has_work.wait(REAP_SECONDS)

    def stop(self) -> None:
        """Make `run` return after its current piece. Never switches."""
        self._is_stopping = True
        self._has_work.set()

    def reap(self) -> None:
        """Remove old data once, or until `stop`. Switches. Raises Unavailable."""
        for _ in self._pieces():
            if self._is_stopping:
                return

    def _pieces(self) -> Iterator[None]:
        """Do one piece of the work at each step. Switches. Raises Unavailable."""
        days, now = self._days, self._clock()
        for old in self._database.read(lambda each: queries.old_messages(each, days, now)):
            yield from self._remove(old)
        yield from self._discard(
            self._database.read(lambda each: queries.old_files(each, days, now))
        )
        deleted_before = now - ROOM_REAP_SECONDS * 1000
        for room in self._database.read(lambda each: queries.deleted_rooms(each, deleted_before)):
            yield from self._remove_room(room)
        if self._database.read(lambda each: queries.has_old_txns(each, now)):
            self._database.write(lambda each: queries.forget_txns(each, now))
        for forget_some in (facts.forget_some, device_keys.forget_some, device_mail.forget_some):
            yield from self._forget(partial(forget_some, now=now))

    def _forget(self, forget_some: Callable[[Connection], bool]) -> Iterator[None]:
        while self._database.write_a_piece(forget_some):
            yield

    def _remove(self, old: Old) -> Iterator[None]:
        """Remove old messages, and expire them in their live room."""
        last_id: int | None = 0
        while last_id is not None:
            last_id = self._database.write_a_piece(_remover(old, last_id))
            yield
        with self._rooms.loading_none() as rooms:
            self._journal.removals += 1
            live = [room for room in rooms if old.where == "room" and room.id == old.id]
            if live:
                expired = [(room, apply.Expired(old.said_before)) for room in live]
                decision = Decision(None, expired, lambda _: None, self._clock())
                try:
                    self._journal.carry(decision)
                except Unavailable:  # the rows are gone all the same
                    for room, fact in expired:
                        fact.apply(room)

    def _discard(self, file_ids: Iterable[int]) -> Iterator[None]:
        for file_id in file_ids:
            self._transfers.discard(file_id)
            yield

    def _remove_room(self, room: Old) -> Iterator[None]:
        """Remove a deleted room: its messages, its files, and then the room."""
        yield from self._remove(room)
        yield from self._discard(
            self._database.read(lambda connection: queries.files_of(connection, room.id))
        )
        self._database.write(lambda connection: queries.remove_room(connection, room.id))
        yield


def _remover(old: Old, after_id: int) -> Callable[[Connection], int | None]:
    return lambda connection: queries.remove_some(connection, old, after_id)


def _parse_days(text: str) -> int | None:
    """Read the days for which messages are kept; 0 is for ever, None the server's default.

    Raises BadLine.
    """
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    days = parse_whole(word)
    if not days or days > RETENTION_DAYS_MAX:
        raise BadLine(
            f"say for how long: 1 to {RETENTION_DAYS_MAX} days, forever, or default",
            code="bad_arguments",
        )
    return days
