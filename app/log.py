"""The log: one record a line on standard error, escaped; never a body, a password or a key.

Of each event only so many records are written a minute, so that no client can fill the disk. A
record that clients can cause as often as they like, such as a failed login, has an `address`, and
is counted by that as well. The next record that is written has the number of those that were not:
`unwritten`.

No greenlet waits for standard output or error, whether they are read or not: see `Relay`.
"""

import atexit
import faulthandler
import io
import logging
import os
import select
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

import structlog

from app.bounds import (
    LOG_BYTES_WAITING_MAX,
    LOG_LAST_SECONDS_MAX,
    LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX,
    LOG_RECORDS_A_MINUTE_MAX,
)
from app.measures import metrics
from app.values.networks import origin

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

log = structlog.get_logger()


def failure(event: str, error: Exception, **about: object) -> None:
    """Log a fault of ours by its kind and place: its own words may hold a user's text."""
    walk = traceback.walk_tb(error.__traceback__)  # it reads no file, as a summary would
    frames = [f"{frame.f_code.co_filename}:{number}" for frame, number in walk]
    log.error(event, error=type(error).__name__, at=" ".join(frames[-5:]), **about)


class Relay(io.RawIOBase):
    """Writes to a descriptor in a thread, for greenlets that must not wait.

    It promises:
      1. `write` never waits and never fails, from any thread.
      2. While no program reads at the other end, a bounded number of bytes wait. The rest is
         dropped and counted. When all of them are written, one record says how many were dropped.
      3. Data that can't be written (a closed descriptor, a full disk, a reading program that is
         gone) is dropped and counted as well.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._changed = threading.Condition()  # guards all below
        self._waiting: deque[bytes] = deque()  # the first is being written
        self._waiting_bytes = 0
        self._dropped = 0  # since the last record that said so
        threading.Thread(target=self._run, name=f"relay {descriptor}", daemon=True).start()

    def writable(self) -> bool:
        """See io.IOBase."""
        return True

    def fileno(self) -> int:
        """See io.IOBase."""
        return self._descriptor

    def isatty(self) -> bool:
        """See io.IOBase."""
        return os.isatty(self._descriptor)

    def write(self, data: "ReadableBuffer", /) -> int:
        """Take all of it, to be written or dropped. Never waits, and never fails."""
        kept = bytes(data)
        with self._changed:
            # After one was dropped, so are all others until the rest is written: that is one gap.
            is_in_gap = bool(self._dropped and self._waiting)
            if is_in_gap or self._waiting_bytes + len(kept) > LOG_BYTES_WAITING_MAX:
                self._drop(kept)
            else:
                self._waiting.append(kept)
                self._waiting_bytes += len(kept)
                self._changed.notify_all()
        return len(kept)

    def finish(self, ends_at: float) -> None:
        """Wait until all is written, at most until monotonic `ends_at`. Blocks."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, max(0, ends_at - time.monotonic()))

    def _drop(self, data: bytes) -> None:
        if data.strip():  # the end of a line is often written by itself
            self._dropped += 1
            metrics.LOG_RECORDS_DROPPED.inc()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = self._waiting[0]
            is_written = self._write_out(data)
            with self._changed:
                self._waiting.popleft()
                self._waiting_bytes -= len(data)
                if not is_written:
                    self._drop(data)
                flows_again = is_written and not self._waiting
                dropped = self._dropped if flows_again else 0
                self._dropped -= dropped
                self._changed.notify_all()
            if dropped:
                log.warning("records of the log were dropped", count=dropped)

    def _write_out(self, data: bytes) -> bool:
        """Write data; return whether all of it was written. Blocks, without limit."""
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:  # another process, which has it too, made it so
                select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True


def wait_for_nobody() -> None:
    """Put relays in place of standard output and error, for good.

    At the process' end, data that waits has a second to be written.
    """
    relays = [Relay(1), Relay(2)]
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(cast(BinaryIO, relay), "utf-8", "backslashreplace", write_through=True)
        for relay in relays
    )

    def finish() -> None:
        ends_at = time.monotonic() + LOG_LAST_SECONDS_MAX
        for relay in relays:
            relay.finish(ends_at)

    atexit.register(finish)
    if faulthandler.is_enabled():
        _let_a_crash_wait_for_nobody()


def _let_a_crash_wait_for_nobody() -> None:
    """Have Python's last words written without blocking. They go to a copy of descriptor 2."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY
    with suppress(OSError):  # a socket, or no /proc: then it stays as it is
        faulthandler.enable(os.open("/proc/self/fd/2", flags))


class _StandardError(io.TextIOBase):
    """Writes records to standard error. A full disk or a closed pipe costs a record alone."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


class Thinner:
    """Drops records that one or all addresses cause too often. A processor."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends_at = -inf  # the minute in which these were counted
        self._records: Counter[tuple[str, str]] = Counter()  # by event and address; "": all of them
        self._unwritten: Counter[str] = Counter()  # by event, since the last one that was written

    def __call__(
        self, _logger: object, _method: str, record: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        """Return the record. Raises DropEvent when it is one too many."""
        now = self._clock()
        if now >= self._ends_at:
            self._ends_at = now + 60
            self._records.clear()
        event = record["event"]
        counted = {(event, ""): LOG_RECORDS_A_MINUTE_MAX}
        if "address" in record:
            counted[event, origin(record["address"])] = LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX
        if any(self._records[key] >= most for key, most in counted.items()):
            self._unwritten[event] += 1
            raise structlog.DropEvent
        self._records.update(counted.keys())
        if event in self._unwritten:
            record["unwritten"] = self._unwritten.pop(event)
        return record


def _escape(
    _logger: object, _method: str, record: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape unprintable characters: so no record moves a reader's cursor."""
    return {
        key: _plain(key, each) if isinstance(each, str) else each for key, each in record.items()
    }


def _plain(key: str, text: str) -> str:
    kept = "\n" if key == "exception" else ""  # a traceback has lines
    return "".join(
        [c if c.isprintable() or c == kept else c.encode("unicode_escape").decode() for c in text]
    )


def configure(log_format: str) -> None:
    """Write records for people ("console") or for programs ("json")."""
    processors: list[structlog.typing.Processor] = [
        Thinner(),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if log_format == "json":
        processors += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        processors += [structlog.processors.format_exc_info, _escape]
        processors.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )
