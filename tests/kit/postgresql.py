"""A PostgreSQL of the tests' own: its data and its socket in a folder, run by nobody."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool

from tests.kit.databases import run_alembic

_USER = "greenroom"


def _programs() -> Path:
    """Return the folder of initdb and pg_ctl; skips a test where there is none."""
    pytest.importorskip("psycopg", reason="psycopg is not here")
    found = [*Path("/usr/lib/postgresql").glob("*/bin/initdb"), shutil.which("initdb")]
    folders = [Path(each).parent for each in found if each]
    if not folders:
        pytest.skip("no PostgreSQL is here: no initdb in PATH or /usr/lib/postgresql/*/bin")
    return folders[0]


class Postgresql:
    """A server that can be stopped and started again, with databases made as they are needed."""

    def __init__(self) -> None:
        self._programs = _programs()
        self.folder = Path(tempfile.mkdtemp(prefix="greenroom-postgresql-"))
        self._as_whom: dict[str, Any] = {}
        if os.geteuid() == 0:  # whom PostgreSQL does not work for
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._as_whom = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        options = ["-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "-D", self._data, *options)
        self.start()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [self._programs / program, *map(str, arguments)],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
            check=False,
            **self._as_whom,
        )
        assert done.returncode == 0, done.stdout

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        log = self.folder / "log"
        self._run("pg_ctl", "-D", self._data, "-w", "-s", "-l", log, "-o", options, "start")

    def crash(self) -> None:
        """End it at once, as if it was killed."""
        self._run("pg_ctl", "-D", self._data, "-w", "-s", "-m", "immediate", "stop")

    def end(self) -> None:
        """Leave nothing behind, also after a test that failed between a crash and a start."""
        if (self._data / "postmaster.pid").exists():
            self.crash()
        shutil.rmtree(self.folder)

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql+psycopg://{_USER}@/{name}?host={self.folder}"

    def make(self, name: str, options: str = "") -> str:
        """Make a database, and return its URL."""
        engine = engine_of(self.url("postgres")).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name} {options}")
        return self.url(name)


def engine_of(url: str) -> Engine:
    """Return an engine that keeps nothing open, to look into a database with."""
    return create_engine(url, poolclass=NullPool)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgresql]:
    """A PostgreSQL of our own; `migrated` is a database without a row."""
    postgres = Postgresql()
    run_alembic(postgres.make("migrated"), "upgrade", "head")
    yield postgres
    postgres.end()
