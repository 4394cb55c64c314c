"""Kills a server at every stage, many times: `make fire ARGS="failpoints --each 50"`.

After each kill the server is started again, and this must hold (--stage WORD: only some stages):
  1. What anybody was shown is stored, and so is what was acknowledged, under the id that was told.
  2. All saw messages in one order, and history has it; who comes back misses none, sees none twice.
  3. What was not acknowledged is stored once at most, and once after its sender has said it again.
  4. A file is there whole, or not at all; what was shown to be there is.
  5. An act and its record are there both, or neither; what was shown is in force.
  6. Of private messages: see tests/fire/kills/kills_of_letters.py.
  7. Of keys, mailboxes and encrypted rooms: see tests/fire/kills/kills_of_encryption.py.
  8. A database is of the old version or of the new one, and the next start goes on.
"""

import hashlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
from argparse import Namespace
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random

from tests.fire.kills.kills_of_encryption import Encryption
from tests.fire.kills.kills_of_letters import ABSENT, PRESENT, Letters, acknowledged
from tests.fire.kills.stages import PREPARED_BY, STAGES, arm, disarm
from tests.fire.kinds import FINDINGS_SHOWN, Kind, hold
from tests.kit.client import Client, wait_until
from tests.kit.databases import (
    OLD_REVISION,
    check_whole,
    file_bytes,
    make_database,
    messages_of,
    revision_of,
)
from tests.kit.findings import describe
from tests.kit.program import Line, Program
from tests.kit.server_process import STOP_SECONDS_MAX, ServerProcess
from tests.kit.transfers import ask_url, begin_put, begun_files, status_of

TALKERS = 2
ROUNDS = 12  # a talker says some things, and waits for the last answer
SAYS_A_ROUND = 5
CHUNK_BYTES = 256 << 10
FILE_BYTES = 2 * CHUNK_BYTES + 1  # three chunks
# At which passing a server ends, at most: each stage is passed so often at least.
PASSINGS_MAX = {"talk": 10, "plain": 10}  # of a scene; 1 of the others
PASSINGS_MAX_OF_STAGE = {"upload chunk": 3, "chunk kept": 3, "migration step": 12}


