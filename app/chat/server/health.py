"""Concerns: faults that need a person, found in the figures alone, each with its remedy.

One function a trouble. Its sentence is for a person at three in the morning who has never seen this
server.
"""

from collections.abc import Callable, Iterator, Sequence

from app.bounds import (
    CERTIFICATE_SECONDS_CONCERN,
    COMMIT_SECONDS_CONCERN,
    COMMIT_STUCK_SECONDS,
    DESCRIPTORS_SHARE_CONCERN,
    DISK_FREE_BYTES_CONCERN,
    DISK_SILENT_SECONDS,
    FAILED_LOGINS_CONCERN,
    HUB_SECONDS_CONCERN,
    OUTBOX_SHARE_CONCERN,
    PASSWORDS_WAITING_CONCERN,
)
from app.protocol.figures import Concern, Load, Minute, Outbox
from app.settings import no_setting
from app.values.sizes import format_size
from app.values.times import format_seconds, format_uptime


def concerns(load: Load, minute: Minute, outbox_bytes_max: int) -> Sequence[Concern]:
    """Return the concerns, those that lose messages first."""
    found = [Concern(name, text) for name, find in _TROUBLES for text in find(load, minute)]
    found += [
        Concern("slow_reader", _slow_reader(outbox, outbox_bytes_max))
        for outbox in load.outboxes
        if outbox.unread_bytes >= outbox_bytes_max * OUTBOX_SHARE_CONCERN
    ]
    return found


def _database_lost(load: Load, _minute: Minute) -> Iterator[str]:
    if load.database_fate == "gone":
        yield (
            "The database's file was removed, moved or replaced under the running server: nothing "
            "is stored any more. What there is can still be copied: manage.py backup FILE, where "
            "the server may write. Then stop it, manage.py restore FILE, and start it."
        )
    elif load.database_fate:
        yield (
            "The database's file was cut off or overwritten under the running server: nothing is "
            "stored any more. Stop it, and go back to a backup: manage.py restore FILE."
        )


def _not_stored(load: Load, minute: Minute) -> Iterator[str]:
    if minute.messages_not_stored:
        free_bytes = load.disk_free_bytes
        free = "" if free_bytes is None else f" ({format_size(free_bytes)} are free)"
        yield (
            f"Messages not stored in the last minute: {minute.messages_not_stored}. Nobody saw "
            f"them, and the log says why. See whether the disk is full{free}, and whether another "
            "process holds the database."
        )


def _slow_disk(load: Load, minute: Minute) -> Iterator[str]:
    stuck, p99 = load.commit_under_way_seconds, minute.commit_p99_seconds
    most = minute.commit_max_seconds
    if stuck >= COMMIT_STUCK_SECONDS:
        yield (
            f"A commit has been under way for {format_seconds(stuck)}: the disk hangs, or another "
            "process holds the database. See what it is (iostat -x 1; fuser on the database)."
        )
    elif p99 is not None and p99 >= COMMIT_SECONDS_CONCERN:
        yield (
            f"The disk is slow: one commit in a hundred took {format_seconds(p99)} or more, and "
            "every message waits for one. See what else uses the disk (iostat -x 1), or move the "
            "database to a faster one."
        )
    elif most is not None and most >= COMMIT_STUCK_SECONDS:  # one among very many fast ones
        yield (
            f"A commit took up to {format_seconds(most)} in the last minute: the disk hung, or "
            "another process held the database, and every message waited. If it happens again, "
            "see what it is (iostat -x 1; fuser on the database)."
        )
    if load.disk_seconds_ago >= DISK_SILENT_SECONDS:
        yield (
            f"The disk has not answered for {format_seconds(load.disk_seconds_ago)}: see whether "
            "it is there at all (dmesg, df)."
        )


