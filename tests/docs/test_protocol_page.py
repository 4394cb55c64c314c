"""The pages for programs in docs/protocol/ have all there is, and their examples are right."""

import json
import re
from pathlib import Path

import pytest

from app.wires.ndjson.events import EVENT_NAMES
from app.wires.ndjson.schema import REQUESTS, schema
from tests.kit.program import check_sent

FOLDER = Path(__file__).parents[2] / "docs" / "protocol"
PAGES = "".join((FOLDER / page).read_text() for page in ("ndjson.md", "devices.md"))
EXAMPLES = re.findall(r"^ {4}(> )?(\{.*\})$", PAGES, re.M)
DEFINITIONS = schema()["$defs"]


def _row(op: str) -> tuple[str, str]:
    """Return what the table says of an op's fields, and of its answer."""
    ((fields, answer),) = re.findall(rf"^\| `{op}` \| (.*?) ?\| (.*) \|$", PAGES, re.M)
    return fields, answer


def _names(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def _fields(definition: dict) -> set[str]:
    """Return the names of all fields of a definition, those of its parts included."""
    found: set[str] = set()
    for shape in definition.get("anyOf", [definition]):
        for name, field in shape.get("properties", {}).items():
            found.add(name)
            part = field.get("items", {}).get("$ref", "").rpartition("/")[2]
            found |= _fields(DEFINITIONS[part]) if part else set()
    return found


# Each example on them is right by the schema: an answer, and the request above it, by its op's.
def test_examples_are_right() -> None:
    assert len(EXAMPLES) > 30
    asked: dict[object, dict] = {}
    for is_sent, text in EXAMPLES:
        line = json.loads(text)
        if is_sent:
            asked[line["id"]] = line
        else:
            check_sent(line, asked.get(line.get("id")))


# Each op has a row, with all of its fields, marked where they may be left out, and all of its
# answer's.
@pytest.mark.parametrize("op", REQUESTS)
def test_every_op_is_described(op: str) -> None:
    fields, answer = _row(op)
    shapes = REQUESTS[op].model_fields
    described = set(re.findall(r"`(\w+)`(\??)", fields))
    wanted = {(name, "" if field.is_required() else "?") for name, field in shapes.items()}
    assert described == wanted - {("op", ""), ("id", "?")}
    answered = _fields(DEFINITIONS[f"answer_{op}"]) - {"id", "ok"}
    if answered & {"messages", "files"}:
        answered.add("id")
    assert answered <= _names(answer)


# Each event is shown by an example, once as it happens, and as it is replayed if it ever is.
@pytest.mark.parametrize("name", EVENT_NAMES.values())
def test_every_event_has_an_example(name: str) -> None:
    shown = [json.loads(text) for is_sent, text in EXAMPLES if not is_sent]
    shown = [line for line in shown if line.get("event") == name]
    fields = _fields(DEFINITIONS[f"event_{name}"])
    assert set().union(*map(set, shown)) == fields
