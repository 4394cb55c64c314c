"""Three people whose devices encrypt, at a real server: what they read, and what it has of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.encryption import FileOpener, FileSealer, received, run
from app.encryption.flows import Json
from app.values.times import now
from tests.encryption.conftest import in_a_hurry as in_a_hurry
from tests.kit.encrypting import Machine
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import request

SERVER_SETTINGS = {"MESSAGE_RATE": 0}
SHOWN = "[encrypted; open this room with: manage.py chat]"
MARKERS = [f"MarkerOfMessage{number}" for number in range(6)]
FILE, FILE_NAME = b"MarkerOfContent" * 9, "MarkerOfName.txt"


@pytest.fixture
def new_person(server: ServerProcess, tmp_path: Path) -> Iterator[Callable[[str], Machine]]:
    """Return what makes people; they leave at the end."""
    people: list[Machine] = []

    def make(name: str) -> Machine:
        people.append(Machine(server.port, name, tmp_path / f"{name}.db"))
        return people[-1].start()

    yield make
    for person in people:
        person.close()


def _files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# Who is in the room reads; a newcomer does once they are accepted, but not what was said before;
# who was sent out reads nothing more. Of all this the server has not a word.
def test_a_conversation(server: ServerProcess, new_person, tmp_path: Path) -> None:
    alice, bob = new_person("alice"), new_person("bob")
    tel = server.connect().register("tel").join("den")  # has no keys, and is no hindrance
    for each in (alice, bob):
        each.client.join("den")
    server.control().call("room.owner", room="den", user="alice")
    alice.do(alice.device.encrypt_room("den"))
    alice.say(MARKERS[0])
    bob.reads(MARKERS[0])
    bob.say(MARKERS[1])
    alice.reads(MARKERS[1])

    carol = new_person("carol")
    carol.client.join("den")
    alice.see(lambda: not alice.device._rosters.find("den"))
    before_she_is_accepted = alice.say(MARKERS[2])
    assert "member_waits" in alice.codes
    bob.reads(MARKERS[2])
    carol.see(lambda: before_she_is_accepted in carol.closed)
    alice.do(alice.device.accept("den", ["carol"]))
    alice.say(MARKERS[3])
    carol.reads(MARKERS[3])
    assert carol.texts == [MARKERS[3]]

    alice.do(alice.device.say_privately("bob", MARKERS[4], now()))
    bob.reads(MARKERS[4])
    alice.reads(MARKERS[4])

    alice.client.call("kick", room="den", user="carol")
    alice.say(MARKERS[5])
    bob.reads(MARKERS[5])
    shown_id = bob.shown[-1].id
    (message,) = bob.client.call("history", room="den", count=1)["messages"]
    assert message["id"] == shown_id
    (handed,) = carol.device.read([received(message, "carol")])  # by somebody who may
    assert handed.refusal is not None

    _share(server, alice)
    bob.see(lambda: bob.shown[-1].file)
    reference = bob.shown[-1].file
    assert reference.name == FILE_NAME
    found = bob.client.call("file.get", file=reference.id)
    sealed = request(server, "GET", found["url"]).body
    assert b"".join(FileOpener(reference).open([sealed])) == FILE

    tel.type("/who")
    seen = tel.expect("In den:")
    assert seen.count(SHOWN) == 6  # and the private one is none of their business
    told = bytes(tel.everything) + _files(server.folder)
    said = [*(marker.encode() for marker in MARKERS), b"MarkerOf"]
    assert not any(marker in told for marker in said)
    assert json.dumps(message["enc"]["ct"]).encode().strip(b'"') in told  # that is where it was
    assert not any(marker in _files(tmp_path) for marker in said)


def _share(server: ServerProcess, person: Machine) -> None:
    """Share a file with the room."""
    sealer = FileSealer()
    sealed = b"".join(sealer.seal([FILE]))
    offer = person.client.call("file.offer", room="den", size=len(sealed), e2ee=True)
    shared = request(server, "PUT", offer["url"], sealed)
    number = int(shared.body.split()[2].rstrip(b":"))
    reference = sealer.reference(number, FILE_NAME, "text/plain")
    person.do(person.device.say_file("den", reference, now()))


# What was said and not answered is said again under its txn, also when somebody came meanwhile: it
# is there once, and the rest of what is said is for those who are there.
def test_a_lost_answer(server: ServerProcess, new_person) -> None:
    dora, emil = new_person("dora"), new_person("emil")
    for each in (dora, emil):
        each.client.join("hut")
    dora.do(dora.device.encrypt_room("hut"))
    dora.say("first", "hut")
    emil.reads("first")

    def lose(op: str, fields: Json) -> Json:
        dora.ask(op, fields)
        raise ConnectionError("nobody knows what was answered")

    with pytest.raises(ConnectionError):
        run(dora.device.say("hut", "second", now()), lose)
    new_person("fred").client.join("hut")
    dora.do(dora.device.start(now()))
    dora.say("third", "hut")
    emil.reads("third")
    assert emil.texts == ["first", "second", "third"]
    assert not emil.closed
