"""The server's status: looked up when a client asks, and told with its concerns."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from heapq import nlargest
from typing import TYPE_CHECKING

import structlog

from app.bounds import (
    COMMIT_SECONDS_ILL,
    HUB_ILL_SECONDS,
    HUB_SECONDS_ILL,
    OUTBOXES_SHOWN_MAX,
    RECENT_SECONDS,
)
from app.chat.server.health import concerns
from app.database.database import FilesOnDisk
from app.errors import NotStored
from app.measures import metrics, process
from app.measures.last_minute import LastMinute
from app.protocol import server
from app.protocol.figures import Load, Minute, Outbox
from app.settings import VERSION
from app.values.times import format_seconds

if TYPE_CHECKING:
    from app.chat.accounts.accounts import Accounts
    from app.chat.accounts.passwords import Hasher
    from app.chat.rooms.rooms import Rooms
    from app.engine.kit import Handlers, Kit
    from app.engine.presence import Session


log = structlog.get_logger()


class Status:
    """Looks up the server's figures. Times are of time.monotonic."""

    def __init__(self, kit: Kit, hasher: Hasher, accounts: Accounts, rooms: Rooms) -> None:
        self._database, self._journal = kit.database, kit.journal
        self._sessions = kit.present.sessions
        self._hasher = hasher
        self._accounts = accounts
        self._rooms = rooms
        self._outbox_bytes_max = kit.settings.outbox_bytes_max
        self._began_at = self._measured_at = time.monotonic()
        self._on_disk: FilesOnDisk | None = FilesOnDisk()  # None: a look was refused, and logged
        self.certificate_seconds: Callable[[], float | None] = lambda: None
        self.unknown_settings: Mapping[str, str] = {}
        self.last_minute = LastMinute(self._began_at, metrics.snapshot())

    def handlers(self) -> Handlers:
        """Return the method that carries out each command."""
        return {server.Status: self.show}

    def show(self, session: Session, _command: server.Status) -> None:
        """Show the server's status. Never switches."""
        session.client.show(self.status(time.monotonic()))

    def status(self, now: float) -> server.StatusShown:
        """Return the server's status."""
        load, minute = self.load(now), self.minute(now)
        return server.StatusShown(
            concerns=concerns(load, minute, self._outbox_bytes_max),
            version=VERSION,
            uptime_seconds=int(self.uptime(now)),
            is_storing=not (self._journal.is_failing or self._database.fate),
            illness=self.illness(now),
            now=load,
            minute=minute,
        )

    def uptime(self, now: float) -> float:
        """Return the seconds since the start."""
        return now - self._began_at

    def load(self, now: float) -> Load:
        """Return the figures of this moment."""
        unread = [(size, each) for each in self._sessions if (size := each.client.unread_bytes)]
        on_disk = self._on_disk or FilesOnDisk()
        return Load(
            sessions=len(self._sessions),
            users=self._accounts.users_here,
            live_rooms=self._rooms.live_rooms,
            journal_entries=self._journal.waiting_entries,
            journal_bytes=self._journal.waiting_bytes,
            outbox_bytes=sum(size for size, _ in unread),
            outboxes=_fullest(unread),
            passwords_waiting=self._hasher.waiting,
            commit_under_way_seconds=round(self._database.writing_seconds(now), 3),
            wal_bytes=on_disk.wal_bytes,
            database_bytes=on_disk.database_bytes,
            disk_free_bytes=on_disk.free_bytes,
            database_fate=self._database.fate,
            disk_seconds_ago=round(now - self._measured_at, 1),
            resident_bytes=process.resident_bytes(),
            open_files=process.open_files(),
            open_files_max=process.open_files_max(),
            certificate_seconds=self.certificate_seconds(),
            unknown_settings=self.unknown_settings,
        )

    def minute(self, now: float) -> Minute:
        """Return the figures of the last minute."""
        snapshot = metrics.snapshot()
        growth = self.last_minute.growth(now, snapshot)
        recent = self.last_minute.growth(now, snapshot, RECENT_SECONDS)
        logins = growth.by_label("greenroom_logins_total")
        return Minute(
            messages_per_second=growth.per_second("greenroom_messages_total"),
            messages_per_second_recent=recent.per_second("greenroom_messages_total"),
            deliveries_per_second=growth.per_second("greenroom_deliveries_total"),
            deliveries_per_second_recent=recent.per_second("greenroom_deliveries_total"),
            commit_p50_seconds=growth.quantile("greenroom_commit_seconds", 0.5),
            commit_p99_seconds=growth.quantile("greenroom_commit_seconds", 0.99),
            commit_max_seconds=growth.quantile("greenroom_commit_seconds", 1),
            delivery_p99_seconds=growth.quantile("greenroom_delivery_seconds", 0.99),
            hub_delay_max_seconds=round(self.last_minute.worst_delay(now), 4),
            logins_per_second=growth.per_second("greenroom_logins_total", "ok"),
            failed_logins=sum(logins.values()) - logins.get("ok", 0),
            readers_cut=growth.of("greenroom_readers_cut_total"),
            newcomers_refused=growth.of("greenroom_connections_refused_total"),
            messages_not_stored=growth.of("greenroom_messages_not_stored_total"),
            refusals=growth.by_label("greenroom_refusals_total"),
        )

    def illness(self, now: float) -> str:
        """Return why the server should get no clients; "" when it is well."""
        if self._database.fate:
            return f"nothing is stored, for the database's file is {self._database.fate}"
        if self._journal.is_failing:
            return "messages can't be stored now"
        if (seconds := self._database.writing_seconds(now)) >= COMMIT_SECONDS_ILL:
            return f"a commit has been under way for {format_seconds(seconds)}"
        if (seconds := self.last_minute.worst_delay(now, HUB_ILL_SECONDS)) >= HUB_SECONDS_ILL:
            return f"everybody was kept waiting for {format_seconds(seconds)} a moment ago"
        return ""

    def look_at_disk(self) -> None:
        """Look up the files' sizes and the free space. Switches, without a limit of time."""
        before = self._database.fate
        try:
            self._on_disk = self._database.look_at_files()
        except OSError as error:
            if self._on_disk is not None:
                log.warning("can't look at the database's files", reason=error.strerror)
            self._on_disk = None
            return
        self._measured_at = time.monotonic()
        if self._database.fate and not before:
            log.error("the database's file is gone or overwritten", fate=self._database.fate)
            with suppress(NotStored):  # another file at its path must not meet this one's log
                self._database.empty_log()


def _fullest(unread: list[tuple[int, Session]]) -> list[Outbox]:
    """Return the fullest outboxes."""
    fullest = nlargest(OUTBOXES_SHOWN_MAX, unread, key=lambda each: each[0])
    return [
        Outbox(session.user.name if session.user else "", session.client.address, size)
        for size, session in fullest
    ]
