"""Tables: for people with lines around, for programs separated by tabs, or as JSON."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], object]]  # what stands in each, by its header

json_option = click.option(
    "--json", "as_json", is_flag=True, help="For programs: an object a line."
)


def print_rows(rows: Iterable[Row], columns: Columns, *, as_json: bool) -> None:
    """Print what a server answered: as JSON all of it, else what the columns show."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    print_table(tuple(columns), ([str(show(row)) for show in columns.values()] for row in rows))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table for people at a terminal, and tab-separated lines for programs.

    What stands in a database that was tampered with moves no cursor, and makes no column.
    """
    from app.values.names import harmless

    plain = ([harmless(cell).replace("\t", " ") for cell in row] for row in rows)
    if not sys.stdout.isatty():
        for row in plain:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Column, Table

    # A name that is cut can't be given to the next command: on a narrow terminal it is folded.
    table = Table(*(Column(title, overflow="fold") for title in header))
    for row in plain:
        table.add_row(*row)
    Console(markup=False, emoji=False, highlight=False).print(table)


def minute_of(instant: str) -> str:
    """Return a time of an answer (RFC 3339) to the minute."""
    return datetime.fromisoformat(instant).strftime("%Y-%m-%d %H:%M")
