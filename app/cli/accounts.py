"""manage.py createuser and users."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from app.cli.asking import open_database_here, operator
from app.cli.tables import print_table
from app.errors import BadNameError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.store.accounts import Account


@click.command()
@click.argument("name")
@click.option("--password", help="Seen by others on this machine; without it you are asked.")
@click.option("--admin", is_flag=True, help="May moderate everywhere.")
def createuser(name: str, password: str | None, admin: bool) -> None:
    """Make an account. Without a terminal, the password is a line of standard input."""
    from app.names import parse_name
    from app.store import accounts
    from app.times import now

    parsed = parse_name(name)
    password_hash = _hash(password)
    with open_database_here() as connection:
        try:
            accounts.create(connection, parsed, password_hash, now(), is_admin=admin)
        except accounts.NameTakenError as error:
            raise click.ClickException(
                f"the name {parsed.shown}, or one that looks the same, is taken"
            ) from error
        _record(connection, "create", parsed.shown)
    click.echo(f"{parsed.shown} can log in now{', as an admin' if admin else ''}.")


@click.group()
def users() -> None:
    """List accounts, and change them."""


@users.command("list")
def list_users() -> None:
    """Show every account."""
    from app.store import accounts
    from app.times import minute

    with open_database_here() as connection:
        rows = accounts.list_all(connection)
    table = [
        (row.name, _marks(row.is_admin, row.is_disabled), minute(row.created_at)) for row in rows
    ]
    print_table(("name", "is", "made at (UTC)"), table)


@users.command()
@click.argument("name")
@click.option("--password", help="Seen by others on this machine; without it you are asked.")
def passwd(name: str, password: str | None) -> None:
    """Set an account's password."""
    with open_database_here() as connection:
        _account(connection, name)  # before anybody types a password
    password_hash = _hash(password)
    _change_account(name, "passwd", password_hash=password_hash)


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """End all sessions of an account, and let it log in no more."""
    with operator() as ask:
        click.echo(ask("user.disable", user=name)["sentence"])


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled account log in again."""
    with operator() as ask:
        click.echo(ask("user.enable", user=name)["sentence"])


@users.command()
@click.argument("name")
@click.option("--revoke", is_flag=True, help="Make it an admin no more.")
def admin(name: str, revoke: bool) -> None:
    """Make an account an admin, from its next login on: it may moderate everywhere."""
    _change_account(name, "unadmin" if revoke else "admin", is_admin=not revoke)


def _account(connection: Connection, name: str) -> Account:
    from app.names import parse_name
    from app.store import accounts

    try:
        account = accounts.find(connection, parse_name(name))
    except BadNameError:
        account = None
    if account is None:
        raise click.ClickException(f"there is no user {name}")
    return account


def _change_account(name: str, action: str, **values: object) -> None:
    from app.store import accounts, tokens

    with open_database_here() as connection:
        account = _account(connection, name)
        accounts.change(connection, account.id, **values)
        if "password_hash" in values:
            tokens.revoke_all(connection, account.id)
        _record(connection, action, account.name)
    click.echo(f"{account.name}: {action} done.")


def _record(connection: Connection, action: str, target: str) -> None:
    from app.store import audit as store
    from app.times import now

    store.record(connection, store.Act(now(), store.OPERATOR, action, target))


def _hash(password: str | None) -> str:
    """Take the password given, typed twice, or piped, and return its hash. Raises BadLine."""
    from app.chat.passwords import checked, hash_password

    if password is None and sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    elif password is None:
        password = sys.stdin.readline().rstrip("\r\n")
    return hash_password(checked(password))


def _marks(is_admin: bool, is_disabled: bool) -> str:
    return ", ".join(
        mark for mark, holds in (("admin", is_admin), ("disabled", is_disabled)) if holds
    )
