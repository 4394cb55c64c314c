"""Cuts the power of a server, and opens what the disk has kept: `python -m tests.power_loss`.

A server writes down all that it does to its disk (see tests/disk_recorder.py) while it migrates an
older database, people talk, one is banned, a file is brought, the log is emptied. From the record
the disk is made as it may be after a cut at any moment: all that was synced is there, and of the
rest any part, in any order, torn between sectors; names in a folder that was not synced may be
missing, the last ones first. The server's own opening code must then open it, and find it whole:
  full    what anybody was shown before the cut is there
  normal  the newest messages may be missing: never one in between
"""

import argparse
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

from app.errors import StartRefused
from app.store.opening import open_database
from tests.disk_recorder import PREPARED_BY, RECORD, Step, read_record
from tests.failpoints import OLD_REVISION, make_old_database
from tests.program import Program
from tests.server_process import ServerProcess, manage
from tests.transfers import ask_url, request

SECTOR_BYTES = 512
ROUNDS = 12  # of talk, before something else happens
SAYS_A_ROUND = 10
_SHOWN = re.compile(rb"mark-\d+-end|shares file-\d+|Hello, \w+|guest was banned")


class _File:
    """A file on the disk: what is synced, and what was done to it since."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.pending: list[Step] = []

    def sync(self) -> None:
        for step in self.pending:
            self.apply(step, 0, len(step.data))
        self.pending.clear()

    def apply(self, step: Step, start: int, end: int) -> None:
        """Do a step, or a part of what it writes."""
        if step.what == "truncate":
            del self.data[step.number :]
            return
        first, last = step.number + start, step.number + end
        self.data.extend(bytes(max(0, last - len(self.data))))
        self.data[first:last] = step.data[start:end]

    def lose(self, chance: Random, kept: float) -> bytes:
        """Return what is there after a cut: of each sector not synced, the old or the new."""
        for step in self.pending:
            for start in range(0, max(1, len(step.data)), SECTOR_BYTES):
                if chance.random() < kept:
                    self.apply(step, start, min(start + SECTOR_BYTES, len(step.data)))
        return bytes(self.data)


class Disk:
    """What of a folder would be there after a cut; steps are done to it in their order."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._now = {path: _File(data) for path, data in files.items()}
        self._synced = dict(self._now)
        self._pending: defaultdict[str, list[tuple[str, str, _File]]] = defaultdict(list)

    def do(self, step: Step) -> None:
        """Do a step."""
        match step.what:
            case "create":
                self._now[step.path] = _File()
                self._name(step.what, step.path, self._now[step.path])
            case "write" | "truncate" if step.path in self._now:
                self._now[step.path].pending.append(step)
            case "sync" if step.path in self._now:
                self._now[step.path].sync()
            case "unlink" if step.path in self._now:
                self._name(step.what, step.path, self._now.pop(step.path))
            case "rename":
                file = self._now.pop(step.path)
                new_path = step.data.decode()
                self._now[new_path] = file
                self._name(step.path, new_path, file)
            case "sync folder":
                for change in self._pending.pop(step.path, ()):
                    _change(self._synced, change)

    def _name(self, what: str, path: str, file: _File) -> None:
        self._pending[str(Path(path).parent)].append((what, path, file))

    def cut(self, chance: Random) -> dict[str, bytes]:
        """Return the files that are there when the power is back; then it is used up."""
        kept = chance.choice([0.0, 0.5, 0.9, 1.0, chance.random()])
        for changes in self._pending.values():
            some = len(changes) if kept == 1 else chance.randint(0, len(changes))
            for change in changes[:some]:
                _change(self._synced, change)
        return {
            path: file.lose(chance, kept)
            for path, file in self._synced.items()
            if not path.endswith("-shm")
        }


def _change(names: dict[str, _File], change: tuple[str, str, _File]) -> None:
    what, path, file = change
    if what == "unlink":
        names.pop(path, None)
        return
    if what != "create":
        names.pop(what, None)  # it was renamed
    names[path] = file


class History:
    """What a server did to its disk, from its first moment to its last."""

    def __init__(self, folder: Path, durability: str) -> None:
        self.durability = durability
        self._folder = folder
        data_folder = folder / "var"
        data_folder.mkdir(mode=0o700, parents=True)
        make_old_database(data_folder / "greenroom.db")
        self._path = data_folder / "greenroom.db"
        self._at_first = {str(path): path.read_bytes() for path in data_folder.iterdir()}
        server = ServerProcess(folder, prepared_by=PREPARED_BY, DURABILITY=durability)
        server.start()
        try:
            _live(server)
        finally:
            server.hang_up()
            code = server.stop()
        assert code == 0, server.log
        self.steps = read_record(folder / RECORD)
        with closing(sqlite3.connect(self._path)) as connection:
            self._messages = _messages(connection)
        self._cuts = 0

    def cut(self, place: int, seed: int) -> None:
        """Cut the power before a step, and open what is there. Raises AssertionError."""
        disk, shown = Disk(self._at_first), set()
        for step in self.steps[:place]:
            if step.what == "shown":
                shown.update(_SHOWN.findall(step.data))
            else:
                disk.do(step)
        self._cuts += 1
        folder = self._folder / f"cut{self._cuts}"
        folder.mkdir()
        for path, data in disk.cut(Random(seed)).items():
            (folder / Path(path).name).write_bytes(data)
        path = folder / self._path.name
        assert path.exists(), "the database is gone"
        was_old = _open(path)
        copies = list(folder.glob(f"{path.name}.{OLD_REVISION}.*Z"))
        assert copies or was_old, "migrated, and the copy of before is gone"
        for copy in copies:
            _check_copy(copy)
        with closing(sqlite3.connect(path)) as connection:
            self._check(connection, {each.decode() for each in shown})
        shutil.rmtree(folder)

    def _check(self, connection: sqlite3.Connection, shown: set[str]) -> None:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        kept = _messages(connection)
        assert kept == self._messages[: len(kept)], "there is a hole among the messages"
        _check_files(connection)
        if self.durability == "full":
            missing = shown - set(_facts(connection))
            assert not missing, f"shown, and lost: {sorted(missing)[:3]}"


