"""Three people whose devices encrypt, at a real server: what they read, and what it has of it."""

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.client import CallRefused, Client
from app.encryption import (
    Device,
    FileOpener,
    FileSealer,
    KeyStore,
    Notice,
    ServerRefused,
    Shown,
    received,
    run,
)
from app.encryption.flows import Flow, Json
from tests.client import WAIT_SECONDS_MAX
from tests.encryption.conftest import in_a_hurry as in_a_hurry
from tests.encryption.fakes import CHEAP, PASSPHRASE
from tests.server_process import ServerProcess
from tests.transfers import request

SERVER_SETTINGS = {"MESSAGE_RATE": 0}
SHOWN = "[encrypted; open this room with: manage.py chat]"
MARKERS = [f"MarkerOfMessage{number}" for number in range(6)]
FILE, FILE_NAME = b"MarkerOfContent" * 9, "MarkerOfName.txt"


class Person:
    """A person whose client encrypts. `shown` and `notices` are what they see, in order."""

    def __init__(self, server: ServerProcess, name: str, folder: Path) -> None:
        address = f"127.0.0.1:{server.port}"
        self.name = name
        self.client = Client(address, name=name, password="secret", register=True)
        self._events: queue.SimpleQueue[Json] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._store = KeyStore(folder / f"{name}.db", PASSPHRASE, CHEAP)
        self.device = Device(self._store, name)
        self.shown: list[Shown] = []
        self.notices: list[Notice] = []
        self.do(self.device.start(_now()))

    def _listen(self) -> None:
        for event in self.client.events():
            self._events.put(event)

    def _ask(self, op: str, fields: Json) -> Json:
        try:
            return self.client.call(op, **fields)
        except CallRefused as refusal:
            raise ServerRefused(refusal.code, str(refusal)) from refusal

    def do(self, flow: Flow[Any]) -> Any:
        try:
            return run(flow, self._ask)
        finally:
            for each in self.device.notices.take():
                (self.shown if isinstance(each, Shown) else self.notices).append(each)

    def see(self, is_enough: Callable[[], object]) -> None:
        """Take in what the server tells, until that is enough."""
        while not is_enough():
            event = self._events.get(timeout=WAIT_SECONDS_MAX)
            if event["event"] in ("message", "private"):
                self.shown += self.device.read([received(event, self.name)])
            elif self.device.pushed(event):
                self.do(self.device.attend(_now()))

    def say(self, body: str, room: str = "den") -> int:
        return self.do(self.device.say(room, body, _now()))["message_id"]

    @property
    def texts(self) -> list[str]:
        """What was read."""
        return [shown.body for shown in self.shown if shown.refusal is None]

    @property
    def closed(self) -> set[int]:
        """Which messages could not be read when they came."""
        return {shown.id for shown in self.shown if shown.refusal is not None}

    def reads(self, body: str) -> None:
        self.see(lambda: body in self.texts)

    def leave(self) -> None:
        self.client.close()
        self._store.close()


def _now() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def new_person(server: ServerProcess, tmp_path: Path) -> Iterator[Callable[[str], Person]]:
    """Return what makes people; they leave at the end."""
    people: list[Person] = []

    def make(name: str) -> Person:
        people.append(Person(server, name, tmp_path))
        return people[-1]

    yield make
    for person in people:
        person.leave()


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
    assert "member_waits" in [notice.code for notice in alice.notices]
    bob.reads(MARKERS[2])
    carol.see(lambda: before_she_is_accepted in carol.closed)
    alice.do(alice.device.accept("den", ["carol"]))
    alice.say(MARKERS[3])
    carol.reads(MARKERS[3])
    assert carol.texts == [MARKERS[3]]

    alice.do(alice.device.say_privately("bob", MARKERS[4], _now()))
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


def _share(server: ServerProcess, person: Person) -> None:
    """Share a file with the room."""
    sealer = FileSealer()
    sealed = b"".join(sealer.seal([FILE]))
    offer = person.client.call("file.offer", room="den", size=len(sealed), e2ee=True)
    shared = request(server, "PUT", offer["url"], sealed)
    number = int(shared.body.split()[2].rstrip(b":"))
    reference = sealer.reference(number, FILE_NAME, "text/plain")
    person.do(person.device.say_file("den", reference, _now()))


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
        Person._ask(dora, op, fields)
        raise ConnectionError("nobody knows what was answered")

    with pytest.raises(ConnectionError):
        run(dora.device.say("hut", "second", _now()), lose)
    new_person("fred").client.join("hut")
    dora.do(dora.device.start(_now()))
    dora.say("third", "hut")
    emil.reads("third")
    assert emil.texts == ["first", "second", "third"]
    assert not emil.closed
