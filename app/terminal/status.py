"""The two bars of the screen: where one is, and how things stand. Pure."""

from prompt_toolkit.formatted_text import StyleAndTextTuples

from app.terminal.model import Model, Room


def title(model: Model) -> StyleAndTextTuples:
    """Return the top bar: the room and what it is about."""
    room = model.current
    topic = f": {room.topic}" if room.topic else ""
    how = " [encrypted]" if room.is_encrypted else ""
    return [("", f" {room.name or 'Greenroom'}{how}{topic}")]


def user(model: Model) -> StyleAndTextTuples:
    """Return who one is."""
    return [("", f" {model.me} ")]


def place(model: Model) -> StyleAndTextTuples:
    """Return the rooms, each with its number and how much in it is unread."""
    pieces: StyleAndTextTuples = [("", " ")]
    for number, room in enumerate(model.rooms):
        text = f"{number}:{room.name or 'home'}{_unread(room)}"
        is_called = room.is_mentioned
        style = "class:status.mention" if is_called else ""
        pieces.append((style, f"[{text}] " if room is model.current else f"{text} "))
    if model.current.newer:
        pieces.append(("class:status.mention", f"v {model.current.newer} below "))
    return pieces


def weather(model: Model) -> StyleAndTextTuples:
    """Return what else there is to know: people, transfers, latency, the connection."""
    room = model.current
    count = len(room.people)
    parts = [
        model.progress,
        f"{count} {'person' if count == 1 else 'people'}" if room.name else "",
        f"{model.waiting} waiting" if model.waiting > 1 else "",
        _latency(model),
    ]
    return [("", "  ".join(filter(None, parts)) + " ")]


def _unread(room: Room) -> str:
    return f"({room.unread}{'!' if room.is_mentioned else ''})" if room.unread else ""


def _latency(model: Model) -> str:
    if not model.is_connected:
        return "reconnecting..."
    if model.latency_seconds is None:
        return "connected"
    return f"{model.latency_seconds * 1000:.0f} ms"
