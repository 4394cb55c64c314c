"""Kills a server at every stage, many times: `python -m tests.failpoints --each 50`.

After each kill the server is started again, and this must hold (--stage WORD: only some stages):
  1. What anybody was shown is stored, and so is what was acknowledged, under the id that was told.
  2. All saw messages in one order, and history has it; who comes back misses none, sees none twice.
  3. What was not acknowledged is stored once at most, and once after its sender has said it again.
  4. A file is there whole, or not at all; what was shown to be there is.
  5. An act and its record are there both, or neither; what was shown is in force.
  6. Of keys, mailboxes and encrypted rooms: see tests/kills_of_encryption.py.
  7. A database is of the old version or of the new one, and the next start goes on.
"""

import argparse
import hashlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from tests.client import Client, wait_until
from tests.databases import OLD_REVISION, make_database
from tests.kills_of_encryption import Encryption
from tests.program import Line, Program
from tests.server_process import STOP_SECONDS_MAX, ServerProcess
from tests.stages import PREPARED_BY, STAGES, arm, disarm
from tests.transfers import ask_url, begin_put, begun_files, status_of

TALKERS = 2
ROUNDS = 12  # a talker says some things, and waits for the last answer
SAYS_A_ROUND = 5
CHUNK_BYTES = 256 << 10
FILE_BYTES = 2 * CHUNK_BYTES + 1  # three chunks
# At which passing a server ends, at most: each stage is passed so often at least.
PASSINGS_MAX = {"talk": 10, "share": 1, "ban": 1, "encrypt": 1, "migrate": 1}
PASSINGS_MAX_OF_STAGE = {"upload chunk": 3, "chunk kept": 3, "migration step": 12}


