"""Events as programs read them: one JSON object a line, with the fields of app/protocol/.

The answer to a request has the id of that request. Every other object has `event`, the name of the
event. Times are RFC 3339, in UTC.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from json.encoder import encode_basestring as _quoted
from typing import Any

from pydantic import TypeAdapter

from app.protocol import COMMANDS, EVENTS, devices, files, moderation, removal, rooms, server, talk
from app.protocol.command import Level
from app.protocol.event import Answer, Done, Event, Noticed
from app.values.names import harmless
from app.values.times import instant
from app.wires.words import sentence


@dataclass(slots=True)
class SaidDone(Answer):
    """The command was carried out."""

    sentence: str


@dataclass(slots=True)
class Greeting(Answer):
    """The answer to a ping before login: the server is there, and how to log in."""

    sentence: str
    is_registration_open: bool
    needs_tls: bool


@dataclass(slots=True)
class Notice(Event):
    """The server says something to all users."""

    sentence: str


# The events for programs in place of those with words in app/wires/words.py.
IN_WORDS: Mapping[type[Event], type[Event]] = {
    Done: SaidDone,
    Noticed: Notice,
    server.Greeted: Greeting,
}
EVENT_NAMES: Mapping[type[Event], str] = {
    talk.Said: "message",
    talk.SaidEncrypted: "message",
    rooms.Joined: "joined",
    rooms.Left: "left",
    rooms.Disconnected: "disconnected",
    moderation.Kicked: "kicked",
    moderation.Banned: "banned",
    moderation.Unbanned: "unbanned",
    moderation.Muted: "muted",
    moderation.Unmuted: "unmuted",
    moderation.Promoted: "promoted",
    moderation.Demoted: "demoted",
    moderation.TopicSet: "topic",
    rooms.Encrypted: "encrypted",
    rooms.RosterChanged: "roster",
    rooms.OwnerSet: "owner",
    rooms.Renamed: "renamed",
    rooms.Deleted: "deleted",
    removal.Purged: "purged",
    talk.PrivatelySaid: "private",
    talk.PrivatelySaidEncrypted: "private",
    files.FileShared: "file",
    files.FileSent: "file",
    Notice: "notice",
    devices.DeviceMailCame: "td",
    devices.KeysLow: "keys_low",
    devices.DevicesChanged: "keys_changed",
}
# Fields for other wires alone, or shown as lines of their own.
HIDDEN: Mapping[type[Event], set[str]] = {
    rooms.Entered: {"messages", "now"},
    talk.HistoryShown: {"now"},
    talk.Stored: {"tag"},
    files.UploadOffered: {"path", "server"},
    files.DownloadOffered: {"server"},
    rooms.PeopleListed: {"after"},
    rooms.RosterShown: {"after"},
    rooms.RoomsListed: {"after"},
    moderation.SanctionsListed: {"after"},
    moderation.ServerSanctionsListed: {"after"},
}
# Events that may be shown again later; they are marked then.
REPLAYED = (
    talk.Said,
    talk.SaidEncrypted,
    talk.PrivatelySaid,
    talk.PrivatelySaidEncrypted,
)
_MARK = ',"is_replayed":true'


def render(event: Event) -> bytes:
    """Return the lines of an event that is no answer."""
    if isinstance(event, server.Connected):
        return b""  # a program speaks first
    if isinstance(event, moderation.SentOut):
        return render(event.fact)
    if isinstance(event, talk.MailShown):
        notice = _event(talk.OlderMailKept(event.older)) if event.older else b""
        return notice + b"".join(_event(said, _MARK) for said in event.messages)
    return _event(event)


def render_answer(answer: Answer, tag: str) -> bytes:
    """Return a request's answer, and the messages replayed after it."""
    if isinstance(answer, server.Rejection):
        refusal = {"error": answer.code, "message": harmless(sentence(answer))}
        return _line(f'"id":{tag},"ok":false', _dump(refusal))
    if isinstance(answer, talk.Stored):  # the answer to each message
        return f'{{"id":{tag},"ok":true,"message_id":{answer.message_id}}}\n'.encode()
    replayed = answer.messages if isinstance(answer, rooms.Entered) else ()
    return _line(f'"id":{tag},"ok":true', _fields(_in_words(answer))) + b"".join(
        _event(said, _MARK) for said in replayed
    )


def render_done(tag: str) -> bytes:
    """Return the answer to a request without fields to show."""
    return _line(f'"id":{tag},"ok":true', b"{}")


def _event(event: Event, mark: str = "") -> bytes:
    if by_hand := _BY_HAND.get(type(event)):
        return f'{{"event":"message"{mark},{by_hand(event)}}}\n'.encode()
    shown = _in_words(event)
    return _line(f'"event":"{EVENT_NAMES[type(shown)]}"{mark}', _fields(shown))


def _said(said: talk.Said) -> str:
    """Return the fields as the adapter does, at half its price: most lines are such."""
    return (
        f'"room":{_quoted(said.room)},"user":{_quoted(said.user)},"body":{_quoted(said.body)},'
        f'"at":"{instant(said.at)}","is_action":{"true" if said.is_action else "false"},'
        f'"id":{said.id}'
    )


def _said_encrypted(said: talk.SaidEncrypted) -> str:
    return (
        f'"room":{_quoted(said.room)},"user":{_quoted(said.user)},"device":{_quoted(said.device)},'
        f'"enc":{said.enc.dump()},"at":"{instant(said.at)}","id":{said.id}'
    )


_BY_HAND: Mapping[type[Event], Callable[[Any], str]] = {
    talk.Said: _said,
    talk.SaidEncrypted: _said_encrypted,
}


def _line(head: str, fields: bytes) -> bytes:
    comma = b"," if fields != b"{}" else b""
    return b"{%s%s%s\n" % (head.encode(), comma, fields[1:])


def _fields(event: Event) -> bytes:
    if isinstance(event, server.HelpShown):
        return _dump({"ops": _ops(event.command, event.level)})
    kind = type(event)
    return ADAPTERS[kind].dump_json(event, exclude=HIDDEN.get(kind))


def _in_words(event: Event) -> Event:
    """Return an event as programs are shown it."""
    match event:
        case Done():
            return SaidDone(sentence(event))
        case Noticed():
            return Notice(sentence(event))
        case server.Greeted():
            return Greeting(sentence(event), event.is_registration_open, event.needs_tls)
    return event


def _dump(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _ops(word: str, level: Level) -> dict[str, str]:
    """Return the ops of a level with their summaries; with a word, that op alone."""
    docs, op = _all_ops(level), word.removeprefix("/").lower()
    if not op:
        return docs
    return {op: docs[op]} if op in docs else {}


@cache  # any client may ask
def _all_ops(level: Level) -> dict[str, str]:
    kinds = COMMANDS.values()
    return {kind.op: str(kind.__doc__) for kind in kinds if kind.op and kind.is_for(level)}


ADAPTERS: Mapping[type[Event], TypeAdapter[Any]] = {
    kind: TypeAdapter(kind) for kind in (*EVENTS, *IN_WORDS.values())
}
