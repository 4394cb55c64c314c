"""Reach the settings, the running server, or its database."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.errors import DatabaseInUse

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from app.client.connection import Connection
    from app.settings import Settings

Ask = Callable[..., dict[str, Any]]  # an op, and its fields; returns those of the answer

# Errors of connecting where no server is: none ever was, or one was killed.
_NOBODY_THERE = (FileNotFoundError, NotADirectoryError, ConnectionRefusedError)


_HALF_SECONDS = 2.5  # a server that hangs is waited for twice as long
_HANGS = (
    "the server does not answer: it hangs, or was stopped, and will not do later what was asked "
    "now. See what holds it up (systemctl status greenroom), or start it again"
)


_TOLD = "app.cli.asking.told"  # key in click's context: unknown settings were named


class _Unheard:
    """A Listener that ignores all: no event concerns a command."""

    def on_event(self, _event: dict[str, Any]) -> None:
        """Ignore an event."""

    def on_answer(self, _request: dict[str, Any], _answer: dict[str, Any]) -> None:
        """Ignore an answer."""


def settings_with(**flags: str | bool | None) -> Settings:
    """Read the settings; a flag that is not None wins. Raises StartRefused."""
    from app.database.disk import check_data_folder, check_settings_file
    from app.settings import Settings

    check_settings_file()
    settings = Settings.read(**{name: flag for name, flag in flags.items() if flag is not None})
    check_data_folder(settings.data_dir)
    return settings


def command_settings() -> Settings:
    """Read the settings for a command other than runserver.

    Unknown settings are named on standard error, once a command; a server has its log for that.
    Raises StartRefused.
    """
    from app.settings import no_setting, unknown_settings

    settings, told = settings_with(), click.get_current_context().meta
    unknown = {} if _TOLD in told else unknown_settings()
    told[_TOLD] = True
    for name, meant in unknown.items():
        click.echo(no_setting(name, meant), err=True)
    return settings


@contextmanager
def operator(*, makes_database: bool = False) -> Iterator[Ask]:
    """Yield `ask`, which asks the server, or works on its database.

    If no server runs, `ask` works on the database here, as a server would. Raises click's error, of
    one line, for a refusal, or a server that can't be asked; and where there is no database,
    because the folder is most likely wrong. With `makes_database` one is made then.
    """
    os.umask(0o077)
    settings = command_settings()
    connection = running_server(settings)
    if connection is None and not makes_database:
        check_database(settings)
    with asking(connection) if connection else _local_operator(settings) as ask:
        yield ask


@contextmanager
def running() -> Iterator[Ask]:
    """Yield `ask`, which asks the server that runs.

    Raises click's error, of one line, if none does, or for a refusal.
    """
    settings = command_settings()
    connection = running_server(settings)
    if connection is None:
        raise click.ClickException(_why_none(settings))
    with asking(connection) as ask:
        yield ask


def _why_none(settings: Settings) -> str:
    from app.database.held import is_in_use

    url: str | Path | None = settings.url
    if isinstance(url, str):
        from app.database.database import is_sqlite, sqlite_path  # here: importing takes long

        url = sqlite_path(url) if is_sqlite(url) else None
    with suppress(OSError):
        if url is not None and is_in_use(url):
            return _elsewhere(settings)
    return f"no server runs on {settings.data_dir}; start one: manage.py runserver"


def _elsewhere(settings: Settings) -> str:
    return (
        f"a server has the database, but {settings.control_path} is not its control socket; use "
        "the settings that it was started with, on its machine; or it has only just been started, "
        "or is about to end: try again"
    )


def do(op: str, **fields: Any) -> None:
    """Ask for something as the operator, and print the answer. It is a sentence."""
    with operator() as ask:
        click.echo(ask(op, **fields)["sentence"])


def check_database(settings: Settings) -> None:
    """Check that the settings lead to a database. Raises click's error, of one line."""
    from app.database.database import is_sqlite, sqlite_path

    if is_sqlite(settings.url) and not sqlite_path(settings.url).exists():
        raise click.ClickException(
            f"there is no database at {sqlite_path(settings.url)}; manage.py runserver makes one"
        )


