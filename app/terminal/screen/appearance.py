"""Break lines into rows, with colours and times. Pure.

Colours are names of styles, which stand for the terminal's own sixteen colours. With NO_COLOR set,
prompt_toolkit leaves them out, and bold and reverse stay.
"""

import zlib
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.styles import Style
from prompt_toolkit.utils import get_cwidth

from app.terminal.model import Line
from app.wires.text.events import closed_up

Row = StyleAndTextTuples  # pairs of a style and a text

# Legible on a dark and on a light ground; a name keeps its colour.
_NAME_COLOURS = (
    *("ansired", "ansigreen", "ansiblue", "ansimagenta", "ansicyan"),
    *("ansibrightred", "ansibrightblue", "ansibrightmagenta"),
)
STYLE = Style.from_dict(
    {
        "title": "reverse",
        "status": "reverse",
        "status.mention": "bold",
        "status.lost": "bold",
        "time": "ansibrightblack",
        "day": "ansibrightblack",
        "said": "",
        "did": "italic",
        "private": "ansimagenta",
        "fact": "ansibrightblack",
        "answer": "",
        "error": "ansired",
        "notice": "ansicyan",
        "mark": "ansigreen",
        "mention": "bold ansiyellow",
        "prompt": "bold",
        **{f"name{number}": f"bold {colour}" for number, colour in enumerate(_NAME_COLOURS)},
    }
)
_SOURCES = {"own": "» ", "server": "[server] "}  # before lines that are no person's
_COLUMNS_MIN = 8  # of text beside the time; a narrower screen cuts rows off


def name_style(name: str) -> str:
    """Return the style of a name, always the same."""
    return f"class:name{zlib.crc32(name.casefold().encode()) % len(_NAME_COLOURS)}"


def local_minute(at: int) -> str:
    """Return a time (ms) as on the user's clock: 14:02."""
    return datetime.fromtimestamp(at / 1000).astimezone().strftime("%H:%M")


def local_day(at: int) -> str:
    """Return the day of a time (ms): 22 November 2026."""
    return datetime.fromtimestamp(at / 1000).astimezone().strftime("%d %B %Y").lstrip("0")


@lru_cache(maxsize=4096)
def rows_of(line: Line, before: Line | None, columns: int) -> list[Row]:
    """Break a line into rows of so many columns.

    On another day than that of the line `before`, the date goes first.
    """
    time = f"{local_minute(line.at)} "
    head, text_style = _head(line), f"class:{'mention' if line.is_mention else line.kind}"
    rows: list[Row] = []
    if before is not None and local_day(before.at) != local_day(line.at):
        rows.append([("class:day", local_day(line.at))])
    told = line.text if line.source == "own" else closed_up(line.text)  # or a row could look so
    wrapped = wrap(head + told, max(columns - len(time), _COLUMNS_MIN))
    for number, text in enumerate(wrapped):
        row: Row = [("class:time", time if number == 0 else " " * len(time))]
        if number == 0 and head and text.startswith(head):
            row += _coloured(line, head)
            text = text.removeprefix(head)
        rows.append([*row, (text_style, text)])
    return rows


def _head(line: Line) -> str:
    """Return the text before a line: mark and author.

    No name has a blank, a bracket or such a sign, so a line can't look like another author's.
    """
    mark = f"{line.mark} " if line.mark else ""
    if line.source:
        return mark or _SOURCES[line.source]
    if line.kind == "said":
        return f"{mark}{line.user}: "
    return f"{mark}* {line.user} " if line.kind == "did" else mark


def _coloured(line: Line, head: str) -> Row:
    mark = f"{line.mark} " if line.mark else ""
    marked: Row = [(f"class:{'error' if line.mark == '!' else 'mark'}", mark)] if mark else []
    if head == mark:
        return marked
    if line.source:
        return [("class:time", head)]
    before, name, after = head.removeprefix(mark).partition(line.user)
    return [*marked, ("", before), (name_style(line.user), name), ("", after)]


def wrap(text: str, columns: int) -> Iterator[str]:
    """Yield a text in pieces, each at most so many columns.

    It is broken at blanks where there are any. Widths are those that prompt_toolkit draws with.
    Only the blank of a break is lost.
    """
    begin, blank, width = 0, -1, 0
    for index, character in enumerate(text):
        width += get_cwidth(character)
        if width > columns and index > begin:
            if character == " ":
                end = after = index
            else:
                end = after = blank if blank > begin else index
            after += text[end] == " "
            yield text[begin:end]
            begin, blank = after, -1
            width = get_cwidth(text[begin : index + 1])
        if character == " ":
            blank = index
    yield text[begin:]
