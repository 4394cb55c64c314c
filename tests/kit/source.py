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

APP = Path(__file__).parents[2] / "app"
_KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, errors.Refusal)
}
# What these say is told on as the sentence of a refusal by who catches them.
_TOLD_ON = {"ValueError": ("names.py", "times.py")}


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


def _refusal(called: str, call: ast.Call, path: Path) -> RefusalInSource | None:
    name = called.rpartition(".")[2]
    place = f"{path.relative_to(APP)}:{call.lineno}"
    if name in _KINDS and call.args:
        keywords = {keyword.arg: keyword.value for keyword in call.keywords}
        code = pattern_of(keywords["code"]) if "code" in keywords else _KINDS[name].code
        return RefusalInSource(code, pattern_of(call.args[0]), place)
    if name == "Refused":
        return RefusalInSource(pattern_of(call.args[0]), pattern_of(call.args[1]), place)
    if path.name in _TOLD_ON.get(name, ()):
        return RefusalInSource(".*", pattern_of(call.args[0]), place)
    return None


def refusals_in_source() -> Iterator[RefusalInSource]:
    """Yield each place that makes a refusal."""
    for path in sorted(APP.rglob("*.py")):
        for called, call in calls(path):
            refusal = _refusal(called, call, path)
            if refusal is not None:
                yield refusal
