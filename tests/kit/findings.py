"""What a check that did not hold says in one line, also when it came from beneath the check."""

import traceback
from pathlib import Path

_TESTS = Path(__file__).parents[1]


def describe(error: Exception) -> str:
    """Return an exception's type, its text, and where in the tests it was, outermost file first.

    An assertion without a text is told by its source. Of many lines, the first and the last stand.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_TESTS)
    ]
    lines = str(error).strip().splitlines() or [frame.line or "" for frame in frames[-1:]]
    text = " ... ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))
    places = {Path(frame.filename).name: frame.lineno for frame in frames}  # the last in each file
    where = ", ".join(f"{name}:{number}" for name, number in places.items())
    return f"{type(error).__name__}: {text}, {where}"
