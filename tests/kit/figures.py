"""Figures of a server that is well, but for one reader; tests change what they are about."""

from app.protocol.figures import Concern, Load, Minute, Outbox

LOAD = Load(
    sessions=120,
    users=96,
    live_rooms=14,
    journal_entries=3,
    journal_bytes=212,
    outbox_bytes=812_000,
    outboxes=[Outbox("bob", "192.0.2.7", 812_000)],
    passwords_waiting=0,
    commit_under_way_seconds=0.0,
    wal_bytes=4_000_000,
    database_bytes=48_000_000,
    disk_free_bytes=20_000_000_000,
    database_fate="",
    disk_seconds_ago=2.5,
    resident_bytes=97_000_000,
    open_files=141,
    open_files_max=20_000,
    certificate_seconds=None,
    unknown_settings={},
)
MINUTE = Minute(
    messages_per_second=4.2,
    messages_per_second_recent=5.0,
    deliveries_per_second=310.0,
    deliveries_per_second_recent=350.5,
    commit_p50_seconds=0.0021,
    commit_p99_seconds=0.0081,
    commit_max_seconds=0.05,
    delivery_p99_seconds=0.012,
    hub_delay_max_seconds=0.011,
    logins_per_second=0.1,
    failed_logins=2,
    readers_cut=0,
    newcomers_refused=0,
    messages_not_stored=0,
    refusals={"login_refused": 2, "no_room": 1},
)
BOB_IS_SLOW = Concern(
    "slow_reader",
    "bob at 192.0.2.7 has left 812 KB unread, and is cut at 1 MB: nobody else is held up. "
    "If there are many, see the network to them.",
)
