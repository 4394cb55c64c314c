"""What the source says: its calls, and each refusal that it can raise, as a regular expression.

A file is parsed once for all tests of a process: each process that runs tests reads all of them.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from app import errors
from app.protocol import EVENTS
from app.protocol.event import Ended
from app.wires.words import REMEDIES
from tests.kit import ROOT

APP = ROOT / "app"
_KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.Refusal)
}
# What ValueErrors of these files say is told on as the sentence of a refusal, with this code.
_TOLD_ON = {"names.py": "bad_password", "times.py": "bad_arguments"}
# What is given a sentence makes a refusal of it: its code, and which argument the sentence is.
_MADE_BY = {
    "too_many": ("too_many", 0),
    "self._failure": ("login_refused", 2),
    "self._login_failure": ("login_refused", 2),
}
_ENDED = {kind.__name__: kind for kind in EVENTS if issubclass(kind, Ended)}


class RefusalInSource(NamedTuple):
    """One place that refuses; what differs from time to time is `.*` in code and sentence."""

    code: str
    sentence: str
    place: str


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Return each node of a file; the module is the first."""
    return tuple(ast.walk(ast.parse(path.read_text())))


@cache
def calls(path: Path) -> tuple[tuple[str, ast.Call], ...]:
    """Return each call in a file, with the dotted name of what is called: "" if it has none."""
    return tuple((_dotted(node.func), node) for node in nodes(path) if isinstance(node, ast.Call))


def _dotted(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return f"{_dotted(called.value)}.{called.attr}"
    return called.id if isinstance(called, ast.Name) else ""


def pattern_of(text: ast.expr | None) -> str:
    """Return what a text in the source can become; `.*` for what it is made of when it runs."""
    if isinstance(text, ast.Constant):
        return re.escape(str(text.value))
    return "".join(map(pattern_of, text.values)) if isinstance(text, ast.JoinedStr) else ".*"


@cache
def _given(path: Path) -> dict[str, list[ast.expr]]:
    """Return what a file's names are set to, where that is a text or one of two."""
    given: dict[str, list[ast.expr]] = {}
    for node in nodes(path):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant | ast.JoinedStr | ast.IfExp):
            for target in targets:
                given.setdefault(getattr(target, "id", ""), []).append(value)
    return given


def _patterns(text: ast.expr | None, path: Path) -> list[str]:
    """Return all that a text in a file can become; a name is what the file sets it to."""
    if isinstance(text, ast.IfExp):
        return _patterns(text.body, path) + _patterns(text.orelse, path)
    if isinstance(text, ast.Name):
        set_to = _given(path).get(text.id, [])
        return [pattern for value in set_to for pattern in _patterns(value, path)] or [".*"]
    return [pattern_of(text)]


def _codes_and_sentence(
    called: str, call: ast.Call, path: Path
) -> tuple[list[str], ast.expr] | None:
    name = called.rpartition(".")[2]
    if name in _KINDS and call.args:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        codes = _patterns(given["code"], path) if "code" in given else [_KINDS[name].code]
        return codes, call.args[0]
    if name == "Refused":
        return _patterns(call.args[0], path), call.args[1]
    if name == "ValueError" and path.name in _TOLD_ON:
        return [_TOLD_ON[path.name]], call.args[0]
    if called in _MADE_BY:
        code, place = _MADE_BY[called]
        return [code], call.args[place]
    return None


def _remedy(call: ast.Call) -> str:
    """Return what wires say behind the sentence of a refusal, if it has a remedy."""
    for keyword in call.keywords:
        if keyword.arg == "remedy" and isinstance(keyword.value, ast.Call):
            words = REMEDIES[ast.literal_eval(keyword.value.args[0])]
            return ".*".join(map(re.escape, words.split("{}")))
    return ""


def _last_words() -> Iterator[RefusalInSource]:
    """Yield what sessions are told that somebody else ends: the words stand in a table."""
    path = APP / "wires" / "words.py"
    for table in (node for node in nodes(path) if isinstance(node, ast.Dict)):
        for event, words in zip(table.keys, table.values, strict=True):
            kind = _ENDED.get(_dotted(event).rpartition(".")[2])
            place = f"{path.relative_to(APP)}:{words.lineno}"
            for sentence in _patterns(words.body, path) if kind else ():
                yield RefusalInSource(kind.code, sentence, place)


def refusals_in_source() -> Iterator[RefusalInSource]:
    """Yield each place that makes a refusal, once for each code and sentence that it can have."""
    yield from _last_words()
    for path in sorted(APP.rglob("*.py")):
        for called, call in calls(path):
            found = _codes_and_sentence(called, call, path)
            place = f"{path.relative_to(APP)}:{call.lineno}"
            for code in found[0] if found else ():
                for sentence in _patterns(found[1], path):
                    yield RefusalInSource(code, sentence + _remedy(call), place)
