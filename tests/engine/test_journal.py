"""The journal without sockets and without a database: a commit that waits, and can fail."""

from collections.abc import Callable, Iterator

import gevent
import pytest
from gevent.event import Event as Signal

from app.engine import journal as module
from app.engine.delivery import Delivery
from app.engine.journal import Entry, Journal, WrittenEntry
from app.engine.presence import Session
from app.errors import NotStored, Unavailable, internal
from app.protocol.rooms import Joined
from app.protocol.server import Ponged, Refused
from app.protocol.talk import Said
from app.queries.messages import NewMessage
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.fakes import FakeStore, fake_room, fake_session

FULL = NotStored("not stored: the disk is full")
_INTERNAL = Refused("internal", str(internal()))


class _Spoken(Entry):
    """Something said in a room, to be stored; or somebody who joined it, which is not."""

    def __init__(self, sender: Session | None, room, event: Said | Joined) -> None:
        body = getattr(event, "body", None)
        message = None if body is None else NewMessage(room.id, None, 1, False, body, 0)
        super().__init__(sender, message)
        self.room = room
        self.event = event

    def note_id(self, message_id: int, *, is_new: bool) -> None:
        self.event.id = message_id

    def release(self, delivery: Delivery) -> None:
        delivery.show(self.room, self.event)


class _Written(WrittenEntry):
    """Something that is written with what was said before it."""

    def write(self, _connection: object) -> None:
        """Do nothing: the fake store keeps that it was asked to."""

    def release(self, delivery: Delivery) -> None:
        delivery.answer(self.sender, Ponged())


