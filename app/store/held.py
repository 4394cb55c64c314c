"""SQLite's file while it is in use: no other program may serve it, and its path must lead to it.

The lock is on the file itself, whatever names lead to it. It lies far behind all that SQLite locks.
The file stays open until SQLite has closed it: a process that closes a file loses SQLite's locks on
it, however often the file is open.
"""

import fcntl
import os
import stat
import struct
from pathlib import Path

from app.errors import DatabaseInUse, StartRefused
from app.store.disk import log_path

_LOCKED_BYTE = 1 << 62


class HeldFile:
    """The database's file, open and locked."""

    def __init__(self, path: Path) -> None:
        """Lock it. Blocks. Raises DatabaseInUse, StartRefused and OSError."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._check(path)
        except BaseException:
            self.close()
            raise

    def _check(self, path: Path) -> None:
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise StartRefused(f"{path} is no regular file")
        if not _lock(self._descriptor):
            raise DatabaseInUse(f"{path} is open in another Greenroom; stop that one first")
        refuse_hard_links(path)

    def close(self) -> None:
        """Give the lock back, after SQLite has closed the file."""
        os.close(self._descriptor)


def refuse_hard_links(path: Path) -> None:
    """Refuse a file with several names: SQLite keeps a log beside each name. Raises StartRefused.

    Raises OSError when there is no file.
    """
    if path.stat().st_nlink > 1:
        raise StartRefused(
            f"{path} has another name as well (a hard link); remove the other name, or copy the "
            "file with cp, and use the copy"
        )


def refuse_other_name(path: Path) -> None:
    """Refuse to read under one of several names, unless the log is beside it. Raises StartRefused.

    Raises OSError when there is no file.
    """
    if not log_path(path).exists():
        refuse_hard_links(path)


def forget_cut_restore(path: Path) -> None:
    """Remove the second name of a database: a restore gave it that, and was cut off."""
    files = [each for each in (path, log_path(path)) if each.exists()]
    for kept in path.parent.iterdir():
        is_kept = kept.name.startswith(f"{path.name}.before-restore.")
        if is_kept and any(kept.samefile(each) for each in files):
            kept.unlink()


def _lock(descriptor: int) -> bool:
    """Lock an open file, and return whether no other program has. The lock ends with its process.

    Where the system has no such locks, the one on the lock file is all there is.
    """
    if not hasattr(fcntl, "F_OFD_SETLK"):
        return True
    lock = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
