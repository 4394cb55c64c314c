"""Migrations: they make what the models say, both ways, and the server runs them by itself."""

import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import alembic.config
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, NullPool, create_engine, insert, inspect

from app.cli.asking import settings_with
from app.database.tables import SCHEMA_REVISION, Base
from app.errors import StartRefused
from tests.kit import server_process
from tests.kit.commands import refused
from tests.kit.databases import rows, run_alembic
from tests.kit.server_process import ROOT, environment, manage, run_to_end

NEWER_MIGRATION = '''"""A later version knows what users look like."""

import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "{head}"


def upgrade() -> None:
    op.add_column("users", sa.Column("portrait", sa.Text(), server_default="", nullable=False))
    op.execute("{statement}")


def downgrade() -> None:
    op.drop_column("users", "portrait")
'''


# What a row needs besides a value in each column.
_SPECIAL: dict[str, dict[str, object]] = {
    "messages": {"room_id": 1},
    "files": {"room_id": 1},
    "sanctions": {"kind": "ban"},
    "server_sanctions": {"kind": "ban", "user_id": 1},
}


def _alembic(path: Path, *arguments: str) -> None:
    run_alembic(f"sqlite:///{path}", *arguments)


def _engine(path: Path) -> Engine:
    return create_engine(f"sqlite:///{path}", poolclass=NullPool)  # it leaves nothing open


@pytest.fixture
def database(tmp_path, new_database) -> Path:
    """A migrated database, of our own."""
    return Path(shutil.copy(new_database, tmp_path / "copy.db"))


def _schema(engine: Engine) -> dict[str, object]:
    """Return all that a database says of its tables, in an order of no meaning."""
    inspector = inspect(engine)
    kinds = ("columns", "foreign_keys", "unique_constraints", "check_constraints")
    schema: dict[str, object] = {}
    for name in set(inspector.get_table_names()) - {"alembic_version"}:
        for kind in kinds:
            schema[f"{name} {kind}"] = sorted(map(str, getattr(inspector, f"get_{kind}")(name)))
        schema[f"{name} key"] = inspector.get_pk_constraint(name)
    with engine.connect() as connection:
        indexes = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        return schema | dict(connection.exec_driver_sql(indexes).all())


def _fill(engine: Engine) -> None:
    """Put a row into every table."""
    samples = {str: "x", bytes: b"x"}
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            needed = [column for column in table.columns if not column.nullable]
            values = {each.name: samples.get(each.type.python_type, 1) for each in needed}
            connection.execute(insert(table).values(values | _SPECIAL.get(table.name, {})))


