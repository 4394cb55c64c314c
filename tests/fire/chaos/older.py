"""A database of an older version, whose migration is killed half way, and then done again."""

import asyncio
import shutil
import signal
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import alembic.config

from app.database.tables import SCHEMA_REVISION
from tests.fire.chaos.oracle import Oracle
from tests.fire.chaos.server import Broken, ChaosServer
from tests.kit.client import until
from tests.kit.server_process import ROOT

OLD_REVISION = "0001"
MESSAGES = 20_000  # that it holds: enough for a migration to take a while
KILL_SECONDS_MAX = 0.4  # after it was copied, which is just before it is migrated
START_SECONDS_MAX = 30

_FILL = f"""
INSERT INTO users VALUES (1, 'old', 'old', 'old', '-', 0, 0, 0, 0);
INSERT INTO rooms VALUES (1, 'old', 'old', 'old', '', 1, 0);
INSERT INTO messages
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT {MESSAGES})
    SELECT n, 1, NULL, 1, 0, 'message ' || n, n FROM numbers;
"""


class OlderDatabase:
    """Made once, and migrated as often as somebody asks."""

    def __init__(self, folder: Path) -> None:
        """Make it. Blocks for a second."""
        self._path = folder / "older.db"
        config = str(ROOT / "alembic.ini")
        url = f"url=sqlite:///{self._path}"
        alembic.config.main(["-c", config, "-x", url, "upgrade", OLD_REVISION])
        with closing(sqlite3.connect(self._path)) as connection:
            connection.executescript(_FILL)

    async def migrate_and_kill(self, oracle: Oracle, random: Random) -> None:
        """Start a server on a copy, kill it half way, and start it again."""
        with tempfile.TemporaryDirectory(dir=self._path.parent) as name:
            server = ChaosServer(Path(name))
            server.data.mkdir(mode=0o700)
            shutil.copy(self._path, server.database_path)
            try:
                await self._kill_half_way(server, random)
                await server.begin()
            except Broken as error:
                oracle.violate(f"a migration that was killed can't be done again: {error}")
            else:
                await asyncio.to_thread(_compare, server.database_path, oracle)
            finally:
                if server.process is not None:
                    await server.ended(signal.SIGKILL)

    async def _kill_half_way(self, server: ChaosServer, random: Random) -> None:
        """Kill it at a random time after it has begun, or when it is through."""
        starting = asyncio.create_task(server.begin())
        copies = f"{server.database_path.name}.{OLD_REVISION}.*"
        await until(lambda: starting.done() or [*server.data.glob(copies)], START_SECONDS_MAX)
        await asyncio.sleep(random.uniform(0, KILL_SECONDS_MAX))
        await server.ended(signal.SIGKILL)
        with suppress(Broken, ValueError):  # it did not start, or nobody listens to it any more
            await starting


def _compare(path: Path, oracle: Oracle) -> None:
    """Hold what is there now against what was put in."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        count, total = connection.execute("SELECT count(*), sum(id) FROM messages").fetchone()
        (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        verdict = connection.execute("PRAGMA integrity_check(5)").fetchall()
    if (count, total) != (MESSAGES, MESSAGES * (MESSAGES + 1) // 2):
        oracle.violate(f"a migration that was killed left {count} of {MESSAGES} messages")
    if revision != SCHEMA_REVISION or verdict != [("ok",)]:
        oracle.violate(f"a migration that was killed left revision {revision}, {verdict}")
