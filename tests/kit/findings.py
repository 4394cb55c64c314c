"""What was wanted, what was seen, and whether that holds; and what a check that raised says."""

import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

_TESTS = Path(__file__).parents[1]


def describe(error: Exception) -> str:
    """Return an exception's type, its text, and where in the tests it was, outermost file first.

    An assertion without a text is told by its source. Of many lines, the first and the last stand.
    """
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(_TESTS)
    ]
    lines = str(error).strip().splitlines() or [frame.line or "" for frame in frames[-1:]]
    text = " ... ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))
    places = {Path(frame.filename).name: frame.lineno for frame in frames}  # the last in each file
    where = ", ".join(f"{name}:{number}" for name, number in places.items())
    return f"{type(error).__name__}: {text}, {where}"


class Finding(NamedTuple):
    """A number, or a fact, held against what it should be."""

    wanted: str
    seen: str
    is_held: bool


class Findings(list[Finding]):
    """All of one thing that was tried."""

    @property
    def missed(self) -> list[Finding]:
        """Those that do not hold."""
        return [finding for finding in self if not finding.is_held]

    def at_most(self, what: str, value: float, most: float, unit: str, where: str = "") -> None:
        """Want a figure to be no more than a bound; where it was is told when it is more."""
        wanted, seen = f"{what}: at most {most:,.4g} {unit}", f"{value:,.3g} {unit}".rstrip()
        if where and value > most:
            seen = f"{seen}: {where}"
        self.append(Finding(wanted.rstrip(), seen, value <= most))

    def at_least(self, what: str, value: int, least: int) -> None:
        """Want a count to be no less than a bound."""
        self.append(Finding(f"{what}: at least {least:,}", f"{value:,}", value >= least))

    def equal(self, what: str, seen: object, wanted: object) -> None:
        """Want something to be this and nothing else."""
        self.append(Finding(f"{what}: {wanted}", str(seen), seen == wanted))

    def within(self, what: str, seen: Iterable[str], wanted: Iterable[str]) -> None:
        """Want only some of these things, whichever."""
        shown, named = (", ".join(sorted(set(each))) for each in (seen, wanted))
        self.append(Finding(f"{what}: {named}", shown, bool(seen) and set(seen) <= set(wanted)))


def show(found: Mapping[str, Findings], console: Console) -> None:
    """Print a table, a line for each finding."""
    table = Table("scene", "wanted", "seen", "", title="siege", title_justify="left")
    for name, findings in found.items():
        for each in findings:
            held = "held" if each.is_held else "[bold red]NOT[/bold red]"
            table.add_row(name, each.wanted, each.seen, held)
    console.print(table, highlight=False)
