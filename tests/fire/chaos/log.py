"""What must never be in the server's log: tracebacks, and what people said or log in with."""

from collections.abc import Iterator
from pathlib import Path

from tests.fire.chaos.members import BODY_MARK
from tests.fire.chaos.server import PASSWORD
from tests.kit.tail import Tail

CHARS_SHOWN = 800  # of what should not be there
FRAME_LINES_SHOWN = 9
_FORBIDDEN = {
    "Traceback": "a traceback",
    BODY_MARK: "what somebody said",
    PASSWORD: "a password",
    "zqt-": "a token",
    "a batch was not released whole": "a batch that was lost",
}


class LogWatch:
    """Looks through what is new in a log."""

    def __init__(self, path: Path) -> None:
        self._log = Tail(path)

    def faults(self) -> Iterator[str]:
        """Say what is in the log, since last time, that should not be."""
        lines = self._log.new_lines()
        for number, line in enumerate(lines):
            for text, what in _FORBIDDEN.items():
                if text in line:
                    shown = _whole(lines[number:]) if text == "Traceback" else line
                    yield f"the log has {what}: {shown[:CHARS_SHOWN]}"


def _whole(lines: list[str]) -> str:
    """Return the end of a traceback: its last frames, and what was raised."""
    length = next((n for n, line in enumerate(lines[1:], 1) if line[:1].strip()), len(lines))
    return " ".join(line.strip() for line in lines[max(0, length - FRAME_LINES_SHOWN) : length + 1])
