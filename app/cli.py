"""manage.py's commands. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.errors import BadNameError, DatabaseInUse, GreenroomError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.settings import Settings
    from app.store.accounts import Account


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


class _Group(click.Group):
    """Says what was refused in one line, not in a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except GreenroomError as error:
            raise click.ClickException(str(error)) from error


class _ServerCommand(click.Command):
    """Has a flag for every setting, made from the settings once they are asked for."""

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        from app.settings import Settings

        flags = (
            click.Option(
                [f"--{name.replace('_', '-')}", name],
                help=field.description,
                is_flag=field.annotation is bool,
                default=None,
            )
            for name, field in Settings.model_fields.items()
            if name != "listen"
        )
        return [*super().get_params(context), *flags]


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Greenroom: a chat server that you can telnet into."""


@main.command(cls=_ServerCommand)
@click.argument("address", required=False, metavar="[[HOST:]PORT]")
def runserver(address: str | None, **flags: str | bool | None) -> None:
    """Run the server until Ctrl-C.

    Every flag is a setting, and an environment variable: --data-dir is GREENROOM_DATA_DIR.
    """
    os.umask(0o077)
    settings = _settings(listen=address, **flags)
    from app.net.main import run

    run(settings)


@main.command()
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
    with _database() as connection:
        try:
            accounts.create(connection, parsed, password_hash, now(), is_admin=admin)
        except accounts.NameTakenError as error:
            raise click.ClickException(
                f"the name {parsed.shown}, or one that looks the same, is taken"
            ) from error
        _record(connection, "create", parsed.shown)
    click.echo(f"{parsed.shown} can log in now{', as an admin' if admin else ''}.")


@main.group()
def users() -> None:
    """List accounts, and change them."""


@users.command("list")
def list_users() -> None:
    """Show every account."""
    from app.store import accounts
    from app.times import minute

    with _database() as connection:
        rows = accounts.list_all(connection)
    table = [
        (row.name, _marks(row.is_admin, row.is_disabled), minute(row.created_at)) for row in rows
    ]
    _print_table(("name", "is", "made at (UTC)"), table)


@users.command()
@click.argument("name")
@click.option("--password", help="Seen by others on this machine; without it you are asked.")
def passwd(name: str, password: str | None) -> None:
    """Set an account's password."""
    with _database() as connection:
        _account(connection, name)  # before anybody types a password
    password_hash = _hash(password)
    _change_account(name, "passwd", password_hash=password_hash)


@users.command()
@click.argument("name")
def disable(name: str) -> None:
    """Let an account log in no more. Sessions that are open stay so until they end."""
    _change_account(name, "disable", is_disabled=True)


@users.command()
@click.argument("name")
def enable(name: str) -> None:
    """Let a disabled account log in again."""
    _change_account(name, "enable", is_disabled=False)


@users.command()
@click.argument("name")
@click.option("--revoke", is_flag=True, help="Make it an admin no more.")
def admin(name: str, revoke: bool) -> None:
    """Make an account an admin, from its next login on: it may moderate everywhere."""
    _change_account(name, "unadmin" if revoke else "admin", is_admin=not revoke)


@main.command()
@click.argument("address", default="127.0.0.1:8888", metavar="[[HOST:]PORT]")
@click.option("--name", default="", help="Who you are; without it you are asked.")
@click.option("--remember", is_flag=True, help="Keep a token: next time, no password is asked.")
@click.option("--forget", is_flag=True, help="Forget the token for this server, and end.")
@click.option("--bell/--no-bell", default=True, help="Ring when somebody calls you by name.")
@click.option("--downloads", type=_FOLDER, help="Where /get puts files: ~/Downloads/greenroom.")
@click.option("--tls", is_flag=True, help="Speak TLS, and check the server's certificate.")
@click.option("--tls-ca", type=_FILE, help="Certificates to check it by: a PEM file.")
@click.option("--tls-insecure", is_flag=True, help="Speak TLS, and check nothing.")
def chat(
    address: str,
    name: str,
    remember: bool,
    forget: bool,
    bell: bool,
    downloads: Path | None,
    tls: bool,
    tls_ca: Path | None,
    tls_insecure: bool,
) -> None:
    """Chat at this terminal."""
    from app.terminal import main as terminal

    if forget:
        terminal.forget(address)
        return
    is_secure = tls or tls_ca or tls_insecure
    terminal.run(
        address,
        name=name,
        may_remember=remember,
        has_bell=bell,
        downloads=downloads,
        tls=terminal.tls_context(tls_ca, is_checked=not tls_insecure) if is_secure else None,
    )