def running_server(settings: Settings) -> Connection | None:
    """Return a connection to the settings' server, or None.

    Raises click's error if there is a server that does not let us in.
    """
    from app.client.connection import ConnectionLost
    from app.database.disk import servers_users

    try:
        connection = _connect(settings)
    except ConnectionLost as error:
        if isinstance(error.__cause__, _NOBODY_THERE):
            return None
        if isinstance(error.__cause__, PermissionError):
            raise click.ClickException(
                f"{settings.control_path} is for the user that the server runs as; be that one: "
                "sudo -u USER"
            ) from error
        if isinstance(error.__cause__, BlockingIOError | TimeoutError):
            raise click.ClickException(_HANGS) from error
        raise click.ClickException(str(error)) from error
    if connection.peer_user_id not in {None, *servers_users(settings.data_dir)}:
        connection.close()  # before anything is told to it
        raise click.ClickException(
            f"a program of another user listens at {settings.control_path}; be the user that the "
            "server runs as: sudo -u USER"
        )
    return connection


def _connect(settings: Settings) -> Connection:
    """Connect to the control socket.

    After half of the time to wait for an answer, the server is asked on a second connection. If it
    answers there, it is busy with the first request, and is waited for. Raises ConnectionLost.
    """
    from app.client.connection import Connection

    address = f"unix:{settings.control_path}"

    def check_is_alive() -> None:
        second = Connection(address, None, _Unheard(), silence_seconds=_HALF_SECONDS)
        try:
            second.exchange("ping")
        finally:
            second.close()

    return Connection(
        address, None, _Unheard(), silence_seconds=_HALF_SECONDS, check_is_alive=check_is_alive
    )


def pages(ask: Ask, op: str, items: str, cursor: str) -> Iterator[dict[str, Any]]:
    """Yield the `items` of all pages of a list.

    Each page begins after the `cursor` of the last item before.
    """
    for answer in answers(ask, op, lambda answer: answer[items][-1][cursor]):
        yield from answer[items]


def answers(
    ask: Ask, op: str, last: Callable[[dict[str, Any]], object], **fields: Any
) -> Iterator[dict[str, Any]]:
    """Yield the answers that are the pages of a list.

    `last` returns from an answer the place after which the next page begins.
    """
    after = None
    while True:
        answer = ask(op, after=after, **fields)
        yield answer
        if not answer["has_more"]:
            return
        after = last(answer)


@contextmanager
def asking(connection: Connection) -> Iterator[Ask]:
    """Yield `ask` over a connection, and close it at the end.

    Raises click's error, of one line, for a refusal, or if the server is gone.
    """
    from app.client.connection import SILENT, CallRefused, ConnectionLost

    try:
        yield connection.exchange
    except CallRefused as refusal:
        if refusal.code == "unknown_command":
            raise click.ClickException(
                "the server that runs is of another version, and does not know this; restart it"
            ) from refusal
        raise click.ClickException(str(refusal)) from refusal
    except ConnectionLost as error:
        if str(error) == SILENT:
            raise click.ClickException(_HANGS) from error
        raise click.ClickException(f"the server did not answer: {error}") from error
    finally:
        connection.close()


@contextmanager
def _local_operator(settings: Settings) -> Iterator[Ask]:
    from app.net.local import LocalOperator

    try:
        local = LocalOperator(settings, lambda sentence: click.echo(sentence, err=True))
    except DatabaseInUse as error:
        raise click.ClickException(_elsewhere(settings)) from error
    try:
        yield local.ask
    finally:
        local.close()


@contextmanager
def reading() -> Iterator[Engine]:
    """Yield an engine that reads the settings' database.

    A server may run on it or not. Nothing is made or migrated. Raises click's error, of one line,
    if the database can't be read.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from app.database.database import first_line, reading_engine
    from app.database.opening import check_readable

    os.umask(0o077)
    url = command_settings().url
    check_readable(url)
    engine = reading_engine(url)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise click.ClickException(f"the database can't be used: {first_line(error)}") from error
    finally:
        engine.dispose()
