"""No regex of the product takes more than linear time, whatever text it is given.

Those of pydantic's fields are not looked at: what reads them never backtracks.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.attacks.regexes import is_linear
from tests.kit.source import APP, calls, nodes

_SEARCHING = ("search", "sub", "subn", "split", "findall", "finditer")
_FUNCTIONS = {f"re.{name}" for name in ("compile", "match", "fullmatch", *_SEARCHING)}


class _Regex(NamedTuple):
    """Where a regex of the product is, and whether it is looked for anywhere in a text."""

    where: str
    pattern: str
    is_searched: bool


def _pattern(node: ast.expr) -> str:
    """Return a pattern as it is written; what is put in when it runs is one character, a 9."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    known = [part.value if isinstance(part, ast.Constant) else "9" for part in parts]
    return "".join(each.decode("latin-1") if isinstance(each, bytes) else each for each in known)


def _is_searched(call: ast.Call, path: Path) -> bool:
    """Whether a call searches, or makes a pattern that does under the name that it is given."""
    if call.func.attr != "compile":
        return call.func.attr in _SEARCHING
    (name,) = (
        ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        for node in nodes(path)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and node.lineno <= call.lineno <= node.end_lineno
    )
    searched = rf"{re.escape(name)}(\[\w+\])?\.({'|'.join(_SEARCHING)})\("
    return bool(re.search(searched, path.read_text()))


def _regexes() -> Iterator[_Regex]:
    for path in sorted(APP.rglob("*.py")):
        for called, call in calls(path):
            if called in _FUNCTIONS:
                where = f"{path.relative_to(APP.parent)}:{call.lineno}"
                yield _Regex(where, _pattern(call.args[0]), _is_searched(call, path))


REGEXES = list(_regexes())


# Whatever is matched by a regex, a text of twice the length takes twice the time at most.
@pytest.mark.parametrize("regex", REGEXES, ids=lambda regex: regex.where)
def test_every_regex_is_linear(regex: _Regex) -> None:
    assert is_linear(regex.pattern, is_searched=regex.is_searched), regex.pattern


# The regexes of the product are found, among them one that is searched for.
def test_regexes_are_found() -> None:
    patterns = {regex.pattern: regex.is_searched for regex in REGEXES}
    assert patterns[r"\\u[dD][89a-fA-F]"]
    assert not patterns["[0-9]{1,18}"]


# What is known to take quadratic or exponential time is seen, and what is not passes.
@pytest.mark.parametrize(
    "pattern",
    [
        *(r"(.+?)(?:\s+to\s+(\S+))?", r" +(.+)", "a*a*", "a+b?a+", "(a+)+", "(a|a)*"),
        *("(?:a{1,3})+", "(?=a+a+b)x", "(ab|a|b)*"),
    ],
)
def test_slow_regexes_are_seen(pattern: str) -> None:
    assert not is_linear(pattern)


# A regex that is searched for is tried at each place of a text.
@pytest.mark.parametrize("pattern", [r"\s+x", "x*y", "[a-z]+9$"])
def test_slow_searches_are_seen(pattern: str) -> None:
    assert is_linear(pattern)
    assert not is_linear(pattern, is_searched=True)


# But where it ends in a loop, it is found as soon as that loop is begun.
@pytest.mark.parametrize(
    ("pattern", "is_quick"), [("xx+", True), ("[a-z]9*", True), ("(x+)+", False)]
)
def test_searches_that_end_in_a_loop(pattern: str, is_quick: bool) -> None:
    assert is_linear(pattern, is_searched=True) is is_quick


# Loops that can't read the same text do no harm.
@pytest.mark.parametrize(
    "pattern",
    [".+", " +(\\S.*)", "x*y*", "([0-9]+[dhms])+", "(.+) to (\\S+)", "(?:ab)*(?:ac)*", "a(|b)c"],
)
def test_quick_regexes_pass(pattern: str) -> None:
    assert is_linear(pattern)
