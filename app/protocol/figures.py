"""Figures of the server: this moment, the last minute, and faults.

Plain data. Times are seconds, sizes bytes; None is unknown, or did not happen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outbox:
    """The unread bytes of one session; `user` is empty before login."""

    user: str
    address: str
    unread_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """The figures of this moment.

    `outboxes` are the fullest. `disk_seconds_ago` is when the disk last said how full it is.
    `database_fate` is what became of SQLite's file: gone, overwritten, or empty for neither.
    `certificate_seconds` is how long the certificate is good; below 0 it has run out.
    `unknown_settings` are names that look like settings and are none, each with the one probably
    meant.
    """

    sessions: int
    users: int
    live_rooms: int
    journal_entries: int
    journal_bytes: int
    outbox_bytes: int
    outboxes: Sequence[Outbox]
    passwords_waiting: int
    commit_under_way_seconds: float
    wal_bytes: int | None
    database_bytes: int | None
    disk_free_bytes: int | None
    database_fate: str
    disk_seconds_ago: float
    resident_bytes: int
    open_files: int
    open_files_max: int
    certificate_seconds: float | None
    unknown_settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Minute:
    """The figures of the last minute; the rates called `recent` are of its last ten seconds."""

    messages_per_second: float
    messages_per_second_recent: float
    deliveries_per_second: float
    deliveries_per_second_recent: float
    commit_p50_seconds: float | None
    commit_p99_seconds: float | None
    commit_max_seconds: float | None
    delivery_p99_seconds: float | None
    hub_delay_max_seconds: float
    logins_per_second: float
    failed_logins: int
    readers_cut: int
    newcomers_refused: int
    messages_not_stored: int
    refusals: Mapping[str, int]  # by code, the most frequent first


@dataclass(frozen=True, slots=True)
class Concern:
    """A fault: its name for programs; for people how bad it is, and what to do."""

    name: str
    sentence: str
