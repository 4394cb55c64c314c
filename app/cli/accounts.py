"""manage.py createuser and users."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from app.cli.asking import do, operator, pages
from app.cli.tables import Columns, json_option, minute_of, print_rows

if TYPE_CHECKING:
    from app.cli.tables import Row

_password_option = click.option(
    "--password", help="Seen by others on this machine; without it you are asked."
)


def _marks(row: Row) -> str:
    marks = ("admin", "deleted" if row["is_deleted"] else "disabled")
    return ", ".join(mark for mark in marks if row[f"is_{mark}"])


_COLUMNS: Columns = {
    "name": lambda row: row["name"],
    "is": _marks,
    "made at (UTC)": lambda row: minute_of(row["made_at"]),
}


@click.command(epilog="Example: manage.py createuser alice --admin")
@click.argument("name")
@_password_option
@click.option("--admin", is_flag=True, help="May moderate everywhere, and what else admins may.")
def createuser(name: str, password: str | None, admin: bool) -> None:
    """Make an account. Without a terminal, the password is a line of standard input."""
    _create(name, password, is_admin=admin)


@click.group(epilog="Example: manage.py users list")
def users() -> None:
    """List accounts, and change them."""


@users.command("list", epilog="Example: manage.py users list --json")
@json_option
def list_users(as_json: bool) -> None:
    """Show every account."""
    with operator() as ask:
        print_rows(pages(ask, "user.list", "accounts", "name"), _COLUMNS, as_json=as_json)


@users.command(epilog="Example: manage.py users create alice")
@click.argument("name")
@_password_option
@click.option("--admin", is_flag=True, help="May moderate everywhere, and what else admins may.")
def create(name: str, password: str | None, admin: bool) -> None:
    """Make an account, like createuser."""
    _create(name, password, is_admin=admin)


@users.command(epilog="Example: manage.py users passwd alice")
@click.argument("name")
@_password_option
def passwd(name: str, password: str | None) -> None:
    """Set an account's password, and end all its sessions and tokens."""
    do("user.password", user=name, password=_typed(password))


@users.command(epilog="Example: manage.py users disable bob")
@click.argument("name")
def disable(name: str) -> None:
    """End all that an account may, and let it log in no more."""
    do("user.disable", user=name)


@users.command(epilog="Example: manage.py users enable bob")
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled account log in again."""
    do("user.enable", user=name)


@users.command(epilog="Example: manage.py users delete bob")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def delete(name: str, yes: bool) -> None:
    """Delete an account, for good: its name is never given again, and what it said stays."""
    if sys.stdin.isatty() and not yes:
        click.confirm(f"Delete {name} for good?", abort=True)
    do("user.delete", user=name)


@users.command(epilog="Example: manage.py users admin alice --revoke")
@click.argument("name")
@click.option("--revoke", is_flag=True, help="Make it an admin no more.")
def admin(name: str, revoke: bool) -> None:
    """Make an account an admin, at once: it may moderate everywhere."""
    do("user.admin", user=name, is_admin=not revoke)


def _create(name: str, password: str | None, *, is_admin: bool) -> None:
    from app.values.names import parse_new_name

    parse_new_name(name)  # before a password is typed
    fields = {"user": name, "password": _typed(password), "is_admin": is_admin}
    with operator(makes_database=True) as ask:
        click.echo(ask("user.create", **fields)["sentence"])


def _typed(password: str | None) -> str:
    """Return the password: given, typed twice, or piped.

    A piped one is a line of standard input. It is cut behind one byte more than a password may
    have. Raises UnicodeError for a piped one that is not UTF-8.
    """
    from app.bounds import PASSWORD_BYTES_MAX

    if password is not None:
        return password[: PASSWORD_BYTES_MAX + 1]
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    piped = sys.stdin.readline(PASSWORD_BYTES_MAX + 1).rstrip("\r\n")
    return piped.encode().decode()  # raises for bytes that are not UTF-8
