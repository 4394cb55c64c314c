"""What the client remembers between its runs: what was typed, and tokens that log in again.

Both are files of the user alone, in a folder of theirs. No password is ever written: a line that
may hold one is not remembered.
"""

import json
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from prompt_toolkit.history import FileHistory

from app.terminal.typed import WORDS, is_command

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
    return line.partition(" ")[0].removeprefix("/").lower()


class Tokens:
    """For each server, the user who logs in there without a password, and the token for it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def find(self, address: str, name: str = "") -> tuple[str, str] | None:
        """Return the name and the token for a server; None when there are none, or for another."""
        entry = self._read().get(address)
        return (entry[0], entry[1]) if entry and name in ("", entry[0]) else None

    def keep(self, address: str, name: str, token: str) -> None:
        """Remember a token."""
        _write_private(self._path, json.dumps({**self._read(), address: [name, token]}))

    def forget(self, address: str) -> bool:
        """Forget the token for a server. Returns whether there was one."""
        entries = self._read()
        was_there = entries.pop(address, None) is not None
        if was_there:
            _write_private(self._path, json.dumps(entries))
        return was_there

    def _read(self) -> dict[str, list[str]]:
        try:
            entries = json.loads(self._path.read_text())
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
