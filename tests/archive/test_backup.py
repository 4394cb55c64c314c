"""Backups: a copy of one moment of a busy server, and the way back to it."""

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import copy
from threading import Thread
from unittest.mock import Mock

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine

from app.archive import backup
from app.bounds import FILE_IDS_SKIPPED, MESSAGE_IDS_SKIPPED
from app.database.tables import SCHEMA_REVISION
from app.errors import StartRefused
from tests.kit.commands import refused
from tests.kit.databases import change, insert, rows, run_alembic
from tests.kit.program import Program
from tests.kit.server_process import ROOT, ServerProcess
from tests.kit.transfers import request

ROOMS = ("red", "green", "blue")
SAYS = 400  # of each of them, in the burst
Harm = Callable[[Path], object]
POSTGRESQL = "postgresql+psycopg://nobody@127.0.0.1:1/greenroom"


def _history(program: Program, room: str) -> list[int]:
    """Return the ids of all that a member is shown of a room."""
    ids, page = [], {"last_id": 0, "has_more": True}
    while page["has_more"]:
        page = program.call("history", room=room, after=page["last_id"], count=1000)
        ids += [message["id"] for message in page["messages"]]
    return ids


def _seen(events: list[dict], room: str) -> list[int]:
    return [each["id"] for each in events if each["event"] == "message" and each["room"] == room]


@pytest.fixture
def folder(data: Path, run_here) -> Path:
    """A folder with a database without a server, and with an account."""
    run_here(data.parent, "createuser", "alice", "--password", "secret")
    return data.parent


def _share(server: ServerProcess, program: Program) -> int:
    url = program.call("file.offer", name="a.txt", room=ROOMS[0])["url"]
    assert request(server, "PUT", url, b"a").status == 201
    return program.catch_up()[-1]["id"]


class _Burst:
    """Talkers in three rooms, and a reader of all of them; a backup is made in the middle."""

    def __init__(self, server: ServerProcess, back_up) -> None:
        self.reader = server.program().register("reader", remember="laptop")
        talkers = []
        for room in ROOMS:
            talkers.append(server.program().register(f"talker-{room}").join(room))
            self.reader.call("join", room=room)
        self.file = _share(server, self.reader)
        for talker in talkers:
            talker.say("before")
        with server.database() as database:  # one that is being sent
            half = (self.file + 1, 1, 1, "half", 9)
            insert(database, "files", "id room_id user_id name size", [half])
            insert(database, "file_chunks", "file_id place data", [(half[0], 0, b"\0")])
        bursts = [Thread(target=talker.say, args=["burst"] * SAYS) for talker in talkers]
        for each in bursts:
            each.start()
        self.before = self.reader.catch_up()  # what was seen when the backup began
        back_up()
        for each in bursts:
            each.join()
        for talker in talkers:
            talker.say("after")
        self.all = self.before + self.reader.catch_up()


