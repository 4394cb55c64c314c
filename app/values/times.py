"""Times and time spans as people write them. Times are milliseconds UTC, spans whole seconds."""

import time
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

from app.bounds import SPAN_SECONDS_MAX
from app.errors import BadLine

DAY_MILLISECONDS = 86_400_000
TIME_MAX = 253_402_300_799_999  # the last that can be written: the end of the year 9999
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_READ_UNITS = {"w": 7 * 86_400, **_UNITS}  # a span of two weeks is shown as 14d
_SIGNS = "+-~.\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}\N{PLUS-MINUS SIGN}"
_SPAN_CHARS_MAX = 40  # no person means a longer one, and it would be slow to read


def now() -> int:
    """Return the time, in milliseconds UTC."""
    return time.time_ns() // 1_000_000


def instant(at: int) -> str:
    """Return a time as programs read it (RFC 3339): 2026-11-22T14:02:11.123Z."""
    seconds, milliseconds = divmod(at, 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=16)  # most lines are said in the same second as the line before
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


Milliseconds = Annotated[
    int,
    PlainSerializer(instant, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]


def minute(at: int) -> str:
    """Return a time to the minute: 2026-11-22 14:02."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def minute_since(at: int, now: int) -> str:
    """Return a time to the minute, without today's date: 14:02."""
    text, today = minute(at), minute(now)[:10]
    return text.removeprefix(today).lstrip()


def parse_span(text: str) -> int | None:
    """Read a span like 30m, 2h30m or 7D as seconds; None when the text is none.

    It is whole numbers, each with a unit: not 60, 1.5h, 10min or 3mo. Raises ValueError if it is
    too long or too short.
    """
    if not 0 < len(text) <= _SPAN_CHARS_MAX:
        return None
    seconds, number = 0, ""
    for character in text.lower():
        if character in "0123456789":
            number += character
        elif character in _READ_UNITS and number:
            seconds, number = seconds + int(number) * _READ_UNITS[character], ""
        else:
            return None
    if number:
        return None
    if not 0 < seconds <= SPAN_SECONDS_MAX:
        raise ValueError(f"{text} is too long or too short; it is from 1s to 3650d")
    return seconds


def check_reason(seconds: int | None, reason: str) -> None:
    """Refuse a reason that may be a mistyped span. Raises BadLine.

    Else a sanction would last for good, or an act would begin at once.
    """
    word = reason.lstrip()[:_SPAN_CHARS_MAX].partition(" ")[0]
    if seconds is None and _begins_with_number(word):
        raise BadLine(
            f"{word} is no time span: try 30m, 2h30m, 7d or 2w; or begin the reason with a word",
            code="bad_arguments",
        )


def _begins_with_number(word: str) -> bool:
    """Whether a word begins with a number: a digit or fraction of any script, or infinity.

    A sign may be before it.
    """
    first = word.lstrip(_SIGNS)[:1]
    return bool(first) and (first == "\N{INFINITY}" or unicodedata.category(first)[0] == "N")


def format_span(seconds: int) -> str:
    """Return a span as it is typed, in the largest whole unit."""
    unit, size = next((unit, size) for unit, size in _UNITS.items() if seconds % size == 0)
    return f"{seconds // size}{unit}"


def how_long(seconds: int | None) -> str:
    """Return the duration of a sanction in words: for 2h, for good."""
    return "for good" if seconds is None else f"for {format_span(seconds)}"


def until_when(until: int | None, reason: str) -> str:
    """Return a sanction's end and reason: " until 2026-11-22 14:02 UTC (spam)"."""
    ending = "" if until is None else f" until {minute(until)} UTC"
    return ending + (f" ({reason})" if reason else "")


_WORDS = {"d": "day", "h": "hour", "m": "minute", "s": "second"}


def span_in_words(seconds: int) -> str:
    """Return a span in words, in the largest whole unit: 5 minutes."""
    span = format_span(seconds)
    number, unit = span[:-1], _WORDS[span[-1]]
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def format_seconds(seconds: float | None) -> str:
    """Return a measured time: 0.4 ms, 12 ms, 3.2 s, 140 s; and - when there is none."""
    if seconds is None:
        return "-"
    value, unit = (seconds * 1000, "ms") if seconds < 1 else (seconds, "s")
    return f"{value:.{1 if value < 10 else 0}f} {unit}"


def format_uptime(seconds: float) -> str:
    """Return a duration in two units: 3d 4h, 4h 12m, 12m 5s, 5s."""
    rest, parts = int(seconds), list[str]()
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count or parts or unit == "s":
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
