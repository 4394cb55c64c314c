"""The keys on the disk: nobody else reads them, and nobody puts them back or to another place."""

import os
import re
import shutil
import sqlite3
import stat
from contextlib import closing, suppress

import pytest

from app.encryption import KeyStore, StoreRefused, refusals
from app.encryption.refusals import StoreCopied, StoreDamaged, StoreUnusable, WrongPassphrase
from app.encryption.sealing import Cost, seal, unseal
from tests.encryption.fakes import CHEAP, PASSPHRASE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "private" / "keys.db"


@pytest.fixture
def opened(path):
    """A store with two rows, closed at the end unless the test does."""
    store = KeyStore(path, PASSPHRASE, CHEAP)
    with store.transaction():
        store.put("pin", "alice", {"aik": "of alice"})
        store.put("pin", "bob", {"aik": "of bob"})
    return store


@pytest.fixture
def closed(opened, path):
    """The path of a store with two rows."""
    opened.close()
    return path


def _open(path, passphrase=PASSPHRASE):
    return KeyStore(path, passphrase, CHEAP)


def _change(path, statement, *values):
    with closing(sqlite3.connect(path)) as database, database:
        return database.execute(statement, values).fetchall()


# What was written is there again, for whoever has the passphrase.
def test_rows_are_kept(closed):
    with _open(closed) as store:
        assert store.get("pin", "alice") == {"aik": "of alice"}
        assert store.rows("pin") == [("alice", {"aik": "of alice"}), ("bob", {"aik": "of bob"})]
        assert store.get("pin", "carol") is None


# With its real cost, a guess at the passphrase takes 64 MiB and three passes.
def test_the_real_cost(tmp_path):
    with KeyStore(tmp_path / "keys.db", PASSPHRASE) as store:
        (header,) = store._database.execute("SELECT sealed FROM header").fetchone()
    assert '"memory_kib": 65536, "passes": 3' in header


# All that is committed is on the disk before anything else happens.
def test_the_disk_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.undo()
    with _open(tmp_path / "keys.db") as store:
        assert store._database.execute("PRAGMA synchronous").fetchone() == (2,)


# Another passphrase opens nothing, and an empty one is none.
def test_a_wrong_passphrase(closed, tmp_path):
    for wrong in ("correct horse battery stable", PASSPHRASE + " "):
        with pytest.raises(WrongPassphrase):
            _open(closed, wrong)
    with pytest.raises(StoreRefused):
        _open(closed, "")
    with pytest.raises(ValueError, match="password"):
        _open(tmp_path / "other.db", "")


# A passphrase can be changed; then the old one opens nothing.
def test_another_passphrase(opened, path):
    with pytest.raises(WrongPassphrase):
        opened.change_passphrase("wrong", "new one", CHEAP)
    opened.change_passphrase(PASSPHRASE, "new one", CHEAP)
    opened.close()
    with pytest.raises(WrongPassphrase):
        _open(path)
    with _open(path, "new one") as store:
        assert store.get("pin", "alice") == {"aik": "of alice"}


# Nobody makes a guess cheaper by changing the header: its costs are sealed with the rest.
def test_the_costs_are_sealed_too(closed):
    for change in ('"passes": 1', '"passes": 2'), ('"memory_kib": 8', '"memory_kib": 2097152'):
        _change(closed, "UPDATE header SET sealed = replace(sealed, ?, ?)", *change)
        with pytest.raises(WrongPassphrase):
            _open(closed)
        _change(closed, "UPDATE header SET sealed = replace(sealed, ?, ?)", *reversed(change))
    sealed = seal(PASSPHRASE, b"data", "store", CHEAP)
    with pytest.raises(ValueError, match="not opened"):
        unseal(PASSPHRASE, sealed, "key-file")


# A byte that was flipped in a row is noticed.
@pytest.mark.parametrize("place", [0, 15, -1])
def test_a_flipped_byte(closed, place):
    ((sealed,),) = _change(closed, "SELECT sealed FROM rows WHERE id = 'alice'")
    flipped = bytearray(sealed)
    flipped[place] ^= 1
    _change(closed, "UPDATE rows SET sealed = ? WHERE id = 'alice'", bytes(flipped))
    with _open(closed) as store, pytest.raises(StoreDamaged):
        store.get("pin", "alice")


# A row in the place of another is noticed, be it of another id or of another kind.
@pytest.mark.parametrize("change", ["id = 'carol'", "kind = 'nip'"])
def test_swapped_rows(closed, change):
    _change(closed, f"UPDATE rows SET {change} WHERE id = 'alice'")
    kind, row_id = ("pin", "carol") if "carol" in change else ("nip", "alice")
    with _open(closed) as store:
        with pytest.raises(StoreDamaged):
            store.get(kind, row_id)
        with pytest.raises(StoreDamaged):
            store.rows(kind)


