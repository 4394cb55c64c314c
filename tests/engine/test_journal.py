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

Append = Callable[..., None]

_INTERNAL = Refused("internal", str(internal()))


class _Talk(Entry):
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
    journal = Journal(store.commit, newest_id=0)
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


@pytest.fixture
def say(journal: Journal, room) -> Append:
    """Return what appends things said to the journal."""

    def append(session: Session, *bodies: str) -> None:
        for body in bodies:
            said = Said(room.name, session.speaker.name, body, at=0)
            journal.append(_Talk(session, room, said))

    return append


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
def test_order(journal: Journal, say: Append, alice: Session, bob: Session) -> None:
    for number in range(50):
        say((alice, bob)[number % 2], str(number))
    journal.settle(alice)
    journal.settle(bob)
    said = [line.split()[-1] for line in _lines(alice)]
    assert said == [str(number) for number in range(50)]
    assert _lines(bob) == _lines(alice)


# Nothing is shown while it is being committed; then it is, under the id at which it is stored.
def test_nothing_is_shown_before_it_is_stored(journal, store, say, room, alice, bob) -> None:
    store.hold()
    said = Said(room.name, "alice", "hello", at=0)
    journal.append(_Talk(alice, room, said))
    store.begun.wait()
    assert store.batches == [["hello"]]
    assert alice.client.sent == bob.client.sent == []
    assert journal.newest_id == 0
    store.is_open.set()
    journal.settle(alice)
    assert alice.client.sent == bob.client.sent == [b"Said alice hello\n"]
    assert said.id == journal.newest_id == 1


# What comes while a batch is being committed is the next batch, and one send a reader.
def test_what_comes_meanwhile_is_the_next_batch(journal, store, say, alice, bob) -> None:
    store.hold()
    say(alice, "first")
    store.begun.wait()
    say(alice, "second", "third")
    say(bob, "fourth")
    store.is_open.set()
    journal.settle(bob)
    assert store.batches == [["first"], ["second", "third", "fourth"]]
    assert len(alice.client.sent) == len(bob.client.sent) == 2


# Who waits for each answer and talks alone is not let wait for others: there are none. As soon as
# somebody else talks too, a batch waits for more. So it is on a machine of any age.
@pytest.mark.parametrize("age_seconds", [1, 365 * 86_400])
def test_a_dialogue_does_not_linger(journal, store, slept, say, alice, bob, age_seconds) -> None:
    store.now, store.seconds = age_seconds, 0.001
    for session, lingers in [(alice, 0), (alice, 0), (alice, 0), (bob, 1), (bob, 1), (alice, 2)]:
        say(session, "hello")
        journal.settle(session)
        assert len(slept) == lingers


# It waits for more until three times as long has passed as the last batch took, but not for long.
@pytest.mark.parametrize(
    ("seconds", "waits"), [(0.0, []), (0.001, [0.002]), (0.004, [0.006]), (0.02, [])]
)
def test_the_interval_follows_the_batch(
    journal, store, slept, say, alice, bob, seconds: float, waits: list[float]
) -> None:
    store.seconds = seconds
    for session in (alice, bob):
        say(session, "hello")
        journal.settle(session)
    assert [each + module.READ_SECONDS for each in slept] == pytest.approx(waits)


# A batch has a bounded number of messages.
def test_batches_are_bounded(journal, store, say, alice, monkeypatch) -> None:
    monkeypatch.setattr(module, "BATCH_ENTRIES_MAX", 3)
    say(alice, *map(str, range(7)))
    journal.settle(alice)
    assert [len(batch) for batch in store.batches] == [3, 3, 1]


