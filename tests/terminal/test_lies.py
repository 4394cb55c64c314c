"""A server, or a member, that lies to `manage.py chat`: nothing that it words or numbers is taken
for what only the program can say.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from app.client import CallRefused
from app.client.incoming import ID_MAX
from app.encryption import FileReference, FileSealer
from app.terminal.arrivals import event_of, milliseconds
from app.terminal.model import Model, Room, Verdict
from app.terminal.screen.appearance import rows_of
from tests.kit.encrypted_terminal import AT, PASSPHRASE, sat_down
from tests.kit.scenes import enter, evening, go_to

OWN_FIELDS = {
    "mark": "✓",
    "is_refused": False,
    "is_sealed": True,
    "text": "trust me",
    "source": "own",
    "private_id": 1,
    "kind": "answer",
    "verdict": {"mark": "✓"},
    "is_mention": True,
    "recipient": "carol",
    "to": "carol",
    "sentence": "trust me",
    "is_live": False,
}
SAID = {"event": "message", "room": "den", "id": 7, "user": "bob", "body": "hi", "at": AT}
EVENTS = [
    {**SAID, "is_action": False},
    {"event": "private", "id": 7, "user": "bob", "recipient": "alice", "body": "hi", "at": AT},
    {"event": "joined", "room": "den", "user": "bob"},
    {"event": "kicked", "room": "den", "user": "bob", "by": "carol", "reason": "noise"},
    {"event": "topic", "room": "den", "user": "bob", "topic": "wires"},
    {"event": "file", "room": "den", "user": "bob", "id": 7, "name": "x", "size": 1, "sha256": "x"}
    | {"at": AT},
    {"event": "notice", "sentence": "maintenance at nine"},
]
# What a server that lies has for an id.
NO_IDS = [1.0, 1.5, "1", True, False, None, 0, -1, 1 << 53, 10**30, [1], {"id": 1}, float("nan")]


def rows(room: Room) -> list[str]:
    """What a room looks like, without times."""
    shown = [row for line in room.lines for row in rows_of(line, None, 500)]
    return ["".join(piece[1] for piece in row[1:]) for row in shown]


def shown(*events: dict) -> list[str]:
    """What alice, who is in den, sees of events."""
    model = Model("alice")
    model.enter({"room": "den", "topic": "", "users": ["alice", "bob"]})
    for event in events:
        model.apply(event)
    return rows(model.current)


# No field of an event is one that this program fills in itself, however it is called.
@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["event"])
@pytest.mark.parametrize("field", OWN_FIELDS)
def test_what_only_this_program_can_say(event: dict, field: str) -> None:
    lie = {field: OWN_FIELDS[field], **event}
    assert shown(lie) == shown(event)
    assert len(shown(event)) == 1
    assert set(event_of(lie)) == set(event)


# What has no true id is shown by no wire of ours, in no room.
@pytest.mark.parametrize("number", NO_IDS, ids=repr)
@pytest.mark.parametrize("event", [EVENTS[0], EVENTS[1], EVENTS[5]], ids=lambda e: e["event"])
def test_ids_of_another_type(event: dict, number: object) -> None:
    for lie in ({**event, "id": number}, {k: v for k, v in event.items() if k != "id"}):
        (told,) = shown(lie)
        assert told.startswith("» the server brought something that can't be read")


# Fields of another type than they have make no event; nor do names that are none.
@pytest.mark.parametrize(
    "change",
    [
        *({"user": name} for name in ("✓ bob", "bob: x", "» bob", "[server]", "", "a b", 5, None)),
        *({"room": name} for name in ("den: hi", ["den"], 5, None)),
        *({"body": body} for body in (5, None, ["hi"], {"text": "hi"}, True)),
        *({"is_action": value} for value in (1, "true", "")),
        *({"at": at} for at in (None, [], {})),
    ],
    ids=repr,
)
def test_fields_of_another_type(change: dict) -> None:
    assert event_of({**EVENTS[0], **change}) is None


# A time that is in no calendar stops nobody from reading.
@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "x", "-1", ""])
def test_impossible_times(at: str) -> None:
    assert shown({**EVENTS[0], "at": at}) == ["bob: hi"]


FORGED = "bob is verified: nobody is in between"


# Whatever the server words says so; a line of this program's own begins as nothing else can.
@pytest.mark.parametrize(
    "event",
    [
        {"event": "notice", "sentence": FORGED},
        {"event": "shut_out", "room": "den", "error": "banned", "message": FORGED},
        {"event": "notice", "sentence": f"» {FORGED}"},
    ],
)
def test_the_servers_words(event: dict) -> None:
    model = Model("alice")
    model.enter({"room": "den", "topic": "", "users": ["alice", "bob"]})
    model.apply(event)
    (told,) = rows(model.current)
    assert told.startswith("[server] ")
    model.tell([FORGED])
    assert rows(model.current)[-1] == f"» {FORGED}"


# What was removed is hidden, and nothing of what this program said itself.
@pytest.mark.parametrize("first_id", [0, 1, 7])
def test_what_this_program_said_stays(first_id: int) -> None:
    model = Model("alice")
    model.enter({"room": "den", "topic": "", "users": ["alice", "bob"]})
    model.apply(SAID | {"is_action": False})
    model.apply(
        SAID | {"is_action": False, "id": 8}, Verdict("bob's keys are others", is_refused=True)
    )
    model.tell(["bob is not verified"])
    purge = {"event": "purged", "room": "den", "user": "bob", "author": None, "messages": 3}
    model.apply(purge | {"first_id": first_id, "last_id": ID_MAX})
    assert rows(model.current) == [
        "bob: (removed)",
        "» bob's keys are others",
        "» bob is not verified",
        "bob removed 3 messages.",
    ]


# So do its answers, and its refusals, whatever was asked.
@pytest.mark.parametrize("typed", ["/kick bob", "/who", "/topic", "/msg zoe hi", "/leave", "/away"])
@evening
async def test_the_servers_answers(alice, server, typed: str) -> None:
    await go_to("lobby", alice)
    known = len(alice.model.home.lines + alice.model.current.lines)

    def answer(op: str, **fields: object) -> dict:
        return {"sentence": FORGED, "away": FORGED, FORGED: FORGED, "body": FORGED}

    alice.client.call = answer
    alice.type(typed)
    await alice.sees(FORGED)
    lines = alice.model.home.lines + alice.model.current.lines
    assert len(lines) > known
    assert not [row for row in alice.lines if FORGED in row and row[:9] != "[server] "]


# Who asks for a room is in that one, or in none.
@pytest.mark.parametrize("other", ["den-", "lobby", "dеn", "den ", "", None, 5])
@evening
async def test_an_answer_about_another_room(alice, server, other: object) -> None:
    join = alice.client._join
    alice.client._join = lambda room: {**join(room), "room": other, "e2ee": False}
    alice.type("/join den", "hello")
    await alice.sees("the server led into another room")
    await alice.sees("Error: join a room first")
    assert alice.model.rooms == [alice.model.home]
    assert alice.client.clear == []


# An encrypted room keeps its name, with its keys open or closed, whatever the server says of it.
@pytest.mark.parametrize("is_open", [True, False])
@evening
async def test_an_encrypted_room_keeps_its_name(server, tmp_path, is_open: bool) -> None:
    async with sat_down(server, tmp_path, "alice") as (alice,):
        await alice.enter()
    server.rooms["den"]["e2ee"] = False
    server.room("den-", "alice", "mallory", e2ee=False)
    async with sat_down(server, tmp_path, "alice") as (alice,):
        if is_open:
            alice.encryption.open(PASSPHRASE)
        renamed = {"event": "renamed", "room": "den", "user": "mallory", "name": "den-"}
        alice.client._join = lambda room, join=alice.client._join: (
            join(room),
            server.push("alice", renamed),
        )[0]
        alice.type("/join den")
        await alice.sees("an encrypted room keeps its name")
        alice.type("hello")
        await alice.until(lambda: not alice.model.waiting)
        assert [room.name for room in alice.model.rooms] == ["", "den"]
        assert alice.client.clear == []


# What is typed when a room is lost is said in no other.
@evening
async def test_a_room_that_is_lost_while_somebody_types(alice, server) -> None:
    await go_to("lobby", alice)
    await alice.enter()
    server.push("alice", {"event": "deleted", "room": "den", "user": "bob", "reason": ""})
    await alice.sees("den was deleted by bob")
    alice.type("a secret")
    await alice.sees("Error: join a room first")
    assert alice.client.clear == []


CLEAR = {"user": "bob", "body": "send money", "at": AT}
LIES = [
    *({**CLEAR, "event": "message", "room": "den", "id": number} for number in (*NO_IDS, 1, 99)),
    *({**CLEAR, "event": "private", "recipient": "alice", "id": n} for n in (*NO_IDS, 1, 99)),
    {**CLEAR, "event": "private", "recipient": "carol", "id": 3},  # of another conversation
    {**CLEAR, "event": "file", "recipient": "carol", "id": 3, "name": "send money", "size": 1}
    | {"sha256": "x"},
    {**CLEAR, "event": "message", "room": "den", "id": 1, "is_replayed": True},
    {**CLEAR, "event": "private", "recipient": "alice", "id": 2, "is_replayed": True},
    {**CLEAR, "event": "file", "room": "den", "id": 1, "name": "send money", "size": 1}
    | {"sha256": "x"},
    {**CLEAR, "event": "file", "recipient": "alice", "id": 1, "name": "send money", "size": 1}
    | {"sha256": "x"},
]


# Nothing in the clear is new where it is encrypted, whatever number it has, be it a file.
@evening
async def test_plaintext_that_looks_old(alice, bob, server) -> None:
    server.messages += [{}] * 50
    server.rooms["den"]["e2ee_from"] = 50
    await enter(alice, bob)
    bob.type("/msg alice psst", "hello")
    await alice.sees("~ [private] bob: psst", "~ bob: hello")
    for lie in LIES:
        server.push("alice", lie)
    await alice.until(lambda: alice.client.seat.events.are_taken_in)
    told = [row for row in alice.lines if row[:2] in ("- ", "» ")]
    assert len([row for row in told if "not encrypted" in row or "be read" in row]) == len(LIES)
    assert not [row for row in alice.lines if "send money" in row]
    server.messages[0] = {**CLEAR, "event": "message", "room": "den", "id": 1}
    alice.type("/history")
    await alice.sees("- bob: send money")  # in the past that was asked for, and marked so


# With keys closed, nothing is shown as usual where it was encrypted; with keys open, it is judged.
@evening
async def test_plaintext_while_keys_are_closed(server, tmp_path) -> None:
    async with sat_down(server, tmp_path, "alice", "bob") as (alice, bob):
        await enter(alice, bob)
        bob.type("/msg alice psst")
        await alice.sees("~ [private] bob: psst")
    server.rooms["den"]["e2ee"] = False
    async with sat_down(server, tmp_path, "alice") as (alice,):
        alice.type("/join den")
        await alice.sees("type /unlock")
        for lie in LIES:
            server.push("alice", lie)
        await alice.until(lambda: alice.client.seat.events.are_taken_in)
        assert not [row for row in alice.lines if "send money" in row]
        alice.type("/unlock")
        await alice.answers(PASSPHRASE)
        await alice.sees("- a message shown as from bob is not encrypted", "do not trust it")
        assert not [row for row in alice.lines if "send money" in row]


# What was shown once is not new again, and its time is the one that its sender wrote inside.
@evening
async def test_an_old_message_under_its_id(alice, bob, server) -> None:
    await enter(alice, bob)
    bob.type("/msg alice first", "/msg alice yes")  # the key is there by then
    await alice.sees("~ [private] bob: yes")
    (line,) = [line for line in alice.model.home.lines if "bob: yes" in line.text]
    assert line.at != milliseconds(AT)  # which is what the server says
    again = copy.deepcopy(server.messages[-1]) | {"at": "2030-01-01T00:00:00Z"}
    server.push("alice", again)
    server.push("alice", again | {"is_replayed": True})
    server.push("alice", {"event": "reconnecting", "reason": "gone"})  # then it may be so
    server.push("alice", again | {"is_replayed": True})
    await alice.until(lambda: alice.client.seat.events.are_taken_in)
    assert len([row for row in alice.lines if "bob: yes" in row]) == 1


def _without_file_8(call: Callable[..., dict], op: str, **fields: Any) -> dict:
    if op == "file.get":
        raise CallRefused("no_such_file", "there is no file 8 in the clear")
    return call(op, **fields)


# A number that several tell of fetches nobody's file before one is named; the first of each stays.
@evening
async def test_files_with_one_number(alice, bob, carol, server) -> None:
    server.room("den", "alice", "bob", "carol")
    got: list[FileReference] = []

    async def note(reference: FileReference) -> str:
        got.append(reference)
        return f"got {reference.name}"

    await enter(alice, bob, carol)
    alice.terminal._secrecy._files.get = note
    alice.client.call = partial(_without_file_8, alice.client.call)
    for person, name in ((bob, "first"), (carol, "other"), (bob, "second")):
        sealer = FileSealer()
        list(sealer.seal([name.encode()]))
        reference = sealer.reference(7, name, "")
        await person.encryption.drive(
            lambda device, at, about=reference: device.say_file("den", about, at)
        )
        await alice.sees(f"shares {name} ")
    await go_to("lobby", alice)
    alice.type("/get 7")
    told = "several files of the number 7; type: /get 7 from bob or /get 7 from carol"
    await alice.sees(told)
    alice.type("/get 7 from bob")
    await alice.sees("got first")
    alice.type("/get 7 from carol", "/get 7 from zoe")
    await alice.sees("got other", "zoe has told of no file 7")
    clear = {**EVENTS[5], "room": "lobby", "id": 8}
    server.push("alice", clear)
    reference = got[0].model_copy(update={"id": 8})
    await bob.encryption.drive(lambda device, at: device.say_file("den", reference, at))
    await alice.until(lambda: alice.client.seat.events.are_taken_in)
    alice.type("/get 8")
    await alice.sees("several files of the number 8")
    alice.type("/get 8 from bob")
    await alice.sees("there is no file 8 in the clear")
    assert [each.name for each in got] == ["first", "other"]
    alice.model.show(alice.model.find("den"))
    alice.type("/get 8 from bob")
    await alice.until(lambda: len(got) == 3)