# What anybody had seen before a backup began is there when it was restored, once and in order. What
# came after it is not, and who asks for it is told; no id is given twice, and old tokens are over.
def test_a_burst(server, start_server, run_here, tmp_path) -> None:
    path = tmp_path / "monday.db"
    burst = _Burst(server, lambda: run_here(server.folder, "backup", str(path)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "restored").mkdir()
    result = run_here(tmp_path / "restored", "restore", str(path))
    assert "Ended 1 tokens, dropped 1 half-sent files.\n" in result.stdout
    restored = start_server("restored")
    assert restored.program().refused("login", token=burst.reader.token) == "login_refused"
    reader = restored.program().log_in("reader")
    for room in ROOMS:
        reader.call("join", room=room)
        before, seen = _seen(burst.before, room), _seen(burst.all, room)
        history = _history(reader, room)
        assert history == seen[: len(history)]
        assert history[: len(before)] == before
        for since, is_complete in ((history[-1], True), (seen[-1], False)):
            reader.call("leave", room=room)
            assert reader.call("join", room=room, since=since)["is_complete"] is is_complete
    (new,) = reader.say("new", room=ROOMS[0])
    assert new > max(_seen(burst.all, ROOMS[0])) + MESSAGE_IDS_SKIPPED // 2
    reader.call("leave", room=ROOMS[1])
    lost = _seen(burst.all, ROOMS[1])[-1]
    assert not reader.call("join", room=ROOMS[1], since=lost)["is_complete"]
    assert _share(restored, reader) > burst.file + FILE_IDS_SKIPPED
    audit = run_here(restored.folder, "audit", "--count", "1").stdout
    assert "\trestore\t" in audit
    assert "monday.db" in audit


# A restore keeps what there was beside it, and tokens if it is told to; a backup replaces nothing.
def test_without_a_server(folder: Path, run_here) -> None:
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO tokens VALUES (3, 1, x'00', 'bot', 0, 0)")
    result = run_here(folder, "backup", str(path))
    assert result.stdout == f"{path} has all of it: {path.stat().st_size:,} bytes.\n"
    told = refused(run_here(folder, "backup", str(path)))
    assert f"{path} is there already; choose another name" in told
    run_here(folder, "createuser", "late", "--password", "secret")
    assert run_here(folder, "restore", str(path), "--keep-tokens").exit_code == 0
    (kept,) = (folder / "var").glob("greenroom.db.before-restore.*Z")
    assert rows(kept, "SELECT name FROM users") == [("alice",), ("late",)]
    assert rows(database, "SELECT name FROM users") == [("alice",)]
    assert rows(database, "SELECT id FROM tokens") == [(3,)]
    assert {each.name for each in folder.iterdir()} == {"a.db", "var"}
    for each in (path, database):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


# A backup is what there was when it began, whatever is written while it is made.
def test_one_moment(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(backup, "BACKUP_PAGES_AT_ONCE", 1)
    path, database, steps = folder / "a.db", folder / "var" / "greenroom.db", []

    with closing(sqlite3.connect(database, isolation_level=None)) as writer:

        def write(done: int, _total: int) -> None:
            steps.append(done)
            if len(steps) <= 5:
                writer.execute("INSERT INTO audit VALUES (NULL, 0, 'a', 'b', 'c', 'd', 'e')")

        backup.back_up(f"sqlite:///{database}", path, write)
    assert steps == sorted(steps)  # it never began again
    assert rows(path, "SELECT action FROM audit") == [("create",)]
    assert len(rows(database, "SELECT action FROM audit")) == 6


# A backup of any older Greenroom is migrated on its way back, unless somebody changed its schema.
@pytest.mark.parametrize(
    "revision",
    [
        script.revision
        for script in ScriptDirectory(str(ROOT / "migrations")).walk_revisions()
        if script.revision != SCHEMA_REVISION
    ],
)
def test_an_older_backup(folder: Path, run_here, revision: str) -> None:
    path = folder / "old.db"
    run_alembic(f"sqlite:///{path}", "upgrade", revision)
    tampered = folder / "tampered.db"
    copy(path, tampered)
    change(tampered, "CREATE TRIGGER t AFTER UPDATE ON users BEGIN DELETE FROM audit; END")
    told = refused(run_here(folder, "restore", str(tampered)))
    assert "has a trigger t that no Greenroom makes" in told
    result = run_here(folder, "restore", str(path))
    assert result.stdout.startswith(f"It was of revision {revision}, and was migrated.\n")
    assert "Restored 0 messages, up to number 0.\n" in result.stdout
    assert run_here(folder, "createuser", "new", "--password", "secret").exit_code == 0


# A backup can be restored after migrations down and up again, after tables were copied as some
# migrations do, and after ANALYZE and VACUUM.
def test_a_backup_with_a_past(folder: Path, run_here) -> None:
    path = folder / "old.db"
    run_alembic(f"sqlite:///{path}", "upgrade", "head")
    run_alembic(f"sqlite:///{path}", "downgrade", "0001")
    run_alembic(f"sqlite:///{path}", "upgrade", "head")
    with create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        for table in ("users", "rooms", "members", "server_sanctions"):
            with operations.batch_alter_table(table, recreate="always"):
                pass
    change(path, "INSERT INTO audit VALUES (1, 0, 'a', 'b', 'c', 'd', 'e')", "ANALYZE", "VACUUM")
    assert rows(path, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'audit'") == [(1,)]
    assert run_here(folder, "restore", str(path)).exit_code == 0


# What is no backup, is damaged or tampered with, or is of a newer Greenroom is refused, and nothing
# is changed.
@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda path: path.unlink(), "there is no file"),
        (lambda path: path.write_text("hello" * 1000), "is no backup: file is not a database"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:-40_000]), "malformed"),
        (
            lambda path: change(path, "UPDATE alembic_version SET version_num = '9999'"),
            "is of a newer Greenroom (revision 9999); restore it with that version",
        ),
    ],
    ids=["gone", "no database", "empty", "cut off", "newer"],
)
def test_restore_refuses(folder: Path, run_here, harm: Harm, sentence: str) -> None:
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    run_here(folder, "backup", str(path))
    harm(path)
    before = database.read_bytes()
    assert sentence in refused(run_here(folder, "restore", str(path)))
    assert database.read_bytes() == before
    assert not list((folder / "var").glob("*restor*"))


