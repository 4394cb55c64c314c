"""Cuts the power of a server, and opens what the disk has kept: `make fire ARGS=power`.

A server writes down all that it does to its disk (see disk_recorder.py) while it migrates an
older database, people talk, one is banned, a file is brought, the log is emptied. From the record
the disk is made as it may be after a cut at any moment: all that was synced is there, and of the
rest any part, in any order, torn between sectors; names in a folder that was not synced may be
missing, the last ones first. The server's own opening code must then open it, and find it whole:
  full    what anybody was shown before the cut is there
  normal  what was shown before SQLite's log was last synced is there, as it is before each time
          that the log is brought to the database; what came later may be missing, the newest first
"""

import hashlib
import re
import sqlite3
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random

from tests.fire.kinds import CannotRun, Kind, hold
from tests.fire.power.disk_recorder import PREPARED_BY, sqlite_library
from tests.fire.power.lossy_disk import Cut, Recording, Scene, cut_often
from tests.fire.power.power_loss_commands import COMMANDS
from tests.kit.databases import (
    DATABASE,
    OLD_REVISION,
    check_whole,
    file_bytes,
    make_database,
    messages,
    open_as_a_server,
    revision_of,
)
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import ask_url, request

ROUNDS = 4  # of talk, before something else happens
SAYS_A_ROUND = 10
FILE_BYTES = 300_000
_SHOWN = re.compile(rb"(?:mark|letter)-\d+-end|shares file-\d+|Hello, \w+|guest was banned")
_COPIED = re.compile(rb"copied to (\S+)")


class Serving:
    """What a server does to its disk, from its first moment to its last: a scene to cut."""

    def __init__(self, folder: Path, durability: str) -> None:
        self.durability = durability
        path = folder / DATABASE
        path.parent.mkdir(mode=0o700, parents=True)
        make_database(path, OLD_REVISION)
        self.recording = Recording(folder)
        server = ServerProcess(folder, prepared_by=PREPARED_BY, DURABILITY=durability)
        server.start()
        try:
            _live(server)
        finally:
            server.hang_up()
            code = server.stop()
        assert code == 0, server.log
        self.recording.finish()
        self._messages = messages(path)
        self._check_record()

    def _check_record(self) -> None:
        """Check that there is something to lose: what was shown, and what of it was synced."""
        with self.recording.cut(len(self.recording.steps), seed=0) as cut:
            for shown in (cut.shown, cut.shown_and_synced):
                kinds = {each.split()[0].partition("-")[0] for each in _facts_in(shown)}
                assert kinds == {"mark", "letter", "shares", "Hello,", "guest"}, kinds

    def check(self, cut: Cut) -> None:
        """See Scene."""
        path = cut.folder / DATABASE
        assert path.exists(), "the database is gone"
        was_old = open_as_a_server(path)
        copies = {each.name: each for each in path.parent.glob(f"{path.name}.{OLD_REVISION}.*Z")}
        assert copies or was_old, "migrated, and the copy of before is gone"
        told = {each.decode() for each in _COPIED.findall(cut.shown)}
        assert told <= copies.keys(), "it was told that there is a copy, and it is gone"
        for copy in copies.values():
            _check_copy(copy)
        with closing(sqlite3.connect(path)) as connection:
            promised = cut.shown if self.durability == "full" else cut.shown_and_synced
            self._check(connection, _facts_in(promised))

    def _check(self, connection: sqlite3.Connection, promised: set[str]) -> None:
        check_whole(connection)
        kept = connection.execute("SELECT id, body FROM messages ORDER BY id").fetchall()
        assert kept == self._messages[: len(kept)], "there is a hole among the messages"
        _check_files(connection)
        missing = promised - set(_facts(connection))
        assert not missing, f"shown, and lost: {sorted(missing)[:3]}"
        [(seen,)] = connection.execute("SELECT max(private_seen_id) FROM users")
        assert seen <= max(number for number, _ in kept), "what is not there was noted as seen"


def _check_copy(path: Path) -> None:
    """Check that a copy from before a migration has its name when all of it is there."""
    with closing(sqlite3.connect(path)) as connection:
        check_whole(connection)
        assert revision_of(connection) == OLD_REVISION, "the copy of before is not whole"


def _facts_in(shown: bytes) -> set[str]:
    """Return what was shown that outlasts a cut, in the words of _facts."""
    return {each.decode() for each in _SHOWN.findall(shown)}


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
    files = "SELECT id, size, sha256 FROM files WHERE sha256 IS NOT NULL"
    for file_id, size, sha256 in connection.execute(files).fetchall():
        data = file_bytes(connection, file_id)
        assert (size, sha256) == (len(data), hashlib.sha256(data).digest()), "a file is not whole"


def _live(server: ServerProcess) -> None:
    """Do all that a server's disk should outlast."""
    watcher = server.connect().register("watcher").join("lobby")
    owner = server.program().register("talker").join("lobby")
    server.connect().register("guest").join("lobby")
    _talk(owner, 0)
    url = ask_url(watcher, "/send file-1.bin")
    assert request(server, "PUT", url, Random(1).randbytes(FILE_BYTES)).status == 201
    _talk(owner, 1)
    watcher.type("/ban guest", "/kick guest")
    watcher.expect("guest was banned")
    server.control().call("vacuum")
    _talk(owner, 2)


def _talk(talker: Program, part: int) -> None:
    for number in range(ROUNDS):
        first = number * SAYS_A_ROUND
        bodies = [f"mark-{part}{first + each}-end" for each in range(SAYS_A_ROUND)]
        talker.say(*bodies)
        for recipient, place in (("watcher", 0), ("veteran", 1)):  # who is there, and who is not
            body = f"letter-{part}{number}{place}-end"
            assert talker.call("msg", user=recipient, body=body)["body"] == body


SCENES: dict[str, Callable[[Path], Scene]] = {
    "full": lambda folder: Serving(folder, "full"),
    "normal": lambda folder: Serving(folder, "normal"),
    **COMMANDS,
}


def cut_scene(name: str, count: int, seed: int) -> list[str]:
    """Play a scene, and cut its power so often; return what did not hold."""
    with tempfile.TemporaryDirectory(prefix="greenroom-power-") as folder:
        scene = SCENES[name](Path(folder, name))
        cuts = scene.recording.places(count, Random(seed))
        print(f"{name}: {len(cuts)} cuts among {len(scene.recording.steps)} steps", flush=True)
        return cut_often(scene, cuts, seed)


def _run(given: Namespace) -> bool:
    if sqlite_library() is None:
        raise CannotRun("power cuts need Linux, and a Python whose SQLite is a shared library")
    return hold(given.names, lambda name: cut_scene(name, given.cuts // len(SCENES), given.seed))


KIND = Kind(_run, list(SCENES), {"cuts": (1_000, "in all, of all scenes")})
