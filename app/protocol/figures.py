"""How the server is, in figures: what there is now, what the last minute was like, what is wrong.

Plain data. Times are seconds, sizes bytes; None is what is not known, or did not happen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outbox:
    """What one session has not read yet; nobody has logged in on it when there is no user."""

    user: str
    address: str
    unread_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """What there is now.

    `outboxes` are the fullest; `disk_seconds_ago` is when the disk last said how full it is.
    `database_fate` is what became of SQLite's file: gone, or overwritten, or nothing of both.
    `certificate_seconds` is how long the certificate is good, less than 0 since it has run out.
    `unknown_settings` are names that are no settings', each with the one that is probably meant.
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
    """What the last minute was like; the rates called `recent` are of its last ten seconds."""

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
    """Something that is wrong: its name for programs; for people how bad it is, and what to do."""

    name: str
    sentence: str
