"""Encrypted rooms: who belongs to them, and what is said there, as the server sees it.

What is encrypted here is no more than a word: the server never looks inside.
"""

import json
import re
from collections.abc import Callable
from functools import partial

import pytest

from tests.kit.client import at_once
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess
from tests.kit.signing import Device
from tests.kit.transfers import digest, request

SERVER_SETTINGS = {"MESSAGE_RATE": 0}
DATA = b"\0\1\2\3"
SHOWN = "[encrypted; open this room with: manage.py chat]"

Room = tuple[Program, Program]


def enc(word: str) -> dict[str, str]:
    return {"alg": "megolm.v1", "sid": "session", "ct": word}


def with_device(program: Program) -> Program:
    """Let a program speak for a device of its user; returns it."""
    Device(program).put()
    return program


def in_den(server: ServerProcess, *names: str) -> list[Program]:
    """Register people, each with a device, who enter a room one after the other."""
    return [with_device(server.program().register(name)).join("den") for name in names]


@pytest.fixture
def new_program(server: ServerProcess, new_name) -> Callable[[str], Program]:
    """Return what makes a program with a device."""
    return lambda word: with_device(server.program().register(new_name(word)))


@pytest.fixture
def den(new_program, new_name) -> Room:
    """Two programs in an encrypted room of the first one's, who have seen all of it."""
    room = new_name("den")
    alice, bob = new_program("alice").join(room), new_program("bob").join(room)
    alice.call("room.encrypt", room=room)
    for each in (alice, bob):
        each.catch_up()
    return alice, bob


def roster(program: Program, room: str) -> tuple[int, list[str]]:
    answer = program.call("room.roster", room=room)
    assert answer["e2ee"]
    return answer["rev"], answer["members"]


def catch_up(program: Program) -> None:
    """Read all answers, whatever they are."""
    program.type('{"id":"end","op":"ping"}')
    program.expect('{"id":"end","ok":true,"sentence":"Pong."}\n')


def say(program: Program, word: str, rev: int, **fields: object) -> int:
    answer = program.call("say", room=program.room, enc=enc(word), if_rev=rev, **fields)
    return answer["message_id"]


# A room has a roster, before it is encrypted and after.
def test_rosters(server: ServerProcess, new_program, new_name) -> None:
    room = new_name("den")
    alice, bob = new_program("alice").join(room), new_program("bob").join(room)
    tel = server.connect().register(new_name("tel")).join(room)
    (before,) = alice.say("before", room=room)
    asked, members = {"id": 0, "ok": True, "room": room, "has_more": False}, [alice, bob, tel]
    told = asked | {"members": sorted(each.name for each in members)}
    plain = told | {"rev": 0, "e2ee": False, "e2ee_from": 0}
    assert alice.call("room.roster") | {"id": 0} == plain
    alice.call("room.encrypt")
    encrypted = told | {"rev": 1, "e2ee": True, "e2ee_from": before}
    assert alice.call("room.roster", room=room) | {"id": 0} == encrypted


# Nothing is said or shared there in the clear, nor by whom no device speaks for.
def test_only_what_is_encrypted(server: ServerProcess, den: Room, new_program, new_name) -> None:
    alice, bob = den
    for op, fields in (
        ("say", {"body": "x"}),
        ("me", {"body": "x"}),
        ("file.offer", {"name": "x"}),
    ):
        assert bob.refused(op, **fields) == "e2ee_required"
    for fields in ({}, {"body": "x", "if_rev": 1}):  # for whom, and which?
        assert bob.refused("say", enc=enc("x"), **fields) == "bad_arguments"
    for wrong in (enc("no base64!"), {**enc("x"), "more": "x"}):
        assert bob.refused("say", enc=wrong, if_rev=1) == "bad_arguments"
    assert bob.refused("msg", user=alice.name) == "bad_arguments"
    stranger = server.program().register(new_name("stranger")).join(alice.room)
    rev, _ = roster(stranger, alice.room)
    assert stranger.refused("say", enc=enc("x"), if_rev=rev) == "no_device"
    assert stranger.refused("msg", user=alice.name, enc=enc("x")) == "no_device"
    assert "e2ee_required" not in str(alice.catch_up())
    assert alice.call("history")["messages"] == []


# What is encrypted goes to programs as it came, at once, in history and when they come back.
def test_what_is_shown(den: Room) -> None:
    alice, bob = den
    message_id = say(alice, "Word", 1, txn="t-1")
    assert say(alice, "Word", 1, txn="t-1") == message_id
    told = bob.event(room=alice.room, user=alice.name, enc=enc("Word"), id=message_id)
    assert set(told) == {"event", "room", "user", "device", "enc", "at", "id"}
    assert re.fullmatch("[a-z2-7]{8}", told["device"])
    (message,) = bob.call("history")["messages"]
    assert message == {key: value for key, value in told.items() if key != "event"}
    bob.call("leave")
    bob.join(alice.room)
    assert bob.event(is_replayed=True, id=message_id, enc=enc("Word"))


