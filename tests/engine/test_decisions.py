"""Decisions take effect where the journal releases them: not before, and for all that is behind."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import pytest
from gevent.event import Event as Signal

from app.errors import NotStored
from app.protocol import accounts, moderation, rooms, talk
from app.protocol.command import Command
from app.protocol.server import Refused
from app.queries import members
from tests.kit.house import House

# Each with the code that refuses what bob says behind it, in the room, and to alice; "" for none.
DECISIONS: list[tuple[Command, str, str]] = [
    (moderation.Mute("bob", room="den"), "muted", ""),
    (moderation.Ban("bob", room="den"), "no_room", ""),
    (moderation.Kick("bob", room="den"), "no_room", ""),
    (rooms.RoomDelete("den"), "no_room", ""),
    (moderation.ServerMute("bob"), "muted", "muted"),
    (moderation.ServerMute("203.0.113.0/24"), "muted", "muted"),
    (moderation.ServerBan("bob"), "sent_out", "sent_out"),
    (moderation.ServerBan("203.0.113.0/24"), "sent_out", "sent_out"),
    (accounts.UserDisable("bob"), "sent_out", "sent_out"),
    (accounts.UserPassword("bob", "another"), "sent_out", "sent_out"),
    (accounts.UserDelete("bob"), "sent_out", "sent_out"),
    (moderation.Topic("tea", room="den"), "", ""),
    (rooms.RoomRename("den", "lair"), "", ""),
]


@pytest.fixture
def held(house: House, monkeypatch) -> Callable[[Command], Iterator[None]]:
    """Return what lets the operator decide; in its block, that is committed and not released."""
    ledger, append = house.service.journal._ledger, house.service.journal._ledger.append

    @contextmanager
    def hold(command: Command) -> Iterator[None]:
        committed, go_on = Signal(), Signal()

        def append_and_wait(*arguments: object) -> object:
            stored = append(*arguments)
            committed.set()
            go_on.wait()
            return stored

        monkeypatch.setattr(ledger, "append", append_and_wait)
        deciding = gevent.spawn(house.act, command)
        committed.wait()
        monkeypatch.setattr(ledger, "append", append)
        yield
        go_on.set()
        deciding.get()
        house.service.journal._is_idle.wait()

    return hold


@pytest.mark.parametrize(("decision", "in_room", "in_private"), DECISIONS)
def test_what_is_said_behind_a_decision(house: House, held, decision, in_room, in_private) -> None:
    alice = house.register("alice", "den")
    bob = house.register("bob", "den", address="203.0.113.7")
    with held(decision):
        house.do(bob, talk.Say("behind"))
        house.service._private.tell(bob, talk.Tell("alice", "behind"))
    refused = [each.code for each in bob.client.shown if isinstance(each, Refused)]
    assert refused == [code for code in (in_room, in_private) if code]
    stored = house.read("SELECT room_id IS NULL FROM messages ORDER BY id")
    assert stored == [
        is_private for is_private, code in enumerate((in_room, in_private)) if not code
    ]
    heard = [each for each in alice.client.shown if isinstance(each, talk.PrivatelySaid)]
    assert len(heard) == (not in_private)


# Nobody sees any of it before, and no rule has changed.
@pytest.mark.parametrize("decision", [each for each, _, _ in DECISIONS])
def test_nothing_changes_before(house: House, held, decision: Command) -> None:
    alice = house.register("alice", "den")
    bob = house.register("bob", "den", address="203.0.113.7")
    den, people = alice.rooms["den"], (alice, bob)

    def state() -> list[object]:
        return [
            *(den.name, den.topic, den.is_gone, str(den.sanctions), len(den.present)),
            *(str(each.client.shown) + str(each.client.sent) for each in people),
            *((each.mute, each.client.is_closing, list(each.rooms)) for each in people),
            house.service.sanctions._in_force.all(house.now),
        ]

    before = state()
    with held(decision):
        assert state() == before
    assert state() != before


# One that is not stored changes nothing, and is shown to nobody.
@pytest.mark.parametrize("decision", [each for each, _, _ in DECISIONS])
def test_a_decision_that_is_not_stored(house: House, monkeypatch, decision: Command) -> None:
    def fail(*_: object) -> None:
        raise NotStored("not stored: no")

    alice = house.register("alice", "den")
    bob = house.register("bob", "den", address="203.0.113.7")
    shown = [list(each.client.sent) for each in (alice, bob)]
    monkeypatch.setattr(house.service.journal._ledger, "append", fail)
    with pytest.raises(NotStored):
        house.act(decision)
    monkeypatch.undo()
    assert [each.client.sent for each in (alice, bob)] == shown
    house.say(bob, "den", "still here")
    assert alice.client.sent[-1] == b"Said bob still here\n"
    assert not house.read("SELECT kind FROM facts WHERE kind <> 'Made'")


# Who enters behind a decision is looked at where they arrive.
@pytest.mark.parametrize(
    ("decision", "refusal"),
    [(moderation.Ban("bob", room="den"), "banned"), (rooms.RoomDelete("den"), "no_such_room")],
)
def test_who_arrives_behind_a_decision(house: House, held, decision: Command, refusal: str) -> None:
    alice, bob = house.register("alice", "den"), house.register("bob")
    with held(decision):
        entering = gevent.spawn(house.refused, bob, rooms.Join("den"))
        while not bob.unreleased:
            gevent.sleep(0.001)
    assert entering.get() == refusal
    assert not bob.rooms
    assert b"Joined bob\n" not in alice.client.sent


# A room's log begins when it is made, whoever makes it.
def test_logs_begin_when_rooms_do(house: House) -> None:
    house.register("alice", "den")
    house.act(rooms.RoomCreate("lair", "alice"))
    assert house.read("SELECT kind FROM facts ORDER BY room_id") == ["Made", "Made"]


# A room that is given the name which a session waits for is not entered twice.
def test_entering_under_a_new_name(house: House, held) -> None:
    alice, bob = house.register("alice", "den"), house.register("bob", "den")
    bob.client.rooms_max = 100
    den = bob.rooms["den"]
    with held(rooms.RoomRename("den", "lair")):
        entering = gevent.spawn(house.refused, bob, rooms.Join("lair"))
        gevent.idle()
    assert entering.get() == "already_there"
    house.do(bob, rooms.Leave(room="lair"))
    assert den.present == {alice.user: 1}


# Who is deleted while they leave, or while a room is encrypted, is no member, and no revision is
# made for nothing.
def test_a_member_who_is_deleted(house: House) -> None:
    alice = house.register("alice", "den")
    bob = house.register("bob", "den")
    den, present = alice.rooms["den"], {1: "alice", 2: "bob"}
    house.do(alice, rooms.Encrypt())
    assert house.database.read(lambda each: members.active(each, present)) == present
    house.act(accounts.UserDelete(bob.speaker.name))
    assert house.database.read(lambda each: members.active(each, present)) == {1: "alice"}
    assert not house.database.write(lambda each: members.remove(each, den.id, 2))
    assert [den.roster.rev] == house.read("SELECT roster_rev FROM rooms")
