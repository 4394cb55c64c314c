"""The NDJSON wire as a JSON Schema, made from the types that read requests and write answers.

It has a definition for each op's request and answer, for each event, and for the refusal; and two
for any line: `request` is what a program sends, `line` what it is sent. It describes this version
to the letter: nothing may be missing, and nothing may be there besides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, Literal, get_args, get_type_hints

from pydantic import BaseModel, create_model

from app import commands, device_commands, device_events, events, operations
from app.errors import Code
from app.events import Answer, Event
from app.shapes import Command
from app.wire.ndjson_events import ADAPTERS, EVENT_NAMES, HIDDEN, REPLAYED
from app.wire.ndjson_requests import OPS, STRICT, RequestId

Schema = dict[str, Any]

# What each op is answered with when it is not refused: one of these. None is `ok` and no more, as
# is the answer to an op that is not here.
ANSWERS: Mapping[type[Command], tuple[type[Answer] | None, ...]] = {
    commands.Register: (events.LoggedIn,),
    commands.Login: (events.LoggedIn,),
    commands.Join: (events.Entered,),
    commands.Leave: (events.Departed,),
    commands.Say: (events.Stored,),
    commands.Emote: (events.Stored,),
    commands.Tell: (events.PrivatelySent,),
    commands.Who: (events.PeopleListed,),
    commands.Rooms: (events.RoomsListed,),
    commands.Roster: (events.RosterShown,),
    commands.History: (events.HistoryShown,),
    commands.Topic: (events.TopicShown, None),
    commands.Away: (events.Done,),
    commands.Ignore: (events.IgnoredListed, events.Done),
    commands.Unignore: (events.Done,),
    commands.Bans: (events.SanctionsListed,),
    commands.Passwd: (events.Done,),
    commands.Send: (events.UploadOffered,),
    commands.Get: (events.DownloadOffered,),
    commands.Files: (events.FilesListed,),
    commands.Unshare: (events.Done,),
    commands.Unregister: (events.Done,),
    commands.Tokens: (events.TokensListed,),
    commands.Sessions: (events.SessionsListed,),
    operations.Status: (events.StatusShown,),
    commands.Ping: (events.Greeted, events.Done),
    commands.Help: (events.HelpShown,),
    operations.Announce: (events.Done,),
    operations.UserDisable: (events.Done,),
    operations.UserEnable: (events.Done,),
    operations.ServerKick: (events.Done,),
    operations.ServerBan: (events.Done,),
    operations.ServerUnban: (events.Done,),
    operations.ServerMute: (events.Done,),
    operations.ServerUnmute: (events.Done,),
    operations.ServerBans: (events.ServerSanctionsListed,),
    operations.UserList: (events.AccountsListed,),
    operations.UserCreate: (events.Done,),
    operations.UserPassword: (events.Done,),
    operations.UserAdmin: (events.Done,),
    operations.UserDelete: (events.Done,),
    operations.RoomList: (events.RoomRecordsListed,),
    operations.RoomCreate: (events.Done,),
    operations.RoomDelete: (events.Done,),
    operations.RoomRename: (events.Done,),
    operations.RoomOwner: (events.Done,),
    operations.Shutdown: (events.Done,),
    operations.Purge: (events.Done,),
    operations.Retention: (events.RetentionListed, events.Done),
    operations.Vacuum: (events.Done,),
    operations.Backup: (events.Done,),
    device_commands.KeysPut: (device_events.KeysKept,),
    device_commands.KeysQuery: (device_events.DevicesShown,),
    device_commands.KeysClaim: (device_events.KeysHandedOut,),
    device_commands.KeysChanges: (device_events.DeviceChangesListed,),
    device_commands.DeviceSend: (device_events.DeviceMailSent,),
    device_commands.DeviceFetch: (device_events.DeviceMailShown,),
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
    parts: Schema = {}  # what fields are made of
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
    return shapes[0] if len(shapes) == 1 else {"anyOf": shapes}


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
    any_request = REQUESTS[commands.Ping.word].model_json_schema()
    return {"anyOf": any_request["properties"]["id"]["anyOf"]}


def _shape(kind: type[Event], parts: Schema) -> Schema:
    """Return the schema of what is shown of an event; what its fields are made of goes to parts."""
    if kind is events.HelpShown:
        return _HELP
    shape = _taken_apart(ADAPTERS[kind].json_schema(mode="serialization"), parts)
    for name in HIDDEN.get(kind, ()):
        del shape["properties"][name]
    return shape


def _taken_apart(shape: Schema, parts: Schema) -> Schema:
    """Return a schema without titles; what its fields are made of goes to parts."""
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
    """Return a schema without titles: they say no more than the names of what they stand at."""
    return {
        key: {name: _untitled(inner) for name, inner in value.items()}
        if key in ("properties", "$defs")
        else value
        for key, value in part.items()
        if key != "title"
    }