def _disk_nearly_full(load: Load, _minute: Minute) -> Iterator[str]:
    free = load.disk_free_bytes
    if free is not None and free < DISK_FREE_BYTES_CONCERN:
        yield (
            f"Only {format_size(free)} are free on the disk of the database: make room. When it is "
            "full, no message is stored."
        )


def _hub_stall(_load: Load, minute: Minute) -> Iterator[str]:
    delay = minute.hub_delay_max_seconds
    if delay >= HUB_SECONDS_CONCERN:
        yield (
            f"Everybody was kept waiting for {format_seconds(delay)} in the last minute: the "
            "process got no CPU, was stopped, or swaps. See what else runs here (top, vmstat 1)."
        )


def _login_flood(load: Load, minute: Minute) -> Iterator[str]:
    failed, waiting = minute.failed_logins, load.passwords_waiting
    if failed >= FAILED_LOGINS_CONCERN or waiting >= PASSWORDS_WAITING_CONCERN:
        yield (
            f"Failed logins in the last minute: {failed}; passwords that wait to be checked: "
            f"{waiting}. Somebody guesses, or very many come at once: "
            '"login failed" in the log has their addresses, and manage.py ban keeps one out.'
        )


def _readers_cut(_load: Load, minute: Minute) -> Iterator[str]:
    if minute.readers_cut:
        yield (
            f"Slow readers cut in the last minute: {minute.readers_cut}. They can read on when "
            "they come back. If it goes on, see the network to them: "
            '"cut a slow reader" in the log has their addresses.'
        )


def _newcomers_refused(_load: Load, minute: Minute) -> Iterator[str]:
    if minute.newcomers_refused:
        yield (
            f"Newcomers turned away in the last minute: {minute.newcomers_refused}. The server is "
            "full, or one address has too many connections: see GREENROOM_CONNECTIONS_MAX and "
            "GREENROOM_CONNECTIONS_PER_IP_MAX."
        )


def _descriptors(load: Load, _minute: Minute) -> Iterator[str]:
    if load.open_files >= load.open_files_max * DESCRIPTORS_SHARE_CONCERN:
        yield (
            f"{load.open_files} of at most {load.open_files_max} files and connections are open: "
            "newcomers will be turned away. Raise the limit (LimitNOFILE of systemd, ulimit -n)."
        )


def _certificate(load: Load, _minute: Minute) -> Iterator[str]:
    seconds = load.certificate_seconds
    if seconds is not None and seconds < CERTIFICATE_SECONDS_CONCERN:
        span = format_uptime(abs(int(seconds)))
        when = f"runs out in {span}" if seconds > 0 else f"ran out {span} ago"
        yield (
            f"The certificate {when}: clients refuse to talk to a server with an old one. Put a "
            "new one in its place, then: systemctl reload greenroom (or kill -HUP)."
        )


def _unknown_settings(load: Load, _minute: Minute) -> Iterator[str]:
    for name, meant in load.unknown_settings.items():
        yield (
            f"{no_setting(name, meant)} See the environment and .env of the server, and start it "
            "again."
        )


def _slow_reader(outbox: Outbox, outbox_bytes_max: int) -> str:
    who = outbox.user or "somebody who has not logged in"
    return (
        f"{who} at {outbox.address} has left {format_size(outbox.unread_bytes)} unread, and is cut "
        f"at {format_size(outbox_bytes_max)}: nobody else is held up. If there are many, see the "
        "network to them."
    )


_TROUBLES: Sequence[tuple[str, Callable[[Load, Minute], Iterator[str]]]] = (
    ("database_lost", _database_lost),
    ("not_stored", _not_stored),
    ("slow_disk", _slow_disk),
    ("disk_nearly_full", _disk_nearly_full),
    ("hub_stall", _hub_stall),
    ("login_flood", _login_flood),
    ("newcomers_refused", _newcomers_refused),
    ("descriptors", _descriptors),
    ("slow_reader", _readers_cut),
    ("certificate", _certificate),
    ("unknown_setting", _unknown_settings),
)
