"""The metrics, in the form that Prometheus scrapes; `snapshot` reads all of them.

The parts of the server update them once a batch, a login or a refusal, never once a delivery. So
they cost nothing that can be seen. Figures that can be looked up at any time (sessions, bytes that
wait) are not kept here: see net/exposition.py.
"""

from collections.abc import Callable, Mapping
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from app.bounds import BATCH_ENTRIES_MAX
from app.errors import Code

Key = tuple[str, ...]  # the name of a sample, and the values of its labels
Snapshot = Mapping[Key, float]

# From far below the noticeable to where the server gives up. The bounds lie so close that a p99
# read from them is off by a third at most.
_SECONDS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.007, 0.010, 0.015, 0.020, 0.030, 0.050, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 30),
)
_ENTRIES = tuple(1 << power for power in range(BATCH_ENTRIES_MAX.bit_length()))

disable_created_metrics()  # type: ignore[no-untyped-call]  # the start of a count is of no use
REGISTRY = CollectorRegistry()

DELIVERY = Histogram(
    "greenroom_delivery_seconds",
    "How long a batch took: from the arrival of its oldest line to the send to its last reader.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
COMMIT = Histogram(
    "greenroom_commit_seconds",
    "How long a transaction took in the thread that writes. Slow ones are a slow disk.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
HUB_DELAY = Histogram(
    "greenroom_hub_delay_seconds",
    "How late a short sleep woke up, ten times a second: how long everybody was kept waiting.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
BATCH_ENTRIES = Histogram(
    "greenroom_batch_entries",
    "How many lines and events were committed and shown together.",
    buckets=_ENTRIES,
    registry=REGISTRY,
)
MESSAGES = Counter(
    "greenroom_messages_total",
    "Messages that were stored, private ones too.",
    registry=REGISTRY,
)
NOT_STORED = Counter(
    "greenroom_messages_not_stored_total",
    "Messages that could not be stored: their senders were told, and nobody saw them.",
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "greenroom_deliveries_total",
    "Lines of rooms that were sent to readers: each line once for each reader.",
    registry=REGISTRY,
)
SENDS = Counter(
    "greenroom_sends_total",
    "Sends to readers: each carries all that one batch shows in one room.",
    registry=REGISTRY,
)
COMMITS_FAILED = Counter(
    "greenroom_commits_failed_total",
    "Transactions that the database did not take: the disk is full, broken or held by another.",
    registry=REGISTRY,
)
LOGINS = Counter(
    "greenroom_logins_total",
    "Logins by how they ended: ok, or the code of the refusal.",
    ["result"],
    registry=REGISTRY,
)
REFUSALS = Counter(
    "greenroom_refusals_total",
    "Refusals that clients were told, by their code.",
    ["code"],
    registry=REGISTRY,
)
READERS_CUT = Counter(
    "greenroom_readers_cut_total",
    "Connections that were cut because they left too much unread.",
    registry=REGISTRY,
)
CONNECTIONS_REFUSED = Counter(
    "greenroom_connections_refused_total",
    "Newcomers who were turned away because there was no room for them.",
    registry=REGISTRY,
)
CONNECTIONS = Gauge(
    "greenroom_connections", "Open connections, whatever they speak.", registry=REGISTRY
)
CONNECTIONS_MAX = Gauge(
    "greenroom_connections_max",
    "How many there may be: beyond it newcomers are turned away.",
    registry=REGISTRY,
)
LOG_RECORDS_DROPPED = Counter(
    "greenroom_log_records_dropped_total",
    "Records of the log that were dropped, because nobody read it or it could not be written.",
    registry=REGISTRY,
)
FILE_BYTES = Counter(
    "greenroom_file_bytes_total",
    "Bytes of files, by direction: in (shared) and out (fetched).",
    ["direction"],
    registry=REGISTRY,
)
FILE_BYTES_IN, FILE_BYTES_OUT = FILE_BYTES.labels("in"), FILE_BYTES.labels("out")
# What peers make the server keep in memory; docs/operations.md has the bound of each.
Kept = Literal["recent_bytes", "server_sanctions", "throttled_keys", "tickets", "transfers"]
KEPT = Gauge(
    "greenroom_kept",
    "What peers make the server keep in memory, by what it is.",
    ["what"],
    registry=REGISTRY,
)

# Codes that never happened are shown as 0: a rate has no beginning without it.
for _code in get_args(Code):
    REFUSALS.labels(_code)
for _result in ("ok", "login_refused", "wait"):
    LOGINS.labels(_result)


def show_kept(what: Kept, count: Callable[[], int]) -> None:
    """Show a count of kept things from now on: `count` returns it, and never switches."""
    KEPT.labels(what).set_function(count)


def snapshot() -> Snapshot:
    """Return the current value of each counter and histogram's bucket."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
    }