@main.command()
@click.option("--user", default="", help="Only what this user did, or what was done to them.")
@click.option("--room", default="", help="Only what was done in this room.")
@click.option("--count", default=100, type=click.IntRange(1), help="At most so many, the newest.")
def audit(user: str, room: str, count: int) -> None:
    """Show who did what to whom, where, why and when: moderation and administration."""
    from app.names import parse_name
    from app.store import audit as store
    from app.times import minute

    user_key, room_key = (parse_name(name).key if name else "" for name in (user, room))
    with _database() as connection:
        acts = store.list_newest(connection, count, user_key=user_key, room_key=room_key)
    header = ("when (UTC)", "who", "did", "to", "where", "why")
    _print_table(header, [(minute(act.done_at), *act[1:]) for act in acts])


@main.command()
@click.option("--host", "hosts", multiple=True, help="A name or address that clients will use.")
@click.option(
    "--directory", type=click.Path(path_type=Path), help="Where; else the data directory."
)
@click.option("--force", is_flag=True, help="Replace what there is.")
def selfsigned(hosts: tuple[str, ...], directory: Path | None, force: bool) -> None:
    """Make a certificate that vouches for itself, to try TLS with."""
    from app.net.selfsigned import LOCAL_HOSTS, make_certificate, write_files

    folder = directory or _settings().data_dir
    certificate_path, key_path = folder / "tls-cert.pem", folder / "tls-key.pem"
    certificate, key, fingerprint = make_certificate(dict.fromkeys((*LOCAL_HOSTS, *hosts)))
    write_files({key_path: key, certificate_path: certificate}, is_forced=force)
    click.echo(f"runserver --tls-cert {certificate_path} --tls-key {key_path}")
    click.echo(f"or: GREENROOM_TLS_CERT={certificate_path} GREENROOM_TLS_KEY={key_path}")
    click.echo(f"SHA-256 fingerprint: {fingerprint}")


@main.command()
def schema() -> None:
    """Print the JSON Schema of what programs send and are sent."""
    import json

    from app.wire.ndjson_schema import schema

    click.echo(json.dumps(schema(), indent=1))


def _settings(**flags: str | bool | None) -> Settings:
    """Read the settings; a flag wins. Raises click's error, of one line."""
    from pydantic import ValidationError

    from app.settings import Settings

    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)  # type: ignore[arg-type]  # pydantic reads the texts
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).upper()
        raise click.ClickException(f"GREENROOM_{name}: {first['msg']}") from error


@contextmanager
def _database() -> Iterator[Connection]:
    """Begin a transaction in the settings' database: alone, or beside the server that has it."""
    from sqlalchemy.exc import SQLAlchemyError

    from app.store.database import first_line, visiting_engine, writing_engine
    from app.store.opening import open_database

    os.umask(0o077)
    settings = _settings()
    try:
        lock = open_database(settings.url, lambda sentence: click.echo(sentence, err=True))
        engine = writing_engine(settings.url, settings.durability)
    except DatabaseInUse:
        lock, engine = None, visiting_engine(settings.url)
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise click.ClickException(f"the database can't be used: {first_line(error)}") from error
    finally:
        engine.dispose()
        if lock is not None:
            lock.release()


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

    with _database() as connection:
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


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table for people at a terminal, and tab-separated lines for programs."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