# A private message is shown to all sessions of its recipient, and to its sender's own devices.
def test_private(server: ServerProcess, new_program, new_name) -> None:
    alice, bob = new_program("alice"), new_program("bob")
    other = with_device(server.program().log_in(alice.name))
    plain = server.program().log_in(alice.name)  # has no device, and can't read it
    tel = server.connect().log_in(bob.name)
    answer = alice.call("msg", user=bob.name, enc=enc("Word"), txn="t-1")
    for each in (alice, other, bob):
        told = each.event("private", user=alice.name, to=bob.name, enc=enc("Word"))
        assert set(told) == {"event", "user", "to", "device", "enc", "at", "id"}
        assert told["id"] == answer["message_id"]
    tel.expect_lines(f"[private] {alice.name}: {SHOWN}")
    plain.expect_nothing_more()
    for each in (bob, tel):
        each.close()
    again = alice.call("msg", user=bob.name, enc=enc("Word"), txn="t-1")
    assert again["message_id"] == answer["message_id"]
    other.expect_nothing_more()


# Who was away is shown it, encrypted as it is, when they come back.
def test_mail(server: ServerProcess, new_program, new_name) -> None:
    alice, name = new_program("alice"), new_name("bob")
    server.program().register(name).call("quit")
    alice.call("msg", user=name, enc=enc("Word"))
    bob = server.program().log_in(name)
    assert bob.event("private", is_replayed=True, enc=enc("Word"), to=name)
    alice.call("msg", user=alice.name, enc=enc("Note"))  # to oneself, once
    assert [each["enc"]["ct"] for each in alice.catch_up()] == ["Word", "Note"]


# What was encrypted for others than belong to the room now is refused, unless it is stored: then
# it is answered as it was the first time.
def test_revisions(den: Room, new_program) -> None:
    alice, bob = den
    first = say(alice, "First", 1, txn="t-1")
    carol = new_program("carol").join(alice.room)
    assert roster(carol, alice.room) == (2, sorted([alice.name, bob.name, carol.name]))
    assert alice.refused("say", enc=enc("x"), if_rev=1, txn="t-2") == "roster_changed"
    assert alice.refused("say", enc=enc("x"), if_rev=1) == "roster_changed"
    assert say(alice, "First", 1, txn="t-1") == first
    assert say(alice, "Second", 2, txn="t-2") > first
    alice.call("kick", user=carol.name)
    assert bob.refused("say", enc=enc("x"), if_rev=2) == "roster_changed"
    assert carol.refused("room.roster", room=alice.room) == "not_a_member"
    assert carol.refused("say", room=alice.room, enc=enc("x"), if_rev=3) == "no_room"
    kinds = [f"{each['event']} {each.get('rev', '')}".strip() for each in bob.catch_up()]
    assert kinds == ["message", "roster 2", "joined", "message", "kicked", "roster 3"]


# Who belongs to a room is changed by no disconnect and no restart; by leaving and being sent out,
# also while one is away.
def test_lasting_members(start_server) -> None:
    server = start_server(**SERVER_SETTINGS)
    everybody = ["alice", "bob", "carol", "dave", "erin"]
    alice, *others = in_den(server, *everybody)
    alice.call("room.encrypt")
    first = say(alice, "First", 1, txn="t-1")
    bob, carol, *_ = others
    carol.call("quit")
    again = server.program().log_in("bob").join("den")
    again.call("leave")
    assert roster(bob, "den") == (1, everybody)
    bob.call("leave")
    assert roster(alice, "den") == (2, ["alice", "carol", "dave", "erin"])
    alice.call("kick", user="carol")
    assert alice.refused("kick", user="carol") == "not_here"
    server.hang_up()
    server.restart()
    alice = with_device(server.program().log_in("alice"))
    assert roster(alice, "den") == (3, ["alice", "dave", "erin"])  # though she is not there yet
    alice.join("den").call("ban", user="dave")
    server.restart()
    alice = with_device(server.program().log_in("alice")).join("den")
    assert roster(alice, "den") == (4, ["alice", "erin"])
    assert say(alice, "First", 1, txn="t-1") == first
    bob = server.program().log_in("bob")
    assert bob.refused("room.roster", room="den") == "not_a_member"
    bob.join("den")
    assert roster(bob, "den") == (5, ["alice", "bob", "erin"])
    erin = server.connect().log_in("erin").join("den")
    erin.type("/join lobby")
    erin.expect("Welcome to room lobby!\r\n")
    assert roster(bob, "den") == (6, ["alice", "bob"])


