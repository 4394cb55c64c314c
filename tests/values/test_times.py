"""Times and spans, as people read and type them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bounds import SPAN_SECONDS_MAX
from app.chat.server.shutdown import reminders
from app.values.times import format_span, minute, minute_since, parse_span, span_in_words


def _at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp() * 1000)


NOON = _at(2026, 11, 22, 12, 0)


# A time of today is told without its date, any other with it; days are those of UTC.
@pytest.mark.parametrize(
    ("at", "told"),
    [
        (NOON, "12:00"),
        (_at(2026, 11, 22, 0, 0), "00:00"),
        (_at(2026, 11, 22, 23, 59, 59), "23:59"),
        (_at(2026, 11, 21, 23, 59, 59), "2026-11-21 23:59"),
        (_at(2025, 11, 22, 12, 0), "2025-11-22 12:00"),
        (_at(2026, 11, 23, 0, 0), "2026-11-23 00:00"),
    ],
)
def test_minute_since(at: int, told: str) -> None:
    assert minute_since(at, NOON) == told
    assert minute(at).endswith(told)


# A span is whole numbers, each with a unit, and nothing else is one.
@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        *(("30m", 1800), ("2h", 7200), ("2H", 7200)),
        ("7d", 604_800),
        ("3650d", SPAN_SECONDS_MAX),
        ("007d", 604_800),
        *(("2h30m", 9_000), ("30m2h", 9_000)),
        ("1W2D3H4M5S", 788_645),
        ("520w", 520 * 604_800),
        *((text, None) for text in ("", "30", "m", "1.5h", "-1h", "+1h", "2 h", "２h", "٣m")),
        *((text, None) for text in ("60", "10min", "3mo", "1y", "1h30", "h1", "1hh", "5x", "1ſ")),
        *((text, None) for text in ("1" * 40 + "m", "9" * 5000, "1_0m", "1e3m", "2h,30m")),
    ],
)
def test_parse_span(text: str, seconds: int | None) -> None:
    assert parse_span(text) == seconds


# A span of no time, or of over ten years, is refused.
@pytest.mark.parametrize(
    "text", ["0s", "0d", "3651d", "3649d25h", "522w", "999999999d", "9999999999s"]
)
def test_spans_out_of_bounds(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text} is too .*; it is from 1s to 3650d"):
        parse_span(text)


# A span is told as it could be typed.
@given(st.integers(1, SPAN_SECONDS_MAX))
def test_spans_are_told_as_typed(seconds: int) -> None:
    assert parse_span(format_span(seconds)) == seconds


# The unit is the largest that tells it whole, in words with an s unless there is one of it.
@pytest.mark.parametrize(
    ("seconds", "text", "said"),
    [
        (1, "1s", "1 second"),
        (60, "1m", "1 minute"),
        (90, "90s", "90 seconds"),
        (5400, "90m", "90 minutes"),
        (7200, "2h", "2 hours"),
        (86_400, "1d", "1 day"),
        (172_800, "2d", "2 days"),
    ],
)
def test_format_span(seconds: int, text: str, said: str) -> None:
    assert (format_span(seconds), span_in_words(seconds)) == (text, said)


# A shutdown is said at once, again when there is time to act upon it, and is then due.
@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (10, [(0, 10), (10, 0)]),
        (300, [(0, 300), (180, 120), (60, 60), (30, 30), (20, 10), (10, 0)]),
    ],
)
def test_reminders_of_a_shutdown(seconds: int, said: list) -> None:
    assert list(reminders(seconds)) == said