class Killer:
    """A server that is killed again and again, on one folder, and who talks there."""

    def __init__(self, folder: Path, old_database: Path, seed: int) -> None:
        self._old_database = old_database
        self._folder = folder
        self._random = Random(seed)
        self._kills = 0
        self._server = ServerProcess(folder / "talk", prepared_by=PREPARED_BY)
        self._server.folder.mkdir()
        self._server.start()
        self._tokens: dict[str, str] = {}  # a password costs too much to check a thousand times
        for name in ("listener", "guest", *map(_talker, range(TALKERS))):
            program = self._server.program()
            answer = program.call("register", name=name, password="secret", remember="kills")
            self._tokens[name] = answer["token"]
            program.close()
        self._server.connect().register("watcher").close()
        self._encryption = Encryption(self._server)

    def __enter__(self) -> "Killer":
        return self

    def __exit__(self, *_: object) -> None:
        """End the server, whatever was found."""
        self._server.kill()

    def kill(self, stage: str) -> None:
        """Let the server end at a stage, start it again, and check all that was promised.

        Raises AssertionError with what does not hold.
        """
        self._kills += 1
        scene = STAGES[stage]
        passing = self._random.randint(1, PASSINGS_MAX_OF_STAGE.get(stage, PASSINGS_MAX[scene]))
        play: dict[str, Callable[[str, int], None]] = {
            "talk": self._talk,
            "share": self._share,
            "ban": self._ban,
            "encrypt": self._encrypt,
            "migrate": self._migrate,
        }
        play[scene](stage, passing)

    def _log_in(self, name: str) -> Program:
        program = self._server.program()
        program.call("login", token=self._tokens[name])
        program.name = name
        return program

    def _watch(self, room: str) -> Client:
        """Enter as a person does; who types at once is not waited for to say what they speak."""
        watcher = self._server.connect()
        watcher.type("/login watcher secret", f"/join {room}")
        watcher.expect(f"Welcome to room {room}!\r\n")
        watcher.expect_line("Current users: .*")
        return watcher

    def _arm(self, stage: str, passing: int) -> None:
        arm(self._server.folder, stage, passing)

    def _start_again(self) -> None:
        """See that it was killed, not by us, and start it."""
        _await_kill(self._server)
        self._server.start()

    def _talk(self, stage: str, passing: int) -> None:
        room = f"talk{self._kills}"
        watcher = self._watch(room)
        listener = self._log_in("listener").join(room)
        talkers = [self._log_in(_talker(n)).join(room) for n in range(TALKERS)]
        watcher.expect(f"{_talker(TALKERS - 1)} has joined the room.\r\n")
        self._arm(stage, passing)
        asked = [_say_until_killed(talkers, number, self._kills) for number in range(ROUNDS)]
        for client in (watcher, listener, *talkers):
            client.receive_end()
        self._start_again()
        seen = [(line["id"], line["body"]) for line in _events(listener)]
        heard = [line.partition(": ")[2] for line in _whole_lines(watcher) if "talker" in line[:6]]
        heard = [body for body in heard if body]
        self._check_said(room, seen, heard, [body for each in asked for body in each], talkers)

    def _check_said(
        self,
        room: str,
        seen: list[tuple[int, str]],
        heard: list[str],
        asked: list[str],
        talkers: list[Program],
    ) -> None:
        kept = self._stored(room)
        bodies = [body for _, body in kept]
        assert len(set(bodies)) == len(bodies), "something is stored twice"
        assert set(bodies) <= set(asked)
        assert seen == kept[: len(seen)], "something seen is lost, or in another order"
        assert heard == bodies[: len(heard)], "something heard is lost, or in another order"
        told = {body: number for each in talkers for body, number in _acknowledged(each).items()}
        assert told.items() <= {body: number for number, body in kept}.items()
        self._check_resume(room, seen, kept)
        self._say_again(room, [body for body in asked if body not in told], bodies)

    def _check_resume(
        self, room: str, seen: list[tuple[int, str]], kept: list[tuple[int, str]]
    ) -> None:
        """Come back to what was seen last: what came after it is replayed, once."""
        if not seen:
            return
        back = self._log_in("listener")
        assert back.call("join", room=room, since=seen[-1][0])["is_complete"]
        replayed = [(line["id"], line["body"]) for line in back.catch_up()]
        assert replayed == kept[len(seen) :]

    def _say_again(self, room: str, unanswered: list[str], stored: list[str]) -> None:
        """Say what nobody has answered: all of it is there then, once."""
        for number in range(TALKERS):
            mine = [body for body in unanswered if body.startswith(_talker(number))]
            talker = self._log_in(_talker(number)).join(room)
            asked = [talker.ask("say", body=body, txn=body) for body in mine]
            for each in asked:
                talker.answer(each)
        bodies = [body for _, body in self._stored(room)]
        assert bodies[: len(stored)] == stored
        assert sorted(bodies) == sorted({*stored, *unanswered})

    def _stored(self, room: str) -> list[tuple[int, str]]:
        statement = (
            "SELECT messages.id, body FROM messages JOIN rooms ON rooms.id = room_id"
            " WHERE rooms.name = ? ORDER BY messages.id"
        )
        with self._server.database() as database:
            return database.execute(statement, [room]).fetchall()

    def _share(self, stage: str, passing: int) -> None:
        server, room = self._server, f"share{self._kills}"
        watcher = self._watch(room)
        data = self._random.randbytes(FILE_BYTES)
        url = ask_url(watcher, f"/send {room}.bin")
        self._arm(stage, passing)
        with suppress(OSError):  # it is killed meanwhile
            assert status_of(begin_put(server, url, len(data), data)) == 0
        watcher.receive_end()
        self._start_again()
        wait_until(lambda: begun_files(server) == 0, "what came in part is removed")
        with server.database() as database:
            (orphans,) = database.execute(
                "SELECT count(*) FROM file_chunks WHERE file_id NOT IN (SELECT id FROM files)"
            ).fetchone()
            found = database.execute(
                "SELECT id, size, sha256 FROM files WHERE name = ?", [f"{room}.bin"]
            ).fetchall()
        assert not orphans
        assert len(found) == (stage == "file whole"), "a file is there that was not, or the reverse"
        for file_id, size, sha256 in found:
            assert (size, sha256) == (len(data), hashlib.sha256(data).digest())
            assert self._chunks(file_id) == data

    def _chunks(self, file_id: int) -> bytes:
        with self._server.database() as database:
            query = "SELECT data FROM file_chunks WHERE file_id = ? ORDER BY place"
            return b"".join(data for (data,) in database.execute(query, [file_id]))

    def _ban(self, stage: str, passing: int) -> None:
        server, room = self._server, f"ban{self._kills}"
        owner = self._log_in(_talker(0)).join(room)
        guest = self._log_in("guest").join(room)
        watcher = self._watch(room)
        owner.catch_up()
        self._arm(stage, passing)
        owner.ask("ban", user="guest", reason="why not")
        for client in (owner, guest, watcher):
            client.receive_end()
        self._start_again()
        is_written = stage == "ban written"
        with server.database() as database:
            (records,) = database.execute(
                "SELECT count(*) FROM audit WHERE action = 'ban' AND room = ?", [room]
            ).fetchone()
        back = self._log_in("guest")
        assert records == is_written
        if is_written:
            assert back.refused("join", room=room) == "banned"
        else:
            back.call("join", room=room)
            was_told = [b"banned" in bytes(each.everything) for each in (owner, guest, watcher)]
            assert not any(was_told), "a ban was shown that is none"

    def _encrypt(self, stage: str, passing: int) -> None:
        self._encryption.kill(lambda: self._arm(stage, passing), self._start_again)

    def _migrate(self, stage: str, passing: int) -> None:
        server = ServerProcess(self._folder / f"migrate{self._kills}", prepared_by=PREPARED_BY)
        path = server.folder / "var" / "greenroom.db"
        path.parent.mkdir(mode=0o700, parents=True)
        shutil.copy(self._old_database, path)
        before = _schema(path)
        arm(server.folder, stage, passing)
        server.launch()
        _await_kill(server)
        found = _schema(path)
        server.start()
        try:
            after = _schema(path)
            assert before != after
            assert found == (after if stage == "migrated" else before), "it is half migrated"
            copies = list(path.parent.glob(f"greenroom.db.{OLD_REVISION}.*Z"))
            assert copies
            for copy in copies:
                assert _schema(copy) == before
            reader = server.connect().register("reader").join("old")
            reader.expect("veteran: from before\r\n")
        finally:
            server.kill()


