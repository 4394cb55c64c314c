"""What the server tells, at the door: nothing but what it may say, each field of its type. Pure.

A server may be anybody's. Whatever it sends comes through here first: an event keeps the fields
that it has on the wire, and no others; a text of it can't move a cursor; a name has nothing but
what names have; a number is one, and bounded. What is not so is no event.

What only this program can say of a message, such as its mark, is never a key of an event: it stands
beside it (`Verdict`, in model.py).
"""

import json
import re
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from app.client.incoming import ID_MAX
from app.protocol.rooms import Renamed
from app.values.names import harmless
from app.wires.ndjson.events import EVENT_NAMES, REPLAYED

Json = Mapping[str, Any]

# What app.client says itself, which no server can: see app/client/incoming.py.
OF_THE_CLIENT = {"reconnecting", "connected", "shut_out", "missed"}

_DEPTH_MAX = 6  # of lists in objects that the server sends: twice what the wire has
_ITEMS_MAX = 1_000  # of one list: as many as a page of history
_CHARS_MAX = 16_384  # of one text: several times what a server lets anybody say
_NAME_CHARS_MAX = 128  # four times what a server lets anybody have

# What joins, colours or widens an emoji: terminals disagree on how many columns the whole then has,
# and where one thinks otherwise than prompt_toolkit, remains of other rows would stand in this one.
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
_VARIANTS = re.compile(f"\ufe0f|(?<=[{_EMOJI}\ufe0f])\u200d|(?<=[{_EMOJI}])[\U0001f3fb-\U0001f3ff]")

_NAMES = ("user", "by", "recipient", "to", "room", "author")
_OPERATOR = "(operator)"  # who is no user, and does what manage.py is told
# What tells two events of one name apart.
_PARTS = {"message": "enc", "private": "enc", "file": "room"}
_STORED = {"message", "private", "file"}  # under an id
_TIMES = {"at", "until", "made_at", "used_at", "connected_at"}
AT_MAX = 32_503_680_000_000  # the year 3000: later ones are beyond what calendars can

_KINDS = {
    name: [kind for kind in EVENT_NAMES if EVENT_NAMES[kind] == name]
    for name in EVENT_NAMES.values()
}
_FIELDS = {kind: [each.name for each in fields(kind)] for kind in EVENT_NAMES}
_SHAPES: Mapping[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in EVENT_NAMES}


class Arrived(dict[str, Any]):
    """An event that came through here, or that app.client made."""


def event_of(said: Json) -> Arrived | None:
    """Return what a server tells as it may be believed to have said it; None if it is no event."""
    if isinstance(said, Arrived):
        return said
    name = said.get("event")
    if not isinstance(name, str):
        return None
    if name in OF_THE_CLIENT:
        return Arrived(cleaned(said))
    known = {key: cleaned(said[key]) for key in said if key != "enc"} | _encrypted_part(said)
    kind = _kind_of(name, known)
    if kind is None:
        return None
    event = {field: known[field] for field in _FIELDS[kind] if field in known}
    if not _is_whole(kind, event) or (name in _STORED and not event.get("id")):
        return None
    is_replayed = kind in REPLAYED and said.get("is_replayed") is True
    return Arrived(event, event=name, **({"is_replayed": True} if is_replayed else {}))


def page_of(said: Json, room: str) -> list[Arrived]:
    """Return the messages of a page of a room's history, as they may be believed to be."""
    messages = said.get("messages")
    found = [
        event_of(message if isinstance(message, Arrived) else {**message, "event": "message"})
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, Mapping)
    ]
    return [event for event in found if event and event["room"].casefold() == room.casefold()]


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
    """Read a time (RFC 3339); what is none, or in no calendar of ours, is taken for now."""
    try:
        at = round(datetime.fromisoformat(str(instant)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        at = -1
    return at if 0 <= at <= AT_MAX else time.time_ns() // 1_000_000


def with_times(value: Any) -> Any:
    """Return JSON with its times as the events have them."""
    if isinstance(value, list):
        return [with_times(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: milliseconds(item) if isinstance(item, str) and key in _TIMES else with_times(item)
        for key, item in value.items()
    }


def is_name(text: object) -> bool:
    """Whether a text can be somebody's name: so it can't look like a mark, or like two words."""
    return isinstance(text, str) and (
        0 < len(text) <= _NAME_CHARS_MAX
        and all(c.isalnum() or c in "_-." or unicodedata.category(c)[0] == "M" for c in text)
    )


def _encrypted_part(said: Json) -> dict[str, Any]:
    """Return the part that is for devices as it is: they look at every character of it."""
    return {"enc": said["enc"]} if said.get("enc") is not None else {}


def _kind_of(name: str, known: Json) -> type | None:
    """Return which event it is: of two with one name, that which has what came."""
    kinds = _KINDS.get(name, [])
    part = _PARTS.get(name)
    if part is None:
        return kinds[0] if kinds else None
    return next(kind for kind in kinds if (part in _FIELDS[kind]) is (part in known))


def _is_whole(kind: type, event: dict[str, Any]) -> bool:
    names = [*_NAMES, "name"] if kind is Renamed else _NAMES
    if not all(_is_named(event[key]) for key in names if event.get(key) is not None):
        return False
    if not all(0 <= each <= ID_MAX for each in event.values() if type(each) is int):
        return False
    try:
        _SHAPES[kind].validate_json(json.dumps(with_times(event)), strict=True)
    except ValueError:  # pydantic's; what is no JSON
        return False
    return True


def _is_named(name: object) -> bool:
    return is_name(name) or name == _OPERATOR
