"""Purging: removing messages and files at once and for good.

A message before a purge's event, and meant by it, is in no history, replay or export after it. The
purge goes in small pieces, each a transaction in which the audit says how much is gone by then. A
crash in between leaves a purge that was done in part, and says so. The last piece is written with
the messages before it, as the journal has them. So a message that is on its way when the purge is
asked for is removed if it comes before the event, and stays if it comes after.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import gevent
from gevent.lock import RLock

from app.archive import backup
from app.bounds import CHECKPOINT_TRIES_MAX, CHECKPOINT_WAIT_MILLISECONDS, ID_MAX, REMOVED_AT_ONCE
from app.database import vacuum
from app.engine import apply
from app.engine.journal import WrittenEntry
from app.errors import BadLine, NotPossible, Unavailable
from app.protocol import removal, server, talk
from app.queries import audit, messages, rooms
from app.queries import purging as queries
from app.queries.purging import Removed, Target
from app.values.sizes import format_count
from app.values.times import format_span

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.chat.accounts.accounts import Accounts
    from app.chat.files.transfers import Transfers
    from app.chat.rooms.rooms import Rooms
    from app.engine.decisions import Acts
    from app.engine.delivery import Delivery
    from app.engine.journal import Journal
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Room, Session


class _Purge(NamedTuple):
    """A purge, as it was asked for."""

    session: Session
    target: Target
    user: str
    room: str
    since: str

    @property
    def act(self) -> str:
        """The audit's text about it, without its numbers."""
        message_id = self.target.message_id
        return f"message {message_id}" if message_id is not None else self.since


class _Tally:
    """The part of a purge that is done, for the audit."""

    def __init__(self, about: str) -> None:
        self.record_id = 0
        self.files = 0
        self.removed: dict[int | None, Removed] = {}
        self._about = about

    @property
    def messages(self) -> int:
        """The number of removed messages."""
        return sum(removed.messages for removed in self.removed.values())

    def add(self, pieces: Sequence[Removed]) -> None:
        """Count the removed messages of some rooms."""
        for piece in pieces:
            known = self.removed.get(piece.room_id)
            self.removed[piece.room_id] = _sum(known, piece) if known else piece

    def text(self, messages: int | None = None) -> str:
        """Return the audit's text, with this number or the counted one."""
        count = self.messages if messages is None else messages
        return f"{self._about}{format_count(count, 'message')}, {format_count(self.files, 'file')}"


class _LastPiece(WrittenEntry):
    """The end of a purge: removes the rest, and updates and tells the rooms."""

    __slots__ = (
        "acts",
        "after_id",
        "facts",
        "fresh",
        "journal",
        "now",
        "purge",
        "rooms",
        "tally",
    )

    sender: Session

    def __init__(
        self,
        acts: Acts,
        journal: Journal,
        rooms: Collection[Room],
        purge: _Purge,
        tally: _Tally,
        after_id: int,
        now: int,
    ) -> None:
        super().__init__(purge.session)
        self.acts = acts
        self.journal = journal
        self.rooms = rooms
        self.purge = purge
        self.tally = tally
        self.after_id = after_id
        self.now = now
        self.facts: dict[int, apply.Purged] = {}  # by room, as all here
        self.fresh: dict[int, list[talk.Message]] = {}  # the newest messages left

    def write(self, connection: Connection) -> None:
        """See WrittenEntry."""
        queries.lock_target(connection, self.purge.target, self.after_id)
        self.acts.check(connection, self.sender)
        up_to_id = ID_MAX
        while up_to_id > self.after_id:
            removed, up_to_id = queries.remove_some(
                connection, self.purge.target, self.after_id, up_to_id, self.now
            )
            self.tally.add(removed)
        audit.amend(connection, self.tally.record_id, self.tally.text())
        removed_from = self.tally.removed.items()
        self.facts = {
            room_id: self._fact(removed)
            for room_id, removed in removed_from
            if room_id and rooms.name_of(connection, room_id)
        }
        for room_id, fact in self.facts.items():
            fact.record(connection, room_id, self.now)
        for room in self.rooms:
            if room.id in self.facts:
                self.fresh[room.id] = messages.newest(connection, room.id, room.recent.count_max)

    def _fact(self, removed: Removed) -> apply.Purged:
        _, count, first_id, last_id = removed
        by, author = self.sender.speaker.name, self.purge.user or None
        return apply.Purged(by, author, first_id, last_id, count)

    def release(self, delivery: Delivery) -> None:
        """See Entry."""
        self.journal.removals += 1
        for room in self.rooms:
            if room.id in self.facts:
                self.facts[room.id].release(room, delivery)
                apply.replace_messages(room, self.fresh[room.id])  # with older ones in their place