# What is told of a table that somebody has changed, or of another thing, and how that came about.
REWORDED = {  # a table, what stood in the statement that made it, and what does now
    "ignores": ("audit", "reason TEXT NOT NULL", "reason TEXT NOT NULL ON CONFLICT IGNORE"),
    "replaces": ("tokens", "UNIQUE (digest)", "UNIQUE (digest) ON CONFLICT REPLACE"),
    "check": ("audit", "reason TEXT NOT NULL", "reason TEXT NOT NULL CHECK (actor <> 'x')"),
    "no check": ("messages", "(recipient_id IS NULL)", "2"),
    "case": ("sanctions", "'mute'", "'MUTE'"),
    "collation": ("users", '"key" TEXT NOT NULL', '"key" TEXT NOT NULL COLLATE NOCASE'),
    "default": ("users", "INTEGER DEFAULT '0'", "INTEGER DEFAULT '1'"),
    "null": ("audit", "reason TEXT NOT NULL", "reason TEXT"),
    "no blank": ("audit", "reason TEXT NOT ", "reason TEXT NOT\u00a0"),
    "quotes": ("audit", "reason TEXT NOT NULL", 'reason TEXT "NOT" "NULL"'),
    "type": ("audit", "reason TEXT", "reason INTEGER"),
    "ids": ("audit", "PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY"),
    "action": ("members", "REFERENCES users (id)", "REFERENCES users (id) ON DELETE CASCADE"),
}
_MEMBERS = (
    "DROP TABLE members; CREATE TABLE members (room_id INTEGER NOT NULL, user_id INTEGER NOT NULL,"
    " CONSTRAINT pk_members PRIMARY KEY (room_id, user_id), CONSTRAINT fk_members_room_id_rooms"
    " FOREIGN KEY(room_id) REFERENCES rooms (id), CONSTRAINT fk_members_user_id_users"
    " FOREIGN KEY(user_id) REFERENCES users (id))"
)
CHANGED = {
    "no rowid": ("table members", f"{_MEMBERS} WITHOUT ROWID"),
    "strict": ("table members", f"{_MEMBERS} STRICT"),
    "generated": ("table audit", "ALTER TABLE audit ADD COLUMN x AS (abs(id))"),
    "column": ("table audit", "ALTER TABLE audit ADD COLUMN x"),
    "version": ("table alembic_version", "ALTER TABLE alembic_version ADD COLUMN x"),
    "no column": ("table audit", "ALTER TABLE audit DROP COLUMN reason"),
    "table": ("table x", "CREATE TABLE x (y)"),
    "virtual table": ("table x", "CREATE VIRTUAL TABLE x USING fts5(y)"),
    "odd name": ("table \ufffd[2J\ufffd that", 'CREATE TABLE "\u001b[2J\n" (y)'),
    "no table": ("lacks the table server_sanctions", "DROP TABLE server_sanctions"),
    "view": (
        "view audit",
        "ALTER TABLE audit RENAME TO a; CREATE VIEW audit AS SELECT * FROM a",
    ),
    "trigger": (
        "trigger t",
        "CREATE TRIGGER t AFTER INSERT ON messages BEGIN UPDATE users SET is_admin = 1; END",
    ),
    "unique index": ("index i", "CREATE UNIQUE INDEX i ON audit (target)"),
    "no index": ("lacks the index ix_files_made_at", "DROP INDEX ix_files_made_at"),
    "other index": (
        "index ix_files_made_at",
        "DROP INDEX ix_files_made_at; CREATE UNIQUE INDEX ix_files_made_at ON files (made_at)",
    ),
    "columns of an index": (
        "index ix_audit_actor_id",
        "DROP INDEX ix_audit_actor_id; CREATE INDEX ix_audit_actor_id ON audit (id, actor)",
    ),
}