def _count(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        names = Base.metadata.tables
        count = "SELECT count(*) FROM {}".format
        return {name: connection.exec_driver_sql(count(name)).scalar_one() for name in names}


# The migrations make the very tables, indexes and constraints that the models describe.
def test_models_and_migrations_agree(tmp_path, database: Path) -> None:
    modelled = _engine(tmp_path / "models.db")
    Base.metadata.create_all(modelled)
    assert _schema(_engine(database)) == _schema(modelled)


# The server looks for the newest migration, and there is one line of them.
def test_the_schema_revision_is_the_newest() -> None:
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    assert scripts.get_heads() == [SCHEMA_REVISION]
    assert scripts.get_bases() == ["0001"]


# Each migration can be undone and done again, with rows in every table. Alembic says so when a
# database is not of this version.
def test_down_and_up_again(database: Path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    engine = _engine(database)
    before = _schema(engine)
    _fill(engine)
    assert set(_count(engine).values()) == {1}
    _alembic(database, "check")
    _alembic(database, "downgrade", "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]
    with pytest.raises(SystemExit) as ended:
        _alembic(database, "check")
    assert ended.value.code
    _alembic(database, "upgrade", "head")
    assert _schema(engine) == before
    _fill(engine)


@pytest.fixture
def settings_of_a_folder(tmp_path, monkeypatch) -> None:
    """Let `alembic` be run with settings, as an operator does."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(ROOT)


# `alembic` can be first in an empty folder, and the server goes on where it left off.
def test_alembic_before_the_server(tmp_path, start_server, settings_of_a_folder) -> None:
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    done = run_to_end(command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for arguments in (["downgrade", "base"], ["upgrade", "head"], ["check"]):
        alembic.config.main(arguments)
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "var" / "greenroom.db").stat().st_mode) == 0o600
    server = start_server()
    server.connect().register("alice")
    assert "migrated" not in server.log


# `alembic` reads the settings as other commands do: in one line it says what can't be, or is none.
def test_alembic_and_the_settings(settings_of_a_folder, monkeypatch, capsys) -> None:
    monkeypatch.setenv("GREENROOM_REGISTRATON", "closed")
    alembic.config.main(["upgrade", "head"])
    told = "GREENROOM_REGISTRATON is no setting, and does nothing; is it GREENROOM_REGISTRATION?"
    assert capsys.readouterr().err == f"{told}\n"
    monkeypatch.setenv("GREENROOM_HISTORY_REPLAY", "-1")
    with pytest.raises(SystemExit) as ended:
        alembic.config.main(["check"])
    wrong = "GREENROOM_HISTORY_REPLAY: '-1' can't be; it must be a whole number from 0 to 1000"
    assert ended.value.code == f"alembic: {wrong}"


# A `.env` that is no file, as a container makes a folder for one that is missing, is refused.
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_an_env_that_is_no_file(tmp_path, monkeypatch, make: Callable[[Path], object]) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path(".env"))
    with pytest.raises(StartRefused, match=r"^can't read \.env: it is no file, or leads to none$"):
        settings_with()


# `alembic` does not touch a database that a server has open, and says which.
def test_alembic_beside_a_server(server) -> None:
    path = server.folder / "var" / "greenroom.db"
    _alembic(path, "upgrade", "head")  # there is nothing to do
    with pytest.raises(SystemExit) as ended:
        _alembic(path, "downgrade", "base")
    refusal = f"alembic: {path} is open in another Greenroom; stop that one first"
    assert ended.value.code == refusal
    server.connect().register("alice")


@pytest.fixture
def later_version(tmp_path) -> Callable[[str], Path]:
    """Return what makes a later version of Greenroom, with a migration that ends in a statement."""

    def make(statement: str) -> Path:
        root = tmp_path / "later"
        for folder in ("app", "migrations"):
            shutil.copytree(ROOT / folder, root / folder)
        for name in ("manage.py", "alembic.ini"):
            shutil.copy(ROOT / name, root)
        migration = NEWER_MIGRATION.format(head=SCHEMA_REVISION, statement=statement)
        (root / "migrations" / "versions" / "later.py").write_text(migration)
        models = root / "app" / "database" / "tables.py"
        revision = f'SCHEMA_REVISION = "{SCHEMA_REVISION}"'
        assert revision in models.read_text()
        models.write_text(models.read_text().replace(revision, 'SCHEMA_REVISION = "later"'))
        return root

    return make


# A later version finds an older database: it copies it, migrates it, and goes on with all of it.
# The older version can't use it any more, says so, and leaves it alone; it can use the copy.
def test_an_older_database(start_server, later_version, monkeypatch) -> None:
    server = start_server()
    server.connect().register("alice").join("lobby").type("hello")
    assert server.stop() == 0
    folder = server.folder / "var"

    def check_hello() -> None:
        alice = server.connect().log_in("alice").join("lobby")
        alice.expect_line(r"\[\d\d:\d\d\] alice: hello")

    monkeypatch.setattr(server_process, "ROOT", later_version("UPDATE users SET portrait = 'x'"))
    server.start()
    (copy,) = folder.glob(f"greenroom.db.{SCHEMA_REVISION}.*Z")
    server.expect_logged(f"copied the database to {copy}")
    server.expect_logged("to revision later")
    check_hello()
    assert server.stop() == 0
    monkeypatch.undo()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600

    path = folder / "greenroom.db"
    before = path.read_bytes()
    told = refused(manage(server.folder, "runserver", "0"))
    what_to_do = "run that version, or restore a backup of this one"
    assert told == f"{path} is of a newer Greenroom (revision later); {what_to_do}"
    assert path.read_bytes() == before

    shutil.copy(copy, path)
    server.start()
    check_hello()


# A migration that fails half way has done nothing, and is told in one line.
def test_a_migration_that_fails(data: Path, later_version, monkeypatch) -> None:
    later = later_version("UPDATE elsewhere SET portrait = 'x'")
    monkeypatch.setattr(server_process, "ROOT", later)
    run = manage(data.parent, "runserver", "0")
    assert run.returncode == 1
    told = "Error: the database can't be migrated: no such table: elsewhere"
    assert run.stderr.splitlines()[-1] == told
    path = data / "greenroom.db"
    assert rows(path, "SELECT version_num FROM alembic_version") == [(SCHEMA_REVISION,)]
    assert "portrait" not in {row[1] for row in rows(path, "PRAGMA table_info(users)")}
