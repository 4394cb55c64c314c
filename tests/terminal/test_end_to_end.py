"""Encryption from end to end: real clients in real terminals, a telnet, and a real server."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from types import SimpleNamespace

import pytest

from app.client import CallRefused, Client
from app.encryption import Device, KeyStore
from tests.encryption.fakes import CHEAP
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.person import Person
from tests.kit.server_process import ServerProcess

MARKER = "m4rk3r"
PASSPHRASE = "correct horse"


class _Tap(ThreadingTCPServer):
    """A wire to a server, which keeps all that passes."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        self.port, self.everything = port, bytearray()
        super().__init__(("127.0.0.1", 0), _Passing)


class _Passing(BaseRequestHandler):
    server: _Tap

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as beyond:
            back = threading.Thread(target=self._pass, args=(beyond, self.request))
            back.start()
            self._pass(self.request, beyond)
            back.join()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                self.server.everything += data
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the other way ended it


@pytest.fixture
def tap(server: ServerProcess) -> Iterator[_Tap]:
    with _Tap(server.port) as tap:
        thread = threading.Thread(target=tap.serve_forever, args=(0.05,))
        thread.start()
        yield tap
        tap.shutdown()
        thread.join(WAIT_SECONDS_MAX)


@pytest.fixture
def people(server: ServerProcess, tap: _Tap) -> Iterator[list[Person]]:
    """Alice, bob and carol, who have just registered."""
    wire = SimpleNamespace(port=tap.server_address[1], folder=server.folder)
    people = [Person(wire, "--register", "--name", name) for name in ("alice", "bob", "carol")]
    for person in people:
        person.register()
    yield people
    for person in people:
        person.end()


def _unlock(person: Person, typed: str) -> None:
    person.type(f"{typed}\r")
    person.until_row("a new passphrase for your keys:")
    person.type(f"{PASSPHRASE}\r")
    person.until_row("the same again:")
    person.type(f"{PASSPHRASE}\r")
    person.until_row("who reads you there")


def _tell(one: Person, other: Person, body: str) -> None:
    one.type(f"{body} {MARKER}\r")
    other.until_row(f"~ alice: {body} {MARKER}")


# A client names its device again on each new connection, before anything else is asked there.
def test_a_device_is_named_after_each_login(server: ServerProcess, tmp_path: Path) -> None:
    with (
        KeyStore(tmp_path / "keys.db", PASSPHRASE, CHEAP) as store,
        Client(f"127.0.0.1:{server.port}", name="dora", password="secret", register=True) as client,
    ):
        device = next(Device(store, "dora").start(0))
        with pytest.raises(CallRefused, match="for which device you speak"):
            client.call("td.fetch", after=0, limit=1)
        client.introduce(device.op, **device.fields)
        server.restart()
        assert "connected" in (event["event"] for event in client.events())
        assert client.call("td.fetch", after=0, limit=1)["items"] == []


# Two people make a room encrypted, in which somebody with telnet sits. What they say and send
# passes between the two; a third reads from when they were accepted until they are kicked; and
# nowhere but on their screens, and where a file was fetched to, is there anything of it.
def test_an_encrypted_evening(server: ServerProcess, tap: _Tap, people: list[Person]) -> None:
    alice, bob, carol = people
    alice.type("/join den\r")
    alice.until_row("[1:den]")
    bob.type("/join den\r")
    alice.until_row("bob has joined the room.")
    tess = server.connect().register("tess").join("den")
    _unlock(alice, "/encrypt")
    tess.expect("alice made this room encrypted")
    bob.until_row("type /unlock")
    _unlock(bob, "/unlock")

    _tell(alice, bob, "one")
    alice.until_row(f"~ alice: one {MARKER}")
    tess.expect("alice: [encrypted; open this room with: manage.py chat]\r\n")
    alice.type(f"/msg bob psst {MARKER}\r")
    bob.until_row(f"~ [private] alice: psst {MARKER}")
    sent = server.folder / f"sent {MARKER}.txt"
    sent.write_text(MARKER * 20_000)
    alice.type(f"/send {sent}\r")
    bob.until_row("/get 1")
    bob.type("/get 1\r")
    bob.until_row("and is what was")
    fetched = server.folder / "home" / "Downloads" / "greenroom" / sent.name
    assert fetched.read_text() == sent.read_text()

    _unlock(carol, "/join den")
    for member in (alice, bob):
        member.until_row("carol is new in den and can't read you")
    _tell(alice, bob, "not for carol")
    alice.type("/members accept carol\r")
    alice.until_row("~ carol")
    _tell(alice, carol, "two")
    alice.type("/kick carol\r")
    carol.until_row("kicked")
    _tell(alice, bob, "three")
    carol.type("/join den\r")  # she is let in again, but not to read
    carol.until_row("[1:den]")
    _tell(alice, bob, "four")
    carol.until_row("a message of alice is waiting for its key")
    tess.expect("alice: [encrypted")
    for person in people:
        assert person.leave() == 0
    assert not any(word in carol.output for word in ("not for carol", "three", "four"))

    assert server.stop() == 0
    plain = {sent, fetched}
    files = [path for path in server.folder.rglob("*") if path.is_file() and path not in plain]
    assert len([path for path in files if path.name.endswith(".db")]) == 1 + len(people)
    assert not [path for path in files if MARKER.encode() in path.read_bytes()]
    assert MARKER.encode() not in tap.everything
    assert len(tap.everything) > len(MARKER) * 40_000
    assert Path(fetched).stat().st_mode & 0o777 == 0o600
