"""PostgreSQL's part of the engines: options of sessions, and the right to write.

The right to serve a database is held twice, by sessions of PostgreSQL that end with their process:
`SERVING` from the start on, and `WRITING` by the connection that writes. When PostgreSQL was away,
both are lost. The writer connects again only if it gets the right to write. So two servers never
write to one database, also if another server took it over.
"""

from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.bounds import (
    DATABASE_BUSY_SECONDS_MAX,
    DATABASE_PROBE_SECONDS,
    DATABASE_PROBES,
    READER_THREADS,
)
from app.errors import StartRefused

SERVING, WRITING = 1, 2  # numbers of our locks; each lock is of one database of PostgreSQL
_SERVER = 3
_OURS = 0x67_72_65_65  # "gree": tells our locks from those of others in the same database
_FILES = 0x67_72_65_66  # and those of files that are being sent
_TAKE = f"SELECT pg_try_advisory_lock({_OURS}, {{}})"
_GIVE_BACK = f"SELECT pg_advisory_unlock({_OURS}, {{}})"
_DRIVER = "psycopg"
_FILE = f"{_FILES}, (%(file)s & 2147483647)::integer"
# See queries/locks.py.
LOCK_SERVER = f"SELECT pg_advisory_xact_lock({_OURS}, {_SERVER})"
HOLD_FILE = f"SELECT pg_try_advisory_lock({_FILE})"
LET_FILE_GO = f"SELECT pg_advisory_unlock({_FILE})"
TRY_FILE = f"SELECT pg_try_advisory_xact_lock({_FILE})"
_TAKEN_OVER = "it is open in another Greenroom"

# Both ends soon give up a peer that is gone without a word, and the locks that it held.
_KEEPALIVE = {
    "keepalives_idle": DATABASE_PROBE_SECONDS,
    "keepalives_interval": DATABASE_PROBE_SECONDS,
    "keepalives_count": DATABASE_PROBES,
}
_EVERY_SESSION = {
    "lock_timeout": f"{DATABASE_BUSY_SECONDS_MAX}s",
    **{f"tcp_{name}": str(value) for name, value in _KEEPALIVE.items()},
}


def make_engine(url: str, *, writes_alone: bool = False, **options: str) -> Engine:
    """Make an engine whose sessions have these of PostgreSQL's options. Raises StartRefused.

    One that `writes_alone` has no connection while another session holds the right to write.
    """
    driver = make_url(url).get_driver_name()
    if driver != _DRIVER:
        raise StartRefused(
            f"GREENROOM_DATABASE_URL: the driver {driver} is not supported; "
            f"write postgresql+{_DRIVER}://..."
        )
    arguments = {"client_encoding": "utf8", "connect_timeout": DATABASE_BUSY_SECONDS_MAX}
    try:
        engine = create_engine(
            url,
            pool_size=READER_THREADS,
            pool_pre_ping=True,  # or each connection fails once after PostgreSQL was away
            connect_args=arguments | _KEEPALIVE,
        )
    except ImportError as error:
        raise StartRefused(
            f"GREENROOM_DATABASE_URL: the driver {error.name} is not installed here"
        ) from error

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        for name, value in (_EVERY_SESSION | options).items():
            connection.execute(f"SET {name} = '{value}'")
        if writes_alone and not connection.execute(_TAKE.format(WRITING)).fetchone()[0]:
            connection.close()
            raise engine.dialect.loaded_dbapi.OperationalError(_TAKEN_OVER)
        connection.commit()

    return engine


def is_out_of_reach(error: SQLAlchemyError) -> bool:
    """Whether an error is of the connection, not an answer of PostgreSQL."""
    said = getattr(error, "orig", None)
    return getattr(said, "sqlstate", "") is None and str(said) != _TAKEN_OVER


def take_to_serve(connection: Connection) -> bool:
    """Take the right to serve, if it is free; return whether.

    The right lasts as long as the connection is open.
    """
    is_ours = all(
        connection.exec_driver_sql(_TAKE.format(right)).scalar_one() for right in (SERVING, WRITING)
    )
    if is_ours:  # the writing engine takes this right itself
        connection.exec_driver_sql(_GIVE_BACK.format(WRITING))
    connection.commit()
    return is_ours
