"""Where the keys of one user for one server are on this disk, and opening them.

This file, and those that it imports, need the library for encryption; whoever imports it may find
that there is none.
"""

from pathlib import Path
from urllib.parse import quote

from app.encryption import Device, EncryptionRefusal, KeyStore, StoreRefused, seen_encrypted
from app.encryption.sealing import COST, Cost
from app.names import parse_name, parse_password
from app.terminal.typed import CanNotDo

_EMPTY = "a passphrase is not empty, and has no control characters"


class Keys:
    """One file, of the user alone: closed, or open with a device in it. One thread at a time."""

    def __init__(self, folder: Path, address: str, user: str, cost: Cost = COST) -> None:
        """`folder` is made when it is needed; `cost` is what a guess at the passphrase costs."""
        self.path = folder / f"{parse_name(user).key}@{quote(address, safe='[]:')}.db"
        self._user = user
        self._cost = cost
        self._store: KeyStore | None = None

    @property
    def is_there(self) -> bool:
        """Whether there are keys."""
        return self.path.exists()

    def open(self, passphrase: str) -> Device:
        """Open the keys, or make them: some 0.3 s. Raises CanNotDo, of one line."""
        try:
            parse_password(passphrase)
        except ValueError as error:
            raise CanNotDo(_EMPTY) from error
        try:
            self._store = KeyStore(self.path, passphrase, self._cost)
            return Device(self._store, self._user)
        except EncryptionRefusal as refusal:
            self.close()
            raise CanNotDo(str(refusal)) from refusal

    def close(self) -> None:
        """Let another program open them."""
        if self._store:
            self._store.close()
            self._store = None

    def seen_encrypted(self) -> set[str]:
        """Return the rooms and users that were, as far as is known with the keys closed.

        Raises CanNotDo.
        """
        try:
            return seen_encrypted(self.path) if self.is_there else set()
        except StoreRefused as refusal:
            raise CanNotDo(str(refusal)) from refusal
