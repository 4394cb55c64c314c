"""Put events and answers into the text wire's sentences. Pure.

A server may be anyone's: its events come through arrivals.py first.
"""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Any

from pydantic import TypeAdapter

from app.protocol import accounts, files, moderation, rooms, server, talk
from app.protocol.event import Event
from app.terminal.arrivals import Json, cleaned, is_name, with_times
from app.wires.ndjson.events import EVENT_NAMES, Notice
from app.wires.text.events import closed_up, render

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
    """Return the names in a list. Its items are texts, or objects that have a `name`."""
    items = value if isinstance(value, list) else []
    names = [item.get("name") if isinstance(item, Mapping) else item for item in items]
    return {name for name in names if isinstance(name, str) and is_name(name)}


def event_lines(event: Json) -> list[str]:
    """Return the lines of an event. There are none for one that is unknown, or not whole."""
    shape = _EVENTS.get(str(event.get("event")))
    return _lines(shape, event) if shape else []


def sent_out_lines(event: Json) -> list[str]:
    """Return the lines for a kicked or banned user."""
    try:
        return _rendered(moderation.SentOut(_SENT_OUT.validate_python(event)))
    except (ValueError, LookupError, ArithmeticError):
        return [f"You are not in {event.get('room')} any more."]


def answer_lines(op: str, answer: Json) -> list[str]:
    """Return the lines of an answer, in any words."""
    answer = cleaned(answer)
    if isinstance(answer.get("sentence"), str):
        return [answer["sentence"]]
    shape = _ANSWERS.get(op)
    lines = _lines(shape, answer) if shape else []
    values = [f"{key}: {value}" for key, value in answer.items() if key not in ("id", "ok")]
    return lines or [", ".join(values) or "Done."]


def away_lines(user: str, answer: Json) -> list[str]:
    """Return the line about an absent user, or none.

    Then the user may not see a message at once.
    """
    away = cleaned(answer.get("away"))
    return [f"{user} is away{f' ({away})' if away else ''}."] if isinstance(away, str) else []


def _lines(shape: TypeAdapter[Any], fields: Json) -> list[str]:
    try:
        return _rendered(shape.validate_python(with_times(fields)))
    except (ValueError, LookupError, ArithmeticError):  # LookupError: it is for programs only
        return []


def _rendered(event: Event) -> list[str]:
    if isinstance(event, Notice):
        return [closed_up(event.sentence)]
    return render(event).decode().split("\r\n")[:-1]
