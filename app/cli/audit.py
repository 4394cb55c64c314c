"""manage.py audit: what was done, and by whom."""

import click

from app.cli.asking import open_database_here
from app.cli.tables import print_table


@click.command()
@click.option("--user", default="", help="Only what this user did, or what was done to them.")
@click.option("--room", default="", help="Only what was done in this room.")
@click.option("--count", default=100, type=click.IntRange(1), help="At most so many, the newest.")
def audit(user: str, room: str, count: int) -> None:
    """Show who did what to whom, where, why and when: moderation and administration."""
    from app.names import parse_name
    from app.store import audit as store
    from app.times import minute

    user_key, room_key = (parse_name(name).key if name else "" for name in (user, room))
    with open_database_here() as connection:
        acts = store.list_newest(connection, count, user_key=user_key, room_key=room_key)
    header = ("when (UTC)", "who", "did", "to", "where", "why")
    print_table(header, [(minute(act.done_at), *act[1:]) for act in acts])
