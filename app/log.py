"""The log: one record a line on standard error, escaped; never a body, a password or a key.

Of each event only so many are written a minute, lest anybody fill the disk. What clients can cause
as often as they like, like a failed login, has an `address` in its record, and is counted by that
as well. The next one that is written says how many were not: `unwritten`.
"""

import io
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TextIO, cast

import structlog

from app.networks import origin
from app.settings import LOG_RECORDS_A_MINUTE_AND_ADDRESS_MAX, LOG_RECORDS_A_MINUTE_MAX


class _StandardError(io.TextIOBase):
    """Where records go. A full disk or a closed pipe costs a record, never who wrote it."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


class Thinner:
    """Drops records of what one address, or all of them, cause too often; a processor."""

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
    """Write what is no text as its escape, lest a record move the cursor of whoever reads it."""
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
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _StandardError())),
        cache_logger_on_first_use=True,
    )
