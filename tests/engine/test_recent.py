"""What live rooms remember of what was said: bounded in memory, and gapless all the same."""

from sys import getsizeof

import pytest

from app.engine import recent as module
from app.engine.presence import Session
from app.engine.recent import Recent, Shelf
from app.measures import metrics
from app.protocol import removal
from app.protocol import rooms as protocol
from app.protocol.command import Enc
from app.protocol.talk import Said, SaidEncrypted
from tests.kit.house import House

LONG = 4_000
PLAIN = Said("den", "a", "x" * LONG, 0)
EMOJI = Said("den", "a", "x" * (LONG - 4) + "\N{GRINNING FACE}", 0)
ENCRYPTED = SaidEncrypted("den", "a", "d", Enc(alg="a", sid="s", ct="x" * LONG), 0)


# However many rooms are live, and however much memory their text takes, they keep no more together;
# those that were used last keep all of theirs.
@pytest.mark.parametrize("said", [PLAIN, EMOJI, ENCRYPTED], ids=["plain", "emoji", "encrypted"])
def test_all_rooms_are_bounded_together(monkeypatch, said: Said | SaidEncrypted) -> None:
    monkeypatch.setattr(module, "RECENT_BYTES_MAX", 1 << 20)
    shelf, rooms = Shelf(), [Recent(256) for _ in range(200)]
    for room in rooms:
        room.put_on(shelf)
        for _ in range(20):
            room.append(said)
    kept = [each for room in rooms for each in room]
    text = said.body if isinstance(said, Said) else said.enc.ct
    assert len(kept) * getsizeof(text) < shelf.memory_bytes <= 1 << 20
    assert len(kept) * getsizeof(text) > 700_000
    assert len(list(rooms[-1])) == len(list(rooms[-2])) == 20
    assert not list(rooms[0])
    for room in rooms:
        room.put_on(None)
    assert shelf.memory_bytes == 0


@pytest.fixture
def alice(house: House, monkeypatch) -> Session:
    """Somebody in two rooms that keep next to nothing, as they do where there are many."""
    monkeypatch.setattr(module, "RECENT_BYTES_MAX", 1)
    return house.register("alice", "den", "lobby")


def _replayed(house: House, name: str, room: str = "den") -> list[Said]:
    """Return what a newcomer is replayed."""
    return list(house.do(house.register(name), protocol.Join(room)).messages)


def _bodies(messages: list[Said]) -> list[str]:
    return [said.body for said in messages]


# A room that gave up what it kept is entered as ever: what was said there before and since is
# replayed, once and in order, and the metric says what is kept now.
def test_what_was_given_up_is_replayed(house: House, alice: Session) -> None:
    house.say(alice, "den", "1", "2")
    house.say(alice, "lobby", "elsewhere")
    assert not list(alice.rooms["den"].recent)
    house.say(alice, "den", "3")
    assert _bodies(alice.rooms["den"].recent) == ["3"]
    kept = metrics.snapshot()["greenroom_kept", "recent_bytes"]
    assert kept == alice.rooms["den"].recent.memory_bytes > 0
    entered = house.do(house.register("bob"), protocol.Join("den"))
    assert (_bodies(entered.messages), entered.is_complete) == (["1", "2", "3"], True)
    assert entered.last_id == 3 + 1
    house.say(alice, "den", "4")
    assert _bodies(_replayed(house, "carol")) == ["1", "2", "3", "4"]


# So it is for programs that come back: they are replayed all that they missed.
@pytest.mark.parametrize("since", [1, 2, 4])
def test_since_what_was_given_up(house: House, alice: Session, since: int) -> None:
    house.say(alice, "den", "1", "2")
    house.say(alice, "lobby", "elsewhere")
    house.say(alice, "den", "4")
    house.say(alice, "lobby", "elsewhere, too")
    entered = house.do(house.register("bob"), protocol.Join("den", since=since))
    assert _bodies(entered.messages) == [each for each in ("1", "2", "4") if int(each) > since]
    assert (entered.is_complete, entered.last_id) == (True, 4)


# What is said while that is read comes once, whatever gives up what in the meantime.
@pytest.mark.parametrize("is_given_up_again", [False, True])
def test_what_is_said_while_it_is_read(house, alice, meanwhile, is_given_up_again: bool) -> None:
    def go_on() -> None:
        house.say(alice, "den", "3")
        if is_given_up_again:
            house.say(alice, "lobby", "elsewhere")
            house.say(alice, "den", "4")

    house.say(alice, "den", "1", "2")
    house.say(alice, "lobby", "elsewhere")
    bob = house.register("bob")
    meanwhile(house.database, "read", go_on)
    entered = house.do(bob, protocol.Join("den"))
    assert _bodies(entered.messages) == (["4"] if is_given_up_again else ["1", "2", "3"])
    assert _bodies(_replayed(house, "carol"))[:3] == ["1", "2", "3"]


# What a room had to give up is renamed and purged with the room all the same.
def test_a_room_without_memory_is_renamed(house: House, alice: Session) -> None:
    house.say(alice, "den", "1")
    house.say(alice, "lobby", "elsewhere")
    house.act(protocol.RoomRename("den", "lair"))
    replayed = _replayed(house, "bob", "lair")
    assert [(said.room, said.body) for said in replayed] == [("lair", "1")]
    house.act(removal.Purge(message=1))
    assert _replayed(house, "carol", "lair") == []
