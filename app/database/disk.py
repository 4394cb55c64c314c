"""Files on the disk: private ones, those that must last, and what lies beside a database."""

import os
from contextlib import suppress
from pathlib import Path

from app.errors import StartRefused

_ROOT = 0
_WRITABLE_BY_OTHERS = 0o022


def open_private(path: str, flags: int) -> int:
    """Open a file for its owner alone: for `open(opener=...)`."""
    return os.open(path, flags, 0o600)


def check_settings_file() -> None:
    """Check that no other user could have written `.env`. It may be missing.

    Raises StartRefused.
    """
    path = Path(".env")
    if os.path.lexists(path) and not path.is_file():
        raise StartRefused("can't read .env: it is no file, or leads to none")
    _check_ours(path, {_ROOT, os.geteuid()})


def check_data_folder(path: Path) -> None:
    """Check that no other user can write to the data directory. It may be missing.

    Raises StartRefused.
    """
    _check_ours(path, servers_users(path))


def servers_users(path: Path) -> set[int]:
    """Return the users that a data directory's server may run as, by id.

    Root trusts the owner of a directory with an absolute path. A relative path depends on the
    current folder, which could be any user's.
    """
    users = {_ROOT, os.geteuid()}
    if os.geteuid() == _ROOT and path.is_absolute():
        with suppress(OSError):
            users.add(path.stat().st_uid)
    return users


def _check_ours(path: Path, users: set[int]) -> None:
    try:
        found = path.stat()
    except OSError:  # missing or unreadable: code that needs the file says so
        return
    if found.st_uid not in users:
        raise StartRefused(f"{path} belongs to another user; be that one: sudo -u USER")
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise StartRefused(f"other users may write to {path}; run: chmod go-w {path}")


def make_private_folder(path: Path) -> None:
    """Make a private folder, and the missing ones above it.

    The folders outlast a power cut. Blocks. Raises OSError.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        sync(each.parent)


def sync(path: Path) -> None:
    """Wait until a file or folder would outlast a power cut.

    Blocks. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def log_path(path: Path) -> Path:
    """Return the path of an SQLite database's write-ahead log."""
    return path.with_name(path.name + "-wal")


def size_bytes(path: Path) -> int:
    """Return the size of a file in bytes; 0 when there is none. Raises OSError."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
