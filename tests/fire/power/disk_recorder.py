"""Writes down what a process does to its disk, and what it tells clients, in one order.

A process prepared by `install` (tests/kit/prepared.py) has SQLite's own file functions replaced, by
means of ctypes, by ones that write down and then do the same; and those of Python's `os` that make,
link, rename, remove and sync files. What reads that and cuts the power is lossy_disk.py.
"""

import atexit
import ctypes
import json
import os
import sys
import threading
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

PREPARED_BY = "tests.fire.power.disk_recorder:install"
RECORD = "disk.record"  # in the server's folder
IS_OVER = b"the process has ended"  # is shown last
_PAGES_IN_LOG = 50  # instead of 1,000: so it is emptied and begun anew while people talk

_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)
_CREATE = 0x4  # SQLite's flags of opening a file: see sqlite3.h
_SYNCS_ITS_FOLDER = 0x800 | 0x4000 | 0x80000  # a journal, or a write-ahead log

_int, _pointer, _int64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_int64
# Where a function is in sqlite3_io_methods and sqlite3_vfs, in pointers, and what it takes.
_CLOSE = 1, ctypes.CFUNCTYPE(_int, _pointer)
_WRITE = 3, ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int, _int64)
_TRUNCATE = 4, ctypes.CFUNCTYPE(_int, _pointer, _int64)
_SYNC = 5, ctypes.CFUNCTYPE(_int, _pointer, _int)
_OPEN = 5, ctypes.CFUNCTYPE(_int, _pointer, _pointer, _pointer, _int, _pointer)
_DELETE = 6, ctypes.CFUNCTYPE(_int, _pointer, _pointer, _int)
_installed: list[object] = []  # is not collected: SQLite calls it as long as the process is there
_METHODS = 19  # of sqlite3_io_methods, its version included


class Step(NamedTuple):
    """Something that was done to a file, or told (`shown`) to a client."""

    what: str  # mkdir, create, write, truncate, sync, link, rename, unlink, sync folder, shown
    path: str = ""
    number: int = 0  # where it is written, or how long a file is then
    data: bytes = b""  # what is written or told; its new name


class Record:
    """A file of steps, which are there as soon as they are added."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._lock = threading.Lock()

    def add(self, what: str, path: str = "", number: int = 0, data: bytes = b"") -> None:
        """Write a step down."""
        head = json.dumps([what, path, number, len(data)]).encode() + b"\n"
        with self._lock:
            os.write(self._descriptor, head + data)


def read_record(path: Path) -> list[Step]:
    """Return the steps of a record."""
    steps, whole, start = [], path.read_bytes(), 0
    while start < len(whole):
        end = whole.index(b"\n", start) + 1
        what, name, number, length = json.loads(whole[start:end])
        start = end + length
        steps.append(Step(what, name, number, whole[end:start]))
    return steps


def sqlite_library() -> ctypes.CDLL | None:
    """Return the SQLite that Python uses; None where its functions can't be reached."""
    import _sqlite3

    path = getattr(_sqlite3, "__file__", None)
    library = ctypes.CDLL(path) if path and sys.platform == "linux" else None
    return library if library is not None and hasattr(library, "sqlite3_vfs_find") else None


def install() -> None:
    """Record what this process does, in its data's parent folder."""
    folder = Path(os.environ["GREENROOM_DATA_DIR"]).parent
    record = Record(folder / RECORD)
    sqlite = _Sqlite(record)
    sqlite.install()
    _installed.append(sqlite)
    _record_python(record, sqlite)
    _record_what_is_shown(record)
    _empty_logs_sooner()


