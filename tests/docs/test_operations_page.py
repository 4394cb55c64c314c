"""docs/operations.md forgets nothing that the server says to its operator, and asks for nothing
that there is not.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from typing import get_args

import click
import pytest

from app import bounds
from app.chat.server.health import _TROUBLES as CONCERNS
from app.cli.main import main
from app.errors import Code
from app.measures import metrics
from app.settings import Settings
from docs.tables import is_limit
from tests.kit.source import APP, calls, pattern_of

ROOT = APP.parent
PAGE = (ROOT / "docs" / "operations.md").read_text()
LOG = ("info", "warning", "error", "exception")
_SAID = re.compile(r"^\| [^`].*? \|", re.M)  # by the server, and not to it
COMMANDS = re.findall(r"\bmanage\.py ([a-z][^`#|\n]*)", _SAID.sub("", PAGE))


def _calls(*names: str) -> Iterator[tuple[str, str, str]]:
    """Yield each call of these in the source: its name, its first argument, and where it is."""
    for path in sorted(APP.rglob("*.py")):
        for name, call in calls(path):
            if name in names and isinstance(call.args[0], ast.Constant | ast.JoinedStr):
                place = f"{path.relative_to(APP)}:{call.lineno}"
                yield name, pattern_of(call.args[0]), place


def _rows(chapter: str, header: str) -> list[list[str]]:
    """Return the cells of each row of the tables in a chapter that begin with a header."""
    text = re.split(r"\n##+ ", PAGE.partition(f"# {chapter}\n")[2])[0]
    tables = re.findall(rf"^\| {header}.*\n\| -.*\n((?:\|.*\n)+)", text, re.M)
    return [line.strip("| ").split(" | ") for table in tables for line in table.splitlines()]


RECORDS = list(_calls(*(f"log.{level}" for level in LOG), "note"))
REFUSALS = list(_calls("StartRefused", "DatabaseInUse"))
RECORD_ROWS = [(row[0].strip("`"), row[1]) for row in _rows("What the log says", "record")]
REFUSAL_ROWS = [row[0] for row in _rows("It does not start", "it says")]


# What the log can say is in the table, at its level.
@pytest.mark.parametrize(("name", "pattern", "place"), RECORDS, ids=lambda value: value)
def test_every_record_is_explained(name: str, pattern: str, place: str) -> None:
    level = name.replace("note", "log.info").replace("exception", "error").removeprefix("log.")
    assert any(re.fullmatch(pattern, record) and level == at for record, at in RECORD_ROWS)


# Why a server does not start, or a command does nothing, is in the other tables.
@pytest.mark.parametrize(("name", "pattern", "place"), REFUSALS, ids=lambda value: value)
def test_every_refusal_to_start_is_explained(name: str, pattern: str, place: str) -> None:
    assert any(re.fullmatch(pattern, row) for row in REFUSAL_ROWS)


# Nothing is explained that nobody says any more.
@pytest.mark.parametrize("row", [record for record, _ in RECORD_ROWS] + REFUSAL_ROWS)
def test_nothing_else_is_explained(row: str) -> None:
    assert any(re.fullmatch(pattern, row) for _, pattern, _ in RECORDS + REFUSALS)


# Each command on the page is one that there is, with arguments that it takes.
@pytest.mark.parametrize("line", sorted({line.strip() for line in COMMANDS}))
def test_every_command_is_one(line: str) -> None:
    command: click.Command = main
    words = shlex.split(line)
    while isinstance(command, click.Group):
        assert words, f"{line} is a group of commands"
        command = command.commands[words.pop(0)]
    if words:  # the name alone stands in the prose
        command.make_context(line, words)


# Each limit that can be set is in the table of limits, once, in the order of the settings.
def test_every_limit_is_there() -> None:
    limits = [each.name for each in fields(Settings) if is_limit(each.default)]
    rows = [row[0].strip("`") for row in _rows("Limits", "setting")]
    assert rows == [f"GREENROOM_{name.upper()}" for name in limits]


KEPT_ROWS = _rows("What peers make the server keep", "what grows")
METRICS = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.M))
LABELS = {"": {""}, "code": set(get_args(Code)), "what": set(get_args(metrics.Kept))}
_OF_ONE = re.compile(r"_A_(USER|ROOM|DEVICE|SESSION)_MAX$|_KEPT_MAX$|_OF_ONE_MAX$")


def _kept() -> list[str]:
    """Return the names of the bounds of what peers make the server keep."""
    settings = [each.name for each in fields(Settings) if each.type is bounds.Kept]
    return [*bounds.__annotations__, *(f"GREENROOM_{name.upper()}" for name in settings)]


# Each bound of what peers make the server keep is in the table, once; no other is.
def test_every_bound_is_there() -> None:
    assert sorted(row[1].strip("`") for row in KEPT_ROWS) == sorted(_kept())
    of_one = {name for name in vars(bounds) if _OF_ONE.search(name)}
    assert of_one <= set(_kept()), "say in app/bounds.py that it is Kept"


# Each row says what it takes, who loses first, and a metric that there is.
@pytest.mark.parametrize("row", KEPT_ROWS, ids=lambda row: row[1].strip("`"))
def test_every_bound_is_seen(row: list[str]) -> None:
    assert len(row) == 5
    assert all(row)
    name, label, value = re.fullmatch(r'`(\w+)(?:\{(\w+)="(\w+)"\})?`', row[4]).groups("")
    assert name in METRICS
    assert value in LABELS[label]


# The page on trouble names each concern that `status` may have.
def test_every_concern_is_named() -> None:
    page = (ROOT / "docs" / "trouble.md").read_text()
    assert [name for name, _ in CONCERNS if f"`{name}`" not in page] == []
