"""Requests of programs: reading a line as a command, by the table of commands.

A request is one JSON object: `op`, the name of a command; `id`, which comes back with the answer;
and the command's fields. No value is coerced, and no unknown field is ignored: a refusal names the
field that is wrong.
"""

import json
import re
from collections.abc import Callable, Mapping, Set
from dataclasses import MISSING, fields
from functools import cache
from itertools import accumulate
from typing import Annotated, Any, NamedTuple, NoReturn, NotRequired, get_type_hints

from annotated_types import Ge, Le, MaxLen
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from app.bounds import ID_MAX, REQUEST_ID_CHARS_MAX
from app.errors import BadLine
from app.protocol import COMMANDS
from app.protocol.command import Check, Command, let_all

RequestId = (
    Annotated[int, Ge(-ID_MAX), Le(ID_MAX)] | Annotated[str, MaxLen(REQUEST_ID_CHARS_MAX)] | None
)
STRICT = ConfigDict(strict=True, extra="forbid")
_DIGITS_MAX = len(str(-ID_MAX))  # more are no id, and slow to read
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NESTED_MAX = 32  # far more than requests need; Python's own bound differs by its version
_FIELDS_MAX = 32  # of an object: several times the most of any op; an unknown one costs 15 us
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\1\1\xff\xff")  # as signed numbers: in, in, out, out
_CHARS_SHOWN = 40  # of an unknown op or field, in the refusal
_request_id: TypeAdapter[int | str | None] = TypeAdapter(RequestId, config=ConfigDict(strict=True))


OPS: Mapping[str, type[Command]] = {kind.op: kind for kind in COMMANDS.values() if kind.op}


def parse_object(line: bytes) -> dict[str, Any]:
    """Read a line as a JSON object (RFC 8259). Raises BadLine when it is none, or ambiguous."""
    try:
        text = line.decode()  # strictly: json.loads would guess at UTF-16 and let surrogates pass
        _check_depth(line)
        value = _decoder.decode(text)
        if _SURROGATE.search(text):
            _check_pairs(value)
    except UnicodeDecodeError as error:
        raise BadLine("that line is not UTF-8, and was not used", code="not_utf8") from error
    except ValueError as error:
        raise BadLine(f"that line is no JSON: {error}", code="bad_json") from error
    if not isinstance(value, dict):
        raise BadLine("a request is a JSON object, {...}", code="bad_json")
    return value


def parse_id(request: Mapping[str, Any]) -> str:
    """Return the request's id as JSON, for the answer. Raises BadLine."""
    given = request.get("id")
    if given is None:
        return "null"
    if type(given) is int and -ID_MAX <= given <= ID_MAX:  # as nearly all are
        return str(given)
    try:
        return json.dumps(_request_id.validate_python(given))
    except ValidationError as error:
        raise BadLine(
            f"id: a whole number, or a string of at most {REQUEST_ID_CHARS_MAX} characters",
            code="bad_arguments",
        ) from error


def parse_request(request: Mapping[str, Any], check: Check = let_all) -> Command:
    """Return the command of a request. Raises BadLine, and the refusals of `check`."""
    op = request.get("op")
    if not isinstance(op, str):
        raise BadLine("op: a string, the word of what to do; try help", code="bad_arguments")
    if op not in OPS:
        shown = json.dumps(op[:_CHARS_SHOWN])
        raise BadLine(f"there is no op {shown}; try help", code="unknown_command")
    check(OPS[op])
    reader = _reader(op)
    if unknown := request.keys() - reader.fields:  # named before all else
        raise _bad(min(unknown), "there is no such field")
    try:
        arguments = reader.read(request)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise _bad(
            ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        ) from error
    del arguments["op"]
    arguments.pop("id", None)
    return OPS[op](**arguments)


class _Reader(NamedTuple):
    """Reads the requests of one op: `read` returns a dict, or raises ValidationError."""

    fields: Set[str]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]


@cache
def _reader(op: str) -> _Reader:
    """Make the reader of an op, at its first use. A dict is a third of a model's work."""
    hints = get_type_hints(OPS[op], include_extras=True)
    shape = {"op": Any, "id": NotRequired[Any]}
    for field in fields(OPS[op]):
        hint = hints[field.name]
        shape[field.name] = hint if field.default is MISSING else NotRequired[hint]
    request = TypedDict(op, shape)  # type: ignore[misc]  # known when it runs
    request.__pydantic_config__ = STRICT  # type: ignore[attr-defined]
    return _Reader(shape.keys(), TypeAdapter(request).validator.validate_python)


def _bad(field: str, what: str) -> BadLine:
    return BadLine(f"bad {field[:_CHARS_SHOWN]}: {what}", code="bad_arguments")


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > _FIELDS_MAX:
        raise BadLine(f"an object has at most {_FIELDS_MAX} fields", code="bad_json")
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key occurs twice")
    return made


def _check_depth(line: bytes) -> None:
    """Raise BadLine when a line is nested deeper than any request."""
    if line.count(b"[") + line.count(b"{") <= _NESTED_MAX:
        return
    outside_strings = b"".join(_ESCAPED.sub(b"", line).split(b'"')[::2])
    steps = memoryview(outside_strings.translate(_STEPS, _OTHERS)).cast("b")
    if max(accumulate(steps), default=0) > _NESTED_MAX:
        raise BadLine("that line is nested too deeply", code="bad_json")


def _integer(text: str) -> int:
    if len(text) > _DIGITS_MAX:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _check_pairs(value: object) -> None:
    """Raise ValueError when a surrogate stands alone: that is no text (RFC 8259, 8.2)."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("half of a surrogate pair stands alone") from error


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


_decoder = json.JSONDecoder(
    object_pairs_hook=_unambiguous, parse_constant=_no_number, parse_int=_integer
)
