"""Check all that the server sends, at the door. Pure.

A server may be anyone's. All that it sends comes through here first. An event keeps only the fields
that it has on the wire. Its texts can't move a cursor. Its names have only the characters of names.
Its numbers are numbers, and bounded. An object that is not so is no event.

Things that only this program can say of a message, such as its mark, are never a key of an event:
they stand beside it (`Verdict`, in model.py).
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

# Events of app.client itself, which no server can send: see app/client/incoming.py.
OF_THE_CLIENT = {"reconnecting", "connected", "shut_out", "missed"}

_DEPTH_MAX = 6  # of lists in objects that the server sends: twice what the wire has
_ITEMS_MAX = 1_000  # of one list: as many as a page of history
_CHARS_MAX = 16_384  # of one text: several times what servers let users say
_NAME_CHARS_MAX = 128  # four times what servers let users have

# Characters that join, colour or widen an emoji: terminals disagree on the columns of the result.
# Where one disagrees with prompt_toolkit, remains of other rows stand in this one.
_EMOJI = "\u2190-\u2bff\U0001f000-\U0001faff"
_VARIANTS = re.compile(f"\ufe0f|(?<=[{_EMOJI}\ufe0f])\u200d|(?<=[{_EMOJI}])[\U0001f3fb-\U0001f3ff]")

_NAMES = ("user", "by", "recipient", "to", "room", "author")
_OPERATOR = "(operator)"  # no user: stands for manage.py
# The field that tells two events of one name apart.
_PARTS = {"message": "enc", "private": "enc", "file": "room"}
_STORED = {"message", "private", "file"}  # under an id
_TIMES = {"at", "until", "made_at", "used_at", "connected_at"}
AT_MAX = 32_503_680_000_000  # the year 3000, in ms: calendars can't show later ones

_KINDS = {
    name: [kind for kind in EVENT_NAMES if EVENT_NAMES[kind] == name]
    for name in EVENT_NAMES.values()
}
_FIELDS = {kind: [each.name for each in fields(kind)] for kind in EVENT_NAMES}
_SHAPES: Mapping[type, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in EVENT_NAMES}


class Arrived(dict[str, Any]):
    """An event that came through here, or one of app.client."""


def event_of(said: Json) -> Arrived | None:
    """Return a server's object as a checked event, or None."""
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
    """Return the checked messages of a page of history.

    Those of other rooms than `room` are skipped.
    """
    messages = said.get("messages")
    found = [
        event_of(message if isinstance(message, Arrived) else {**message, "event": "message"})
        for message in (messages if isinstance(messages, list) else [])
        if isinstance(message, Mapping)
    ]
    return [event for event in found if event and event["room"].casefold() == room.casefold()]


def cleaned(value: Any, depth: int = _DEPTH_MAX) -> Any:
    """Return JSON with harmless texts, of a bounded size."""
    if isinstance(value, str):
        return _VARIANTS.sub("", harmless(value[:_CHARS_MAX]).replace("\t", "    "))
    if isinstance(value, Mapping) and depth:
        return {cleaned(key): cleaned(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list) and depth:
        return [cleaned(item, depth - 1) for item in value[:_ITEMS_MAX]]
    return None if isinstance(value, Mapping | list) else value


def milliseconds(instant: Any) -> int:
    """Read a time (RFC 3339), in ms. A text that is no time, or beyond AT_MAX, is taken for now."""
    try:
        at = round(datetime.fromisoformat(str(instant)).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        at = -1
    return at if 0 <= at <= AT_MAX else time.time_ns() // 1_000_000


def with_times(value: Any) -> Any:
    """Return JSON with times in ms, as events have them."""
    if isinstance(value, list):
        return [with_times(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: milliseconds(item) if isinstance(item, str) and key in _TIMES else with_times(item)
        for key, item in value.items()
    }


def is_name(text: object) -> bool:
    """Return whether a text can be a name. Then it can't look like a mark, or like two words."""
    return isinstance(text, str) and (
        0 < len(text) <= _NAME_CHARS_MAX
        and all(c.isalnum() or c in "_-." or unicodedata.category(c)[0] == "M" for c in text)
    )


def _encrypted_part(said: Json) -> dict[str, Any]:
    """Return the encrypted part as it is. Devices look at every character of it."""
    return {"enc": said["enc"]} if said.get("enc") is not None else {}


def _kind_of(name: str, known: Json) -> type | None:
    """Return the class of an event.

    Of two with one name, it is the one that has the fields that came.
    """
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
    except ValueError:  # of pydantic, or for what is no JSON
        return False
    return True


def _is_named(name: object) -> bool:
    return is_name(name) or name == _OPERATOR
