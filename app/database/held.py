"""SQLite's file while it is in use: locked, and watched.

No other program may serve the file, and its path must lead to it. The lock is on the file itself,
so it holds under each of its names. It lies far behind all that SQLite locks. The file stays open
until SQLite has closed it: a process that closes a file loses SQLite's locks on it, however often
the file is open.
"""

import errno
import fcntl
import os
import stat
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from app.database.disk import log_path, size_bytes
from app.errors import DatabaseInUse, StartRefused

_LOCKED_BYTE = 1 << 62
_BEGINNING, _HAS_LOG = b"SQLite format 3\0", b"\2\2"  # of a database (sqlite.org/fileformat2.html)
_LOG_BEGINNINGS = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_LOOKS, _BETWEEN_LOOKS_SECONDS = 4, 0.2


class Fate(NamedTuple):
    """The fate of a file in use: `what` is "gone", "overwritten" or empty.

    If the log `is_cut`, another program may have brought it into the database. The next write tells
    whether that is so.
    """

    what: str = ""
    is_cut: bool = False


class HeldFile:
    """The database's file, open and locked.

    `given` is its path as it was given: perhaps a link.
    """

    def __init__(self, path: Path, given: Path, *, is_to_go: bool = False) -> None:
        """Lock it. A file that is to go may have several names.

        Blocks. Raises DatabaseInUse, StartRefused and OSError.
        """
        self._path = path
        self._given = given
        self._beside: dict[Path, os.stat_result] = {}
        self._log_bytes = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._check(path, is_to_go=is_to_go)
        except BaseException:
            self.close()
            raise

    def _check(self, path: Path, *, is_to_go: bool) -> None:
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise StartRefused(f"{path} is no regular file")
        if not _lock(self._descriptor):
            raise DatabaseInUse(f"{path} is open in another Greenroom; stop that one first")
        if not is_to_go:
            refuse_hard_links(path)

    def fate(self) -> Fate:
        """Return what became of the file since SQLite opened it. Blocks. Raises OSError."""
        if not _leads_to(self._given, os.fstat(self._descriptor)) or self._has_lost_sibling():
            return Fate("gone")
        log = _head(log_path(self._path))
        if not self._is_whole() or (log and not log.startswith(_LOG_BEGINNINGS)):
            return Fate("overwritten")
        log_bytes = size_bytes(log_path(self._path))
        is_cut, self._log_bytes = log_bytes < self._log_bytes, log_bytes
        return Fate("", is_cut)

    def _has_lost_sibling(self) -> bool:
        """Whether the log or its index was replaced by another file.

        SQLite still has the first one open.
        """
        for suffix in ("-wal", "-shm"):
            path = self._path.with_name(self._path.name + suffix)
            first = self._beside.get(path)
            if first is None:
                with suppress(FileNotFoundError):
                    self._beside[path] = path.stat()
            elif not _leads_to(path, first):
                return True
        return False

    def _is_whole(self) -> bool:
        """Whether the file begins as ours, and has all its pages.

        When the disk was full while the log was brought into it, the log must have the other pages.
        """
        there = pages = page_bytes = 0
        for _ in range(_LOOKS):
            head = os.pread(self._descriptor, 32, 0)
            page_bytes = int.from_bytes(head[16:18], "big")
            if head[:16] != _BEGINNING or head[18:20] != _HAS_LOG or not page_bytes:
                return False
            pages = int.from_bytes(head[28:32], "big")
            page_bytes = 65_536 if page_bytes == 1 else page_bytes
            there = os.fstat(self._descriptor).st_size // page_bytes
            if there >= pages:
                return True
            time.sleep(_BETWEEN_LOOKS_SECONDS)  # the log is being brought into it, page by page
        logged = _pages_behind(there, log_path(self._path), page_bytes)
        return len([page for page in logged if page <= pages]) == pages - there

    def close(self) -> None:
        """Give the lock back, after SQLite has closed the file."""
        os.close(self._descriptor)


def is_in_use(path: Path) -> bool:
    """Whether another program has locked a file.

    It locks and makes nothing. Blocks. Raises OSError.
    """
    if not (hasattr(fcntl, "F_OFD_GETLK") and path.is_file()):
        return False
    with path.open("rb") as file:
        found = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _lock_of(fcntl.F_WRLCK))
    return struct.unpack_from("h", found) != (fcntl.F_UNLCK,)


def _leads_to(path: Path, known: os.stat_result) -> bool:
    try:
        return os.path.samestat(path.stat(), known)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def _pages_behind(page: int, log: Path, page_bytes: int) -> set[int]:
    """Return the numbers of a log's pages after `page`. Raises OSError."""
    numbers: set[int] = set()
    with suppress(FileNotFoundError), log.open("rb", buffering=0) as file:
        salt = file.read(32)[16:24]
        while (frame := file.read(24))[8:16] == salt and len(frame) == 24:
            numbers.add(int.from_bytes(frame[:4], "big"))
            file.seek(page_bytes, os.SEEK_CUR)
    return {number for number in numbers if number > page}


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except FileNotFoundError:
        return b""


def refuse_hard_links(path: Path) -> None:
    """Refuse a file with several names. Raises StartRefused.

    SQLite keeps a log beside each name. Raises OSError when there is no file.
    """
    if path.stat().st_nlink > 1:
        raise StartRefused(
            f"{path} has another name as well (a hard link); remove the other name, or copy the "
            "file with cp, and use the copy"
        )


def refuse_other_name(path: Path) -> None:
    """Refuse a file with several names and no log beside this one.

    Raises StartRefused, and OSError when there is no file.
    """
    if not log_path(path).exists():
        refuse_hard_links(path)


def forget_cut_restore(path: Path) -> None:
    """Remove a database's second name, left by an interrupted restore."""
    files = [each for each in (path, log_path(path)) if each.exists()]
    for kept in path.parent.iterdir():
        is_kept = kept.name.startswith(f"{path.name}.before-restore.")
        if is_kept and any(kept.samefile(each) for each in files):
            kept.unlink()


def _lock(descriptor: int) -> bool:
    """Lock an open file; return whether no other program has it.

    The lock ends with its process. Where the system has no such locks, the lock file is the only
    lock.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return True
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _lock_of(fcntl.F_WRLCK))
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def _lock_of(kind: int) -> bytes:
    return struct.pack("hhqqi", kind, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
