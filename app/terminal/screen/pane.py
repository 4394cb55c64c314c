"""Show the rows of a room, a page at a time.

A place in a room is counted from its end, in whole lines and rows of a line. So it means the same
at any width of the screen.
"""

from collections.abc import Callable

from prompt_toolkit.layout.controls import UIContent, UIControl
from typing_extensions import override

from app.terminal.model import Model, Room
from app.terminal.screen.appearance import Row, rows_of


def visible_rows(room: Room, columns: int, height: int) -> list[Row]:
    """Return the rows of a room to show. They are at most `height`."""
    _hold(room, columns)
    rows: list[Row] = []
    lowest = len(room.lines) - 1 - room.newer
    for index in range(lowest, -1, -1):
        upper = _rows(room, index, columns)
        rows[:0] = upper[: len(upper) - room.cut] if index == lowest else upper
        if len(rows) >= height:
            break
    return rows[-height:]


def scroll(room: Room, count: int, columns: int, height: int) -> bool:
    """Move up by so many rows; down, if negative. Returns whether the top was reached."""
    _hold(room, columns)
    room.cut += count
    lowest = len(room.lines) - 1
    while room.newer < lowest and room.cut >= len(_rows(room, lowest - room.newer, columns)):
        room.cut -= len(_rows(room, lowest - room.newer, columns))
        room.newer += 1
    while room.cut < 0 and room.newer:
        room.newer -= 1
        room.cut += len(_rows(room, lowest - room.newer, columns))
    room.cut = max(room.cut, 0)
    missing = height - len(visible_rows(room, columns, height))
    if missing and (room.newer or room.cut):
        scroll(room, -missing, columns, height)
    return bool(missing)


def _hold(room: Room, columns: int) -> None:
    """Keep the place within its line. A line has fewer rows on a wider screen."""
    room.newer = max(0, min(room.newer, len(room.lines) - 1))
    if room.lines and room.cut:
        rows = _rows(room, len(room.lines) - 1 - room.newer, columns)
        room.cut = min(room.cut, len(rows) - 1)


def _rows(room: Room, index: int, columns: int) -> list[Row]:
    return rows_of(room.lines[index], room.lines[index - 1] if index else None, columns)


class Pane(UIControl):
    """Shows the current room, at the bottom of its window."""

    def __init__(self, model: Model, on_top: Callable[[Room], None]) -> None:
        """Call `on_top` to get a room's earlier messages."""
        self._model = model
        self._on_top = on_top
        self._columns, self._height = 80, 20  # as last drawn

    def page(self, direction: int) -> None:
        """Go a page up (1) or down (-1). One row stays on the screen."""
        room, rows = self._model.current, max(1, self._height - 1)
        is_at_top = scroll(room, direction * rows, self._columns, self._height)
        if direction > 0 and is_at_top:
            self._on_top(room)

    def go_to_end(self) -> None:
        """Show the newest lines, and those that come."""
        self._model.current.newer = self._model.current.cut = 0

    @override
    def create_content(self, width: int, height: int) -> UIContent:
        self._columns, self._height = width, height
        rows = visible_rows(self._model.current, width, height)
        empty: Row = [("", "")]
        padded = [empty] * (height - len(rows)) + rows
        return UIContent(lambda number: padded[number], len(padded), show_cursor=False)
