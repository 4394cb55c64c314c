"""The schema of the NDJSON wire: up to date, sound, and what the wire itself goes by."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from app.errors import Refusal
from app.protocol import COMMANDS
from app.wires.ndjson.requests import parse_request
from app.wires.ndjson.schema import ANSWERS, schema
from tests.kit.program import check

COMMITTED = Path(__file__).parents[2] / "docs" / "protocol" / "schema.json"

# What is wrong with a request; the wire and the schema say so both.
WRONG = [
    {"op": "shout"},
    {"op": 3},
    {"op": "me"},
    *({"op": "say", "body": body} for body in ("", None)),
    *({"op": "say", "body": "x", "txn": txn} for txn in ("x" * 65, "a\0b")),
    {"op": "say", "body": "x", "text": "x"},
    *({"op": "history", "count": count} for count in (0, 1001, True, "1")),
    {"op": "history", "after": -1},
    *({"op": "history", "before": number} for number in (1 << 63, 1.5)),
    {"op": "ban", "user": "bob", "seconds": 0},
    {"op": "kick", "user": "bob", "reason": "x" * 201},
    {"op": "tokens", "revoke": 0},
]


# What is committed is what the code has: run `manage.py schema > docs/protocol/schema.json`.
def test_the_committed_schema_is_up_to_date() -> None:
    assert json.loads(COMMITTED.read_text()) == schema()


# manage.py prints it, letter for letter.
def test_it_can_be_printed(run_here, tmp_path: Path) -> None:
    assert run_here(tmp_path, "schema").stdout == COMMITTED.read_text()


# It is a schema by its own standard, and has nothing that is not pointed at.
def test_it_is_sound() -> None:
    made = schema()
    Draft202012Validator.check_schema(made)
    text = json.dumps(made)
    assert all(f'"#/$defs/{name}"' in text for name in made["$defs"])


# The answers that it gives are those of commands that there are.
def test_answers_are_of_commands() -> None:
    assert set(ANSWERS) <= set(COMMANDS.values())


# What the wire refuses for its shape is wrong by the schema.
@pytest.mark.parametrize("request_", WRONG, ids=json.dumps)
def test_wrong_by_both(request_: dict) -> None:
    with pytest.raises(Refusal):
        parse_request(request_)
    shape = {"$defs": schema()["$defs"], "$ref": "#/$defs/request"}
    assert not Draft202012Validator(shape).is_valid(request_)


# The schema is strict: a line with a field too many, or one too few, is not by it.
@pytest.mark.parametrize(
    "line",
    [
        {"event": "joined", "room": "lobby"},
        {"event": "joined", "room": "lobby", "user": "bob", "more": 1},
        {"event": "shouted", "room": "lobby", "user": "bob"},
        {"id": 1, "ok": False, "error": "because", "message": "no"},
    ],
)
def test_it_is_strict(line: dict) -> None:
    with pytest.raises((AssertionError, ValidationError)):
        check("line", line)
