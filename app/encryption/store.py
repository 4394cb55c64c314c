"""Keep a device's keys in a SQLite file, each row sealed.

Promises:
  1. The file is 0600, and values can't be read without the passphrase: each row is AES-256-GCM
     under a data key, which Argon2id wraps. Kinds and ids of rows are in the clear.
  2. A changed row, a row in another row's place, and a file that was copied, or put back to an
     earlier state, are noticed.
  3. One process has the file open at a time: a ratchet step is never taken twice.
  4. At the end of a transaction all of it is on the disk, or nothing of it.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.encryption.refusals import (
    StoreCopied,
    StoreDamaged,
    StoreInUse,
    StoreUnusable,
    WrongPassphrase,
)
from app.encryption.sealing import COST, KEY_BYTES, NONCE_BYTES, Cost, seal, unseal
from app.protocol.signatures import context

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

_SYNCHRONOUS = "FULL"  # a ratchet step is on the disk before it is on the wire, even in a power cut
_VERSION = 1  # of the file, in SQLite's user_version
_HEADER = "store"  # the purpose for which the data key is sealed
_OPENING = ("store", "opening")  # the row with the inode and the stamp of the last opening
_STAMP_BYTES = 16
_TABLES = """
CREATE TABLE header (sealed TEXT NOT NULL);
CREATE TABLE rows (
    kind TEXT NOT NULL, id TEXT NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (kind, id)
) WITHOUT ROWID;
"""


class KeyStore:
    """A device's keys in a file; see the promises above. Only one thread may use it at a time."""

    def __init__(self, path: Path, passphrase: str, cost: Cost = COST) -> None:
        """Open the file, or make it with that `cost`.

        Raises StoreRefused; ValueError for a text that can't be a passphrase.
        """
        self._path = path
        self._lock = self.lock(path)
        try:
            self._database = self._open_file()
        except BaseException:
            os.close(self._lock)
            raise
        try:
            self._unlock(self._header(passphrase, cost), passphrase)
            self._check_opening()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # damage, past the header
            self.close()
            raise StoreUnusable(path=self._path, why=error) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and give the lock back."""
        self._database.close()
        os.close(self._lock)

    @property
    def pickle_key(self) -> bytes:
        """The key with which the library seals its pickles.

        Rows with such pickles are sealed a second time.
        """
        return self._pickle_key

    # Opening.

    @staticmethod
    def lock(path: Path) -> int:
        """Keep other processes out of a file.

        Returns a descriptor; closing it ends the lock. Raises StoreInUse, StoreUnusable.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_path = path.with_name(path.name + ".lock")
            lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreUnusable(path=path, why=error.strerror) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise StoreInUse(path=path) from None
        return lock

    def _open_file(self) -> sqlite3.Connection:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            return sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, timeout=0
            )
        except (OSError, sqlite3.Error) as error:
            raise StoreUnusable(path=self._path, why=error) from error

    def _header(self, passphrase: str, cost: Cost) -> str:
        """Return the sealed data key, made for a new file. Raises StoreUnusable."""
        try:
            self._database.execute(f"PRAGMA synchronous={_SYNCHRONOUS}")
            self._database.execute("PRAGMA journal_mode=WAL")
            version = self._database.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                raise StoreUnusable(path=self._path, why="a later version of Greenroom made them")
            if version == 0:
                self._create(passphrase, cost)
            return str(self._database.execute("SELECT sealed FROM header").fetchone()[0])
        except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:  # SQLite quotes
            raise StoreUnusable(path=self._path, why=error) from error

    def _create(self, passphrase: str, cost: Cost) -> None:
        header = seal(passphrase, os.urandom(KEY_BYTES), _HEADER, cost)
        self._database.executescript(f"BEGIN IMMEDIATE; {_TABLES}")
        self._database.execute("INSERT INTO header VALUES (?)", (header,))
        self._database.execute(f"PRAGMA user_version={_VERSION}")
        self._database.execute("COMMIT")

    def _unlock(self, header: str, passphrase: str) -> None:
        try:
            data_key = unseal(passphrase, header, _HEADER)
        except ValueError as error:
            raise WrongPassphrase(path=self._path) from error
        self._sealer = AESGCM(data_key)
        derived = HKDF(SHA256(), KEY_BYTES, salt=None, info=context("pickle"))
        self._pickle_key = derived.derive(data_key)

    def change_passphrase(self, passphrase: str, new: str, cost: Cost = COST) -> None:
        """Seal the data key under another passphrase.

        Raises WrongPassphrase; ValueError for a `new` that can't be a passphrase.
        """
        with self.transaction():
            header = self._database.execute("SELECT sealed FROM header").fetchone()[0]
            try:
                data_key = unseal(passphrase, header, _HEADER)
            except ValueError as error:
                raise WrongPassphrase(path=self._path) from error
            self._database.execute(
                "UPDATE header SET sealed = ?", (seal(new, data_key, _HEADER, cost),)
            )

    def _check_opening(self) -> None:
        """Compare the last opening's stamps, and write new ones.

        The file has one stamp, the lock beside it another. A copied file has another inode; an
        earlier state of the file has another stamp than the lock. The file is stamped first and
        keeps the stamp before, because a crash may come in between. Raises StoreCopied,
        StoreDamaged.
        """
        last = self.get(*_OPENING)
        inode = self._path.stat().st_ino
        there = os.pread(self._lock, _STAMP_BYTES, 0).hex()
        if last is None:
            if self._database.execute("SELECT count(*) FROM rows").fetchone()[0]:
                raise StoreDamaged(path=self._path)
        elif last["inode"] != inode or there not in (last["stamp"], last["before"]):
            raise StoreCopied(path=self._path)
        stamp = os.urandom(_STAMP_BYTES)
        with self.transaction():
            self.put(*_OPENING, {"inode": inode, "stamp": stamp.hex(), "before": there})
        os.pwrite(self._lock, stamp, 0)
        os.fsync(self._lock)

    # Rows.

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all rows that are put inside, or none.

        They are on the disk at the end. A transaction inside another is a part of it. Raises
        StoreUnusable, such as for a full disk.
        """
        if self._database.in_transaction:
            yield
            return
        try:
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._commit()
        except sqlite3.Error as error:
            self._roll_back()
            raise StoreUnusable(path=self._path, why=error) from error
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")

    def _commit(self) -> None:
        self._database.execute("COMMIT")

    def get(self, kind: str, row_id: str = "") -> Json | None:
        """Return a row's value; None when there is none. Raises StoreDamaged."""
        query = "SELECT sealed FROM rows WHERE kind = ? AND id = ?"
        found = self._read(query, kind, row_id)
        return self._unseal(kind, row_id, found[0][0]) if found else None

    def put(self, kind: str, row_id: str, value: Json) -> None:
        """Write a row, inside a transaction.

        `value` is a JSON object. Raises RuntimeError outside of one.
        """
        if not self._database.in_transaction:
            raise RuntimeError("rows are written in transactions")
        nonce = os.urandom(NONCE_BYTES)
        data = json.dumps(value, separators=(",", ":")).encode()
        sealed = nonce + self._sealer.encrypt(nonce, data, _place(kind, row_id))
        self._database.execute("REPLACE INTO rows VALUES (?, ?, ?)", (kind, row_id, sealed))

    def delete(self, kind: str, row_id: str = "") -> None:
        """Remove a row, if there is one, inside a transaction.

        Raises RuntimeError outside of one.
        """
        if not self._database.in_transaction:
            raise RuntimeError("rows are removed in transactions")
        self._database.execute("DELETE FROM rows WHERE kind = ? AND id = ?", (kind, row_id))

    def rows(self, kind: str) -> list[tuple[str, Json]]:
        """Return ids and values of all rows of a kind.

        They are in the order of their ids. Raises StoreDamaged.
        """
        found = self._read("SELECT id, sealed FROM rows WHERE kind = ? ORDER BY id", kind)
        return [(row_id, self._unseal(kind, row_id, sealed)) for row_id, sealed in found]

    def ids(self, kind: str) -> list[str]:
        """Return a kind's ids, in order. Raises StoreDamaged."""
        found = self._read("SELECT id FROM rows WHERE kind = ? ORDER BY id", kind)
        return [row_id for (row_id,) in found]

    def _read(self, query: str, *values: str) -> list[Any]:
        try:
            return self._database.execute(query, values).fetchall()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            raise StoreDamaged(path=self._path) from error

    def _unseal(self, kind: str, row_id: str, sealed: bytes) -> Json:
        try:
            data = self._sealer.decrypt(
                sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _place(kind, row_id)
            )
        except (InvalidTag, TypeError, ValueError) as error:  # SQLite may have a text there
            raise StoreDamaged(path=self._path) from error
        value: Json = json.loads(data)
        return value


def ids_without_passphrase(path: Path, kind: str) -> set[str]:
    """Return the ids of a file's rows of a kind.

    They are in the clear: no passphrase is needed. Raises StoreUnusable.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            found = database.execute("SELECT id FROM rows WHERE kind = ?", (kind,)).fetchall()
    except sqlite3.Error as error:
        raise StoreUnusable(path=path, why=error) from error
    return {row_id for (row_id,) in found}


def _place(kind: str, row_id: str) -> bytes:
    """Return a row's place: it is authenticated with the row."""
    return f"{kind}\0{row_id}".encode()
