"""What a scene wanted, what was seen, and whether that holds."""

from collections.abc import Iterable
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Finding(NamedTuple):
    """A number, or a fact, held against what it should be."""

    wanted: str
    seen: str
    is_held: bool


class Findings(list[Finding]):
    """All of a scene."""

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


def show(findings: Iterable[tuple[str, Finding]], console: Console) -> None:
    """Print the table, a line for each finding of a scene of that name."""
    table = Table("scene", "wanted", "seen", "", title="siege", title_justify="left")
    for scene, finding in findings:
        held = "held" if finding.is_held else "[bold red]NOT[/bold red]"
        table.add_row(scene, finding.wanted, finding.seen, held)
    console.print(table, highlight=False)
