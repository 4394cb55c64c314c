"""manage.py purge, retention and vacuum: remove messages, without a trace."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from app.cli.arguments import FILLED, SPAN, WHOLE
from app.cli.asking import (
    answers,
    check_database,
    command_settings,
    do,
    operator,
    reading,
    running_server,
)
from app.cli.tables import Columns, json_option, print_rows

if TYPE_CHECKING:
    from app.settings import Settings

_COLUMNS: Columns = {
    "room": lambda row: row["name"] or "(other rooms)",
    "days kept": lambda row: row["days"] or "for ever",
}


@click.command(epilog="Example: manage.py purge --user bob --room lobby --since 1h")
@click.option(
    "--user", type=FILLED, help="What this user said, in rooms and in private, and their files."
)
@click.option("--room", type=FILLED, help="What was said in this room, and its files.")
@click.option("--since", type=SPAN, help="Only what is not older: 30m, 2h, 7d.")
@click.option("--message", type=WHOLE, help="One message, by its number.")
@click.option("--yes", is_flag=True, help="Do not ask at the terminal whether that is meant.")
def purge(
    user: str | None, room: str | None, since: int | None, message: int | None, yes: bool
) -> None:
    """Remove messages for good, from history, replay and exports, and the files that go with them.

    Of several options all must hold. Whoever is in the room is shown that messages were removed.
    `manage.py vacuum` leaves no trace of them in the database's files either.
    """
    if sys.stdin.isatty() and not yes:
        from app.values.sizes import format_count

        count = _count(user, room, since, message)
        click.confirm(f"Remove {format_count(count, 'message')} for good?", abort=True)
    do("purge", user=user, room=room, seconds=since, message=message)


def _count(user: str | None, room: str | None, seconds: int | None, message: int | None) -> int:
    """Return how many messages a purge would remove now."""
    from app.queries import accounts, purging, retention
    from app.values.names import parse_name
    from app.values.times import now

    with reading() as engine, engine.begin() as connection:
        account = accounts.find_ever(connection, parse_name(user)) if user else None
        place = retention.find(connection, parse_name(room).key) if room else None
        if (user and not account) or (room and not place):
            return 0
        since_at = now() - seconds * 1000 if seconds else 0
        user_id, room_id = account.id if account else None, place.id if place else None
        return purging.count(connection, purging.Target(user_id, room_id, message, since_at))


@click.command(epilog="Example: manage.py retention lobby --days 30")
@click.argument("room", default="")
@click.option("--days", type=WHOLE, help="Keep what is said there for so long.")
@click.option("--forever", is_flag=True, help="Keep it for ever.")
@click.option("--default", is_flag=True, help="Keep it as long as GREENROOM_RETENTION_DAYS says.")
@json_option
def retention(room: str, days: int | None, forever: bool, default: bool, as_json: bool) -> None:
    """Set for how long a room's messages and files are kept; alone, show it for all rooms."""
    given = [str(days)] * (days is not None) + ["forever"] * forever + ["default"] * default
    if len(given) != bool(room):
        raise click.UsageError("give a room and one of --days, --forever, --default; or nothing")
    if room:
        do("retention", room=room, keep="".join(given))
        return
    with operator() as ask:
        found = list(answers(ask, "retention", lambda answer: answer["rooms"][-1]["name"]))
    rooms = (room for answer in found for room in answer["rooms"])
    print_rows([{"name": None, "days": found[0]["days"]}, *rooms], _COLUMNS, as_json=as_json)


@click.command(epilog="Example: manage.py vacuum")
def vacuum() -> None:
    """Give what was removed back to the disk, so that no trace of it is in the database's files.

    Beside a server it goes in small steps; without one the whole file is written anew, which takes
    as much room on the disk again while it lasts.
    """
    from app.database.database import is_sqlite

    os.umask(0o077)
    settings = command_settings()
    connection = running_server(settings)
    if connection is None and is_sqlite(settings.url):
        _vacuum_alone(settings)
        return
    if connection is not None:
        connection.close()
    do("vacuum")


def _vacuum_alone(settings: Settings) -> None:
    from app.database.opening import open_database
    from app.database.vacuum import rewrite

    check_database(settings)
    lock = open_database(settings.url, lambda sentence: click.echo(sentence, err=True))
    try:
        before, after = rewrite(settings.url)
    finally:
        lock.release()
    click.echo(f"Wrote the database anew: {after:,} bytes, it had {before:,}.")
