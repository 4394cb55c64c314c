"""Delivering a batch: who comes and goes in the middle of it reads what was shown meanwhile."""

from collections.abc import Callable

import gevent
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.chat.rooms.rooms import Room
from app.engine import delivery as module
from app.engine.delivery import Delivery
from app.engine.entries import Arrival
from app.engine.presence import Session
from app.protocol.event import RoomEvent
from app.protocol.rooms import Joined, Left
from app.protocol.server import LineOmitted, Ponged
from app.protocol.talk import Said
from tests.kit.fakes import fake_room, fake_session, render


def _said(user: str, body: str) -> Said:
    return Said("lobby", user, body, at=0)


def _lines(session: Session) -> list[str]:
    return b"".join(session.client.sent).decode().splitlines()


def _hearing(room: Room, *sessions: Session) -> Delivery:
    """Let sessions hear a room since before the batch that is returned."""
    earlier = Delivery()
    for session in sessions:
        earlier.enter(room, session)
    return Delivery()


def _alice_and_bob() -> tuple[Delivery, Room, Session, Session]:
    room, alice, bob = fake_room(), fake_session("alice"), fake_session("bob")
    return _hearing(room, alice, bob), room, alice, bob


# Each reader is sent all of a batch at once.
def test_one_send_a_reader() -> None:
    delivery, room, alice, bob = _alice_and_bob()
    for number in range(3):
        delivery.show(room, _said("alice", str(number)))
    assert alice.client.sent == []
    delivery.send()
    assert alice.client.sent == bob.client.sent == [b"Said alice 0\nSaid alice 1\nSaid alice 2\n"]


# However many read an event, it is rendered once for each wire that they use.
def test_rendered_once_a_wire() -> None:
    room, readers = fake_room(), [fake_session(f"reader{number}") for number in range(10)]
    rendered: list[tuple[str, RoomEvent]] = []

    def counting(wire: str) -> Callable[[RoomEvent], bytes]:
        return lambda event: rendered.append((wire, event)) or wire.encode()

    wires = counting("a"), counting("b")
    for number, reader in enumerate(readers):
        reader.client.render = wires[number % 2]
    readers[0].ignored = frozenset({"mallory"})
    delivery, event = _hearing(room, *readers), _said("alice", "hello")
    delivery.show(room, event)
    delivery.send()
    assert rendered == [("a", event), ("b", event)]
    assert [reader.client.sent for reader in readers] == [[b"a"], [b"b"]] * 5


# What somebody says is hidden from those who ignore them, and that they come and go is not.
def test_ignored() -> None:
    room = fake_room()
    alice, bob = fake_session("alice", ignored=frozenset({"mallory"})), fake_session("bob")
    delivery = _hearing(room, alice, bob)
    said = _said("mallory", "buy gold"), _said("bob", "no")
    for event in (Joined("lobby", "mallory"), *said, Left("lobby", "mallory")):
        delivery.show(room, event)
    delivery.send()
    assert _lines(alice) == ["Joined mallory", "Said bob no", "Left mallory"]
    assert len(_lines(bob)) == 4
    assert len(alice.client.sent) == 1


# Whoever is told something for them alone has read what was shown before it, and no line twice.
def test_catching_up() -> None:
    room, alice = fake_room(), fake_session("alice")
    delivery = _hearing(room, alice)
    delivery.show(room, _said("bob", "before"))
    delivery.catch_up(alice)
    alice.client.show(Ponged())
    delivery.show(room, _said("bob", "after"))
    delivery.send()
    assert alice.client.sent == [b"Said bob before\n", b"Ponged!\n", b"Said bob after\n"]


# Nothing is put together for who is gone: when thousands go at once, each would have what all those
# before them leave behind.
def test_who_is_gone_does_not_catch_up() -> None:
    room, alice, bob = fake_room(), fake_session("alice"), fake_session("bob")
    _hearing(room, alice, bob)
    alice.client.is_closing = True
    delivery = Delivery()
    delivery.show(room, _said("bob", "hello"))
    delivery.leave(room, alice)
    delivery.send()
    assert alice.client.sent == []
    assert _lines(bob) == ["Said bob hello"]


# A session in no room can catch up and leave: there is nothing to read.
def test_in_no_room() -> None:
    alice, delivery = fake_session("alice"), Delivery()
    delivery.catch_up(alice)
    delivery.leave(fake_room(), alice)
    delivery.send()
    assert alice.client.sent == []


# A batch for very many readers lets others have a turn before it is through.
def test_others_get_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DELIVERIES_BETWEEN_YIELDS", 2)
    room, readers = fake_room(), [fake_session(f"reader{number}") for number in range(6)]
    delivery = _hearing(room, *readers)
    delivery.show(room, _said("alice", "hello"))
    other = gevent.spawn(lambda: sum(len(reader.client.sent) for reader in readers))
    delivery.send()
    assert other.get() == 2
    assert all(len(reader.client.sent) == 1 for reader in readers)