# A message stands, for everybody in the room, behind the revision that it was encrypted for, and
# before the next one: nobody who was sent out by then is among its readers.
def test_order(den: Room, new_program) -> None:
    alice, bob = den
    carol = new_program("carol")

    def talk(program: Program) -> None:
        rev = 1
        for _ in range(60):
            asked = program.ask("say", room=alice.room, enc=enc(str(rev)), if_rev=rev)
            if not program.answer(asked)["ok"]:
                rev, _ = roster(program, alice.room)

    def come_and_go() -> None:
        for _ in range(6):
            carol.join(alice.room)
            carol.call("leave")

    at_once(partial(talk, alice), partial(talk, bob), come_and_go)
    now, seen = 1, 0
    for event in bob.catch_up():
        if event["event"] == "roster":
            assert event["rev"] == now + 1
            now += 1
        elif event["event"] == "message":
            assert event["enc"]["ct"] == str(now)
            seen += 1
    assert now == 13
    assert seen > 20


# What is said in the clear while a room is made encrypted is before it, or refused.
def test_encrypting_while_people_talk(new_program, new_name) -> None:
    room = new_name("den")
    alice, bob = new_program("alice").join(room), new_program("bob").join(room)
    asked = [bob.ask("say", body=str(number)) for number in range(200)]
    alice.call("room.encrypt")
    answers = [bob.answer(number) for number in asked]
    last_id = max((each["message_id"] for each in answers if each["ok"]), default=0)
    assert {each["error"] for each in answers if not each["ok"]} <= {"e2ee_required"}
    told = bob.call("room.roster")
    assert told["e2ee_from"] >= last_id
    kinds = [each["event"] for each in bob.catch_up()]
    assert "message" not in kinds[kinds.index("encrypted") :]


# Who enters while a room is made encrypted belongs to it: before, or as a newcomer.
def test_entering_while_it_is_encrypted(new_program, new_name) -> None:
    alice, others = new_program("alice"), [new_program("bob") for _ in range(6)]
    for _ in range(6):
        room = new_name("den")
        alice.join(room)
        joins = [partial(other.join, room) for other in others]
        at_once(partial(alice.call, "room.encrypt", room=room), *joins)
        _, members = roster(alice, room)
        assert members == sorted(each.name for each in (alice, *others))


# Who is sent out and enters at the same moment ends as one who belongs to the room and is there,
# or as one who does not and is not.
def test_entering_and_being_sent_out(den: Room, new_program) -> None:
    alice, bob = den
    room = alice.room
    for _ in range(6):
        at_once(partial(alice.ask, "kick", user=bob.name), partial(bob.ask, "leave"))
        catch_up(alice), catch_up(bob)
        at_once(partial(bob.ask, "join", room=room), partial(alice.ask, "kick", user=bob.name))
        catch_up(alice), catch_up(bob)
        people = [each["name"] for each in alice.call("who")["people"]]
        assert (bob.name in people) == (bob.name in roster(alice, room)[1])
        if bob.name not in people:
            bob.join(room)
    assert roster(alice, room)[1] == sorted([alice.name, bob.name])


# A user who leaves with one session and enters with another at the same moment belongs to the room.
def test_leaving_and_entering(server: ServerProcess, den: Room) -> None:
    alice, bob = den
    other = server.program().log_in(bob.name)
    for _ in range(6):
        at_once(partial(bob.ask, "leave"), partial(other.ask, "join", room=alice.room))
        catch_up(bob), catch_up(other)
        people = [each["name"] for each in alice.call("who")["people"]]
        assert sorted(people) == roster(alice, alice.room)[1] == sorted([alice.name, bob.name])
        bob, other = other, bob


# The operator makes an encrypted room, with a server or without; its owner belongs to it.
def test_made_by_the_operator(run, new_name, request: pytest.FixtureRequest) -> None:
    owner, room = new_name("owner"), new_name("den")
    run("users", "create", owner, stdin="secret\n")
    made = run("rooms", "create", room, "--owner", owner, "--encrypted")
    assert made.output == f"{room} is an encrypted room of {owner} now.\n"
    lines = run("rooms", "list").output.splitlines()
    (line,) = [each for each in lines if each.startswith(f"{room}\t")]
    assert "\tyes\t" in line
    if "server" in request.fixturenames:
        program = request.getfixturevalue("server").program().log_in(owner)
        assert roster(program, room) == (1, [owner])