class Purging:
    """Purges, and other upkeep of the database. All methods switch, and raise Refusal."""

    def __init__(self, kit: Kit, accounts: Accounts, rooms: Rooms, transfers: Transfers) -> None:
        self._database, self._journal = kit.database, kit.journal
        self._clock, self._acts = kit.clock, kit.acts
        self._accounts = accounts
        self._rooms = rooms
        self._transfers = transfers
        self._purging = RLock()

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {
            removal.Purge: self.purge,
            removal.Vacuum: self.vacuum,
            server.Backup: self.back_up,
        }

    def purge(self, session: Session, command: removal.Purge) -> None:
        """Remove the messages and files meant, one purge at a time."""
        purge = self._purge_of(session, command)
        tally = _Tally(f"{purge.act}: " if purge.act else "")
        with self._purging:
            session.check_is_admin()  # again: the purges before it may have taken minutes
            tally.record_id = self._acts.write(
                session, "purge", purge.user, room=purge.room, reason=tally.text()
            )
            for file_id in self._database.read(lambda each: queries.files(each, purge.target)):
                self._transfers.discard(file_id)
                tally.files += 1
            self._finish(purge, tally, self._remove_stored(purge, tally))
        session.client.show(removal.Removed(tally.messages, tally.files))

    def vacuum(self, session: Session, _command: removal.Vacuum) -> None:
        """Give the space of removed data back to the disk."""
        if not self._database.is_sqlite:
            raise NotPossible(
                "PostgreSQL does that by itself; to have it done now, run: psql -c 'VACUUM'",
                code="other_database",
            )
        pages = 0
        while some := self._database.write_a_piece(vacuum.give_back_some):
            pages += some
        for _ in range(CHECKPOINT_TRIES_MAX):
            if self._database.empty_log():
                session.client.show(removal.Vacuumed(pages))
                return
            gevent.sleep(CHECKPOINT_WAIT_MILLISECONDS / 1000)
        raise Unavailable(
            "the log can't be emptied while something reads the database; try again", code="busy"
        )

    def back_up(self, session: Session, command: server.Backup) -> None:
        """Copy the open database to an empty file. Switches. Raises NotStored."""
        path = Path(command.path)
        self._database.read(lambda connection: backup.copy_out(connection, path))
        session.client.show(server.BackedUp(command.path))

    def _purge_of(self, session: Session, command: removal.Purge) -> _Purge:
        """Return the purge that a command means. Switches. Raises Refusal when that is unclear."""
        names = command.user or command.room
        if (command.message is None) == (not names) or (command.seconds and not names):
            raise BadLine(
                "say whose messages, of which room, or the id of one message", code="bad_arguments"
            )
        user = self._accounts.find(command.user, ever=True) if command.user else None
        room = self._rooms.find(command.room) if command.room else None
        seconds = command.seconds
        since_at = self._clock() - seconds * 1000 if seconds else 0
        target = Target(
            user.id if user else None, room.id if room else None, command.message, since_at
        )
        return _Purge(
            session,
            target,
            user.name if user else "",
            room.name if room else "",
            f"the last {format_span(seconds)}" if seconds else "",
        )

    def _remove_stored(self, purge: _Purge, tally: _Tally) -> int:
        """Remove stored messages until few are left; return the last id looked at.

        Switches. Raises Refusal.
        """
        message_id = purge.target.message_id
        if message_id is not None:
            return message_id - 1  # the last piece removes it
        after_id = 0
        while (newest_id := self._database.read(messages.newest_id)) - after_id > REMOVED_AT_ONCE:
            self._remove_between(purge, tally, after_id, newest_id)
            after_id = newest_id
        return after_id

    def _remove_between(self, purge: _Purge, tally: _Tally, after_id: int, up_to_id: int) -> None:
        now = self._clock()
        while up_to_id > after_id:
            purge.session.check_is_admin()

            def work(connection: Connection, up_to_id: int = up_to_id) -> tuple[list[Removed], int]:
                self._acts.check(connection, purge.session)
                removed, rest_id = queries.remove_some(
                    connection, purge.target, after_id, up_to_id, now
                )
                gone = tally.messages + sum(piece.messages for piece in removed)
                audit.amend(connection, tally.record_id, tally.text(gone))
                return list(removed), rest_id

            removed, up_to_id = self._database.write_a_piece(work)
            tally.add(removed)

    def _finish(self, purge: _Purge, tally: _Tally, after_id: int) -> None:
        """Remove the rest, at its place in the journal. Switches. Raises Refusal."""
        with self._rooms.loading_none() as rooms:
            last = _LastPiece(
                self._acts, self._journal, rooms, purge, tally, after_id, self._clock()
            )
            self._journal.carry(last)


def _sum(one: Removed, other: Removed) -> Removed:
    return Removed(
        one.room_id,
        one.messages + other.messages,
        min(one.first_id, other.first_id),
        max(one.last_id, other.last_id),
    )
