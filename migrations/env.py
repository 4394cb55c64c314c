"""How Alembic reaches the database: through the server's connection, or one of its own.

alembic upgrade head                    the database of the settings
alembic -x url=sqlite:///x.db check     another one
"""

import os
from typing import Any

from alembic import context
from click import Command, Context
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.cli.asking import command_settings
from app.database.database import Url, first_line, is_sqlite, migrating_engine, sqlite_path
from app.database.lock import DatabaseLock, open_private
from app.database.tables import Base
from app.errors import StartRefused


def _run(connection: Connection, **options: Any) -> None:
    context.configure(
        connection=connection, target_metadata=Base.metadata, render_as_batch=True, **options
    )
    with context.begin_transaction():
        context.run_migrations()


def _url_of_settings() -> Url:
    """Read the settings, as commands of manage.py do. Raises StartRefused."""
    with Context(Command("alembic")):
        return command_settings().url


def _run_alone(url: Url) -> None:
    """Migrate in one transaction, and as the database's only user if there is anything to do."""
    locks: list[DatabaseLock] = []

    def take_lock(**_: Any) -> None:
        if not locks:
            locks.append(DatabaseLock(url))  # when it is refused, all that was done is undone

    if is_sqlite(url):
        path = sqlite_path(url)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(open_private(str(path), os.O_RDWR | os.O_CREAT))
    engine = migrating_engine(url)
    try:
        with engine.begin() as connection:
            _run(connection, on_version_apply=take_lock)
        for lock in locks:
            lock.mark_ready()
    finally:
        engine.dispose()
        for lock in locks:
            lock.release()


if context.is_offline_mode():
    raise SystemExit("alembic: --sql is not supported; a migration needs its database")
if "connection" in context.config.attributes:
    _run(context.config.attributes["connection"])
else:
    arguments = context.get_x_argument(as_dictionary=True)
    try:
        _run_alone(arguments.get("url") or _url_of_settings())
    except StartRefused as refusal:
        raise SystemExit(f"alembic: {refusal}") from None
    except SQLAlchemyError as error:
        raise SystemExit(f"alembic: the database can't be migrated: {first_line(error)}") from error
