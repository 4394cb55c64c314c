"""Commands of manage.py that write, cut off by a power cut: the rule of each is its scene's.

a first account   once it is told that there is one, there is
backup, export    the file is there whole, or not at all, or is the one from before
restore           in the database's place is the old one, or the new one with the old beside it
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from tests.fire.power.disk_recorder import IS_OVER, PREPARED_BY
from tests.fire.power.lossy_disk import Cut, Recording, Scene
from tests.kit.databases import (
    DATABASE,
    SAID_BEFORE,
    copy_killed,
    make_database,
    messages,
    open_as_a_server,
)
from tests.kit.server_process import manage_prepared

_SAID_LAST = "said last"  # and in the write-ahead log only
_SAID = [(1, SAID_BEFORE), (2, _SAID_LAST)]
_IN_BACKUP = "in the backup"


def _record(folder: Path, *arguments: str) -> Recording:
    """Run a command on a folder, to its end, and return what it did."""
    recording = Recording(folder)
    code, output = manage_prepared(folder, PREPARED_BY, *arguments)
    assert code == 0, output
    recording.finish()
    assert IS_OVER in recording.shown(), "what was shown was not recorded"
    return recording


def _make_folder(folder: Path) -> None:
    """Make the folder of a server that was killed."""
    (folder / "made").mkdir(parents=True)
    (folder / "var").mkdir(mode=0o700)
    make_database(folder / "made" / "greenroom.db")
    copy_killed(folder / "made" / "greenroom.db", folder / DATABASE, _SAID_LAST)
    (folder / f"{DATABASE}.lock").write_text("ready\n")


class FirstAccount:
    """An account is made where nothing was, not even a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.recording = _record(folder, "createuser", "alice", "--password", "secret")

    def check(self, cut: Cut) -> None:
        """See Scene."""
        path = cut.folder / DATABASE
        assert path.exists() or IS_OVER not in cut.shown, "the database is gone"
        open_as_a_server(path)
        with closing(sqlite3.connect(path)) as connection:
            names = connection.execute("SELECT name FROM users").fetchall()
        assert names == [("alice",)] or IS_OVER not in cut.shown, "the account is gone"


class BackingUp:
    """A backup is made."""

    def __init__(self, folder: Path) -> None:
        _make_folder(folder)
        self.recording = _record(folder, "backup", str(folder / "monday.db"))

    def check(self, cut: Cut) -> None:
        """See Scene."""
        copy_path = cut.folder / "monday.db"
        if IS_OVER in cut.shown or copy_path.exists():
            assert copy_path.exists(), "the backup is gone"
            assert copy_path.stat().st_size, "the backup is empty"
            assert messages(copy_path) == _SAID, "the backup is not whole"
        open_as_a_server(cut.folder / DATABASE)
        assert messages(cut.folder / DATABASE) == _SAID


class Exporting:
    """A room is exported again, to the file of the day before."""

    def __init__(self, folder: Path) -> None:
        _make_folder(folder)
        path = folder / "old.ndjson"
        path.write_text("the day before")
        self.recording = _record(folder, "export", "old", "--force", "--output", str(path))
        self._whole = path.read_text()
        assert _SAID_LAST in self._whole

    def check(self, cut: Cut) -> None:
        """See Scene."""
        expected = {self._whole} if IS_OVER in cut.shown else {self._whole, "the day before"}
        assert (cut.folder / "old.ndjson").read_text() in expected, "the export is not whole"


class Restoring:
    """A server was killed, and its operator goes back to a backup."""

    def __init__(self, folder: Path) -> None:
        _make_folder(folder)
        make_database(folder / "monday.db", body=_IN_BACKUP)
        self.recording = _record(folder, "restore", str(folder / "monday.db"))

    def check(self, cut: Cut) -> None:
        """See Scene."""
        path = cut.folder / DATABASE
        assert path.exists(), "there is no database"
        open_as_a_server(path)
        found = messages(path)
        if found == [(1, _IN_BACKUP)]:
            (kept,) = path.parent.glob(f"{path.name}.before-restore.*Z")
            assert messages(kept) == _SAID, "what there was is not whole"
        else:
            assert found == _SAID, "it is neither the old database nor the new one"
            assert IS_OVER not in cut.shown, "what was restored is gone"


COMMANDS: Mapping[str, type[Scene]] = {
    "createuser": FirstAccount,
    "backup": BackingUp,
    "export": Exporting,
    "restore": Restoring,
}
