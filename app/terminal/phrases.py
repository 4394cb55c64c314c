"""What the server tells, in words: the sentences of the text wire, made from JSON. Pure.

A server may be anybody's. Whatever it sends passes `cleaned` first, so that no text of it can move
a cursor, and is checked against the events that it claims to be; what makes no sense is no event.
"""

import re
import time
from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app import events
from app.events import Event
from app.names import harmless
from app.wire.ndjson_events import EVENT_NAMES
from app.wire.text_events import render

Json = Mapping[str, Any]

_DEPTH_MAX = 6  # of lists in objects that the server sends: twice what the wire has
_ITEMS_MAX = 1_000  # of one list: as many as a page of history
_CHARS_MAX = 16_384  # of one text: several times what a server lets anybody say

_EVENTS: Mapping[str, TypeAdapter[Any]] = {
    name: TypeAdapter(reduce(or_, [kind for kind in EVENT_NAMES if EVENT_NAMES[kind] == name]))
    for name in EVENT_NAMES.values()
}
# What joins, colours or widens an emoji: terminals disagree on how many columns the whole then has,
# and where one thinks otherwise than prompt_toolkit, remains of other rows would stand in this one.
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
_VARIANTS = re.compile(f"\ufe0f|(?<=[{_EMOJI}\ufe0f])\u200d|(?<=[{_EMOJI}])[\U0001f3fb-\U0001f3ff]")

_SENT_OUT: TypeAdapter[events.Banned | events.Kicked] = TypeAdapter(events.Banned | events.Kicked)
_ANSWERS: Mapping[str, TypeAdapter[Any]] = {
    "leave": TypeAdapter(events.Departed),
    "who": TypeAdapter(events.PeopleListed),
    "rooms": TypeAdapter(events.RoomsListed),
    "room.roster": TypeAdapter(events.RosterShown),
    "bans": TypeAdapter(events.SanctionsListed),
    "ignore": TypeAdapter(events.IgnoredListed),
    "topic": TypeAdapter(events.TopicShown),
    "msg": TypeAdapter(events.PrivatelySent),
    "tokens": TypeAdapter(events.TokensListed),
    "file.list": TypeAdapter(events.FilesListed),
    "server.bans": TypeAdapter(events.ServerSanctionsListed),
    "user.list": TypeAdapter(events.AccountsListed),
    "room.list": TypeAdapter(events.RoomRecordsListed),
    "sessions": TypeAdapter(events.SessionsListed),
    "status": TypeAdapter(events.StatusShown),
}

_TIMES = {"at", "until", "made_at", "used_at", "connected_at"}


def cleaned(value: Any, depth: int = _DEPTH_MAX) -> Any:
    """Return JSON with every text in it made harmless, and of a bounded size."""
    if isinstance(value, str):
        return _VARIANTS.sub("", harmless(value[:_CHARS_MAX]).replace("\t", "    "))
    if isinstance(value, Mapping) and depth:
        return {cleaned(key): cleaned(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list) and depth:
        return [cleaned(item, depth - 1) for item in value[:_ITEMS_MAX]]
    return None if isinstance(value, Mapping | list) else value


def milliseconds(instant: Any) -> int:
    """Read a time (RFC 3339); what is none is taken for now."""
    try:
        return round(datetime.fromisoformat(str(instant)).timestamp() * 1000)
    except (ValueError, OverflowError):
        return time.time_ns() // 1_000_000


def names_in(value: Any) -> set[str]:
    """Return the names of a list, of texts or of objects that have one."""
    items = value if isinstance(value, list) else []
    names = [item.get("name") if isinstance(item, Mapping) else item for item in items]
    return {name for name in names if isinstance(name, str)}


def event_lines(event: Json) -> list[str]:
    """Return what tells somebody of an event; nothing for one that is not known or not whole."""
    shape = _EVENTS.get(str(event.get("event")))
    return _lines(shape, event) if shape else []


def sent_out_lines(event: Json) -> list[str]:
    """Return what tells somebody that they were kicked or banned themselves."""
    try:
        return _rendered(events.SentOut(_SENT_OUT.validate_python(event)))
    except (ValidationError, ValueError):
        return [f"You are not in {event.get('room')} any more."]


def answer_lines(op: str, answer: Json) -> list[str]:
    """Return what tells somebody how a request was answered, in whatever words there are."""
    answer = cleaned(answer)
    if isinstance(answer.get("sentence"), str):
        return [answer["sentence"]]
    shape = _ANSWERS.get(op)
    lines = _lines(shape, answer) if shape else []
    values = [f"{key}: {value}" for key, value in answer.items() if key not in ("id", "ok")]
    return lines or [", ".join(values) or "Done."]


def _lines(shape: TypeAdapter[Any], fields: Json) -> list[str]:
    try:
        return _rendered(shape.validate_python(_with_times(fields)))
    except (ValidationError, ValueError, KeyError):  # KeyError: what only programs are shown
        return []


def _with_times(value: Any) -> Any:
    """Return JSON with its times as the events have them."""
    if isinstance(value, list):
        return [_with_times(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: milliseconds(item) if isinstance(item, str) and key in _TIMES else _with_times(item)
        for key, item in value.items()
    }


def _rendered(event: Event) -> list[str]:
    return render(event).decode().split("\r\n")[:-1]
