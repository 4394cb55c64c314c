"""manage.py rooms, and its subcommands."""

from __future__ import annotations

from collections.abc import Sequence

import click

from app.cli.asking import do, operator, pages
from app.cli.tables import Columns, json_option, minute_of, print_rows

_COLUMNS: Columns = {
    "name": lambda row: row["name"],
    "people": lambda row: row["users"],
    "owner": lambda row: row["owner"],
    "made at (UTC)": lambda row: minute_of(row["made_at"]),
    "days kept": lambda row: "" if row["retention_days"] is None else row["retention_days"],
    "encrypted": lambda row: "yes" if row["e2ee"] else "",
    "topic": lambda row: row["topic"],
}


@click.group(epilog="Example: manage.py rooms list")
def rooms() -> None:
    """List rooms, and change them."""


@rooms.command("list", epilog="Example: manage.py rooms list --json")
@json_option
def list_rooms(as_json: bool) -> None:
    """Show every room: how many are in it, whose it is, for how long it is kept."""
    with operator() as ask:
        print_rows(pages(ask, "room.list", "rooms", "name"), _COLUMNS, as_json=as_json)


@rooms.command(epilog="Example: manage.py rooms create lobby --owner alice")
@click.argument("room")
@click.option("--owner", required=True, help="Whose it is: every room is somebody's.")
@click.option("--encrypted", is_flag=True, help="For manage.py chat alone; this is for good.")
def create(room: str, owner: str, encrypted: bool) -> None:
    """Make a room."""
    do("room.create", room=room, owner=owner, e2ee=encrypted)


@rooms.command(epilog="Example: manage.py rooms delete lobby moved to garden")
@click.argument("room")
@click.argument("reason", nargs=-1)
def delete(room: str, reason: Sequence[str]) -> None:
    """Send everybody out of a room, and remove all of it; the reason is shown to them."""
    do("room.delete", room=room, reason=" ".join(reason))


@rooms.command(epilog="Example: manage.py rooms rename lobby garden")
@click.argument("room")
@click.argument("name")
def rename(room: str, name: str) -> None:
    """Give a room another name; who is there stays there."""
    do("room.rename", room=room, name=name)


@rooms.command("set-owner", epilog="Example: manage.py rooms set-owner lobby bob")
@click.argument("room")
@click.argument("user")
def set_owner(room: str, user: str) -> None:
    """Make somebody the owner of a room, in place of who owns it."""
    do("room.owner", room=room, user=user)