class Killer:
    """A server that is killed again and again, on one folder, and who talks there."""

    def __init__(self, folder: Path, old_database: Path, seed: int, first: int = 1) -> None:
        """Count its kills from `first` on: with one seed, each number is the same kill again."""
        self._old_database = old_database
        self._folder = folder
        self._seed = seed
        self.kills = first - 1
        self._server = ServerProcess(folder / "talk", prepared_by=PREPARED_BY)
        self._tokens: dict[str, str] = {}  # a password costs too much to check a thousand times

    def __enter__(self) -> "Killer":
        self._server.folder.mkdir()
        try:
            self._server.start()
            self._let_people_in()
        except BaseException:
            self._server.kill()
            raise
        return self

    def _let_people_in(self) -> None:
        talkers = map(_talker, range(TALKERS))
        for name in (PRESENT, ABSENT, "guest", "alice", "bob", *talkers):
            self._tokens[name] = self._server.token_of_new(name)
        self._server.connect().register("watcher").close()
        self._encryption = Encryption(self._log_in)
        self._letters = Letters(self._server, self._log_in)

    def __exit__(self, *_: object) -> None:
        """End the server, whatever was found."""
        self._server.kill()

    def kill(self, stage: str) -> None:
        """Let the server end at a stage, start it again, and check all that was promised.

        Raises AssertionError with what does not hold.
        """
        self.kills += 1
        self._random = Random(f"{self._seed} {self.kills}")
        scene = STAGES[stage].scene
        passings = PASSINGS_MAX_OF_STAGE.get(stage) or PASSINGS_MAX.get(scene, 1)
        passing = self._random.randint(1, passings)
        play: dict[str, Callable[[str, int], None]] = {
            "talk": self._talk,
            "plain": self._talk,
            "mail": self._mail,
            "share": self._share,
            "ban": self._ban,
            "encrypt": self._encrypt,
            "migrate": self._migrate,
        }
        play[scene](stage, passing)

    def _log_in(self, name: str) -> Program:
        return self._server.program().log_in(name, token=self._tokens[name])

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
        # Where it is plain, what was not acknowledged is not said again.
        is_plain = STAGES[stage].scene == "plain"
        room = f"talk{self.kills}"
        watcher = self._watch(room)
        listener = self._log_in(PRESENT).join(room)
        talkers = [self._log_in(_talker(n)).join(room) for n in range(TALKERS)]
        watcher.expect(f"{_talker(TALKERS - 1)} has joined the room.\r\n")
        self._arm(stage, passing)
        self._letters.begin(self.kills)
        asked = [self._say_until_killed(talkers, number, is_plain) for number in range(ROUNDS)]
        for client in (watcher, listener, *talkers):
            client.receive_end()
        self._start_again()
        self._letters.check(listener, talkers)
        seen = [(line["id"], line["body"]) for line in _events(listener)]
        heard = [line.partition(": ")[2] for line in _whole_lines(watcher) if "talker" in line[:6]]
        heard = [body for body in heard if body]
        said = [body for each in asked for body in each]
        unanswered = self._check_said(room, seen, heard, said, talkers)
        if not is_plain:
            self._say_again(room, unanswered)

    def _say_until_killed(self, talkers: list[Program], number: int, is_plain: bool) -> list[str]:
        """Let all say and write some things at once, and wait for the answers.

        Returns what they said.
        """
        said, last = [], []
        for talker in talkers:
            place = f"{talker.name}-{self.kills}-{number}"
            bodies = [f"{place}-{each}" for each in range(SAYS_A_ROUND)]
            said += bodies
            with suppress(OSError):  # it is killed meanwhile
                if not is_plain:
                    self._letters.write(talker, number)
                keys = ("body",) if is_plain else ("body", "txn")
                last = [talker.ask("say", **dict.fromkeys(keys, body)) for body in bodies]
        for talker in talkers:
            if last:
                talker.hears(b'{"id":%d,' % last[-1])
        return said

    def _mail(self, stage: str, passing: int) -> None:
        """End while somebody who was away is shown what came meanwhile, or right behind it."""
        self._letters.begin(self.kills)
        kept = self._letters.send(self._log_in(_talker(0)), SAYS_A_ROUND)
        self._arm(stage, passing)
        reader = self._log_in(ABSENT)
        reader.receive_end()
        self._start_again()
        self._letters.check_mail(reader, kept, is_noted=stage == "mail noted")

    def _check_said(
        self,
        room: str,
        seen: list[tuple[int, str]],
        heard: list[str],
        asked: list[str],
        talkers: list[Program],
    ) -> list[str]:
        """Return what was said, and not acknowledged."""
        kept = self._stored(room)
        bodies = [body for _, body in kept]
        assert len(set(bodies)) == len(bodies), "something is stored twice"
        assert set(bodies) <= set(asked)
        assert seen == kept[: len(seen)], "something seen is lost, or in another order"
        assert heard == bodies[: len(heard)], "something heard is lost, or in another order"
        told = {body: number for each in talkers for body, number in acknowledged(each, "say")}
        assert told.items() <= {body: number for number, body in kept}.items()
        self._check_resume(room, seen, kept)
        return [body for body in asked if body not in told]

    def _check_resume(
        self, room: str, seen: list[tuple[int, str]], kept: list[tuple[int, str]]
    ) -> None:
        """Come back to what was seen last: what came after it is replayed, once."""
        if not seen:
            return
        back = self._log_in(PRESENT)
        assert back.call("join", room=room, since=seen[-1][0])["is_complete"]
        replayed = [(line["id"], line["body"]) for line in back.catch_up()]
        assert replayed == kept[len(seen) :]

    def _say_again(self, room: str, unanswered: list[str]) -> None:
        """Say what nobody has answered: all of it is there then, once."""
        stored = [body for _, body in self._stored(room)]
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
        with self._server.database() as database:
            return messages_of(database, room)

    def _share(self, stage: str, passing: int) -> None:
        server, room = self._server, f"share{self.kills}"
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
            kept = [file_bytes(database, file_id) for file_id, _, _ in found]
        assert not orphans
        assert len(found) == (stage == "file whole"), "a file is there that was not, or the reverse"
        for (_, size, sha256), chunks in zip(found, kept, strict=True):
            assert (size, sha256) == (len(data), hashlib.sha256(data).digest())
            assert chunks == data

    def _ban(self, stage: str, passing: int) -> None:
        server, room = self._server, f"ban{self.kills}"
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
        server = ServerProcess(self._folder / f"migrate{self.kills}", prepared_by=PREPARED_BY)
        path = server.folder / "var" / "greenroom.db"
        path.parent.mkdir(mode=0o700, parents=True)
        shutil.copy(self._old_database, path)
        before = _schema(path)
        arm(server.folder, stage, passing)
        server.launch()
        _await_kill(server)
        found = _schema(path)
        try:
            server.start()
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


def _whole_lines(client: Client) -> list[str]:
    whole, _, _ = bytes(client.everything).decode().rpartition("\n")
    return whole.splitlines()


def _events(client: Program) -> list[Line]:
    return [line for line in client.lines if line.get("event") == "message"]


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
        check_whole(connection)
        tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        return [*tables, (revision_of(connection),)]


def kill_often(stage: str, times: int, seed: int) -> list[str]:
    """Kill a server so often; return what did not hold, with what shows it again."""
    wrong: list[str] = []
    number = 1
    while number <= times and len(wrong) < FINDINGS_SHOWN:
        number, found = _kill_until_found(stage, number, times, seed)
        if found:
            again = f"--stage '{stage}' --seed {seed} --each {number}"
            wrong.append(f"kill {number}: {found}; again with {again}")
        number += 1
    return wrong


def _kill_until_found(stage: str, first: int, times: int, seed: int) -> tuple[int, str]:
    """Kill a new server, from one number on; return the last one, and what did not hold then."""
    with tempfile.TemporaryDirectory(prefix="greenroom-kills-") as name:
        folder = Path(name)
        make_database(folder / "old.db", OLD_REVISION)
        killer = Killer(folder, folder / "old.db", seed, first)
        try:
            with killer:
                while killer.kills < times:
                    killer.kill(stage)
        except Exception as error:  # noqa: BLE001 (whatever it is, a check did not hold)
            return max(first, killer.kills), describe(error)
    return times, ""


def _run(given: Namespace) -> bool:
    return hold(given.names, lambda stage: kill_often(stage, given.each, given.seed))


KIND = Kind(_run, list(STAGES), {"each": (50, "kills of each stage")})