def _reword(path: Path, table: str, old: str, new: str) -> None:
    """Change the statement that made a table, and nothing else."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema = ON")
        where = "WHERE type = 'table' AND name = ? AND instr(sql, ?)"
        query = f"UPDATE sqlite_master SET sql = replace(sql, ?, ?) {where}"
        assert connection.execute(query, (old, new, table, old)).rowcount == 1


def _check_other_schema(path: Path, sentence: str) -> None:
    """Check that a backup is not restored, and that this is why."""
    database = path.with_name("greenroom.db")
    with pytest.raises(StartRefused) as refusal:
        backup.restore(f"sqlite:///{database}", path, Mock(), 0, keeps_tokens=False)
    end = "each Greenroom makes" if sentence.startswith("lacks") else "no Greenroom makes"
    assert str(refusal.value).startswith(f"{path} {sentence}")
    assert str(refusal.value).endswith(f"{end}; take another backup")
    assert not database.exists()
    assert not list(path.parent.glob("*restor*"))


@pytest.fixture
def copied(tmp_path, new_database, monkeypatch) -> Path:
    """A backup without a row, to be changed; what it is compared with is made in less time."""
    monkeypatch.setattr(backup, "_migrate", lambda path, _: copy(new_database, path))
    return Path(copy(new_database, tmp_path / "a.db"))


# A backup whose tables or indexes are not to the word what the migrations make is refused, and the
# refusal names the first of them.
@pytest.mark.parametrize(("table", "old", "new"), REWORDED.values(), ids=REWORDED)
def test_reworded_tables(copied: Path, table: str, old: str, new: str) -> None:
    _reword(copied, table, old, new)
    _check_other_schema(copied, f"has a table {table}")


# So is one in which something was added, changed or dropped, or that is in another encoding.
@pytest.mark.parametrize(("what", "script"), CHANGED.values(), ids=CHANGED)
def test_other_schemas(copied: Path, what: str, script: str) -> None:
    change(copied, script)
    article = "an" if what.startswith("index") else "a"
    _check_other_schema(copied, what if what.startswith("lacks") else f"has {article} {what}")


def test_another_encoding(copied: Path) -> None:
    with closing(sqlite3.connect(copied)) as source:
        script = "\n".join(source.iterdump())
    copied.unlink()
    change(copied, "PRAGMA encoding = 'UTF-16le'", script)
    _check_other_schema(copied, "has an encoding UTF-16le")


# One that is damaged is kept too, to the byte.
def test_restore_over_a_damaged_one(folder: Path, run_here) -> None:
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    run_here(folder, "backup", str(path))
    database.write_bytes(b"not a database" * 1_000)
    assert run_here(folder, "restore", str(path)).exit_code == 0
    (kept,) = (folder / "var").glob("greenroom.db.before-restore.*Z")
    assert kept.read_bytes() == b"not a database" * 1_000
    assert rows(database, "SELECT name FROM users") == [("alice",)]


# One that is being read can't be put aside whole, and stays.
def test_restore_beside_a_reader(folder: Path, run_here, monkeypatch) -> None:
    monkeypatch.setattr(backup, "DATABASE_BUSY_SECONDS_MAX", 0)
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    run_here(folder, "backup", str(path))
    writer, reader = (sqlite3.connect(database, isolation_level=None) for _ in range(2))
    with closing(writer), closing(reader):
        reader.execute("BEGIN")
        assert reader.execute("SELECT name FROM users").fetchall() == [("alice",)]
        writer.execute("UPDATE users SET name = 'bob'")
        told = refused(run_here(folder, "restore", str(path)))
        assert "is being read; try again when" in told
    assert rows(database, "SELECT name FROM users") == [("bob",)]
    assert run_here(folder, "restore", str(path)).exit_code == 0


# While a server has the database, nothing is restored into it.
def test_restore_beside_a_server(server, run_here, new_database) -> None:
    result = run_here(server.folder, "restore", str(new_database))
    assert "is open in another Greenroom; stop that one first" in refused(result)
    server.program().register("still-here")


# A damaged database is not copied, and no half of a copy is left; nor is one that is not there.
def test_backup_refuses(folder: Path, run_here) -> None:
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    database.write_bytes(database.read_bytes()[:-40_000])
    assert f"can't copy {database}: " in refused(run_here(folder, "backup", str(path)))
    database.unlink()
    assert f"there is no database at {database}" in refused(run_here(folder, "backup", str(path)))
    assert [each.name for each in folder.iterdir()] == ["var"]


# On PostgreSQL both name the tools that do it.
def test_on_postgresql(folder: Path, run_here) -> None:
    path = folder / "a.db"
    assert "pg_dump" in refused(run_here(folder, "backup", str(path), DATABASE_URL=POSTGRESQL))
    assert "pg_restore" in refused(run_here(folder, "restore", str(path), DATABASE_URL=POSTGRESQL))
    assert not path.exists()
