"""Make the two bars of the screen: title and status. Pure."""

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from app.terminal.model import Model, Room

_MENTION = "class:status.mention"
_EDGE_COLUMNS = 7  # of `<(12!) `


def title(model: Model) -> StyleAndTextTuples:
    """Return the top bar's left: the room and its topic."""
    room = model.current
    topic = f": {room.topic}" if room.topic else ""
    how = " [encrypted]" if room.is_encrypted else ""
    return [("", f" {room.name or 'Greenroom'}{how}{topic}")]


def user(model: Model) -> StyleAndTextTuples:
    """Return the top bar's right: the user's name."""
    return [("", f" {model.me} ")]


def place(model: Model, columns: int) -> StyleAndTextTuples:
    """Return the rooms, with numbers and unread counts.

    If not all fit into so many columns, those beside the current one are shown, and at either end
    the number of others that are unread.
    """
    below = f"v {model.current.newer} below " if model.current.newer else ""
    labels = [_label(model, number) for number in range(len(model.rooms))]
    first, end = _fitting(
        [get_cwidth(label) for label in labels],
        model.rooms.index(model.current),
        columns - len(below) - 1,
    )
    pieces: StyleAndTextTuples = [("", " "), *_edge("<{} ", model.rooms[:first])]
    for room, label in zip(model.rooms[first:end], labels[first:end], strict=True):
        pieces.append((_MENTION if room.is_mentioned else "", label))
    return [*pieces, *_edge("{}> ", model.rooms[end:]), (_MENTION, below)]


def weather(model: Model) -> StyleAndTextTuples:
    """Return the status: people, transfers, latency, the connection."""
    room = model.current
    count = len(room.people)
    parts = [
        model.progress,
        f"{count} {'person' if count == 1 else 'people'}" if room.name else "",
        f"{model.waiting} waiting" if model.waiting > 1 else "",
        _latency(model),
    ]
    return [("", "  ".join(filter(None, parts)) + " ")]


def _label(model: Model, number: int) -> str:
    room = model.rooms[number]
    text = f"{number}:{room.name or 'home'}{_unread(room)}"
    return f"[{text}] " if room is model.current else f"{text} "


def _fitting(widths: list[int], place: int, columns: int) -> tuple[int, int]:
    """Return the range of rooms that fit.

    They are around a place, as even as it goes. The end is not included.
    """
    if sum(widths) <= columns:
        return 0, len(widths)
    first, end, used = place, place + 1, widths[place] + 2 * _EDGE_COLUMNS
    while True:
        sides = [(end - place, end, 0, 1), (place - first, first - 1, 1, 0)]
        for _, number, left, right in sorted(sides):
            if 0 <= number < len(widths) and used + widths[number] <= columns:
                first, end, used = first - left, end + right, used + widths[number]
                break
        else:
            return first, end


def _edge(form: str, hidden: list[Room]) -> StyleAndTextTuples:
    """Return the text for rooms that are not shown. It counts those that are unread."""
    if not hidden:
        return []
    count = sum(room.unread > 0 for room in hidden)
    is_called = any(room.is_mentioned for room in hidden)
    text = f"({count}{'!' if is_called else ''})" if count else ""
    return [(_MENTION if is_called else "", form.format(text))]


def _unread(room: Room) -> str:
    return f"({room.unread}{'!' if room.is_mentioned else ''})" if room.unread else ""


def _latency(model: Model) -> str:
    if not model.is_connected:
        return "reconnecting..."
    if model.latency_seconds is None:
        return "connected"
    return f"{model.latency_seconds * 1000:.0f} ms"
