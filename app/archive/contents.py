"""The values that a database may hold: row by row, those that a server could have written.

Each column has a condition in SQL, by its type and name. SQLite checks most values itself. It asks
functions of ours only about texts that are not plain ASCII, names, hashes and the like.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

from sqlalchemy import BigInteger, Boolean, Column, Integer, LargeBinary, Table

from app.bounds import ID_MAX, RETENTION_DAYS_MAX
from app.database.tables import Base
from app.errors import BadNameError, StartRefused
from app.protocol.command import Enc
from app.values.names import REPLACEMENT, harmless, parse_name
from app.values.times import TIME_MAX

_NUMBER_MAX = ID_MAX >> 1  # of an id that was given: as many are left
_PLACE_MAX = (1 << 31) - 1
_TEXT_CHARS_MAX = 1 << 20  # the longest line that the server can be set to read
# With these costs a hash delays no other work for long: under 1 GiB, and 100 rounds.
_HASH = re.compile(
    r"\$argon2id\$v=19\$m=\d{1,6},t=\d{1,2},p=\d{1,2}\$[A-Za-z0-9+/]{11,64}\$[A-Za-z0-9+/]{16,90}"
)


def check(path: Path, backup_path: Path) -> None:
    """Check the values of a database of this revision. Raises StartRefused and sqlite3.Error."""
    connection = sqlite3.connect(path)
    try:
        for function in (_is_harmless, _is_name, _is_hash, _is_network, _is_enc):
            connection.create_function(function.__name__, -1, function, deterministic=True)
        wrong = next(_wrong(connection), None)
    finally:
        connection.close()
    if wrong is not None:
        raise StartRefused(
            f"{backup_path} has what no Greenroom writes: {wrong}; take another backup"
        )


def _wrong(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield each fault and its place; never the value itself."""
    (versions,) = connection.execute("SELECT count(*) FROM alembic_version").fetchone()
    if versions != 1:
        yield "alembic_version has several rows"
    for table in Base.metadata.sorted_tables:
        yield from _wrong_rows(connection, table)
    for table_name, row_id, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row_id} of {table_name} is about one of {parent} that is not there"
    query = "SELECT name FROM sqlite_sequence WHERE (typeof(seq) = 'integer' AND seq BETWEEN 0 AND"
    for (name,) in connection.execute(f"{query} {_NUMBER_MAX}) IS NOT TRUE"):
        yield f"the last id of {harmless(str(name))} is no number that can be"


def _wrong_rows(connection: sqlite3.Connection, table: Table) -> Iterator[str]:
    conditions = {column.name: _condition(table.name, column) for column in table.columns}
    cases = " ".join(
        f"WHEN ({condition}) IS NOT TRUE THEN '{name}'" for name, condition in conditions.items()
    )
    query = f"SELECT rowid, CASE {cases} END FROM {table.name} WHERE NOT ("  # noqa: S608 (our names)
    query += " AND ".join(f"({each}) IS TRUE" for each in conditions.values()) + ")"
    try:
        for row_id, name in connection.execute(query):
            yield f"{name} of row {row_id} of {table.name} is not {_KIND.get(name) or _kind(name)}"
    except sqlite3.OperationalError:  # text that is no UTF-8 can't be given to a function
        yield f"{table.name} has text that is no UTF-8"


_KIND = {
    "name": "a name",
    "key": "that of its name",
    "password_hash": "a hash of a password",
    "network": "a network",
}


def _kind(column: str) -> str:
    if column.endswith("_at"):
        return "a time"
    return "a number that can be" if column == "id" or column.endswith("_id") else "what it can be"


def _condition(table: str, column: Column[object]) -> str:
    """Return the condition of a column in SQL; it holds for NULL in a nullable column."""
    name = f'"{column.name}"'
    if isinstance(column.type, Boolean):
        condition = _between(name, 1)
    elif isinstance(column.type, LargeBinary):
        condition = f"typeof({name}) = 'blob'"
    elif isinstance(column.type, (Integer, BigInteger)):
        condition = _between(name, _most(column))
    else:
        condition = _of_text(table, name)
    return f"{name} IS NULL OR {condition}" if column.nullable else condition


def _most(column: Column[object]) -> int:
    if column.name.endswith("_at"):
        return TIME_MAX
    if column.name == "retention_days":
        return RETENTION_DAYS_MAX
    return _PLACE_MAX if column.name in ("place", "file_count") else _NUMBER_MAX


def _between(name: str, most: int) -> str:
    return f"typeof({name}) = 'integer' AND {name} BETWEEN 0 AND {most}"


def _of_text(table: str, name: str) -> str:
    if name in _FOR_PROGRAMS or (table, name) == ("to_device", '"body"'):
        return f"typeof({name}) = 'text'"
    condition = (
        f"typeof({name}) = 'text' AND length({name}) <= {_TEXT_CHARS_MAX} AND"
        f" instr({name}, char(0)) = 0 AND ({name} NOT GLOB '*[^ -~]*' OR _is_harmless({name}))"
    )
    return f"{condition} AND {special}" if (special := _SPECIAL.get((table, name))) else condition


# Signed texts of devices: the server passes them on as they came, and shows them to no user.
_FOR_PROGRAMS = frozenset(('"aik"', '"payload"', '"sig"'))
# A deleted room has no name of its own any more, and a deleted account no password.
_SPECIAL = {
    ("users", '"name"'): "_is_name(name)",
    ("users", '"key"'): "_is_name(name, key)",
    ("rooms", '"name"'): "_is_name(name)",
    ("rooms", '"key"'): "(deleted_at IS NOT NULL OR _is_name(name, key))",
    ("users", '"password_hash"'): "(deleted_at IS NOT NULL OR _is_hash(password_hash))",
    ("server_sanctions", '"network"'): "_is_network(network)",
    ("messages", '"body"'): "(sender_device IS NULL OR _is_enc(body))",
}


def _is_harmless(text: str) -> bool:
    """Whether a text may be shown. It may hold U+FFFD, which an older server put in."""
    return harmless(text).count(REPLACEMENT) == text.count(REPLACEMENT)


def _is_name(shown: str, key: str | None = None) -> bool:
    with suppress(BadNameError):
        name = parse_name(shown)
        return name.shown == shown and key in (None, name.key)
    return False


def _is_hash(text: str) -> bool:
    """Whether a text is a checkable hash, or none: then the account is locked."""
    return not text.startswith("$") or bool(_HASH.fullmatch(text))


def _is_network(text: str) -> bool:
    return _can(lambda: ip_network(text)) and str(ip_network(text)) == text


def _is_enc(text: str) -> bool:
    return _can(lambda: Enc.model_validate_json(text))


def _can(work: Callable[[], object]) -> bool:
    with suppress(ValueError):
        work()
        return True
    return False
