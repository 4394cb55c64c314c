"""What the client remembers between its runs: what was typed, rooms, and tokens that log in again.

All are files of the user alone, in a folder of theirs. No password is ever written: a line that
may hold one is not remembered.
"""

import json
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Self

from prompt_toolkit.history import FileHistory

from app.terminal.typed import WORDS, is_command
from app.wires.text.commands import split_command

_LINES_MAX = 1_000  # of what was typed, that are kept for the next run
_SECRET_WORDS = ("passwd", "login", "register", "unregister")
_PRIVATE_WORDS = ("msg", "device")  # what is for one person, and a code that is for one's own eyes


def state_folder() -> Path:
    """Return the folder for what the client remembers, made if need be."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "greenroom"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class InputHistory(FileHistory):
    """What was typed, in a private file, without the lines that may hold a password.

    Nor has the file what was typed while `is_private`, or for one person: it may be encrypted
    everywhere else.
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

    def append_string(self, string: str) -> None:
        """Remember a line, or several that were pasted, for Up."""
        if not any(map(_is_secret, string.splitlines())):
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """Remember it for the next run, unless that may give away what was said in private."""
        if not self.is_private() and all(map(_is_for_disk, string.splitlines())):
            super().store_string(string)


def _is_secret(line: str) -> bool:
    """Whether a line may hold a password, or was meant to be one that does."""
    begun = line.lstrip()
    return begun.startswith("/") and _word(begun).startswith(_SECRET_WORDS)


def _is_for_disk(line: str) -> bool:
    """Whether a line is no command for one's own eyes, nor one with a typo in its word."""
    word = _word(line)
    return not is_command(line) or (word in WORDS and word not in _PRIVATE_WORDS)


def _word(line: str) -> str:
    return split_command(line)[0].removeprefix("/").lower()


class Tokens:
    """For each server, the user who logs in there without a password, and the token for it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, address: str, name: str = "", *, safety: int = 0) -> tuple[str, str] | None:
        """Return the name and the token for a server; None when there are none, or for another.

        `safety` is that of the line: a token is for one that is as safe as where it came from.
        """
        entry = _read(self._path).get(address)
        if not isinstance(entry, list) or len(entry) < 2 or name not in ("", entry[0]):
            return None
        needed = entry[2] if len(entry) > 2 and isinstance(entry[2], int) else 0
        return (entry[0], entry[1]) if needed <= safety else None

    def keep(self, address: str, name: str, token: str, *, safety: int = 0) -> None:
        """Remember a token, and how safe the line was that it came by."""
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
    """A list that outlives the program, of one user at one server, in a file for all of them.

    Each change is on the disk when it returns; another run that changes its own does no harm.
    """

    def __init__(self, path: Path, address: str, user: str) -> None:
        self._path = path
        self._key = f"{user}@{address}"

    def items(self) -> list[Any]:
        """Return what is in it."""
        items = _read(self._path).get(self._key)
        return items if isinstance(items, list) else []

    def replace(self, items: Sequence[Any]) -> None:
        """Let it hold these."""
        entries = {**_read(self._path), self._key: list(items)}
        _write_private(self._path, json.dumps(entries))

    def add(self, item: Any) -> None:
        """Put an item at the end."""
        self.replace([*self.items(), item])

    def remove(self, item: Any) -> None:
        """Take an item out, if it is there."""
        items = self.items()
        if item in items:
            items.remove(item)
            self.replace(items)


class Keeping(NamedTuple):
    """What a user at a server finds again: the room looked at, then all; and what is unsaid."""

    rooms: Kept
    lines: Kept

    @classmethod
    def of(cls, folder: Path, address: str, user: str) -> Self:
        """Return what a folder keeps for a user at a server."""
        return cls(Kept(folder / "rooms", address, user), Kept(folder / "unsaid", address, user))


def _read(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _write_private(path: Path, text: str) -> None:
    """Write a file whole or not at all, so that only its owner can read it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