@pytest.fixture(autouse=True)
def _no_test_hangs() -> Iterator[None]:
    with gevent.Timeout(WAIT_SECONDS_MAX):
        yield


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def slept(store: FakeStore, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long the journal let everybody sleep, by a clock that goes on with each commit."""
    slept: list[float] = []
    monkeypatch.setattr(module.time, "monotonic", lambda: store.now)
    monkeypatch.setattr(module.time, "sleep", slept.append)
    return slept


@pytest.fixture
def journal(store: FakeStore) -> Iterator[Journal]:
    journal = Journal(store)
    greenlet = gevent.spawn(journal.run)
    yield journal
    assert not greenlet.dead, "the journal has died"
    greenlet.kill()


@pytest.fixture
def room():
    return fake_room()


@pytest.fixture
def alice(room) -> Session:
    return _hearing(room, "alice")


@pytest.fixture
def bob(room) -> Session:
    return _hearing(room, "bob")


class _Talk:
    """What is said in a room, and when it is stored."""

    def __init__(self, journal: Journal, store: FakeStore, room) -> None:
        self._journal, self._store, self._room = journal, store, room

    def say(self, session: Session, *bodies: str) -> None:
        for body in bodies:
            said = Said(self._room.name, session.speaker.name, body, at=0)
            self._journal.append(_Spoken(session, self._room, said))

    def finish(self, session: Session, *bodies: str) -> None:
        """Say something, and wait until it is shown, or refused."""
        self.say(session, *bodies)
        self._journal.settle(session)

    def hold(self, session: Session, *bodies: str) -> None:
        """Say something, which is being committed until `let_go`."""
        self._store.hold()
        self.say(session, *bodies)
        self._store.begun.wait()

    def let_go(self, *sessions: Session) -> None:
        self._store.is_open.set()
        for session in sessions:
            self._journal.settle(session)

    def happens(self, session: Session | None, event: Joined | Said) -> None:
        self._journal.append(_Spoken(session, self._room, event))


@pytest.fixture
def talk(journal: Journal, store: FakeStore, room) -> _Talk:
    return _Talk(journal, store, room)


def _hearing(room, name: str) -> Session:
    session = fake_session(name)
    Delivery().enter(room, session)
    return session


def _lines(session: Session) -> list[str]:
    return b"".join(session.client.sent).decode().splitlines()


def _waits(work: Callable[[], object]) -> gevent.Greenlet:
    """Begin some work, and check that it waits."""
    has_begun = Signal()

    def begin() -> object:
        has_begun.set()
        return work()

    greenlet = gevent.spawn(begin)
    has_begun.wait()
    assert not greenlet.ready()
    return greenlet


# Everybody sees everything in the order in which it was appended, whoever caused it.
def test_order(journal: Journal, talk: _Talk, alice: Session, bob: Session) -> None:
    for number in range(50):
        talk.say((alice, bob)[number % 2], str(number))
    talk.let_go(alice, bob)
    said = [line.split()[-1] for line in _lines(alice)]
    assert said == [str(number) for number in range(50)]
    assert _lines(bob) == _lines(alice)


# Nothing is shown while it is being committed; then it is, under the id at which it is stored.
def test_nothing_is_shown_before_it_is_stored(journal, store, talk, room, alice, bob) -> None:
    store.hold()
    said = Said(room.name, "alice", "hello", at=0)
    journal.append(_Spoken(alice, room, said))
    store.begun.wait()
    assert store.batches == [["hello"]]
    assert alice.client.sent == bob.client.sent == []
    talk.let_go(alice)
    assert alice.client.sent == bob.client.sent == [b"Said alice hello\n"]
    assert said.id == 1


# What comes while a batch is being committed is the next batch, and one send a reader.
def test_what_comes_meanwhile_is_the_next_batch(journal, store, talk, alice, bob) -> None:
    talk.hold(alice, "first")
    talk.say(alice, "second", "third")
    talk.say(bob, "fourth")
    talk.let_go(bob)
    assert store.batches == [["first"], ["second", "third", "fourth"]]
    assert len(alice.client.sent) == len(bob.client.sent) == 2


# Who waits for each answer and talks alone is not let wait for others: there are none. As soon as
# somebody else talks too, a batch waits for more. So it is on a machine of any age.
@pytest.mark.parametrize("age_seconds", [1, 365 * 86_400])
def test_a_dialogue_does_not_linger(journal, store, slept, talk, alice, bob, age_seconds) -> None:
    store.now, store.seconds = age_seconds, 0.001
    for session, lingers in [(alice, 0), (alice, 0), (alice, 0), (bob, 1), (bob, 1), (alice, 2)]:
        talk.finish(session, "hello")
        assert len(slept) == lingers


# It waits for more until three times as long has passed as the last batch took, but not for long.
@pytest.mark.parametrize(
    ("seconds", "waits"), [(0.0, []), (0.001, [0.002]), (0.004, [0.006]), (0.02, [])]
)
def test_the_interval_follows_the_batch(
    journal, store, slept, talk, alice, bob, seconds: float, waits: list[float]
) -> None:
    store.seconds = seconds
    for session in (alice, bob):
        talk.finish(session, "hello")
    assert [each + module.READ_SECONDS for each in slept] == pytest.approx(waits)


# A batch has a bounded number of messages, and a bounded size: it is full when it reaches it.
@pytest.mark.parametrize(
    ("bound", "most", "bodies", "batches"),
    [
        ("BATCH_ENTRIES_MAX", 3, "0 1 2 3 4 5 6", [3, 3, 1]),
        ("BATCH_BYTES_MAX", 10, "12345 12345 123456789 1234567890123 1", [2, 2, 1]),
    ],
)
def test_batches_are_bounded(talk, store, alice, monkeypatch, bound, most, bodies, batches) -> None:
    monkeypatch.setattr(module, bound, most)
    talk.finish(alice, *bodies.split())
    assert [len(batch) for batch in store.batches] == batches


# What could not be stored is shown to nobody, and each sender is told once how much it was. When it
# can be stored again, it goes on, and what was lost stays lost.
def test_a_failed_commit(journal, store, talk, alice, bob) -> None:
    store.refusal = FULL
    talk.say(alice, "lost", "lost, too")
    talk.say(bob, "lost as well")
    journal.settle(alice)
    journal.settle(bob)
    assert journal.is_failing
    assert alice.client.shown == [Refused("not_stored", "2 messages not stored: the disk is full")]
    assert bob.client.shown == [Refused("not_stored", "not stored: the disk is full")]
    assert _lines(alice) == _lines(bob) == ["Refused!"]
    store.refusal = None
    talk.finish(alice, "kept")
    assert not journal.is_failing
    assert _lines(bob) == ["Refused!", "Said alice kept"]


# When it can be stored again, it sees so by itself, though nobody says anything.
def test_sees_that_it_can_store_again(journal, store, talk, alice, monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    store.refusal = FULL
    talk.finish(alice, "lost")
    store.begun.clear()
    store.begun.wait()
    assert journal.is_failing
    store.refusal = None
    while journal.is_failing:
        gevent.sleep(0.01)
    assert store.batches[:2] == [["lost"], []]
    assert len(alice.client.shown) == 1


# It does so even where people come and go all the time, which asks nothing of the database.
def test_sees_it_among_what_is_not_stored(journal, store, talk, room, alice, monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.1)
    store.refusal = FULL
    talk.finish(alice, "lost")
    store.refusal = None
    while journal.is_failing:
        talk.happens(alice, Joined(room.name, "carol"))
        journal.settle(alice)
        gevent.sleep(0.001)
    assert store.batches == [["lost"], []]


# What need not be stored asks nothing of the database, and happens where nothing can be stored.
@pytest.mark.parametrize("lost", [[], ["lost"]])
def test_what_is_not_stored(journal, store, talk, room, alice, bob, lost: list[str]) -> None:
    store.refusal = FULL
    talk.say(alice, *lost)
    talk.happens(alice, Joined(room.name, "carol"))
    journal.settle(alice)
    assert _lines(bob) == ["Joined carol"]
    assert store.batches == ([lost] if lost else [])


# What happens without a session's doing needs none to be told of it.
def test_entries_without_a_sender(journal, store, talk, room, alice, bob) -> None:
    store.refusal = FULL
    talk.happens(None, Said(room.name, "carol", "lost", at=0))
    talk.happens(None, Joined(room.name, "carol"))
    talk.finish(alice, "lost")
    assert _lines(bob) == ["Joined carol"]


# A bug in one commit costs what was to be stored, and its senders are told; the rest goes on.
def test_a_bug_costs_its_batch(journal, store, talk, room, alice, bob) -> None:
    store.refusal = ZeroDivisionError("a bug")
    talk.say(alice, "unlucky")
    journal.note_seen(bob.user.id, 7)
    talk.happens(bob, Joined(room.name, "bob"))
    written = _Written(alice)
    journal.append(written)
    journal.settle(alice)
    assert alice.client.shown == [_INTERNAL]
    assert written.refusal.code == "internal"
    store.refusal = None
    talk.finish(alice, "lucky")
    assert _lines(bob) == ["Joined bob", "Said alice lucky"]
    assert store.seen == {}


class _Faulty(_Spoken):
    """Something said that can't be shown."""

    def release(self, delivery: Delivery) -> None:
        raise ZeroDivisionError("hush")


# A release that fails costs its own entry: the others of the batch are shown, its sender is told,
# and the log has what kind of fault it was, not what was said.
def test_a_fault_costs_its_entry(journal, store, talk, room, alice, bob, capsys) -> None:
    store.hold()
    talk.say(alice, "first")
    journal.append(_Faulty(bob, room, Said(room.name, "bob", "hush", at=0)))
    talk.say(alice, "last")
    talk.let_go(alice, bob)
    assert _lines(alice) == ["Said alice first", "Said alice last"]
    assert bob.client.shown == [_INTERNAL]
    logged = capsys.readouterr()
    logged = logged.out + logged.err
    assert logged.count("ZeroDivisionError") == 1
    assert "hush" not in logged


# When the journal is full its senders wait, until a batch was taken from it.
@pytest.mark.parametrize(("what", "most"), [("ENTRIES", 3), ("BYTES", 3 * len("waiting"))])
def test_senders_wait_when_it_is_full(journal, store, talk, alice, monkeypatch, what, most) -> None:
    monkeypatch.setattr(module, f"JOURNAL_{what}_MAX", most)
    monkeypatch.setattr(module, f"BATCH_{what}_MAX", 1)
    talk.hold(alice, "first")
    talk.say(alice, "waiting", "waiting")
    journal.wait_for_room()  # there is room for one
    talk.say(alice, "waiting")
    sender = _waits(journal.wait_for_room)
    talk.let_go(alice)
    sender.get()
    journal.wait_for_room()


# To settle is to wait until all that a session caused was released and sent, and only its own.
def test_settle(journal, store, talk, alice, bob) -> None:
    store.hold()
    talk.say(alice, "one", "two")
    journal.settle(bob)  # who has done nothing
    settling = _waits(lambda: journal.settle(alice))
    store.is_open.set()
    settling.get()
    assert _lines(bob) == ["Said alice one", "Said alice two"]
    journal.settle(alice)


# A session that settles is not kept by what others do after it.
def test_settle_waits_for_nobody_else(journal, store, talk, alice, bob) -> None:
    talk.hold(alice, "mine")
    talk.say(bob, "next")
    settling = _waits(lambda: journal.settle(alice))
    store.begun.clear()
    store.is_open.set()
    settling.get()
    assert "Said alice mine" in _lines(bob)


# To finish is to take nothing more, and to wait until all that was taken is released.
def test_finish(journal, store, talk, alice, bob) -> None:
    talk.hold(alice, "one")
    talk.say(alice, "two")
    finishing = _waits(journal.finish)
    with pytest.raises(Unavailable, match="not stored: the server is shutting down") as refused:
        journal.wait_for_room()
    assert refused.value.code == "shutting_down"
    store.is_open.set()
    finishing.get()
    assert _lines(bob) == ["Said alice one", "Said alice two"]


# Who waits for room when the server shuts down is refused: what they had is not stored.
def test_finish_refuses_who_waits(journal, store, talk, alice, monkeypatch) -> None:
    for limit in ("JOURNAL_ENTRIES_MAX", "BATCH_ENTRIES_MAX"):
        monkeypatch.setattr(module, limit, 1)
    talk.hold(alice, "first")
    talk.say(alice, "second")
    sender = _waits(journal.wait_for_room)
    finishing = _waits(journal.finish)
    store.is_open.set()
    finishing.get()
    with pytest.raises(Unavailable, match="the server is shutting down"):
        sender.get()
    assert store.batches == [["first"], ["second"]]


# A journal that has nothing to do is finished at once, and after a failure as well.
def test_finish_when_idle(journal, store, talk, alice) -> None:
    store.refusal = FULL
    talk.say(alice, "lost")
    journal.note_seen(7, 70)
    journal.finish()
    journal.finish()
    assert alice.client.shown


# Up to where a user was shown private messages is stored with a batch, or with one of its own.
def test_seen(journal, store, talk, alice) -> None:
    talk.say(alice, "hello")
    journal.note_seen(7, 70)
    journal.note_seen(7, 71)
    assert journal.seen_id(7) == 71
    journal.settle(alice)
    assert (store.batches, store.seen) == ([["hello"]], {7: 71})
    journal.note_seen(7, 72)
    journal.finish()
    assert (store.batches, store.seen) == ([["hello"], []], {7: 72})
    assert journal.seen_id(7) == 0


# What could not be stored of it is not forgotten, and goes with the next batch that can be.
def test_seen_after_a_failed_commit(journal, store, talk, alice) -> None:
    store.refusal = FULL
    journal.note_seen(7, 70)
    talk.finish(alice, "lost")
    assert (journal.seen_id(7), store.seen) == (70, {})
    store.refusal = None
    talk.finish(alice, "kept")
    assert (journal.seen_id(7), store.seen) == (0, {7: 70})


# What a user is shown while that is being stored is not taken for stored, but stored after it.
def test_seen_while_committing(journal, store) -> None:
    store.hold()
    journal.note_seen(7, 70)
    store.begun.wait()
    journal.note_seen(7, 71)
    store.is_open.set()
    journal.finish()
    assert store.seen == {7: 71}


# A decision is written with all messages that there are, and stands behind them.
def test_what_is_written_ends_its_batch(journal, store, talk, alice, bob) -> None:
    talk.hold(alice, "1")
    talk.say(alice, "2", "3")
    journal.append(_Written(bob))
    talk.say(alice, "4")
    talk.let_go(alice)
    assert store.batches == [["1"], ["2", "3", "4", "(written)"]]
    assert _lines(bob)[-3:] == ["Said alice 3", "Said alice 4", "Ponged!"]


# What could not be written has not happened, and whoever waits for it learns why.
def test_what_could_not_be_written(journal, store, talk, alice, bob) -> None:
    store.refusal = FULL
    entry = _Written(bob)
    journal.append(entry)
    journal.settle(bob)
    assert entry.refusal is store.refusal
    store.refusal = None
    talk.finish(alice, "hello")
    assert _lines(bob) == ["Said alice hello"]
