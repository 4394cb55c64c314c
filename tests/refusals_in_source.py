"""Every refusal that the source can raise: its code, and its sentence as a regular expression."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from app import errors

APP = Path(__file__).parents[1] / "app"
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


def pattern_of(text: ast.expr | None) -> str:
    """Return what a text in the source can become; `.*` for what it is made of when it runs."""
    if isinstance(text, ast.Constant):
        return re.escape(str(text.value))
    return "".join(map(pattern_of, text.values)) if isinstance(text, ast.JoinedStr) else ".*"


def _refusal(call: ast.Call, path: Path) -> RefusalInSource | None:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
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
        for node in ast.walk(ast.parse(path.read_text())):
            refusal = _refusal(node, path) if isinstance(node, ast.Call) else None
            if refusal is not None:
                yield refusal