# A file comes there without a name, is shown to nobody by itself, and is fetched by members.
def test_files(server: ServerProcess, den: Room, new_program, new_name) -> None:
    alice, bob = den
    assert alice.refused("file.offer", name="a.txt", size=4, e2ee=True) == "bad_arguments"
    offer = alice.call("file.offer", room=alice.room, size=4, e2ee=True)
    assert offer["name"] == "[encrypted]"
    put = request(server, "PUT", offer["url"], DATA)
    assert put.status == 201
    number = int(put.body.split()[2].rstrip(b":"))
    told = f"shared as {number}: [encrypted], 4 bytes, sha256 {digest(DATA)}\n"
    assert put.body.decode() == told
    bob.expect_nothing_more()
    (listed,) = bob.call("file.list")["files"]
    assert (listed["id"], listed["name"], listed["e2ee"]) == (number, "[encrypted]", True)
    found = bob.call("file.get", file=number)
    assert request(server, "GET", found["url"]).body == DATA
    stranger = new_program("stranger").join(new_name("room"))
    assert stranger.refused("file.get", file=number) == "no_such_file"
    assert stranger.refused("file.offer", size=4, e2ee=True) == "not_e2ee"
    private = alice.call("file.offer", user=bob.name, size=4, e2ee=True)
    assert request(server, "PUT", private["url"], DATA).status == 201
    bob.expect_nothing_more()
    assert len(bob.call("file.list")["files"]) == 2


# A file that was to be shared in the clear is not, when the room was made encrypted meanwhile.
def test_a_file_under_way(server: ServerProcess, new_program, new_name) -> None:
    alice = new_program("alice").join(new_name("den"))
    offer = alice.call("file.offer", name="a.txt", size=4)
    alice.call("room.encrypt")
    assert request(server, "PUT", offer["url"], b"abcd").status == 403
    assert alice.call("file.list")["files"] == []


# What can't be written has not happened: the room is in the clear, and nobody is sent out.
def test_a_full_disk(start_server) -> None:
    server = start_server(**SERVER_SETTINGS)
    alice, bob = in_den(server, "alice", "bob")
    alice.catch_up()
    server.limit_files(0)
    assert alice.refused("room.encrypt") == "not_stored"
    server.limit_files(None)
    assert len(alice.say("in the clear")) == 1
    alice.call("room.encrypt")
    server.limit_files(0)
    assert bob.refused("leave") == "not_stored"
    assert alice.refused("kick", user="bob") == "not_stored"
    assert alice.refused("say", enc=enc("x"), if_rev=1, txn="t-1") == "not_stored"
    server.limit_files(None)
    assert roster(bob, "den") == (1, ["alice", "bob"])
    say(bob, "Here", 1)


# What was purged is in no file of the database any more, encrypted or not; exports have the rest.
def test_purging_and_exporting(start_server, run_here) -> None:
    server = start_server(**SERVER_SETTINGS)
    (alice,) = in_den(server, "alice")
    alice.call("room.encrypt")
    gone = say(alice, "MarkerOfWhatGoes" * 20, 1, txn="t-1")
    say(alice, "Kept", 1)
    control = server.control()
    control.call("purge", message=gone)
    control.call("vacuum")
    files = b"".join(path.read_bytes() for path in (server.folder / "var").glob("greenroom.db*"))
    assert b"MarkerOfWhatGoes" not in files
    assert b"Kept" in files
    assert say(alice, "MarkerOfWhatGoes" * 20, 1, txn="t-1") == gone
    exported = run_here(server.folder, "export", "den")
    assert json.loads(exported.stdout)["enc"] == enc("Kept")
    text = run_here(server.folder, "export", "den", "--format", "text")
    assert text.stdout.endswith(f"alice: {SHOWN}\n")


# A restored room has revisions that no client has seen, so that none is taken for another.
def test_restoring(start_server, run_here, tmp_path) -> None:
    server = start_server(**SERVER_SETTINGS)
    (alice,) = in_den(server, "alice")
    alice.call("room.encrypt")
    copy = tmp_path / "copy.db"
    run_here(server.folder, "backup", str(copy))
    alice.call("leave")
    server.stop()
    restored = run_here(server.folder, "restore", str(copy))
    assert restored.exit_code == 0, restored.output
    server.start()
    alice = server.program().log_in("alice")
    assert roster(alice, "den") == (1_000_001, ["alice"])


# A page of history ends where it is too much text, whether it is encrypted or not.
def test_pages_are_bounded(den: Room) -> None:
    alice, bob = den
    for number in range(12):
        say(alice, f"{number:a>40000}", 1)
    page = bob.call("history", count=100)
    assert len(page["messages"]) == 9
    assert page["has_more"]
