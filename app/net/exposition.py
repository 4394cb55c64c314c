"""/metrics: counters and gauges, as Prometheus reads them.

A request from this machine may read them, unless a proxy passed it on; any other needs the token.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import CounterMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from app.measures import metrics
from app.settings import VERSION
from app.values.networks import read_address

if TYPE_CHECKING:
    from app.chat.server.status import Status

CONTENT_TYPE = CONTENT_TYPE_LATEST
FORBIDDEN = (
    "metrics are for this machine alone; from another one, set GREENROOM_METRICS_TOKEN at the "
    "server, and send: Authorization: Bearer TOKEN"
)
# Headers that proxies add. Of X-Forwarded-For, -Host, -Proto ... each adds those it was told to.
_PASSED_ON = (
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_",
    "HTTP_X_REAL_IP",
    "HTTP_X_CLIENT_IP",
    "HTTP_TRUE_CLIENT_IP",
    "HTTP_CF_CONNECTING_IP",
    "HTTP_VIA",
)


def may_read(request: Mapping[str, str], token: str) -> bool:
    """Whether a request, in the environment of WSGI, may read the metrics."""
    scheme, _, given = request.get("HTTP_AUTHORIZATION", "").partition(" ")
    if token and scheme.lower() == "bearer":
        return hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
    passed_on = any(name.startswith(_PASSED_ON) for name in request)
    return read_address(request["REMOTE_ADDR"]).is_loopback and not passed_on


def page(status: Status) -> bytes:
    """Return all metrics as text. Never switches."""
    return generate_latest(Exposition(status))


class Exposition(Collector):
    """Collects the counters, and looks up the gauges."""

    def __init__(self, status: Status) -> None:
        self._status = status

    @override
    def collect(self) -> Iterable[Metric]:
        yield from metrics.REGISTRY.collect()
        yield InfoMetricFamily("greenroom", "Which Greenroom this is.", {"version": VERSION})
        yield CounterMetricFamily(
            "process_cpu_seconds_total", "CPU time of all threads.", time.process_time()
        )
        for name, what, value in self._gauges():
            if value is not None:
                yield GaugeMetricFamily(name, what, value)

    def _gauges(self) -> Iterable[tuple[str, str, float | None]]:
        now = time.monotonic()
        load = self._status.load(now)
        fullest = load.outboxes[0].unread_bytes if load.outboxes else 0
        return (
            (
                "process_start_time_seconds",
                "When it started, in seconds since 1970.",
                time.time() - self._status.uptime(now),
            ),
            ("greenroom_well", "1, or 0 while /healthz says 503.", not self._status.illness(now)),
            ("greenroom_sessions", "Clients who chat, logged in or not.", load.sessions),
            ("greenroom_users", "Accounts that are logged in.", load.users),
            ("greenroom_live_rooms", "Rooms in which somebody is.", load.live_rooms),
            ("greenroom_journal_entries", "Lines that wait to be stored.", load.journal_entries),
            ("greenroom_journal_bytes", "Text that waits to be stored.", load.journal_bytes),
            ("greenroom_outbox_bytes", "Sent, and not read yet, by all.", load.outbox_bytes),
            ("greenroom_outbox_largest_bytes", "Not read yet, by the slowest reader.", fullest),
            (
                "greenroom_passwords_waiting",
                "Passwords that wait to be checked or stored.",
                load.passwords_waiting,
            ),
            (
                "greenroom_commit_under_way_seconds",
                "How long the transaction that is under way has been at it.",
                load.commit_under_way_seconds,
            ),
            ("greenroom_wal_bytes", "Size of the write-ahead log (SQLite).", load.wal_bytes),
            ("greenroom_database_bytes", "Size of the database (SQLite).", load.database_bytes),
            ("greenroom_disk_free_bytes", "Free on the data's disk.", load.disk_free_bytes),
            (
                "greenroom_certificate_seconds",
                "For how long the certificate is good; less than 0 since it has run out.",
                load.certificate_seconds,
            ),
            ("process_resident_memory_bytes", "Memory in use.", load.resident_bytes),
            ("process_open_fds", "Open files and connections.", load.open_files),
            ("process_max_fds", "How many there may be.", load.open_files_max),
        )
