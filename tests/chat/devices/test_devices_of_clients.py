"""The core of the client that encrypts, and a server that runs."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.encryption import ServerRefused, run
from app.encryption.flows import Json
from app.values.times import now
from tests.kit.encrypting import Machine
from tests.kit.server_process import ServerProcess

SERVER_SETTINGS = {"message_rate": "0"}


@pytest.fixture
def new_machine(server: ServerProcess, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    machines = []

    def make(user: str, name: str = "keys") -> Machine:
        machines.append(Machine(server.port, user, tmp_path / user / f"{name}.db"))
        return machines[-1].start()

    yield make
    for machine in machines:
        machine.close()


# The first device makes its user's identity; a second one is approved by its code, takes the
# identity out of its mailbox, speaks for its user from then on, and no more when it is revoked.
def test_devices_of_one_user(new_machine, new_name) -> None:
    user = new_name("alice")
    laptop, phone = new_machine(user), new_machine(user, "phone")
    assert (laptop.device.is_approved, phone.device.is_approved) == (True, False)
    assert phone.codes == ["not_approved"]
    laptop.do(laptop.device.approve(phone.id, phone.device.code, now()))
    phone.see(lambda: phone.device.is_approved)
    assert phone.codes[-1] == "approved"
    assert [approved for _, approved in phone.do(phone.device.devices())] == [True, True]
    laptop.do(laptop.device.revoke(phone.id))
    phone.see(lambda: not phone.device.is_approved)
    assert phone.codes[-1] == "revoked"
    assert [approved for _, approved in laptop.do(laptop.device.devices())] == [True]
    with pytest.raises(ServerRefused) as refused:
        phone.start()
    assert refused.value.code == "device_id_reused"


# What one device says to another's user comes out of the mailbox, also after a while away: here
# the steps of a verification, at whose end both are sure of each other.
def test_devices_of_two_users(new_machine, new_name) -> None:
    alice, bob = new_machine(new_name("alice")), new_machine(new_name("bob"))
    names = alice.device.me.user, bob.device.me.user
    bob.close()
    alice.do(alice.device.verify(names[1], now()))
    bob.come()
    bob.start()
    assert bob.codes[-1] == "verify_asked"
    bob.do(bob.device.verify(names[0], now()))
    both = ((alice, names[1]), (bob, names[0]))
    for machine in (alice, bob, alice):
        machine.hear("td")
    for machine, other in both:
        machine.do(machine.device.confirm(other, now(), is_same=True))
    for machine in (alice, bob):
        machine.hear("td")
    assert [machine.device.mark(other) for machine, other in both] == ["✓", "✓"]
    ours, theirs = (machine.do(machine.device.fingerprint(other)) for machine, other in both)
    assert ours == theirs


# Keys that others claim are made good by the next login, and by the push that they are few.
def test_keys_are_made_good(server: ServerProcess, new_machine, new_name) -> None:
    alice = new_machine(new_name("alice"))
    count = (
        "SELECT count(*) FROM one_time_keys, devices WHERE claimed_at IS NULL AND"
        " one_time_keys.device_id = devices.id AND devices.device_id = ?"
    )

    def keys() -> int:
        with server.database() as database, closing(database.execute(count, [alice.id])) as rows:
            return rows.fetchone()[0]

    full = keys()
    target = {"user": alice.device.me.user, "device": alice.id}
    claimers = [new_machine(new_name("bob")) for _ in range(2)]
    for claimer in claimers:
        for _ in range(full // 2 - 4):
            claimer.client.call("keys.claim", targets=[target])
    alice.hear("keys_low")
    assert keys() == full


# What was said and not answered is said again under its txn, also when somebody came meanwhile: it
# is there once, and the rest of what is said is for those who are there.
def test_a_lost_answer(server: ServerProcess, new_machine) -> None:
    dora, emil = new_machine("dora"), new_machine("emil")
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
    new_machine("fred").client.join("hut")
    dora.do(dora.device.start(now()))
    dora.say("third", "hut")
    emil.reads("third")
    assert emil.texts == ["first", "second", "third"]
    assert not emil.closed
