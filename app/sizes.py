"""Sizes and counts as people say them."""


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
