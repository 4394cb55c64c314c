"""Files on the disk: private ones, those that must last, and what lies beside a database."""

import os
from pathlib import Path


def open_private(path: str, flags: int) -> int:
    """Open a file that only its owner may read, for `open(opener=...)`."""
    return os.open(path, flags, 0o600)


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter, and those above it, if they are not there.

    They would outlast a power cut. Blocks. Raises OSError.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        sync(each.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, would outlast a power cut. Blocks."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def log_path(path: Path) -> Path:
    """Return where the write-ahead log of an SQLite database is."""
    return path.with_name(path.name + "-wal")


def size_bytes(path: Path) -> int:
    """Return how large a file is; 0 when there is none. Raises OSError."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
