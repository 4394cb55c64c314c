"""Check events and answers at the door. Pure.

A program goes on, whatever its server sends. An object without the shape that this library reads is
no event, and no answer to a request. A server can't say what only the client may: that the
connection was lost, or that something is missing.
"""

from __future__ import annotations

import unicodedata
from typing import Any

ID_MAX = (1 << 53) - 1  # programs in other languages mix up numbers above it

# Events that only this library makes; see `Client.events`.
OWN_EVENTS = frozenset({"reconnecting", "connected", "shut_out", "missed", "gap"})

_EVENTS: dict[str, dict[str, type]] = {
    "message": {"room": str, "id": int},
    "kicked": {"room": str, "user": str},
    "banned": {"room": str, "user": str},
    "deleted": {"room": str},
    "renamed": {"room": str, "name": str},
}
_ANSWERS: dict[str, dict[str, type]] = {
    "login": {"user": str},
    "register": {"user": str},
    "say": {"message_id": int},
    "me": {"message_id": int},
    "msg": {"message_id": int},
    "join": {"room": str, "last_id": int, "is_complete": bool},
    "leave": {"room": str},
    "history": {"room": str, "messages": list, "last_id": int, "has_more": bool},
}
# A field of a request, and the field of its answer that must be the same.
_SAME = (("room", "room"), ("user", "recipient"), ("file", "file"), ("name", "user"))


def is_event(said: dict[str, Any]) -> bool:
    """Return whether an object can be a server's event."""
    name = said.get("event")
    if not isinstance(name, str) or name in OWN_EVENTS:
        return False
    return _has(said, _EVENTS.get(name, {})) and (name != "message" or said["id"] > 0)


def is_answer(request: dict[str, Any], said: dict[str, Any]) -> bool:
    """Return whether an object can answer a request.

    It must be whole, and about the same room, user and file.
    """
    op = str(request.get("op"))
    if not _has(said, _ANSWERS.get(op, {})):
        return False
    if op == "history" and not all(_is_of(message, said["room"]) for message in said["messages"]):
        return False
    if not isinstance(said.get("token", ""), str | None):
        return False
    pairs = _SAME if op in ("login", "register") else _SAME[:-1]
    return all(
        _is_same(request[asked], said[answered])
        for asked, answered in pairs
        if asked in request and answered in said
    )


def is_same_name(one: str, other: str) -> bool:
    """Return whether two names mean the same user or room. Names are compared as servers do."""
    return _folded(one) == _folded(other)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _is_same(asked: object, answered: object) -> bool:
    if isinstance(asked, str) and isinstance(answered, str):
        return is_same_name(asked, answered)
    return type(asked) is type(answered) and asked == answered


def _is_of(message: object, room: str) -> bool:
    """Return whether an object is a message of a room."""
    if not isinstance(message, dict) or not _has(message, _EVENTS["message"]):
        return False
    return is_same_name(message["room"], room) and message["id"] > 0


def _has(said: dict[str, Any], shape: dict[str, type]) -> bool:
    """Return whether an object has fields of these types.

    True is no number, and a number is from 0 to ID_MAX.
    """
    return all(
        type(said.get(field)) is kind and (kind is not int or 0 <= said[field] <= ID_MAX)
        for field, kind in shape.items()
    )
