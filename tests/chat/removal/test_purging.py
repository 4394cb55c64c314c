"""Purging: what was removed is nowhere any more, and everybody sees when, and nothing of what."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from shutil import copy
from threading import Thread

import pytest

from app.bounds import ID_MAX, REMOVED_AT_ONCE
from app.database.database import migrating_engine
from app.queries.purging import Target, remove_some
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import request

SECRET = "the-purged-words"


@pytest.fixture(scope="module")
def operator(server: ServerProcess) -> Program:
    return server.control()


class _Room:
    """A room with somebody who is to be purged, and somebody who looks on."""

    def __init__(self, server: ServerProcess, new_name) -> None:
        self.name = new_name("room")
        self.bob = server.program().register(new_name("bob")).join(self.name)
        self.carol = server.program().register(new_name("carol")).join(self.name)
        self.bob.event("joined")

    def history(self) -> list[int]:
        """Return the ids of all that history has, as carol sees it."""
        ids, has_more = [], True
        while has_more:
            after = ids[-1] if ids else 0
            page = self.carol.call("history", room=self.name, after=after, count=300)
            ids += [message["id"] for message in page["messages"]]
            has_more = page["has_more"]
        return ids

    def replay(self, since: int | None = None) -> tuple[list[int], bool]:
        """Return the ids that carol is replayed when she comes back, and whether they are all."""
        self.carol.call("leave", room=self.name)
        answer = self.carol.call("join", room=self.name, since=since)
        events = [each for each in self.carol.catch_up() if each["event"] == "message"]
        return [each["id"] for each in events if each.get("is_replayed")], answer["is_complete"]


@pytest.fixture
def room(server: ServerProcess, new_name) -> _Room:
    return _Room(server, new_name)


def _purge(operator: Program, **what: object) -> str:
    return operator.call("purge", **what)["sentence"]


# What somebody said is gone from history, replay and export, with their files, and nothing else is.
def test_of_a_user(server: ServerProcess, operator: Program, room: _Room, run_here) -> None:
    theirs = [*room.bob.say("one", "two"), *room.bob.say("three")]
    (kept,) = room.carol.say("four")
    url = room.bob.call("file.offer", name="five.txt")["url"]
    assert request(server, "PUT", url, b"five").status == 201
    number = room.carol.catch_up()[-1]["id"]
    asked = {"user": room.bob.name.upper(), "room": room.name, "seconds": 3600}
    assert _purge(operator, **asked) == "Removed 3 messages and 1 file."
    told = {"room": room.name, "user": "(operator)", "author": room.bob.name, "messages": 3}
    room.carol.event("purged", first_id=theirs[0], last_id=theirs[-1], **told)
    assert room.history() == [kept]
    for since in (None, 0, theirs[0]):
        assert room.replay(since) == ([kept], True)
    lines = run_here(server.folder, "export", room.name).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [kept]
    assert room.carol.refused("file.get", file=number) == "no_such_file"


# What is older than the span stays; what a user said goes in all rooms, and in private.
def test_since_and_everywhere(server: ServerProcess, operator: Program, room: _Room) -> None:
    old, *new = room.bob.say("old", "new")
    private = room.bob.call("msg", user=room.carol.name, body="private")["message_id"]
    with server.database() as database:
        database.execute("UPDATE messages SET said_at = said_at - 7200000 WHERE id = ?", (old,))
        told = _purge(operator, user=room.bob.name, seconds=3600)
        assert told == "Removed 2 messages and 0 files."
        query = "SELECT id FROM messages WHERE id IN (?, ?, ?)"
        assert database.execute(query, (old, *new, private)).fetchall() == [(old,)]


# Of a room it takes what everybody said there, however much that is; those who come see none.
def test_of_a_room(operator: Program, room: _Room, new_name) -> None:
    room.bob.say(*(f"line {number}" for number in range(REMOVED_AT_ONCE + 700)))
    room.carol.say("me too")
    other = room.bob.call("join", room=new_name("other"))["room"]
    (elsewhere,) = room.bob.say("elsewhere", room=other)
    told = _purge(operator, room=room.name)
    assert told == f"Removed {REMOVED_AT_ONCE + 701} messages and 0 files."
    assert room.history() == []
    assert room.replay() == ([], True)
    (next_id,) = room.carol.say("next", room=room.name)
    assert next_id > elsewhere
    assert room.replay(since=1) == ([next_id], True)


# After a purge of the newest messages, the room remembers older ones again: newcomers see them.
def test_a_room_remembers_what_is_left(operator: Program, room: _Room) -> None:
    kept = room.carol.say(*(f"good {number}" for number in range(30)))
    room.bob.say(*(f"spam {number}" for number in range(300)))
    operator.call("purge", user=room.bob.name)
    assert room.replay() == (kept[-20:], True)
    assert room.replay(since=kept[0]) == (kept[1:], True)


# One message goes by its id; of one that is not there, nothing does; anything vaguer is refused:
# an empty name, which a program sends by mistake, would mean everybody, or everywhere.
def test_of_a_message(operator: Program, room: _Room) -> None:
    first, second = room.bob.say("first", "second")
    for number, sentence in ((first, "1 message"), (first, "0 messages"), (1 << 62, "0 messages")):
        assert _purge(operator, message=number) == f"Removed {sentence} and 0 files."
    assert room.history() == [second]
    empty = ({"room": room.name, "user": ""}, {"room": "", "user": room.bob.name})
    for vague in ({}, {"seconds": 60}, {"message": second, "user": room.bob.name}, *empty):
        assert operator.refused("purge", **vague) == "bad_arguments"
    assert operator.refused("purge", user="nobody") == "no_such_user"
    assert room.history() == [second]


# However much was said after it, one message is removed in one piece: nobody waits for a search.
def test_an_old_message(new_database: Path, tmp_path: Path) -> None:
    path = tmp_path / "greenroom.db"
    copy(new_database, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        said = "INSERT INTO messages (room_id, user_id, is_action, body, said_at) VALUES"
        connection.executemany(f"{said} (1, 1, 0, 'a', 0)", [()] * (REMOVED_AT_ONCE + 1))
    engine = migrating_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        removed, rest_id = remove_some(connection, Target(message_id=1), 0, ID_MAX, 0)
    engine.dispose()
    assert ([each.messages for each in removed], rest_id) == ([1], 0)


# A retry of what was purged is answered as ever, and brings nothing back.
def test_a_retry_brings_nothing_back(operator: Program, room: _Room) -> None:
    (said,) = room.bob.say("once", txn="t-1")
    operator.call("purge", message=said)
    room.carol.catch_up()
    assert room.bob.say("once", txn="t-1") == [said]
    assert room.history() == []
    assert room.carol.catch_up() == []
    (new,) = room.bob.say("another", txn="t-2")
    assert room.history() == [new]


# While people go on talking: what came before the event is gone, and what came after it is there.
def test_in_the_middle_of_a_talk(operator: Program, room: _Room) -> None:
    room.bob.say("first")
    asked = [room.bob.ask("say", body=f"line {number}") for number in range(300)]
    talk = Thread(target=lambda: [room.bob.answer(number) for number in asked])
    talk.start()
    operator.call("purge", user=room.bob.name)
    talk.join()
    room.bob.say("last")
    seen = room.carol.catch_up()
    place = next(place for place, each in enumerate(seen) if each["event"] == "purged")
    before, after = ([each["id"] for each in part] for part in (seen[:place], seen[place + 1 :]))
    assert seen[place]["last_id"] == before[-1]
    assert room.history() == after


def _files_with(folder: Path, words: str) -> set[str]:
    paths = (folder / "var").glob("greenroom.db*")
    return {path.name for path in paths if words.encode() in path.read_bytes()}


@pytest.fixture
def purged(start_server, new_name) -> tuple[ServerProcess, _Room, int]:
    """A server, and a room of which the newest messages were purged; and the id of the last."""
    server = start_server()
    room = _Room(server, new_name)
    *_, last = room.bob.say(*(f"{SECRET} {'x' * 1000} {number}" for number in range(200)))
    server.control().call("purge", user=room.bob.name)
    assert _files_with(server.folder, SECRET)  # in the log
    return server, room, last


# With the server at work, a vacuum leaves no trace; a reader who keeps it from that is no harm.
def test_no_trace_beside_a_server(purged, run_here) -> None:
    server, room, _ = purged
    with server.database() as database:
        database.execute("BEGIN")
        database.execute("SELECT * FROM users").fetchone()
        room.carol.say("meanwhile")
        result = run_here(server.folder, "vacuum")
    sentence = "the log can't be emptied while something reads the database; try again"
    assert (result.exit_code, result.stderr) == (1, f"Error: {sentence}\n")
    result = run_here(server.folder, "vacuum")
    assert (result.exit_code, result.stdout) == (0, "Gave 0 pages back to the disk.\n")
    assert not _files_with(server.folder, SECRET)
    assert (server.folder / "var" / "greenroom.db").stat().st_size < 300 * 1000
    room.carol.say("it goes on")


# Without a server, a database of before there were vacuums loses every trace as well. And when
# one runs again, the ids of what was purged are no ids of the future.
def test_no_trace_without_a_server(purged, run_here) -> None:
    server, room, last = purged
    server.kill()
    with server.database() as database:
        for setting in ("secure_delete = OFF", "auto_vacuum = NONE"):
            database.execute(f"PRAGMA {setting}")
        database.execute("VACUUM")
        database.execute(f"CREATE TABLE old AS SELECT '{SECRET}' AS words")
        database.execute("DROP TABLE old")
    assert _files_with(server.folder, SECRET)
    result = run_here(server.folder, "vacuum")
    assert result.stdout.startswith("Wrote the database anew: ")
    assert not _files_with(server.folder, SECRET)
    with server.database() as database:
        assert database.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    server.start()
    carol = server.program().log_in(room.carol.name)
    assert carol.call("join", room=room.name, since=last)["is_complete"]
    assert carol.say("new")[0] > last