# A batch has a bounded size: it is full when it reaches it.
def test_batches_are_bounded_in_bytes(journal, store, say, alice, monkeypatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES_MAX", 10)
    say(alice, "12345", "12345", "123456789", "1234567890123", "1")
    journal.settle(alice)
    assert [len(batch) for batch in store.batches] == [2, 2, 1]


# What could not be stored is shown to nobody, and each sender is told once how much it was.
def test_a_failed_commit(journal, store, say, alice, bob) -> None:
    store.refusal = NotStored("not stored: the disk is full")
    say(alice, "lost", "lost, too")
    say(bob, "lost as well")
    journal.settle(alice)
    journal.settle(bob)
    assert journal.is_failing
    assert alice.client.shown == [Refused("not_stored", "2 messages not stored: the disk is full")]
    assert bob.client.shown == [Refused("not_stored", "not stored: the disk is full")]
    assert _lines(alice) == _lines(bob) == ["Refused!"]
    assert journal.newest_id == 0


# When it can be stored again, it goes on, and what was lost stays lost.
def test_after_a_failed_commit(journal, store, say, alice, bob) -> None:
    store.refusal = NotStored("not stored: the disk is full")
    say(alice, "lost")
    journal.settle(alice)
    store.refusal = None
    say(alice, "kept")
    journal.settle(alice)
    assert not journal.is_failing
    assert _lines(bob) == ["Said alice kept"]
    assert journal.newest_id == 1


# When it can be stored again, it sees so by itself, though nobody says anything.
def test_sees_that_it_can_store_again(journal, store, say, alice, monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    store.refusal = NotStored("not stored: the disk is full")
    say(alice, "lost")
    journal.settle(alice)
    store.begun.clear()
    store.begun.wait()
    assert journal.is_failing
    store.refusal = None
    with gevent.Timeout(WAIT_SECONDS_MAX):
        while journal.is_failing:
            gevent.sleep(0.01)
    assert store.batches[:2] == [["lost"], []]
    assert len(alice.client.shown) == 1


# It does so even where people come and go all the time, which asks nothing of the database.
def test_sees_it_among_what_is_not_stored(journal, store, say, room, alice, monkeypatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.1)
    store.refusal = NotStored("not stored: the disk is full")
    say(alice, "lost")
    journal.settle(alice)
    store.refusal = None
    with gevent.Timeout(WAIT_SECONDS_MAX):
        while journal.is_failing:
            journal.append(_Talk(alice, room, Joined(room.name, "carol")))
            journal.settle(alice)
            gevent.sleep(0.001)
    assert store.batches == [["lost"], []]


# What need not be stored happens even so, in its place among what could not be stored.
def test_what_is_not_stored_is_shown_all_the_same(journal, store, say, room, alice, bob) -> None:
    store.refusal = NotStored("not stored: the disk is full")
    say(alice, "lost")
    journal.append(_Talk(alice, room, Joined(room.name, "carol")))
    journal.settle(alice)
    assert _lines(bob) == ["Joined carol"]
    assert store.batches == [["lost"]]


# What need not be stored asks nothing of the database.
def test_no_empty_commit(journal, store, room, alice, bob) -> None:
    journal.append(_Talk(alice, room, Joined(room.name, "carol")))
    journal.settle(alice)
    assert _lines(bob) == ["Joined carol"]
    assert store.batches == []


# What happens without a session's doing needs none to be told of it.
def test_entries_without_a_sender(journal, store, say, room, alice, bob) -> None:
    store.refusal = NotStored("not stored: the disk is full")
    journal.append(_Talk(None, room, Said(room.name, "carol", "lost", at=0)))
    journal.append(_Talk(None, room, Joined(room.name, "carol")))
    say(alice, "lost")
    journal.settle(alice)
    assert _lines(bob) == ["Joined carol"]


# A bug in one commit costs what was to be stored, and its senders are told; the rest goes on.
def test_a_bug_costs_its_batch(journal, store, say, room, alice, bob) -> None:
    store.refusal = ZeroDivisionError("a bug")
    say(alice, "unlucky")
    journal.note_seen(bob.user.id, 7)
    journal.append(_Talk(bob, room, Joined(room.name, "bob")))
    written = _Written(alice)
    journal.append(written)
    journal.settle(alice)
    assert alice.client.shown == [_INTERNAL]
    assert written.refusal.code == "internal"
    store.refusal = None
    say(alice, "lucky")
    journal.settle(alice)
    assert _lines(bob) == ["Joined bob", "Said alice lucky"]
    assert store.seen == {}


class _Faulty(_Talk):
    """Something said that can't be shown."""

    def release(self, delivery: Delivery) -> None:
        raise ZeroDivisionError("hush")


# A release that fails costs its own entry: the others of the batch are shown, its sender is told,
# and the log has what kind of fault it was, not what was said.
def test_a_fault_costs_its_entry(journal, store, say, room, alice, bob, capsys) -> None:
    store.hold()
    say(alice, "first")
    journal.append(_Faulty(bob, room, Said(room.name, "bob", "hush", at=0)))
    say(alice, "last")
    store.is_open.set()
    journal.settle(alice)
    journal.settle(bob)
    assert _lines(alice) == ["Said alice first", "Said alice last"]
    assert bob.client.shown == [_INTERNAL]
    logged = capsys.readouterr()
    logged = logged.out + logged.err
    assert logged.count("ZeroDivisionError") == 1
    assert "hush" not in logged


# When the journal is full its senders wait, until a batch was taken from it.
@pytest.mark.parametrize(("what", "most"), [("ENTRIES", 3), ("BYTES", 3 * len("waiting"))])
def test_senders_wait_when_it_is_full(journal, store, say, alice, monkeypatch, what, most) -> None:
    monkeypatch.setattr(module, f"JOURNAL_{what}_MAX", most)
    monkeypatch.setattr(module, f"BATCH_{what}_MAX", 1)
    store.hold()
    say(alice, "first")
    store.begun.wait()
    say(alice, "waiting", "waiting")
    journal.wait_for_room()  # there is room for one
    say(alice, "waiting")
    sender = _waits(journal.wait_for_room)
    store.is_open.set()
    sender.get()
    journal.settle(alice)
    journal.wait_for_room()


# To settle is to wait until all that a session caused was released and sent, and only its own.
def test_settle(journal, store, say, alice, bob) -> None:
    store.hold()
    say(alice, "one", "two")
    journal.settle(bob)  # who has done nothing
    settling = _waits(lambda: journal.settle(alice))
    store.is_open.set()
    settling.get()
    assert _lines(bob) == ["Said alice one", "Said alice two"]
    journal.settle(alice)


# A session that settles is not kept by what others do after it.
def test_settle_waits_for_nobody_else(journal, store, say, alice, bob) -> None:
    store.hold()
    say(alice, "mine")
    store.begun.wait()
    say(bob, "next")
    settling = _waits(lambda: journal.settle(alice))
    store.begun.clear()
    store.is_open.set()
    settling.get()
    assert "Said alice mine" in _lines(bob)


# To finish is to take nothing more, and to wait until all that was taken is released.
def test_finish(journal, store, say, alice, bob) -> None:
    store.hold()
    say(alice, "one")
    store.begun.wait()
    say(alice, "two")
    finishing = _waits(journal.finish)
    with pytest.raises(Unavailable, match="not stored: the server is shutting down") as refused:
        journal.wait_for_room()
    assert refused.value.code == "shutting_down"
    store.is_open.set()
    finishing.get()
    assert _lines(bob) == ["Said alice one", "Said alice two"]


# Who waits for room when the server shuts down is refused: what they had is not stored.
def test_finish_refuses_who_waits(journal, store, say, alice, monkeypatch) -> None:
    for limit in ("JOURNAL_ENTRIES_MAX", "BATCH_ENTRIES_MAX"):
        monkeypatch.setattr(module, limit, 1)
    store.hold()
    say(alice, "first")
    store.begun.wait()
    say(alice, "second")
    sender = _waits(journal.wait_for_room)
    finishing = _waits(journal.finish)
    store.is_open.set()
    finishing.get()
    with pytest.raises(Unavailable, match="the server is shutting down"):
        sender.get()
    assert store.batches == [["first"], ["second"]]


# A journal that has nothing to do is finished at once, and after a failure as well.
def test_finish_when_idle(journal, store, say, alice) -> None:
    store.refusal = NotStored("not stored: the disk is full")
    say(alice, "lost")
    journal.note_seen(7, 70)
    journal.finish()
    journal.finish()
    assert alice.client.shown


# Up to where a user was shown private messages is stored with a batch, or with one of its own.
def test_seen(journal, store, say, alice) -> None:
    say(alice, "hello")
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
def test_seen_after_a_failed_commit(journal, store, say, alice) -> None:
    store.refusal = NotStored("not stored: the disk is full")
    journal.note_seen(7, 70)
    say(alice, "lost")
    journal.settle(alice)
    assert (journal.seen_id(7), store.seen) == (70, {})
    store.refusal = None
    say(alice, "kept")
    journal.settle(alice)
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


# What is written with messages is written with those before it, and with none that come after.
def test_what_is_written_ends_its_batch(journal, store, say, alice, bob) -> None:
    store.hold()
    say(alice, "1")
    store.begun.wait()
    say(alice, "2", "3")
    journal.append(_Written(bob))
    say(alice, "4")
    store.is_open.set()
    journal.settle(alice)
    assert store.batches == [["1"], ["2", "3", "(written)"], ["4"]]
    assert _lines(bob)[-3:] == ["Said alice 3", "Ponged!", "Said alice 4"]


# What could not be written has not happened, and whoever waits for it learns why.
def test_what_could_not_be_written(journal, store, say, alice, bob) -> None:
    store.refusal = NotStored("not stored: the disk is full")
    entry = _Written(bob)
    journal.append(entry)
    journal.settle(bob)
    assert entry.refusal is store.refusal
    store.refusal = None
    say(alice, "hello")
    journal.settle(alice)
    assert _lines(bob) == ["Said alice hello"]
