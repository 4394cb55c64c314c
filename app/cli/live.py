"""manage.py who, announce and shutdown: only while a server runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import click

from app.cli.arguments import SPAN
from app.cli.asking import pages, running
from app.cli.tables import Columns, json_option, minute_of, print_rows

_COLUMNS: Columns = {
    "number": lambda row: row["number"],
    "user": lambda row: row["user"] or "",
    "address": lambda row: row["address"],
    "wire": lambda row: row["wire"],
    "since (UTC)": lambda row: minute_of(row["connected_at"]),
    "unread bytes": lambda row: row["unread_bytes"],
    "rooms": lambda row: " ".join(row["rooms"]),
}


@click.command(epilog="Example: manage.py who --json")
@json_option
def who(as_json: bool) -> None:
    """Show everybody who is connected, from where, and in which rooms."""
    with running() as ask:
        print_rows(pages(ask, "sessions", "sessions", "number"), _COLUMNS, as_json=as_json)


@click.command(epilog="Example: manage.py announce Back at six")
@click.argument("text", nargs=-1, required=True)
def announce(text: Sequence[str]) -> None:
    """Say something to everybody, wherever they are."""
    with running() as ask:
        click.echo(ask("announce", text=" ".join(text))["sentence"])


@click.command(epilog="Example: manage.py shutdown --in 5m new disk")
@click.argument("reason", nargs=-1)
@click.option("--in", "seconds", type=SPAN, help="When: 30s, 5m, 2h; without it, at once.")
@click.option("--cancel", is_flag=True, help="Stay, whatever was planned.")
def shutdown(reason: Sequence[str], seconds: int | None, cancel: bool) -> None:
    """Stop the server, as SIGTERM does, and tell everybody before; a later plan replaces one."""
    _check_reason(reason)
    with running() as ask:
        answer = ask("shutdown", seconds=seconds, reason=" ".join(reason), cancel=cancel)
        click.echo(answer["sentence"])


def _check_reason(reason: Sequence[str]) -> None:
    """Refuse `shutdown 5m`, which would be at once. Raises click's error."""
    from app.values.times import parse_span

    with suppress(ValueError):  # too long a time is taken for a reason
        if reason and parse_span(reason[0]) is not None:
            raise click.UsageError(f"did you mean --in {reason[0]}? Without --in it is at once")