class _Sqlite:
    """SQLite's functions on files, and what takes their place."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self.seen: set[str] = set()  # paths of all files that it ever opened
        self._paths: dict[int, str] = {}  # of open files, by their address
        self._new: set[int] = set()  # those whose first sync syncs their folder too
        self._original: dict[int, Any] = {}  # of each file: SQLite's own functions, by name
        self._kept: list[object] = []  # as long as SQLite may call it

    def install(self) -> None:
        """Take the place of functions of the default VFS, and of the files that it opens."""
        library = sqlite_library()
        assert library is not None
        library.sqlite3_vfs_find.restype = ctypes.c_void_p
        vfs = library.sqlite3_vfs_find(None)
        self._open_there = self._replace(vfs, _OPEN, self._open)
        self._delete_there = self._replace(vfs, _DELETE, self._delete)

    def _replace(self, table: int, slot: tuple[int, Any], own: Callable[..., int]) -> Any:
        """Put a function into a table, and return the one that was there."""
        place, kind = slot
        address = ctypes.c_void_p.from_address(table + place * _POINTER_BYTES)
        original, callback = kind(address.value), kind(own)
        self._kept.append(callback)
        address.value = ctypes.cast(callback, ctypes.c_void_p).value
        return original

    def _open(self, vfs: int, name: int, file: int, flags: int, flags_then: int) -> int:
        path = _text(name) if name else ""
        is_new = bool(path and flags & _CREATE and not os.path.exists(path))
        result = self._open_there(vfs, name, file, flags, flags_then)
        if result == 0 and path:
            if is_new:
                self._record.add("create", path)
            if flags & _CREATE and flags & _SYNCS_ITS_FOLDER:
                self._new.add(file)  # for SQLite, whether it was there or not
            self._paths[file] = path
            self.seen.add(path)
            self._take_over(file)
        return result

    def _take_over(self, file: int) -> None:
        """Let a file have methods that record; all else is as it was."""
        methods = ctypes.c_void_p.from_address(file)
        copy = (ctypes.c_void_p * _METHODS).from_buffer_copy(
            (ctypes.c_void_p * _METHODS).from_address(methods.value or 0)
        )
        address = ctypes.addressof(copy)
        originals = {
            name: self._replace(address, slot, own)
            for name, slot, own in (
                ("close", _CLOSE, self._close),
                ("write", _WRITE, self._write),
                ("truncate", _TRUNCATE, self._truncate),
                ("sync", _SYNC, self._sync),
            )
        }
        self._original[file] = originals
        self._kept.append(copy)
        methods.value = address

    def _close(self, file: int) -> int:
        del self._paths[file]
        self._new.discard(file)
        return self._original.pop(file)["close"](file)

    def _write(self, file: int, data: int, count: int, offset: int) -> int:
        self._record.add("write", self._paths[file], offset, ctypes.string_at(data, count))
        return self._original[file]["write"](file, data, count, offset)

    def _truncate(self, file: int, size: int) -> int:
        self._record.add("truncate", self._paths[file], size)
        return self._original[file]["truncate"](file, size)

    def _sync(self, file: int, flags: int) -> int:
        result = self._original[file]["sync"](file, flags)
        path = self._paths[file]
        self._record.add("sync", path)
        if file in self._new:
            self._new.discard(file)
            self._record.add("sync folder", os.path.dirname(path))
        return result

    def _delete(self, vfs: int, name: int, syncs_folder: int) -> int:
        path = _text(name)
        is_there = os.path.exists(path)
        result = self._delete_there(vfs, name, syncs_folder)
        if is_there and result == 0:
            self._record.add("unlink", path)
            if syncs_folder:
                self._record.add("sync folder", os.path.dirname(path))
        return result


def _text(address: int) -> str:
    return os.fsdecode(ctypes.string_at(address))


def _record_python(record: Record, sqlite: _Sqlite) -> None:
    original_open, original_fsync = os.open, os.fsync

    @wraps(original_open)
    def open_recorded(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        is_new = bool(flags & os.O_CREAT and not os.path.exists(path))
        descriptor = original_open(path, flags, *arguments, **options)
        if is_new:
            record.add("create", os.path.abspath(path))
        return descriptor

    @wraps(original_fsync)
    def fsync_recorded(descriptor: int) -> None:
        original_fsync(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isdir(path):
            record.add("sync folder", path)
            return
        if path not in sqlite.seen:  # nothing tells what Python writes: all is, when it is synced
            record.add("truncate", path)
            record.add("write", path, data=Path(path).read_bytes())
        record.add("sync", path)

    os.open, os.fsync = open_recorded, fsync_recorded
    for what, name in (("rename", "rename"), ("rename", "replace"), ("link", "link")):
        _record_names(record, what, name)
    for name in ("mkdir", "unlink"):
        _record_names(record, name, name)


def _record_names(record: Record, what: str, name: str) -> None:
    """Record what makes or removes a name, or gives a file another one."""
    original = getattr(os, name)

    @wraps(original)
    def recorded(path: Any, *arguments: Any, **options: Any) -> None:
        original(path, *arguments, **options)
        is_named = what in ("rename", "link")
        new = os.fsencode(os.path.abspath(arguments[0])) if is_named else b""
        record.add(what, os.path.abspath(path), data=new)

    setattr(os, name, recorded)


def _record_what_is_shown(record: Record) -> None:
    """Record what clients are sent, what the operator is told of a copy, and the exit code."""
    from app.database import opening
    from app.net.connection import Connection

    send, back_up = Connection.send, opening._back_up

    def send_recorded(self: Connection, data: bytes) -> bool:
        record.add("shown", data=bytes(data))
        return send(self, data)

    def back_up_recorded(path: Path, revision: str) -> Path:
        copy_path = back_up(path, revision)
        record.add("shown", data=f"copied to {copy_path.name}".encode())
        return copy_path

    Connection.send = send_recorded  # type: ignore[method-assign]
    opening._back_up = back_up_recorded
    atexit.register(record.add, "shown", data=IS_OVER)


def _empty_logs_sooner() -> None:
    from sqlalchemy import Engine, event

    @event.listens_for(Engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        (is_reader,) = connection.execute("PRAGMA query_only").fetchone()
        if not is_reader:
            connection.execute(f"PRAGMA wal_autocheckpoint = {_PAGES_IN_LOG}")
