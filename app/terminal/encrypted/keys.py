"""Open a user's keys for one server, on this disk.

This file, and those that it imports, need the library for encryption. Importing it raises
ImportError if there is none.
"""

import os
from pathlib import Path
from urllib.parse import quote

from app.encryption import Device, EncryptionRefusal, KeyStore, StoreRefused, seen_encrypted
from app.encryption.refusals import WrongPassphrase
from app.encryption.sealing import COST, Cost
from app.terminal.typed import CanNotDo, Mistyped
from app.values.names import parse_name, parse_password

_EMPTY = "a passphrase is not empty, and has no control characters"


class Keys:
    """A user's keys: closed, or open with a device. Only one thread may use it at a time."""

    def __init__(self, folder: Path, address: str, user: str, cost: Cost = COST) -> None:
        """Keep the path and cost of the keys.

        `folder` is made when it is needed. `cost` is that of a guess at the passphrase, for new
        keys. Raises BadNameError.
        """
        self.path = folder / f"{parse_name(user).key}@{quote(address, safe='[]:')}.db"
        self._user = user
        self._cost = cost
        self._store: KeyStore | None = None

    @property
    def is_there(self) -> bool:
        """Return whether there are keys."""
        return self.path.exists()

    def open(self, passphrase: str) -> Device:
        """Open the keys, or make them: some 0.3 s. Raises CanNotDo, of one line."""
        try:
            parse_password(passphrase)
        except ValueError as error:
            raise Mistyped(_EMPTY) from error
        try:
            self._store = KeyStore(self.path, passphrase, self._cost)
            device = Device(self._store, self._user)
            device.remember_encrypted(*self._seen_in(self._put_aside))
        except WrongPassphrase as refusal:
            raise Mistyped(str(refusal)) from refusal
        except EncryptionRefusal as refusal:
            self.close()
            raise CanNotDo(str(refusal)) from refusal
        return device

    def put_aside(self) -> str:
        """Rename the file of keys, and the files beside it.

        New keys can be made then. Returns where it is, or "" if there was none. Raises CanNotDo if
        another program has it open.
        """
        self.close()
        if not self.is_there:
            return ""
        try:
            lock = KeyStore.lock(self.path)
        except StoreRefused as refusal:
            raise CanNotDo(str(refusal)) from refusal
        try:
            number = 1 + len(self._put_aside)
            aside = self.path.with_name(f"{self.path.stem}.lost-{number}.db")
            for end in ("-wal", "-shm", ".lock", ""):
                path = self.path.with_name(self.path.name + end)
                if path.exists():
                    path.rename(aside.with_name(aside.name + end))
        finally:
            os.close(lock)
        return str(aside)

    @property
    def _put_aside(self) -> list[Path]:
        return sorted(
            path
            for path in self.path.parent.glob("*.lost-*.db")
            if path.name.startswith(f"{self.path.stem}.lost-")
        )

    def close(self) -> None:
        """Close the keys; another program can open them then."""
        if self._store:
            self._store.close()
            self._store = None

    def seen_encrypted(self) -> set[str]:
        """Return the rooms and users that were seen encrypted.

        The keys may be closed: ids are in the clear. Raises CanNotDo.
        """
        there = [self.path] if self.is_there else []
        try:
            rooms, users = self._seen_in([*there, *self._put_aside])
        except StoreRefused as refusal:
            raise CanNotDo(str(refusal)) from refusal
        return rooms | users

    @staticmethod
    def _seen_in(paths: list[Path]) -> tuple[set[str], set[str]]:
        """Return the rooms and users that key files have seen. Raises StoreUnusable."""
        seen = [seen_encrypted(path) for path in paths]
        return set().union(*(each[0] for each in seen)), set().union(*(each[1] for each in seen))