def _talker(number: int) -> str:
    return f"talker{number}"


def _say_until_killed(talkers: list[Program], number: int, kill: int) -> list[str]:
    """Let all say some things at once, and wait for the answers; return what they said."""
    said, last = [], []
    for talker in talkers:
        bodies = [f"{talker.name}-{kill}-{number}-{place}" for place in range(SAYS_A_ROUND)]
        said += bodies
        with suppress(OSError):  # it is killed meanwhile
            last = [talker.ask("say", body=body, txn=body) for body in bodies]
    for talker in talkers:
        if last:
            talker.hears(b'{"id":%d,' % last[-1])
    return said


def _whole_lines(client: Client) -> list[str]:
    whole, _, _ = bytes(client.everything).decode().rpartition("\n")
    return whole.splitlines()


def _events(client: Program) -> list[Line]:
    return [line for line in client.lines if line.get("event") == "message"]


def _acknowledged(talker: Program) -> dict[str, int]:
    """Return what a talker said that was answered, with the ids."""
    answered = {line["id"]: line for line in talker.lines if "event" not in line}
    return {
        request["body"]: answered[number]["message_id"]
        for number, request in talker.requests.items()
        if request["op"] == "say" and number in answered
    }


def _await_kill(server: ServerProcess) -> None:
    """Wait until the server has ended itself. Raises AssertionError when it does not, or worse."""
    try:
        code = server.process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise AssertionError("the stage was not passed") from None
    finally:
        server.kill()
        disarm(server.folder)
    assert code == -signal.SIGKILL, server.log


def _schema(path: Path) -> list[tuple[str, ...]]:
    """Return all that a database says of its tables, and of which version it is; it is whole."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        return tables + connection.execute("SELECT version_num FROM alembic_version").fetchall()


def main() -> int:
    """Kill as the command line asks, and print a table; return how many stages failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--each", type=int, default=50, help="kills of each stage")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stage", default="", help="only those with this word")
    options = parser.parse_args()
    failed = 0
    print(f"seed {options.seed}: {'stage':<28}{'kills':>6}{'seconds':>9}", flush=True)
    for stage in (stage for stage in STAGES if options.stage in stage):
        began = time.monotonic()
        wrong = _kill_often(stage, options.each, options.seed)
        failed += bool(wrong)
        seconds = time.monotonic() - began
        print(f"        {stage:<28}{options.each:>6}{seconds:>9.1f}  {wrong or 'held'}", flush=True)
    return failed


def _kill_often(stage: str, times: int, seed: int) -> str:
    """Kill a server so often, and return what did not hold; nothing when all did."""
    with tempfile.TemporaryDirectory(prefix="greenroom-kills-") as name:
        folder = Path(name)
        make_database(folder / "old.db", OLD_REVISION)
        with Killer(folder, folder / "old.db", seed) as killer:
            for number in range(times):
                try:
                    killer.kill(stage)
                except (AssertionError, OSError) as error:
                    return f"kill {number + 1}: {str(error).strip().splitlines()[-1]}"
    return ""


if __name__ == "__main__":
    sys.exit(main())
