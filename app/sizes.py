"""Numbers as people write them; sizes and counts as people say them."""

import re

_WHOLE = re.compile(r"[0-9]{1,18}")  # what has more, no database could hold
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")


def parse_whole(text: str) -> int | None:
    """Read a whole number; None when the text is none.

    Only the digits 0 to 9 count: no sign, blank, underscore, or digit of another script.
    """
    return int(text) if _WHOLE.fullmatch(text) else None


def parse_decimal(text: str) -> float | None:
    """Read a number like 1.5; None when the text is none. It has the same digits."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def format_size(size: float | None) -> str:
    """Return a number of bytes as 12 KB, or 1.5 MB; and - when it is not known."""
    if size is None:
        return "-"
    value, units = float(size), ["B", "KB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    digits = 1 if value < 9.95 and value % 1 else 0
    return f"{value:.{digits}f} {units[0]}"


def format_count(number: int, what: str) -> str:
    """Return how many there are: 1 message, 2 messages."""
    return f"{number} {what}{'' if number == 1 else 's'}"
