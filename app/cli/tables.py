"""Print tables: drawn for people; tabs or JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click

Row = Mapping[str, Any]
Columns = Mapping[str, Callable[[Row], object]]  # the cell of a row, by the column's header

json_option = click.option(
    "--json", "as_json", is_flag=True, help="For programs: an object a line."
)


def print_rows(rows: Iterable[Row], columns: Columns, *, as_json: bool) -> None:
    """Print rows of an answer. As JSON all of each; else the columns."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    print_table(tuple(columns), ([str(show(row)) for show in columns.values()] for row in rows))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table for people, or tab-separated lines for programs.

    People are at a terminal. Text from a database that was tampered with moves no cursor, and makes
    no column.
    """
    from app.values.names import harmless

    plain = ([harmless(cell).replace("\t", " ") for cell in row] for row in rows)
    if not sys.stdout.isatty():
        for row in plain:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Column, Table

    # On a narrow terminal names are folded, not cut: the next command may need them.
    table = Table(*(Column(title, overflow="fold") for title in header))
    for row in plain:
        table.add_row(*row)
    Console(markup=False, emoji=False, highlight=False).print(table)


def minute_of(instant: str) -> str:
    """Return an answer's time (RFC 3339) to the minute."""
    return datetime.fromisoformat(instant).strftime("%Y-%m-%d %H:%M")