def _open(path: Path) -> bool:
    """Open a database as a server does, and return whether it had to be migrated."""
    notes: list[str] = []
    try:
        open_database(f"sqlite:///{path}", notes.append).release()
    except StartRefused as refusal:
        raise AssertionError(f"not opened: {refusal}") from refusal
    return bool(notes)


def _check_copy(path: Path) -> None:
    """Check that a copy from before a migration has its name when all of it is there."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        assert revision == (OLD_REVISION,), "the copy of before is not whole"


def _messages(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    return connection.execute("SELECT id, body FROM messages ORDER BY id").fetchall()


def _facts(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what may have been shown, in the words of _SHOWN."""
    for (body,) in connection.execute("SELECT body FROM messages"):
        yield body
    for (name,) in connection.execute("SELECT name FROM files WHERE sha256 IS NOT NULL"):
        yield f"shares {name.partition('.')[0]}"
    for (name,) in connection.execute("SELECT name FROM users"):
        yield f"Hello, {name}"
    for (name,) in connection.execute(
        "SELECT name FROM sanctions JOIN users ON users.id = user_id"
        " WHERE EXISTS (SELECT 1 FROM audit WHERE action = 'ban' AND target = name)"
    ):
        yield f"{name} was banned"


def _check_files(connection: sqlite3.Connection) -> None:
    sizes = "SELECT size, (SELECT sum(length(data)) FROM file_chunks WHERE file_id = files.id)"
    for size, found in connection.execute(f"{sizes} FROM files WHERE sha256 IS NOT NULL"):
        assert size == found, "a file is there in part"


def _live(server: ServerProcess) -> None:
    """Do all that a server's disk should outlast."""
    watcher = server.connect().register("watcher").join("lobby")
    owner = server.program().register("talker").join("lobby")
    server.connect().register("guest").join("lobby")
    _talk(owner, 0)
    url = ask_url(watcher, "/send file-1.bin")
    assert request(server, "PUT", url, bytes(300_000)).status == 201
    _talk(owner, 1)
    watcher.type("/ban guest", "/kick guest")
    watcher.expect("guest was banned")
    assert manage(server.folder, "vacuum").returncode == 0
    _talk(owner, 2, padding=1_500)  # until SQLite brings its log to the database by itself


def _talk(talker: Program, part: int, padding: int = 0) -> None:
    for number in range(ROUNDS):
        first = number * SAYS_A_ROUND
        bodies = [f"mark-{part}{first + each}-end" for each in range(SAYS_A_ROUND)]
        if padding:
            talker.say(*("x" * padding for _ in range(SAYS_A_ROUND)))
        talker.say(*bodies)


def places(steps: Sequence[Step], count: int, chance: Random) -> list[int]:
    """Choose moments, in equal parts anywhere, and right behind what was shown or synced."""
    edges = [n + 1 for n, step in enumerate(steps) if step.what in ("shown", "sync", "unlink")]
    anywhere = range(len(steps) + 1)
    return [chance.choice(edges if number % 2 else anywhere) for number in range(count)]


def cut_often(history: History, cuts: int, seed: int) -> list[str]:
    """Cut so often, and return what did not hold, each with what shows it again."""
    wrong = []
    for number, place in enumerate(places(history.steps, cuts, Random(seed))):
        try:
            history.cut(place, seed + number)
        except AssertionError as error:
            wrong.append(f"cut {number} at step {place}: {str(error).splitlines()[0]}")
    return wrong


def main() -> int:
    """Cut as the command line asks, and print a table; return how many cuts broke a promise."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cuts", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    failed = 0
    print(f"seed {options.seed}", flush=True)
    for durability in ("full", "normal"):
        with tempfile.TemporaryDirectory(prefix="greenroom-power-") as name:
            history, began = History(Path(name), durability), time.monotonic()
            wrong = cut_often(history, options.cuts // 2, options.seed)
        seconds = time.monotonic() - began
        print(
            f"{durability:<8}{options.cuts // 2:>6} cuts among {len(history.steps)} steps,"
            f" {len(wrong)} broke a promise; {seconds:.1f} s",
            flush=True,
        )
        for each in wrong[:5]:
            print(f"        {each}")
        failed += len(wrong)
    return min(failed, 100)


if __name__ == "__main__":
    sys.exit(main())