# A room lags when more than half of its readers are behind, as of its last batch.
def test_lagging() -> None:
    room, readers = fake_room(), [fake_session(f"reader{number}") for number in range(4)]
    _hearing(room, *readers)
    for count, lags in ((0, False), (2, False), (3, True), (4, True), (2, False)):
        for number, reader in enumerate(readers):
            reader.client.is_behind = number < count
        delivery = Delivery()
        delivery.show(room, _said("alice", "hello"))
        delivery.send()
        assert room.is_lagging == lags


_kinds = st.sampled_from(["show", "show", "enter", "leave", "catch_up", "next batch"])
_acts = st.tuples(_kinds, st.integers(0, 2), st.integers(0, 1))


# In whatever order things happen, everybody reads of a room what they would read line by line: who
# enters, what is shown from then on; who leaves, what was shown until then; and who comes back, or
# moves to another room, in the middle of a batch, nothing of between, and nothing twice.
@example([(act, 1, 0) for act in ("enter", "show", "leave", "show", "enter", "show")])
@example([("enter", 1, 0), ("show", 0, 0), ("leave", 1, 0), ("enter", 1, 1), ("show", 0, 1)])
@given(st.lists(_acts, max_size=40))
def test_batches_read_like_lines(acts: list[tuple[str, int, int]]) -> None:
    rooms = [fake_room("lobby"), fake_room("garden")]
    sessions = [fake_session(name) for name in ("s0", "s1", "s2")]
    sessions[0].ignored = frozenset({"s1"})
    would_read = {(session, room): [] for session in sessions for room in rooms}
    delivery = Delivery()
    for number, (act, who, where) in enumerate(acts):
        session, room = sessions[who], rooms[where]
        if act == "show":
            event = _said(session.user.name, f"{room.name} {number}")
            delivery.show(room, event)
            for reader in sessions:
                if room.key in reader.rooms and event.user not in reader.ignored:
                    would_read[reader, room].append(render(event))
        elif act == "enter" and room.key not in session.rooms:
            delivery.enter(room, session)
        elif act == "leave":
            delivery.leave(room, session)
        elif act == "catch_up":
            delivery.catch_up(session)
        elif act == "next batch":
            delivery.send()
            delivery = Delivery()
    delivery.send()
    for (session, room), lines in would_read.items():
        read = b"".join(session.client.sent).splitlines(keepends=True)
        assert [line for line in read if room.name.encode() in line] == lines


# An event that one wire can't show is missing there alone, and readers are told so in its place.
def test_an_event_that_a_wire_cannot_show(capsys) -> None:
    def picky(event: RoomEvent) -> bytes:
        if isinstance(event, LineOmitted):
            return b"Omitted!\n"
        if event.body == "2":
            raise OverflowError(event.body)
        return render(event)

    room, alice, bob = fake_room(), fake_session("alice"), fake_session("bob")
    alice.client.render = picky
    delivery = _hearing(room, alice, bob)
    for body in "123":
        delivery.show(room, _said("bob", body))
    delivery.send()
    assert _lines(alice) == ["Said bob 1", "Omitted!", "Said bob 3"]
    assert _lines(bob) == ["Said bob 1", "Said bob 2", "Said bob 3"]
    logged = capsys.readouterr()
    assert (logged.out + logged.err).count("OverflowError") == 1


# A reader who can't be sent anything costs nobody else a line, nor does what they are told alone.
def test_a_reader_who_cannot_be_sent_anything(monkeypatch) -> None:
    def fail(*_: object) -> bool:
        raise ZeroDivisionError

    delivery, room, alice, bob = _alice_and_bob()
    monkeypatch.setattr(alice.client, "send", fail)
    monkeypatch.setattr(alice.client, "show", fail)
    delivery.show(room, _said("bob", "hello"))
    delivery.answer(alice, Ponged())
    delivery.answer(bob, Ponged())
    delivery.send()
    assert _lines(bob) == ["Said bob hello", "Ponged!"]


# A session that can't be shown a room is not in it: nobody sees it join, and it may try again.
def test_an_arrival_that_fails() -> None:
    room, alice, bob = fake_room(), fake_session("alice", 2), fake_session("bob")
    _hearing(room, bob)

    def replay(_room: Room) -> tuple[list[Said], bool]:
        raise OverflowError

    arrival = Arrival(alice, room, replay, lambda: 0)
    delivery = Delivery()
    with pytest.raises(OverflowError):
        arrival.release(delivery)
    delivery.send()
    assert (alice.rooms, alice.client.shown, list(room.present)) == ({}, [], [bob.speaker])
    assert _lines(bob) == []
