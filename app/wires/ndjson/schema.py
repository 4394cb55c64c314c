"""The NDJSON wire as a JSON Schema, made from its types.

It has a definition for each op's request and answer, for each event, and for the refusal. Two more
are for any line: `request` for those that a program sends, `line` for those that it is sent. It
describes this version to the letter: an object has all of these fields, and no other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, create_model

from app.errors import Code
from app.protocol import accounts, devices, files, moderation, removal, rooms, server, talk
from app.protocol.command import Command
from app.protocol.event import Answer, Event
from app.wires.ndjson.events import ADAPTERS, EVENT_NAMES, HIDDEN, IN_WORDS, REPLAYED
from app.wires.ndjson.requests import OPS, STRICT, RequestId

Schema = dict[str, Any]

# The answers to each op that is not refused: one of these. None is `ok` alone, which is also the
# answer to an op that is not here.
ANSWERS: Mapping[type[Command], tuple[type[Answer] | None, ...]] = {
    accounts.Register: (accounts.LoggedIn,),
    accounts.Login: (accounts.LoggedIn,),
    rooms.Join: (rooms.Entered,),
    rooms.Leave: (rooms.Departed,),
    talk.Say: (talk.Stored,),
    talk.Emote: (talk.Stored,),
    talk.Tell: (talk.PrivatelySent,),
    rooms.Who: (rooms.PeopleListed,),
    rooms.Rooms: (rooms.RoomsListed,),
    rooms.Roster: (rooms.RosterShown,),
    talk.History: (talk.HistoryShown,),
    moderation.Topic: (moderation.TopicShown, None),
    talk.Away: (talk.WentAway, talk.CameBack),
    talk.Ignore: (talk.IgnoredListed, talk.IgnoreBegun),
    talk.Unignore: (talk.IgnoreEnded,),
    moderation.Bans: (moderation.SanctionsListed,),
    accounts.Passwd: (accounts.PasswordChanged,),
    files.Send: (files.UploadOffered,),
    files.Get: (files.DownloadOffered,),
    files.Files: (files.FilesListed,),
    files.Unshare: (files.Unshared,),
    accounts.Unregister: (accounts.AccountDeleted,),
    accounts.Tokens: (accounts.TokensListed,),
    accounts.Sessions: (accounts.SessionsListed,),
    server.Status: (server.StatusShown,),
    server.Ping: (server.Greeted, server.Ponged),
    server.Help: (server.HelpShown,),
    server.Announce: (server.ToldEverybody,),
    accounts.UserDisable: (accounts.AccountDisabled,),
    accounts.UserEnable: (accounts.AccountEnabled,),
    moderation.ServerKick: (moderation.ServerKicked,),
    moderation.ServerBan: (moderation.ServerBanned,),
    moderation.ServerUnban: (moderation.ServerUnbanned,),
    moderation.ServerMute: (moderation.ServerMuted,),
    moderation.ServerUnmute: (moderation.ServerUnmuted,),
    moderation.ServerBans: (moderation.ServerSanctionsListed,),
    accounts.UserList: (accounts.AccountsListed,),
    accounts.UserCreate: (accounts.AccountMade,),
    accounts.UserPassword: (accounts.PasswordSet,),
    accounts.UserAdmin: (accounts.AdminSet,),
    accounts.UserDelete: (accounts.AccountDeleted,),
    rooms.RoomList: (rooms.RoomRecordsListed,),
    rooms.RoomCreate: (rooms.RoomMade,),
    rooms.RoomDelete: (rooms.RoomDeleted,),
    rooms.RoomRename: (rooms.RoomRenamed,),
    rooms.RoomOwner: (rooms.RoomGiven,),
    server.Shutdown: (server.ShutdownPlanned, server.ShutdownCancelled),
    removal.Purge: (removal.Removed,),
    removal.Retention: (removal.RetentionListed, removal.RetentionSet),
    removal.Vacuum: (removal.Vacuumed,),
    server.Backup: (server.BackedUp,),
    devices.KeysPut: (devices.KeysKept,),
    devices.KeysQuery: (devices.DevicesShown,),
    devices.KeysClaim: (devices.KeysHandedOut,),
    devices.KeysChanges: (devices.DeviceChangesListed,),
    devices.DeviceSend: (devices.DeviceMailSent,),
    devices.DeviceFetch: (devices.DeviceMailShown,),
}
_HELP: Schema = {
    "properties": {"ops": {"type": "object", "additionalProperties": {"type": "string"}}}
}


def _model(kind: type[Command]) -> type[BaseModel]:
    """Make the shape of a request: its `op` and `id`, and the fields of its command."""
    hints = get_type_hints(kind, include_extras=True)
    arguments: dict[str, Any] = {
        field.name: (hints[field.name], ... if field.default is MISSING else field.default)
        for field in fields(kind)
    }
    return create_model(
        kind.__name__,
        __config__=STRICT,
        __doc__=kind.__doc__,
        op=(Literal[kind.op], ...),  # type: ignore[arg-type]  # a word that is known when it runs
        id=(RequestId, None),
        **arguments,
    )


REQUESTS: Mapping[str, type[BaseModel]] = {op: _model(kind) for op, kind in OPS.items()}


def schema() -> Schema:
    """Return the schema."""
    parts: Schema = {}  # the types of fields
    requests = {
        f"request_{op}": _taken_apart(model.model_json_schema(), parts)
        for op, model in REQUESTS.items()
    }
    lines = {f"answer_{op}": _answer(ANSWERS.get(kind, (None,)), parts) for op, kind in OPS.items()}
    lines["refusal"] = _refusal()
    lines |= {f"event_{name}": _event(name, parts) for name in EVENT_NAMES.values()}
    either = {"request": _any_of(requests), "line": _any_of(lines)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Greenroom's NDJSON wire",
        "description": "A line: what a program sends (request), or what it is sent (line).",
        **_any_of(either),
        "$defs": either | requests | lines | parts,
    }


def _any_of(names: Iterable[str]) -> Schema:
    return {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}


def _answer(kinds: Iterable[type[Answer] | None], parts: Schema) -> Schema:
    head = {"id": _request_id(), "ok": {"const": True}}
    return _one_of([_closed(head, _shape(kind, parts) if kind else {}) for kind in kinds])


def _one_of(shapes: Sequence[Schema]) -> Schema:
    unlike = [shape for place, shape in enumerate(shapes) if shape not in shapes[:place]]
    return unlike[0] if len(unlike) == 1 else {"anyOf": unlike}


def _refusal() -> Schema:
    head = {"id": _request_id(), "ok": {"const": False}}
    fields = {"error": {"enum": list(get_args(Code))}, "message": {"type": "string"}}
    return _closed(head, {"properties": fields})


def _event(name: str, parts: Schema) -> Schema:
    return _one_of([_event_of(kind, parts) for kind in EVENT_NAMES if EVENT_NAMES[kind] == name])


def _event_of(kind: type[Event], parts: Schema) -> Schema:
    made = _closed({"event": {"const": EVENT_NAMES[kind]}}, _shape(kind, parts))
    if kind in REPLAYED:
        made["properties"]["is_replayed"] = {"const": True}
    return made


def _request_id() -> Schema:
    any_request = REQUESTS[server.Ping.word].model_json_schema()
    return {"anyOf": any_request["properties"]["id"]["anyOf"]}


def _shape(kind: type[Event], parts: Schema) -> Schema:
    """Return the schema of an event as it is shown; the types of its fields go to parts."""
    if kind is server.HelpShown:
        return _HELP
    kind = next((IN_WORDS[base] for base in IN_WORDS if issubclass(kind, base)), kind)
    shape = _taken_apart(ADAPTERS[kind].json_schema(mode="serialization"), parts)
    for name in HIDDEN.get(kind, ()):
        del shape["properties"][name]
    return shape


def _taken_apart(shape: Schema, parts: Schema) -> Schema:
    """Return a schema without titles; the types of its fields go to parts."""
    shape = _untitled(shape)
    for name, part in shape.pop("$defs", {}).items():
        parts[name] = _closed({}, part)
    return shape


def _closed(head: Schema, shape: Schema) -> Schema:
    """Return the schema of an object with these fields: all of them, and no other."""
    fields = head | {
        name: {key: value for key, value in field.items() if key != "default"}
        for name, field in shape.get("properties", {}).items()
    }
    return {
        **({"description": shape["description"]} if "description" in shape else {}),
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }


def _untitled(part: Schema) -> Schema:
    """Return a schema without titles: they only repeat names."""
    return {
        key: {name: _untitled(inner) for name, inner in value.items()}
        if key in ("properties", "$defs")
        else value
        for key, value in part.items()
        if key != "title"
    }
