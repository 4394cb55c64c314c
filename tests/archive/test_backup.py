"""Backups: a copy of one moment of a busy server, and the way back to it."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from shutil import copy
from threading import Thread
from unittest.mock import Mock

import alembic.config
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from click.testing import Result
from sqlalchemy import NullPool, create_engine

from app.archive import backup
from app.bounds import FILE_IDS_SKIPPED, MESSAGE_IDS_SKIPPED
from app.database.tables import SCHEMA_REVISION
from app.errors import StartRefused
from tests.kit.program import Program
from tests.kit.server_process import ROOT, ServerProcess
from tests.kit.transfers import request

ROOMS = ("red", "green", "blue")
SAYS = 400  # of each of them, in the burst
POSTGRESQL = "postgresql+psycopg://nobody@127.0.0.1:1/greenroom"


def _refuses(result: Result, sentence: str) -> None:
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr


def _history(program: Program, room: str) -> list[int]:
    """Return the ids of all that a member is shown of a room."""
    ids, page = [], {"last_id": 0, "has_more": True}
    while page["has_more"]:
        page = program.call("history", room=room, after=page["last_id"], count=1000)
        ids += [message["id"] for message in page["messages"]]
    return ids


def _seen(events: list[dict], room: str) -> list[int]:
    return [each["id"] for each in events if each["event"] == "message" and each["room"] == room]


def _share(server: ServerProcess, program: Program) -> int:
    url = program.call("file.offer", name="a.txt", room=ROOMS[0])["url"]
    assert request(server, "PUT", url, b"a").status == 201
    return program.catch_up()[-1]["id"]


class _Burst:
    """Talkers in three rooms, and a reader of all of them; a backup is made in the middle."""

    def __init__(self, server: ServerProcess, back_up) -> None:
        self.reader = server.program()
        self.token = self.reader.call(
            "register", name="reader", password="secret", remember="laptop"
        )["token"]
        talkers = []
        for room in ROOMS:
            talkers.append(server.program().register(f"talker-{room}").join(room))
            self.reader.call("join", room=room)
        self.file = _share(server, self.reader)
        for talker in talkers:
            talker.say("before")
        with server.database() as database:  # one that is being sent
            database.execute(
                "INSERT INTO files (id, room_id, user_id, name, size, made_at)"
                " VALUES (?, 1, 1, 'half', 9, 0)",
                (self.file + 1,),
            )
            database.execute("INSERT INTO file_chunks VALUES (?, 0, x'00')", (self.file + 1,))
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
def test_a_burst(server: ServerProcess, start_server, run_here, tmp_path: Path) -> None:
    path = tmp_path / "monday.db"
    burst = _Burst(server, lambda: run_here(server.folder, "backup", str(path)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "restored").mkdir()
    result = run_here(tmp_path / "restored", "restore", str(path))
    assert "Ended 1 tokens, dropped 1 half-sent files.\n" in result.stdout
    restored = start_server("restored")
    assert restored.program().refused("login", token=burst.token) == "login_refused"
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


@pytest.fixture
def folder(tmp_path: Path, new_database: Path, run_here) -> Path:
    """A folder with a database without a server, and with an account."""
    (tmp_path / "var").mkdir(mode=0o700)
    copy(new_database, tmp_path / "var")
    run_here(tmp_path, "createuser", "alice", "--password", "secret")
    return tmp_path


def _rows(path: Path, query: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


# A restore keeps what there was beside it, and tokens if it is told to; a backup replaces nothing.
def test_without_a_server(folder: Path, run_here) -> None:
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO tokens VALUES (3, 1, x'00', 'bot', 0, 0)")
    result = run_here(folder, "backup", str(path))
    assert result.stdout == f"{path} has all of it: {path.stat().st_size:,} bytes.\n"
    _refuses(run_here(folder, "backup", str(path)), f"{path} is there already; choose another name")
    run_here(folder, "createuser", "late", "--password", "secret")
    assert run_here(folder, "restore", str(path), "--keep-tokens").exit_code == 0
    (kept,) = (folder / "var").glob("greenroom.db.before-restore.*Z")
    assert _rows(kept, "SELECT name FROM users") == [("alice",), ("late",)]
    assert _rows(database, "SELECT name FROM users") == [("alice",)]
    assert _rows(database, "SELECT id FROM tokens") == [(3,)]
    assert {each.name for each in folder.iterdir()} == {"a.db", "var"}
    for each in (path, database):
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


# A backup is what there was when it began, whatever is written while it is made.
def test_one_moment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "BACKUP_PAGES_AT_ONCE", 1)
    path, database, steps = folder / "a.db", folder / "var" / "greenroom.db", []

    with closing(sqlite3.connect(database, isolation_level=None)) as writer:

        def write(done: int, _total: int) -> None:
            steps.append(done)
            if len(steps) <= 5:
                writer.execute("INSERT INTO audit VALUES (NULL, 0, 'a', 'b', 'c', 'd', 'e')")

        backup.back_up(f"sqlite:///{database}", path, write)
    assert steps == sorted(steps)  # it never began again
    assert _rows(path, "SELECT action FROM audit") == [("create",)]
    assert len(_rows(database, "SELECT action FROM audit")) == 6


REVISIONS = [
    script.revision
    for script in ScriptDirectory(str(ROOT / "migrations")).walk_revisions()
    if script.revision != SCHEMA_REVISION
]


def _alembic(path: Path, *arguments: str) -> None:
    ini = str(ROOT / "alembic.ini")
    alembic.config.main(["-c", ini, "-x", f"url=sqlite:///{path}", *arguments])


# A backup of any older Greenroom is migrated on its way back, unless somebody changed its schema.
@pytest.mark.parametrize("revision", REVISIONS)
def test_an_older_backup(folder: Path, run_here, revision: str) -> None:
    path = folder / "old.db"
    _alembic(path, "upgrade", revision)
    tampered = folder / "tampered.db"
    copy(path, tampered)
    _run("CREATE TRIGGER t AFTER UPDATE ON users BEGIN DELETE FROM audit; END")(tampered)
    _refuses(run_here(folder, "restore", str(tampered)), "has a trigger t that no Greenroom makes")
    result = run_here(folder, "restore", str(path))
    assert result.stdout.startswith(f"It was of revision {revision}, and was migrated.\n")
    assert "Restored 0 messages, up to number 0.\n" in result.stdout
    assert run_here(folder, "createuser", "new", "--password", "secret").exit_code == 0


# A backup can be restored after migrations down and up again, after tables were copied as some
# migrations do, and after ANALYZE and VACUUM.
def test_a_backup_with_a_past(folder: Path, run_here) -> None:
    path = folder / "old.db"
    _alembic(path, "upgrade", "head")
    _alembic(path, "downgrade", "0001")
    _alembic(path, "upgrade", "head")
    with create_engine(f"sqlite:///{path}", poolclass=NullPool).begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        for table in ("users", "rooms", "members", "server_sanctions"):
            with operations.batch_alter_table(table, recreate="always"):
                pass
    _run("INSERT INTO audit VALUES (1, 0, 'a', 'b', 'c', 'd', 'e')", "ANALYZE", "VACUUM")(path)
    assert _rows(path, "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'audit'") == [(1,)]
    assert run_here(folder, "restore", str(path)).exit_code == 0


def _run(*statements: str):
    """Return what changes a database as somebody might who wants a hand in what it does."""

    def harm(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.executescript(";".join(statements))

    return harm


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
            _run("UPDATE alembic_version SET version_num = '9999'"),
            "is of a newer Greenroom (revision 9999); restore it with that version",
        ),
    ],
    ids=["gone", "no database", "empty", "cut off", "newer"],
)
def test_restore_refuses(folder: Path, run_here, harm, sentence: str) -> None:
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    run_here(folder, "backup", str(path))
    harm(path)
    before = database.read_bytes()
    _refuses(run_here(folder, "restore", str(path)), sentence)
    assert database.read_bytes() == before
    assert not list((folder / "var").glob("*restor*"))


def _reword(table: str, old: str, new: str):
    """Return what changes the statement that made a table, and nothing else."""

    def harm(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("PRAGMA writable_schema = ON")
            query = (
                "UPDATE sqlite_master SET sql = replace(sql, ?, ?)"
                " WHERE type = 'table' AND name = ? AND instr(sql, ?)"
            )
            assert connection.execute(query, (old, new, table, old)).rowcount == 1

    return harm


def _to_utf_16(path: Path) -> None:
    with closing(sqlite3.connect(path)) as source:
        script = "\n".join(source.iterdump())
    path.unlink()
    _run("PRAGMA encoding = 'UTF-16le'", script)(path)


_MEMBERS = (
    "CREATE TABLE members (room_id INTEGER NOT NULL, user_id INTEGER NOT NULL, CONSTRAINT"
    " pk_members PRIMARY KEY (room_id, user_id), CONSTRAINT fk_members_room_id_rooms FOREIGN KEY"
    "(room_id) REFERENCES rooms (id), CONSTRAINT fk_members_user_id_users FOREIGN KEY(user_id)"
    " REFERENCES users (id))"
)
HARMS = {
    "ignores": (
        _reword("audit", "reason TEXT NOT NULL", "reason TEXT NOT NULL ON CONFLICT IGNORE"),
        "has a table audit",
    ),
    "replaces": (
        _reword("tokens", "UNIQUE (digest)", "UNIQUE (digest) ON CONFLICT REPLACE"),
        "has a table tokens",
    ),
    "generated": (_run("ALTER TABLE audit ADD COLUMN x AS (abs(id))"), "has a table audit"),
    "column": (_run("ALTER TABLE audit ADD COLUMN x"), "has a table audit"),
    "version": (_run("ALTER TABLE alembic_version ADD COLUMN x"), "has a table alembic_version"),
    "no column": (_run("ALTER TABLE audit DROP COLUMN reason"), "has a table audit"),
    "check": (
        _reword("audit", "reason TEXT NOT NULL", "reason TEXT NOT NULL CHECK (actor <> 'x')"),
        "has a table audit",
    ),
    "no check": (_reword("messages", "(recipient_id IS NULL)", "2"), "has a table messages"),
    "case": (_reword("sanctions", "'mute'", "'MUTE'"), "has a table sanctions"),
    "collation": (
        _reword("users", '"key" TEXT NOT NULL', '"key" TEXT NOT NULL COLLATE NOCASE'),
        "has a table users",
    ),
    "default": (
        _reword("users", "INTEGER DEFAULT '0'", "INTEGER DEFAULT '1'"),
        "has a table users",
    ),
    "null": (_reword("audit", "reason TEXT NOT NULL", "reason TEXT"), "has a table audit"),
    "no blank": (
        _reword("audit", "reason TEXT NOT ", "reason TEXT NOT\u00a0"),
        "has a table audit",
    ),
    "quotes": (
        _reword("audit", "reason TEXT NOT NULL", 'reason TEXT "NOT" "NULL"'),
        "has a table audit",
    ),
    "type": (_reword("audit", "reason TEXT", "reason INTEGER"), "has a table audit"),
    "ids": (
        _reword("audit", "PRIMARY KEY AUTOINCREMENT", "PRIMARY KEY"),
        "has a table audit",
    ),
    "action": (
        _reword("members", "REFERENCES users (id)", "REFERENCES users (id) ON DELETE CASCADE"),
        "has a table members",
    ),
    "no rowid": (_run("DROP TABLE members", f"{_MEMBERS} WITHOUT ROWID"), "has a table members"),
    "strict": (_run("DROP TABLE members", f"{_MEMBERS} STRICT"), "has a table members"),
    "table": (_run("CREATE TABLE x (y)"), "has a table x"),
    "virtual table": (_run("CREATE VIRTUAL TABLE x USING fts5(y)"), "has a table x"),
    "odd name": (_run('CREATE TABLE "\u001b[2J\n" (y)'), "has a table \ufffd[2J\ufffd that"),
    "no table": (_run("DROP TABLE server_sanctions"), "lacks the table server_sanctions"),
    "view": (
        _run("ALTER TABLE audit RENAME TO a", "CREATE VIEW audit AS SELECT * FROM a"),
        "has a view audit",
    ),
    "trigger": (
        _run("CREATE TRIGGER t AFTER INSERT ON messages BEGIN UPDATE users SET is_admin = 1; END"),
        "has a trigger t",
    ),
    "unique index": (_run("CREATE UNIQUE INDEX i ON audit (target)"), "has an index i"),
    "no index": (_run("DROP INDEX ix_files_made_at"), "lacks the index ix_files_made_at"),
    "other index": (
        _run(
            "DROP INDEX ix_files_made_at", "CREATE UNIQUE INDEX ix_files_made_at ON files (made_at)"
        ),
        "has an index ix_files_made_at",
    ),
    "columns of an index": (
        _run("DROP INDEX ix_audit_actor_id", "CREATE INDEX ix_audit_actor_id ON audit (id, actor)"),
        "has an index ix_audit_actor_id",
    ),
    "encoding": (_to_utf_16, "has an encoding UTF-16le"),
}


# A backup whose tables or indexes are not to the word what the migrations make is refused, and the
# refusal names the first of them.
@pytest.mark.parametrize(("harm", "sentence"), HARMS.values(), ids=HARMS)
def test_other_schemas(tmp_path: Path, new_database: Path, monkeypatch, harm, sentence) -> None:
    monkeypatch.setattr(
        backup, "_migrate", lambda path, _: copy(new_database, path)
    )  # in less time
    path, database = Path(copy(new_database, tmp_path / "a.db")), tmp_path / "greenroom.db"
    harm(path)
    with pytest.raises(StartRefused) as refused:
        backup.restore(f"sqlite:///{database}", path, Mock(), 0, keeps_tokens=False)
    end = "each Greenroom makes" if sentence.startswith("lacks") else "no Greenroom makes"
    assert str(refused.value).startswith(f"{path} {sentence}")
    assert str(refused.value).endswith(f"{end}; take another backup")
    assert not database.exists()
    assert not list(tmp_path.glob("*restor*"))


# One that is damaged is kept too, to the byte.
def test_restore_over_a_damaged_one(folder: Path, run_here) -> None:
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    run_here(folder, "backup", str(path))
    database.write_bytes(b"not a database" * 1_000)
    assert run_here(folder, "restore", str(path)).exit_code == 0
    (kept,) = (folder / "var").glob("greenroom.db.before-restore.*Z")
    assert kept.read_bytes() == b"not a database" * 1_000
    assert _rows(database, "SELECT name FROM users") == [("alice",)]


# One that is being read can't be put aside whole, and stays.
def test_restore_beside_a_reader(folder: Path, run_here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "DATABASE_BUSY_SECONDS_MAX", 0)
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    run_here(folder, "backup", str(path))
    writer, reader = (sqlite3.connect(database, isolation_level=None) for _ in range(2))
    with closing(writer), closing(reader):
        reader.execute("BEGIN")
        assert reader.execute("SELECT name FROM users").fetchall() == [("alice",)]
        writer.execute("UPDATE users SET name = 'bob'")
        _refuses(run_here(folder, "restore", str(path)), "is being read; try again when")
    assert _rows(database, "SELECT name FROM users") == [("bob",)]
    assert run_here(folder, "restore", str(path)).exit_code == 0


# While a server has the database, nothing is restored into it.
def test_restore_beside_a_server(server: ServerProcess, run_here, new_database: Path) -> None:
    result = run_here(server.folder, "restore", str(new_database))
    _refuses(result, "is open in another Greenroom; stop that one first")
    server.program().register("still-here")


# A damaged database is not copied, and no half of a copy is left; nor is one that is not there.
def test_backup_refuses(folder: Path, run_here) -> None:
    path, database = folder / "a.db", folder / "var" / "greenroom.db"
    database.write_bytes(database.read_bytes()[:-40_000])
    _refuses(run_here(folder, "backup", str(path)), f"can't copy {database}: ")
    database.unlink()
    _refuses(run_here(folder, "backup", str(path)), f"there is no database at {database}")
    assert [each.name for each in folder.iterdir()] == ["var"]


# On PostgreSQL both name the tools that do it.
def test_on_postgresql(folder: Path, run_here) -> None:
    path = folder / "a.db"
    _refuses(run_here(folder, "backup", str(path), DATABASE_URL=POSTGRESQL), "pg_dump")
    _refuses(run_here(folder, "restore", str(path), DATABASE_URL=POSTGRESQL), "pg_restore")
    assert not path.exists()
