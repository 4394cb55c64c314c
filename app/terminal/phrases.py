"""What the server tells, in words: the sentences of the text wire, made from JSON. Pure.

A server may be anybody's: what it sends came through the door (arrivals.py).
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from pydantic import TypeAdapter

from app.protocol import accounts, files, moderation, rooms, server, talk
from app.protocol.event import Event
from app.terminal.arrivals import Json, cleaned, is_name, with_times
from app.wires.ndjson.events import EVENT_NAMES
from app.wires.text.events import render

_EVENTS: Mapping[str, TypeAdapter[Any]] = {
    name: TypeAdapter(reduce(or_, [kind for kind in EVENT_NAMES if EVENT_NAMES[kind] == name]))
    for name in EVENT_NAMES.values()
}
_SENT_OUT: TypeAdapter[moderation.Banned | moderation.Kicked] = TypeAdapter(
    moderation.Banned | moderation.Kicked
)
_ANSWERS: Mapping[str, TypeAdapter[Any]] = {
    "leave": TypeAdapter(rooms.Departed),
    "who": TypeAdapter(rooms.PeopleListed),
    "rooms": TypeAdapter(rooms.RoomsListed),
    "room.roster": TypeAdapter(rooms.RosterShown),
    "bans": TypeAdapter(moderation.SanctionsListed),
    "ignore": TypeAdapter(talk.IgnoredListed),
    "topic": TypeAdapter(moderation.TopicShown),
    "msg": TypeAdapter(talk.PrivatelySent),
    "tokens": TypeAdapter(accounts.TokensListed),
    "file.list": TypeAdapter(files.FilesListed),
    "server.bans": TypeAdapter(moderation.ServerSanctionsListed),
    "user.list": TypeAdapter(accounts.AccountsListed),
    "room.list": TypeAdapter(rooms.RoomRecordsListed),
    "sessions": TypeAdapter(accounts.SessionsListed),
    "status": TypeAdapter(server.StatusShown),
}


def names_in(value: Any) -> set[str]:
    """Return the names of a list, of texts or of objects that have one."""
    items = value if isinstance(value, list) else []
    names = [item.get("name") if isinstance(item, Mapping) else item for item in items]
    return {name for name in names if isinstance(name, str) and is_name(name)}


def event_lines(event: Json) -> list[str]:
    """Return what tells somebody of an event; nothing for one that is not known or not whole."""
    shape = _EVENTS.get(str(event.get("event")))
    return _lines(shape, event) if shape else []


def sent_out_lines(event: Json) -> list[str]:
    """Return what tells somebody that they were kicked or banned themselves."""
    try:
        return _rendered(moderation.SentOut(_SENT_OUT.validate_python(event)))
    except (ValueError, LookupError, ArithmeticError):
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


def away_lines(user: str, answer: Json) -> list[str]:
    """Return what the server tells of somebody who may not see what is for them."""
    away = cleaned(answer.get("away"))
    return [f"{user} is away{f' ({away})' if away else ''}."] if isinstance(away, str) else []


def _lines(shape: TypeAdapter[Any], fields: Json) -> list[str]:
    try:
        return _rendered(shape.validate_python(with_times(fields)))
    except (ValueError, LookupError, ArithmeticError):  # LookupError: what only programs are shown
        return []


def _rendered(event: Event) -> list[str]:
    return render(event).decode().split("\r\n")[:-1]
