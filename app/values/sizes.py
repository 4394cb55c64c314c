"""Numbers as people write them; sizes and counts as people say them."""

import re
from collections.abc import Callable

_WHOLE = re.compile(r"[0-9]{1,18}")  # no database could hold one with more digits
_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")


def parse_whole(text: str) -> int | None:
    """Read a whole number; None when the text is none.

    Only the digits 0 to 9 count: no sign, blank, underscore, or digit of another script.
    """
    return int(text) if _WHOLE.fullmatch(text) else None


def parse_decimal(text: str) -> float | None:
    """Read a number like 1.5; None when the text is none. The same digits count."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def format_size(size: float | None) -> str:
    """Return a number of bytes: 12 KB, 1.5 MB; - for None."""
    if size is None:
        return "-"
    value, units = float(size), ["B", "KB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    digits = 1 if value < 9.95 and value % 1 else 0
    return f"{value:.{digits}f} {units[0]}"


def format_count(number: int, what: str) -> str:
    """Return a number with its noun: 1 message, 2 messages."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds; it raises ValueError."""

    def read(text: str) -> int:
        number = parse_whole(text)
        if number is None or number < least or (most is not None and number > most):
            bounds = f", {least} or more" if most is None else f" from {least} to {most}"
            raise unfit(text, f"a whole number{bounds}")
        return number

    return read


def seconds(most: int) -> Callable[[str], float]:
    """Return a reader of positive numbers, up to a bound. It raises ValueError."""

    def read(text: str) -> float:
        number = parse_decimal(text)
        if not number or number > most:
            raise unfit(text, f"a number over 0, and up to {most}")
        return number

    return read


def unfit(text: str, expected: str) -> ValueError:
    """Return the error about a text of the wrong form."""
    return ValueError(f"{text!r} can't be; it must be {expected}")
