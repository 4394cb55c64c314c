"""Draw rows whole where terminals disagree on their cells.

prompt_toolkit draws the cells that have changed, where it believes that they are. Terminals count
the columns of marks, joiners and emoji differently, and some put a row with letters from right to
left in another order. There a single cell lands elsewhere, and leaves the old text in its place.
"""

import unicodedata
from functools import lru_cache

from prompt_toolkit.application import Application, get_app
from prompt_toolkit.layout import FloatContainer
from prompt_toolkit.layout.mouse_handlers import MouseHandlers
from prompt_toolkit.layout.screen import Char, Screen, WritePosition
from typing_extensions import override

_ON_TOP = 1 << 30  # after all floats
_ERASE_TO_END = "\x1b[K"
_UNLIKE_ALL = Char("", "")  # differs from any new cell, so that the cell is drawn
_RIGHT_TO_LEFT = ("R", "AL", "AN")
_EMOJI = "\U0001f000"  # and on: how wide they are depends on the version of Unicode

_Cells = dict[int, Char]


class WholeRows(FloatContainer):
    """Erases a disputed row that has changed, and draws it whole.

    A row is disputed where terminals disagree.
    """

    @override
    def write_to_screen(
        self,
        screen: Screen,
        mouse_handlers: MouseHandlers,
        write_position: WritePosition,
        parent_style: str,
        erase_bg: bool,
        z_index: int | None,
    ) -> None:
        super().write_to_screen(
            screen, mouse_handlers, write_position, parent_style, erase_bg, z_index
        )
        drawn = get_app().renderer.last_rendered_screen or Screen()
        columns, rows = write_position.width, range(write_position.height)
        screen.draw_with_z_index(_ON_TOP, lambda: _mend(screen, drawn, columns, rows))


def put_cursor(application: Application[None]) -> None:
    """Put the cursor into its column. Wherever the terminal believes it to be in a disputed row."""
    screen = application.renderer.last_rendered_screen
    if screen is not None:
        cursor = screen.get_cursor_position(application.layout.current_window)
        if _is_disputed(screen.data_buffer[cursor.y]):
            application.output.write_raw(f"\r\x1b[{cursor.x}C" if cursor.x else "\r")
            application.output.flush()


def _mend(screen: Screen, drawn: Screen, columns: int, rows: range) -> None:
    for row in rows:
        new, old = screen.data_buffer[row], drawn.data_buffer[row]
        # A mark at the end of a text stands in the letter before it, and once more in its own cell.
        doubled = [column for column, cell in new.items() if cell.char and not cell.width]
        new.update({column: Char(" ", new[column].style) for column in doubled})
        if new != old and (_is_disputed(new) or _is_disputed(old)):
            old.update(dict.fromkeys(range(columns), _UNLIKE_ALL))
            screen.zero_width_escapes[row][0] = _ERASE_TO_END


def _is_disputed(cells: _Cells) -> bool:
    texts = [cell.char for cell in cells.values()]
    return not "".join(texts).isascii() and any(map(_has_disputed_place, texts))


@lru_cache(maxsize=4096)
def _has_disputed_place(text: str) -> bool:
    """Return whether terminals disagree on a cell.

    They put it elsewhere, or count other columns.
    """
    if len(text) != 1:
        return bool(text)
    return unicodedata.bidirectional(text) in _RIGHT_TO_LEFT or text >= _EMOJI
