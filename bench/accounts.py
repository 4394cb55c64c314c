"""Accounts written into the database, for scenes of thousands.

To hash 2,000 passwords takes a minute. Greenroom's tables are known here, and in `house.py`, which
fills a room.
"""

import hashlib
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

DATABASE = "greenroom.db"
NS_PER_MS = 1_000_000


def token_of(name: str) -> str:
    """Return what logs in as the account without its password."""
    return f"token-of-{name}"


def make_accounts(folder: Path, names: Sequence[str], password_of: str = "") -> None:
    """Write accounts with tokens, also beside a server that runs.

    With `password_of` they share the password of that account; else they have none.
    """
    now_ms = time.time_ns() // NS_PER_MS
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        connection.executemany(
            "INSERT INTO users (name, key, skeleton, password_hash, is_admin, is_disabled,"
            " private_seen_id, created_at) VALUES (:name, :name, :name,"
            " coalesce((SELECT password_hash FROM users WHERE name = :password_of), ''),"
            " FALSE, FALSE, 0, :now_ms)",
            ({"name": name, "password_of": password_of, "now_ms": now_ms} for name in names),
        )
    give_tokens(folder, names)


def give_tokens(folder: Path, names: Sequence[str]) -> None:
    """Write a token for each of these accounts: see `token_of`."""
    now_ms = time.time_ns() // NS_PER_MS
    with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
        connection.executemany(
            "INSERT INTO tokens (user_id, digest, label, made_at, used_at)"
            " SELECT id, ?, 'bench', ?, ? FROM users WHERE name = ?",
            ((_digest(name), now_ms, now_ms, name) for name in names),
        )


def _digest(name: str) -> bytes:
    return hashlib.sha256(token_of(name).encode()).digest()
