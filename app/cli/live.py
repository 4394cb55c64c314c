"""manage.py who, announce and shutdown: what there is to do only while a server runs."""

from __future__ import annotations

import click

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


@click.command(epilog='Example: manage.py announce "Back at six"')
@click.argument("text")
def announce(text: str) -> None:
    """Say something to everybody, wherever they are."""
    with running() as ask:
        click.echo(ask("announce", text=text)["sentence"])


@click.command(epilog='Example: manage.py shutdown --in 5m "new disk"')
@click.argument("reason", default="")
@click.option("--in", "span", help="When, like 30s, 5m or 2h; without it, at once.")
@click.option("--cancel", is_flag=True, help="Stay, whatever was planned.")
def shutdown(reason: str, span: str | None, cancel: bool) -> None:
    """Stop the server, as SIGTERM does, and tell everybody before; a later plan replaces one."""
    seconds = None if span is None else _seconds(span)
    with running() as ask:
        answer = ask("shutdown", seconds=seconds, reason=reason, cancel=cancel)
        click.echo(answer["sentence"])


def _seconds(span: str) -> int:
    from app.times import parse_span

    try:
        seconds = parse_span(span)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--in") from error
    if seconds is None:
        raise click.BadParameter(f"{span} is no span; type it like 5m", param_hint="--in")
    return seconds
