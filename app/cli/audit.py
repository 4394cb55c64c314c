"""manage.py audit: acts of moderation and administration, with their actors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from app.cli.arguments import FILLED, WHOLE
from app.cli.asking import reading
from app.cli.tables import Columns, json_option, minute_of, print_rows

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.values.names import Name

_COLUMNS: Columns = {
    "when (UTC)": lambda row: minute_of(row["at"]),
    "who": lambda row: row["actor"],
    "did": lambda row: row["action"],
    "to": lambda row: row["target"],
    "where": lambda row: row["room"],
    "why": lambda row: row["reason"],
}


def _check_known(connection: Connection, user: Name | None, room: Name | None) -> None:
    """Check that a user and a room ever were. Else they may be mistyped. Raises click's error."""
    from app.queries import accounts, rooms

    if user is not None and accounts.find_ever(connection, user) is None:
        raise click.ClickException(f"there is no user {user.shown}, and no record of one")
    if room is not None and rooms.find(connection, room) is None:
        raise click.ClickException(f"there is no room {room.shown}, and no record of one")


@click.command(epilog="Example: manage.py audit --room lobby --count 20")
@click.option("--user", type=FILLED, help="Only what this user did, or what was done to them.")
@click.option("--room", type=FILLED, help="Only what was done in this room.")
@click.option("--count", default=100, type=WHOLE, help="At most so many, the newest.")
@json_option
def audit(user: str | None, room: str | None, count: int, as_json: bool) -> None:
    """Show who did what to whom, where, why and when: moderation and administration."""
    from app.queries import audit as queries
    from app.values.names import parse_name
    from app.values.times import instant

    about_user, about_room = (parse_name(name) if name else None for name in (user, room))
    with reading() as engine, engine.begin() as connection:
        acts = queries.list_newest(connection, count, user=about_user, room=about_room)
        if not acts:
            _check_known(connection, about_user, about_room)
    rows = ({"at": instant(act.done_at), **act._asdict()} for act in acts)
    shown = ({key: row[key] for key in row if key != "done_at"} for row in rows)
    print_rows(shown, _COLUMNS, as_json=as_json)
