"""Writes the tables of the docs that are made from the code: `python -m docs.tables`."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import get_args

from app import bounds, errors
from app.errors import Code
from app.settings import MessageRate, Settings
from tests.kit.source import APP, refusals_in_source

FOLDER = APP.parent / "docs" / "protocol"
BEGIN = "<!-- begin: written by `python -m docs.tables`, not by hand -->"
END = "<!-- end -->"
_UNITS = {"SECONDS": "s", "DAYS": "days", "BYTES": "bytes", "CHARS": "characters"}
# Units of which whole numbers are told in a larger one.
_LARGER = {"s": {"days": 86_400}, "bytes": {"MiB": 1 << 20, "KiB": 1 << 10}}


def main() -> None:
    """Write each table into its page."""
    for page, tables in TABLES.items():
        path = FOLDER / page
        path.write_text(with_tables(path.read_text(), tables()))


def with_tables(text: str, tables: Iterable[str]) -> str:
    """Return a page with these lines between BEGIN and END. Raises ValueError."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no block from {BEGIN} to {END}")
    return "\n".join([f"{before}{BEGIN}", *tables, f"{END}{after}"])


def refusals() -> Iterator[str]:
    """Yield the table of refusals: each code, all its sentences, and when it is told."""
    sentences = defaultdict(set)
    for each in refusals_in_source():
        sentences[each.code].add(_readable(each.sentence))
    told = dict(re.findall(r'^    "(\w+)",  # (.*)$', Path(errors.__file__).read_text(), re.M))
    yield from _header("code", "sentences", "when, or what to do")
    for code in get_args(Code):
        yield _row(f"`{code}`", "<br>".join(sorted(sentences[code] - {"..."})), told[code])


def limits() -> Iterator[str]:
    """Yield the tables of limits: what an operator may set, and what is fixed."""
    yield from _header("setting", "default", "of what")
    for each in fields(Settings):
        if is_limit(each.default):
            name = f"GREENROOM_{each.name.upper()}"
            yield _row(f"`{name}`", _amount(name, each.default), each.metadata["description"])
    yield ""
    yield from _header("bound", "how much", "of what, and why")
    source = Path(bounds.__file__).read_text()
    for name, of_what in re.findall(r"^(\w+)(?:: Kept)? = .*?  # (.*)$", source, re.M):
        if name.endswith("_MAX") or name in bounds.__annotations__:
            yield _row(f"`{name}`", _amount(name, getattr(bounds, name)), of_what)


def is_limit(default: object) -> bool:
    """Whether a setting with this default is a number."""
    return isinstance(default, int | float | MessageRate) and not isinstance(default, bool)


def _readable(pattern: str) -> str:
    """Return a sentence with three dots for what differs from time to time."""
    return re.sub(r"\\(.)", r"\1", re.sub(r"(\.\*)+", "...", pattern))


def _amount(name: str, value: float | MessageRate) -> str:
    """Return how much it is, in the unit that the name has."""
    if isinstance(value, MessageRate):
        return "/".join(f"{number:g}" for number in value)
    unit = next((unit for word, unit in _UNITS.items() if word in name.split("_")), "")
    for larger, size in _LARGER.get(unit, {}).items():
        if value >= size and value % size == 0:
            return f"{value // size:,} {larger}"
    return f"{value:,} {unit}".rstrip()


def _header(*titles: str) -> Sequence[str]:
    return _row(*titles), _row(*["---"] * len(titles))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


TABLES = {"refusals.md": refusals, "limits.md": limits}

if __name__ == "__main__":
    main()
