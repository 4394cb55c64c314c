"""What live rooms remember of what was said: bounded in memory, and gapless all the same."""

from collections.abc import Iterator
from pathlib import Path
from sys import getsizeof

import gevent
import pytest

from app.chat.service import Service
from app.database.database import Database
from app.engine import recent as module
from app.engine.presence import Session
from app.engine.recent import Recent, Shelf
from app.measures import metrics
from app.protocol import accounts, removal, talk
from app.protocol import rooms as protocol
from app.protocol.command import Enc
from app.protocol.talk import Said, SaidEncrypted
from app.settings import Settings
from app.values.times import now
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.fakes import FakeClient

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


class Chat:
    """A service whose rooms keep next to nothing, as one does that has many."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'greenroom.db'}", "normal")
        self.service = Service(self.database, Settings(data_dir=folder), now)

    def come(self, name: str, *rooms: str) -> Session:
        session = self.service.connect(FakeClient())
        session.client.rooms_max = 100
        self.service.handle(session, accounts.Register(name, "secret"))
        for room in rooms:
            self.service.handle(session, protocol.Join(room))
        return session

    def say(self, session: Session, room: str, *bodies: str) -> None:
        for body in bodies:
            self.service.handle(session, talk.Say(body, room=room))
        self.service.journal.settle(session)


@pytest.fixture
def chat(tmp_path: Path, new_database: Path, monkeypatch) -> Iterator[Chat]:
    (tmp_path / "greenroom.db").write_bytes(new_database.read_bytes())
    monkeypatch.setattr(module, "RECENT_BYTES_MAX", 1)
    with gevent.Timeout(WAIT_SECONDS_MAX):
        chat = Chat(tmp_path)
        yield chat
        chat.service.close()


def _entered(session: Session) -> tuple[list[str], bool, int]:
    entered = [each for each in session.client.shown if isinstance(each, protocol.Entered)][-1]
    return [said.body for said in entered.messages], entered.is_complete, entered.last_id


# A room that gave up what it kept is entered as ever: what was said there before and since is
# replayed, once and in order, and the metric says what is kept now.
def test_what_was_given_up_is_replayed(chat: Chat) -> None:
    alice = chat.come("alice", "den", "lobby")
    chat.say(alice, "den", "1", "2")
    chat.say(alice, "lobby", "elsewhere")
    assert not list(alice.rooms["den"].recent)
    chat.say(alice, "den", "3")
    assert [said.body for said in alice.rooms["den"].recent] == ["3"]
    kept = metrics.snapshot()["greenroom_kept", "recent_bytes"]
    assert kept == alice.rooms["den"].recent.memory_bytes > 0
    bob = chat.come("bob", "den")
    assert _entered(bob) == (["1", "2", "3"], True, 3 + 1)
    chat.say(alice, "den", "4")
    assert _entered(chat.come("carol", "den"))[0] == ["1", "2", "3", "4"]


# So it is for programs that come back: they are replayed all that they missed.
@pytest.mark.parametrize("since", [1, 2, 4])
def test_since_what_was_given_up(chat: Chat, since: int) -> None:
    alice = chat.come("alice", "den", "lobby")
    chat.say(alice, "den", "1", "2")
    chat.say(alice, "lobby", "elsewhere")
    chat.say(alice, "den", "4")
    chat.say(alice, "lobby", "elsewhere, too")
    bob = chat.come("bob")
    chat.service.handle(bob, protocol.Join("den", since=since))
    assert _entered(bob) == ([each for each in ("1", "2", "4") if int(each) > since], True, 4)


# What is said while that is read comes once, whatever gives up what in the meantime.
@pytest.mark.parametrize("is_given_up_again", [False, True])
def test_what_is_said_while_it_is_read(chat: Chat, monkeypatch, is_given_up_again: bool) -> None:
    alice = chat.come("alice", "den", "lobby")
    chat.say(alice, "den", "1", "2")
    chat.say(alice, "lobby", "elsewhere")
    read = chat.database.read

    def read_slowly(work: object) -> object:
        result = read(work)
        monkeypatch.undo()
        monkeypatch.setattr(module, "RECENT_BYTES_MAX", 1)
        chat.say(alice, "den", "3")
        if is_given_up_again:
            chat.say(alice, "lobby", "elsewhere")
            chat.say(alice, "den", "4")
        return result

    bob = chat.come("bob")
    monkeypatch.setattr(chat.database, "read", read_slowly)
    chat.service.handle(bob, protocol.Join("den"))
    assert _entered(bob)[0] == (["4"] if is_given_up_again else ["1", "2", "3"])
    assert _entered(chat.come("carol", "den"))[0][:3] == ["1", "2", "3"]


# What a room had to give up is renamed and purged with the room all the same.
def test_a_room_without_memory_is_renamed(chat: Chat) -> None:
    alice = chat.come("alice", "den", "lobby")
    chat.say(alice, "den", "1")
    chat.say(alice, "lobby", "elsewhere")
    operator = chat.service.connect_operator(FakeClient())
    chat.service.handle(operator, protocol.RoomRename("den", "lair"))
    bob = chat.come("bob", "lair")
    entered = [each for each in bob.client.shown if isinstance(each, protocol.Entered)][-1]
    assert [(said.room, said.body) for said in entered.messages] == [("lair", "1")]
    chat.service.handle(operator, removal.Purge(message=1))
    assert _entered(chat.come("carol", "lair"))[0] == []
