"""The log: one record a line on standard error, escaped; never a body, a password or a key."""

import io
import logging
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog


class _StandardError(io.TextIOBase):
    """Where records go. A full disk or a closed pipe costs a record, never who wrote it."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


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