# A second process is told that the keys are in use, and changes nothing.
def test_a_second_process(opened, path):
    with pytest.raises(refusals.StoreInUse):
        _open(path)
    opened.close()
    _open(path).close()


# Only the owner can read any of it.
def test_modes(opened, path):
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert set(modes) >= {"keys.db", "keys.db.lock", "keys.db-wal"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    opened.close()


# A copy of the file is refused, with its lock and without.
@pytest.mark.parametrize("with_lock", [True, False])
def test_a_copied_store(closed, tmp_path, with_lock):
    copy = tmp_path / "copy.db"
    shutil.copy(closed, copy)
    if with_lock:
        shutil.copy(f"{closed}.lock", f"{copy}.lock")
    with pytest.raises(StoreCopied):
        _open(copy)


# A file that was put back to an earlier state is refused.
def test_a_store_that_was_put_back(closed):
    earlier = closed.read_bytes()
    _open(closed).close()
    closed.write_bytes(earlier)  # the same inode
    with pytest.raises(StoreCopied):
        _open(closed)


# A crash between the stamps of the file and of the lock is no copy.
def test_a_crash_while_opening(closed, monkeypatch):
    monkeypatch.setattr(os, "pwrite", lambda *args: None)
    _open(closed).close()
    monkeypatch.undo()
    _open(closed).close()


# A store without the row that knows of copies, or with text where bytes should be, is no store.
@pytest.mark.parametrize(
    "statement", ["DELETE FROM rows WHERE kind = 'store'", "UPDATE rows SET sealed = 'x'"]
)
def test_rows_that_can_not_be(closed, statement):
    _change(closed, statement)
    with pytest.raises(StoreDamaged):
        _open(closed)


# What is no store, or one of a later version, or can't be written, is refused with a reason.
def test_unusable_files(closed, tmp_path):
    _change(closed, "PRAGMA user_version = 9")
    with pytest.raises(StoreUnusable, match="later version"):
        _open(closed)
    other = tmp_path / "other.db"
    other.write_text("no database at all, but long enough to be one" * 50)
    with pytest.raises(StoreUnusable, match="not a database"):
        _open(other)
    with pytest.raises(StoreUnusable):
        _open(tmp_path)


# A transaction is written whole or not at all, and rows are written in transactions only.
def test_transactions(opened):
    with suppress(KeyError), opened.transaction():
        opened.put("pin", "carol", {})
        with opened.transaction():
            opened.delete("pin", "alice")
        raise KeyError
    assert opened.ids("pin") == ["alice", "bob"]
    with pytest.raises(RuntimeError):
        opened.put("pin", "carol", {})
    with pytest.raises(RuntimeError):
        opened.delete("pin", "alice")
    opened.close()


# One row is sealed differently each time: nobody sees that it came back to what it was.
def test_sealing_is_not_deterministic(opened, path):
    with opened.transaction():
        opened.put("x", "1", {"same": 1})
        opened.put("x", "2", {"same": 1})
    rows = opened._database.execute("SELECT sealed FROM rows WHERE kind = 'x'").fetchall()
    assert len({sealed[:-16] for (sealed,) in rows}) == 2  # without the seal, which has its place
    assert not re.search(b"same", path.read_bytes())
    opened.close()


# A file from elsewhere can't make the client calculate for hours, or take all its memory.
@pytest.mark.parametrize("cost", [Cost(8, 1_000), Cost(2 << 20, 1), Cost(1, 1), Cost(8, 0)])
def test_costs_out_of_bounds(monkeypatch, cost):
    monkeypatch.setattr("app.encryption.sealing._derive", lambda *args: bytes(32))
    sealed = seal(PASSPHRASE, b"data", "store", cost)
    with pytest.raises(ValueError, match="out of bounds"):
        unseal(PASSPHRASE, sealed, "store")


# A file with bytes changed in what SQLite reads first is unusable, whatever they are: SQLite quotes
# them in its error, and they may be no text.
def test_damage_that_is_no_text(closed):
    columns = b"(sealed TEXT NOT NULL)"
    data = closed.read_bytes()
    assert columns in data
    closed.write_bytes(data.replace(columns, b"(sealed TEXT) \xf3".ljust(len(columns))))
    with pytest.raises(StoreUnusable):
        _open(closed)


# Nor is a file opened whose header can be read, and no row.
def test_damage_in_the_rows(closed):
    ((root,),) = _change(closed, "SELECT rootpage FROM sqlite_master WHERE name = 'rows'")
    ((size,),) = _change(closed, "PRAGMA page_size")
    data = bytearray(closed.read_bytes())
    data[(root - 1) * size : (root - 1) * size + 8] = b"\xff" * 8
    closed.write_bytes(data)
    with pytest.raises(StoreRefused):
        _open(closed)
