"""A database of an older version, whose migration is killed half way, and then done again."""

import asyncio
import shutil
import signal
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from app.database.tables import SCHEMA_REVISION
from tests.fire.chaos.oracle import Oracle
from tests.fire.chaos.server import Broken, ChaosServer
from tests.kit.client import until
from tests.kit.databases import check_whole, furnish_old_room, new_database, revision_of

OLD_REVISION = "0001"
MESSAGES = 20_000  # that it holds: enough for a migration to take a while
KILL_SECONDS_MAX = 0.4  # after it was copied, which is just before it is migrated
START_SECONDS_MAX = 30


class OlderDatabase:
    """Made once, and migrated as often as somebody asks."""

    def __init__(self, folder: Path) -> None:
        """Make it. Blocks for a second."""
        self._path = folder / "older.db"
        self._path.write_bytes(new_database(OLD_REVISION))
        with closing(sqlite3.connect(self._path)) as connection, connection:
            furnish_old_room(connection, (f"message {number}" for number in range(MESSAGES)))

    async def migrate_and_kill(self, oracle: Oracle, random: Random) -> None:
        """Start a server on a copy, kill it half way, and start it again."""
        with tempfile.TemporaryDirectory(dir=self._path.parent) as name:
            server = ChaosServer(Path(name))
            server.data.mkdir(mode=0o700)
            shutil.copy(self._path, server.database_path)
            try:
                await self._kill_half_way(server, random)
                await server.begin()
                await asyncio.to_thread(_check, server.database_path)
            except (Broken, AssertionError) as error:
                oracle.violate(f"a migration that was killed, and done again: {error}")
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


def _check(path: Path) -> None:
    """Check that what was put in is there now. Raises AssertionError."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        check_whole(connection)
        found = connection.execute("SELECT count(*), sum(id) FROM messages").fetchone()
        assert found == (MESSAGES, MESSAGES * (MESSAGES + 1) // 2), f"{found[0]} messages are left"
        assert revision_of(connection) == SCHEMA_REVISION, "it is of an older version"
