"""Keep typed lines, rooms and login tokens between runs.

All are files of the user alone, in the user's own folder. No password is ever written: a line that
may hold one is not remembered.
"""

import json
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

from prompt_toolkit.history import FileHistory
from typing_extensions import override

from app.terminal.typed import WORDS, is_command
from app.wires.text.commands import split_command

_LINES_MAX = 1_000  # typed lines that are kept for the next run
_SECRET_WORDS = ("passwd", "login", "register", "unregister")
_PRIVATE_WORDS = ("msg", "device")  # messages for one user, and a code for one's own eyes


def state_folder() -> Path:
    """Return the client's folder, made if need be.

    It is $XDG_STATE_HOME/greenroom, or ~/.local/state/greenroom. Raises OSError.
    """
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "greenroom"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class InputHistory(FileHistory):
    """The typed lines, in a private file.

    A line that may hold a password is not in it. Nor is one typed while `is_private`, or for one
    user: it may be encrypted everywhere else.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_private: Callable[[], bool] = lambda: False
        path.touch(mode=0o600)
        path.chmod(0o600)
        newest = list(islice(self.load_history_strings(), _LINES_MAX + 1))
        if len(newest) > _LINES_MAX:
            _write_private(path, "")
            for line in reversed(newest[:_LINES_MAX]):
                self.store_string(line)

    @override
    def append_string(self, string: str) -> None:
        if not any(map(_is_secret, string.splitlines())):
            super().append_string(string)

    @override
    def store_string(self, string: str) -> None:
        if not self.is_private() and all(map(_is_for_disk, string.splitlines())):
            super().store_string(string)


def _is_secret(line: str) -> bool:
    """Return whether a line may hold a password. Or was meant to be one that does."""
    begun = line.lstrip()
    return begun.startswith("/") and _word(begun).startswith(_SECRET_WORDS)


def _is_for_disk(line: str) -> bool:
    """Return whether a line may be kept on the disk.

    A command for one's own eyes may not, nor one with a mistyped word.
    """
    word = _word(line)
    return not is_command(line) or (word in WORDS and word not in _PRIVATE_WORDS)


def _word(line: str) -> str:
    return split_command(line)[0].removeprefix("/").lower()


class Tokens:
    """Tokens that log in, one a server, with their users."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, address: str, name: str = "", *, safety: int = 0) -> tuple[str, str] | None:
        """Return a server's name and token, or None.

        It is None if the name is not `name`, unless that is "". `safety` is that of the line
        (Server.safety): a token is not used on a line less safe than the one that it came by.
        """
        entry = _read(self._path).get(address)
        if not isinstance(entry, list) or len(entry) < 2 or name not in ("", entry[0]):
            return None
        needed = entry[2] if len(entry) > 2 and isinstance(entry[2], int) else 0
        return (entry[0], entry[1]) if needed <= safety else None

    def keep(self, address: str, name: str, token: str, *, safety: int = 0) -> None:
        """Store a token, and its line's safety. Raises OSError."""
        entry = [name, token, safety]
        _write_private(self._path, json.dumps({**_read(self._path), address: entry}))

    def forget(self, address: str) -> bool:
        """Forget the token for a server. Returns whether there was one."""
        entries = _read(self._path)
        was_there = entries.pop(address, None) is not None
        if was_there:
            _write_private(self._path, json.dumps(entries))
        return was_there


class Kept:
    """A user's list at a server, kept on the disk.

    All users' lists are in one file. Each change is on the disk when it returns; another run that
    changes its own list does no harm.
    """

    def __init__(self, path: Path, address: str, user: str) -> None:
        self._path = path
        self._key = f"{user}@{address}"

    def items(self) -> list[Any]:
        """Return the items."""
        items = _read(self._path).get(self._key)
        return items if isinstance(items, list) else []

    def replace(self, items: Sequence[Any]) -> None:
        """Replace the items. Raises OSError."""
        entries = {**_read(self._path), self._key: list(items)}
        _write_private(self._path, json.dumps(entries))

    def add(self, item: Any) -> None:
        """Put an item at the end. Raises OSError."""
        self.replace([*self.items(), item])

    def remove(self, item: Any) -> None:
        """Remove an item, if it is there. Raises OSError."""
        items = self.items()
        if item in items:
            items.remove(item)
            self.replace(items)


class Keeping(NamedTuple):
    """The lists of a user at a server.

    `rooms` begins with the room that was looked at, then has all. `lines` are those not yet said.
    """

    rooms: Kept
    lines: Kept

    @classmethod
    def of(cls, folder: Path, address: str, user: str) -> Self:
        """Return a user's lists in a folder."""
        return cls(Kept(folder / "rooms", address, user), Kept(folder / "unsaid", address, user))


def _read(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all. Only its owner can read it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
