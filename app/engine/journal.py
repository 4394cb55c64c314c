"""The journal: orders events, commits them in batches, and only then releases them.

It promises:
  1. Every event that members of a room see passes through here: one queue, one order.
  2. A message is released after the transaction that holds it was committed, never before.
  3. While a batch is being committed, new entries form the next one.
  4. When a batch can't be committed, its senders are told, and no client is shown its messages.
     Entries without a message (joined, left) are released all the same, and the journal goes on.
  5. A decision, like a ban or the end of a purge, is written together with the messages before it,
     and no message of its batch is behind it: it is about all earlier events, and about no later
     one. Messages behind it that were allowed before it took effect are looked at again. However
     many decisions wait, a message waits for those of one batch.
  6. It holds a bounded number of messages; senders wait beyond it, and so does their TCP.
  7. After a commit that failed it finds out by itself when messages can be stored again: a load
     balancer may keep clients away until then.

An idle journal commits at once, and so does one with a single sender who waits for each answer. A
busy one starts a batch when three times the duration of the last one has passed, or some
milliseconds. The more there is to do, the bigger the batches and the cheaper each delivery. Where
there is little to do, no client waits long, and no decision waits anywhere.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

import gevent
import structlog
from gevent.event import Event as Signal
from sqlalchemy.exc import SQLAlchemyError

from app.bounds import (
    BATCH_BYTES_MAX,
    BATCH_ENTRIES_MAX,
    BATCH_INTERVAL_FACTOR,
    BATCH_INTERVAL_SECONDS_MAX,
    JOURNAL_BYTES_MAX,
    JOURNAL_ENTRIES_MAX,
    READ_SECONDS,
    RETRY_SECONDS,
    WRITES_TOGETHER_MAX,
)
from app.database.database import run_alone
from app.engine.delivery import Delivery
from app.errors import NotStored, Refusal, Unavailable, internal
from app.log import failure
from app.measures import metrics
from app.protocol import server, talk

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from app.engine.ledger import Ledger
    from app.engine.presence import Session
    from app.queries.messages import NewMessage

log = structlog.get_logger()


class Entry:
    """One event on its way through the journal.

    `sender` is the session that caused it, or None; `message` is the row to store, or None.
    """

    __slots__ = ("arrived_at", "message", "rules_rev", "sender", "tag")

    arrived_at: float  # in seconds of time.monotonic; set by the journal
    rules_rev: int  # the journal's when it was allowed; set by the journal

    def __init__(self, sender: Session | None, message: NewMessage | None = None) -> None:
        self.sender = sender
        self.message = message
        self.tag = sender.tag if sender is not None else ""

    def check_again(self) -> None:
        """Raise Refusal when decisions since it was allowed forbid it. Never switches."""

    def note_id(self, message_id: int, *, is_new: bool) -> None:
        """Learn the id of the stored message; `is_new` unless it was stored before."""

    def release(self, delivery: Delivery) -> None:
        """Take effect: change the readers of rooms, and give the delivery its events."""
        raise NotImplementedError

    def fail(self, refusal: Refusal) -> None:
        """Tell the sender of a failed release; undo earlier steps."""
        self._answer(refusal, tag="")

    def _answer(self, refusal: Refusal, tag: str) -> None:
        if self.sender is not None:
            metrics.REFUSALS.labels(refusal.code).inc()
            self.sender.client.show(server.Refused.of(refusal, tag))


class SaidEntry(Entry):
    """A message that is stored, then shown as `said` if it is new."""

    __slots__ = ("is_new", "said")

    sender: Session
    message: NewMessage

    def __init__(
        self, sender: Session, message: NewMessage, said: talk.Message | talk.PrivateMessage
    ) -> None:
        super().__init__(sender, message)
        self.said = said
        self.is_new = True

    def note_id(self, message_id: int, *, is_new: bool) -> None:
        """See Entry."""
        self.said.id = message_id
        self.is_new = is_new

    def fail(self, refusal: Refusal) -> None:
        """See Entry."""
        self._answer(refusal, self.tag)


class Awaited(Entry):
    """An entry for whose release somebody waits. If it is refused, `refusal` says why."""

    __slots__ = ("is_settled", "refusal")

    def __init__(self, sender: Session | None) -> None:
        super().__init__(sender)
        self.refusal: Refusal | None = None
        self.is_settled = Signal()

    def fail(self, refusal: Refusal) -> None:
        """See Entry. Its sender waits, and is given it."""
        self.refusal = refusal

    def wait(self) -> None:
        """Wait until it was released and shown. Switches. Raises its refusal."""
        self.is_settled.wait()
        if self.refusal is not None:
            raise self.refusal


class WrittenEntry(Awaited):
    """An entry written in the transaction of the messages before it."""

    __slots__ = ()

    def attempt(self, connection: Connection) -> None:
        """Write it, or note the refusal. The messages before it are stored anyway.

        Raises SQLAlchemyError when a full or sick disk had SQLite undo all of the transaction.
        """
        try:
            run_alone(connection, self.write)
        except Refusal as refusal:
            self.refusal = refusal
        except SQLAlchemyError:
            raise
        except Exception as error:  # noqa: BLE001 (a fault of its own costs it alone)
            failure("an entry was not written", error, kind=type(self).__name__)
            self.refusal = internal()

    def write(self, connection: Connection) -> None:
        """Write it, in the writer's thread. If it raises, its own writes are undone."""
        raise NotImplementedError


class Journal:
    """See the promises at the top of this file."""

    def __init__(self, ledger: Ledger) -> None:
        self.removals = 0  # how often messages were removed that a client may have read
        self.rules_rev = 0  # rises with each decision that took effect
        self.is_failing = False  # whether the last commit failed
        self._is_finishing = False
        self._ledger = ledger
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        self._decisions: deque[WrittenEntry] = deque()
        self._seen: dict[int, int] = {}
        self._has_work = Signal()
        self._has_room = Signal()
        self._has_room.set()
        self._is_idle = Signal()
        self._is_idle.set()
        self._started_at = -inf  # a young machine's clock is near 0: that is not long ago
        self._batch_seconds = 0.0  # the duration of the last batch, until it was sent
        self._retry_at = -inf  # while it is failing
        self._partner: Session | None = None  # the sender of the last batch, if it had one entry

    def wait_for_room(self) -> None:
        """Wait while the journal is full. Switches, if it is. Raises Unavailable at shutdown."""
        self._has_room.wait()
        if self._is_finishing:
            raise Unavailable("not stored: the server is shutting down", code="shutting_down")

    def append(self, entry: Entry) -> None:
        """Append an entry to the queue. Never switches. Before a message, call wait_for_room."""
        if entry.sender is not None:
            entry.sender.unreleased += 1
        entry.arrived_at = time.monotonic()
        entry.rules_rev = self.rules_rev
        if isinstance(entry, WrittenEntry):
            self._decisions.append(entry)
        else:
            self._queue.append(entry)
        if entry.message is not None:
            self._queued_bytes += len(entry.message.body)
        if self._is_full:
            self._has_room.clear()
        self._wake()

    def carry(self, entry: Awaited) -> None:
        """Append an entry, and wait until it was released. Switches. Raises its refusal."""
        self.append(entry)
        entry.wait()

    @property
    def _has_full_batch(self) -> bool:
        return len(self._queue) >= BATCH_ENTRIES_MAX or self._queued_bytes >= BATCH_BYTES_MAX

    @property
    def _is_in_dialogue(self) -> bool:
        """Whether one sender alone talks, an entry at a time."""
        return len(self._queue) == 1 and self._queue[0].sender is self._partner is not None

    @property
    def _is_full(self) -> bool:
        return len(self._queue) >= JOURNAL_ENTRIES_MAX or self._queued_bytes >= JOURNAL_BYTES_MAX

    @property
    def waiting_entries(self) -> int:
        """The number of entries that wait to be committed."""
        return len(self._queue) + len(self._decisions)

    @property
    def waiting_bytes(self) -> int:
        """The bytes of messages that wait to be committed."""
        return self._queued_bytes

    def note_seen(self, user_id: int, message_id: int) -> None:
        """Have the next batch store a user's newest shown message id.

        If a bug costs that batch, the messages are shown again.
        """
        self._seen[user_id] = max(message_id, self.seen_id(user_id))
        self._wake()

    def seen_id(self, user_id: int) -> int:
        """Return a user's noted id that is not stored yet; 0 for none."""
        return self._seen.get(user_id, 0)

    def _wake(self) -> None:
        self._is_idle.clear()
        self._has_work.set()

    def settle(self, session: Session) -> None:
        """Wait until a session's entries were released and sent. Switches, if need be."""
        if session.unreleased:
            session.settled = Signal()
            session.settled.wait()
            session.settled = None

    def finish(self) -> None:
        """Take no further messages; wait until all entries are released. Switches."""
        self._is_finishing = True
        self._is_idle.wait()

    def run(self) -> None:
        """Work for ever, in a greenlet of its own. Switches."""
        while True:
            has_work = self._wait_for_work()
            batch = self._take()
            try:
                if has_work:
                    self._commit_and_release(batch)
            except Exception:  # a bug must cost its batch, not the chat of all
                log.exception("a batch was not released whole", entries=len(batch))
                for entry in batch:
                    if isinstance(entry, Awaited) and entry.refusal is None:
                        entry.refusal = internal()
            _settle_senders(batch)
            if self.is_failing and time.monotonic() >= self._retry_at:
                self._try_again()
            if not self.waiting_entries and (not self._seen or self.is_failing):
                self._has_work.clear()
                self._is_idle.set()

    def _wait_for_work(self) -> bool:
        """Wait for work; return whether there is any, or only a retry is due. Switches."""
        seconds = max(0.0, self._retry_at - time.monotonic()) if self.is_failing else None
        self._has_work.wait(seconds)
        has_work = self._has_work.is_set()  # it may be, although the time was up
        if has_work:
            self._linger()
        return has_work

    def _linger(self) -> None:
        """Wait until a batch is worth taking. Switches.

        Most of the wait stops the whole process, on purpose. Lines that arrive in it are read in
        one go, which costs a third less than a wake-up for each line.
        """
        interval = min(BATCH_INTERVAL_SECONDS_MAX, BATCH_INTERVAL_FACTOR * self._batch_seconds)
        seconds = self._started_at + interval - time.monotonic()
        if seconds > 0 and not (self._has_full_batch or self._is_in_dialogue or self._decisions):
            time.sleep(max(0.0, seconds - READ_SECONDS))
            gevent.sleep(min(seconds, READ_SECONDS))
        self._started_at = time.monotonic()

    def _take(self) -> list[Entry]:
        batch: list[Entry] = []
        queue, batch_bytes = self._queue, 0
        while queue and len(batch) < BATCH_ENTRIES_MAX and batch_bytes < BATCH_BYTES_MAX:
            entry = queue.popleft()
            if entry.message is not None:
                self._queued_bytes -= len(entry.message.body)
            if entry.rules_rev != self.rules_rev and not _is_still_allowed(entry):
                continue
            batch.append(entry)
            if entry.message is not None:
                batch_bytes += len(entry.message.body)
        decided = min(WRITES_TOGETHER_MAX, len(self._decisions))  # however many messages there are
        batch += [self._decisions.popleft() for _ in range(decided)]
        self._partner = batch[0].sender if len(batch) == 1 else None
        if not self._is_full:
            self._has_room.set()
        return batch

    def _commit_and_release(self, batch: list[Entry]) -> None:
        delivery = Delivery()
        released = self._store(batch)
        for entry in released:
            try:
                entry.release(delivery)
            except Refusal as refusal:
                _refuse(entry, refusal)
            except Exception as error:  # noqa: BLE001 (it costs this entry alone)
                failure("an entry was not released", error, kind=type(entry).__name__)
                _refuse(entry, internal())
            self.rules_rev += isinstance(entry, WrittenEntry)
        delivery.send()
        self._batch_seconds = time.monotonic() - self._started_at
        if released:
            metrics.BATCH_ENTRIES.observe(len(released))
            metrics.DELIVERY.observe(time.monotonic() - released[0].arrived_at)

    def _try_again(self) -> None:
        """Try whether messages can be stored again, without one. Switches."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        try:
            self._ledger.try_storing()
        except NotStored:
            return  # still not: the log has it from the first failure
        except Exception:
            log.exception("can't try to store")
            return
        self._note_stored()
        if self._seen:
            self._wake()

    def _note_stored(self) -> None:
        if self.is_failing:
            log.info("messages can be stored again")
        self.is_failing = False

    def _note_not_stored(self, count: int, error: Exception) -> Refusal:
        """Note that messages were not stored; return their senders' refusal."""
        metrics.NOT_STORED.inc(count)
        if not isinstance(error, NotStored):
            failure("a batch was not stored", error, messages=count)
            self._seen.clear()  # else these ids alone would be the next batch, for ever
            return internal()
        log.warning("messages not stored", count=count, reason=str(error))
        self.is_failing = True
        self._retry_at = time.monotonic() + RETRY_SECONDS
        return error

    def _store(self, batch: list[Entry]) -> Sequence[Entry]:
        """Commit the messages, decisions and ids of a batch; return its entries to be released.

        Decisions for which there was no time are no longer in the batch: they are the next one.
        """
        stored = [entry for entry in batch if entry.message is not None]
        written = [entry for entry in batch if isinstance(entry, WrittenEntry)]
        seen = dict(self._seen)
        if not stored and not seen and not written:
            return batch
        messages = [entry.message for entry in stored if entry.message]
        try:
            done = self._ledger.append(messages, seen, [entry.attempt for entry in written])
        except Exception as error:  # noqa: BLE001 (entries without a message are released anyway)
            refusal = self._note_not_stored(len(stored), error)
            _tell_senders(stored, refusal)
            for each in written:
                each.refusal = refusal
            return [each for each in batch if each.message is None and each not in written]
        self._note_stored()
        for place, (entry, message_id) in enumerate(zip(stored, done.ids, strict=True)):
            entry.note_id(message_id, is_new=place not in done.old)
        metrics.MESSAGES.inc(len(stored) - len(done.old))
        for user_id, message_id in seen.items():
            if self._seen[user_id] == message_id:
                del self._seen[user_id]
        if late := written[done.written :]:
            self._decisions.extendleft(reversed(late))
            del batch[-len(late) :]
        return [each for each in batch if not (isinstance(each, WrittenEntry) and each.refusal)]


def _is_still_allowed(entry: Entry) -> bool:
    """Whether decisions since it came to the queue allow an entry; else its sender is told."""
    try:
        entry.check_again()
    except Refusal as refusal:
        _refuse(entry, refusal)
    except Exception as error:  # noqa: BLE001 (it costs this entry alone)
        failure("an entry could not be looked at again", error, kind=type(entry).__name__)
        _refuse(entry, internal())
    else:
        return True
    _settle_senders((entry,))
    return False


def _refuse(entry: Entry, refusal: Refusal) -> None:
    """Tell an entry's sender that it is refused."""
    try:
        entry.fail(refusal)
    except Exception as error:  # noqa: BLE001 (the others are released all the same)
        failure("nobody was told that an entry was refused", error)


def _tell_senders(entries: Sequence[Entry], refusal: Refusal) -> None:
    """Tell each sender that their messages were lost: by tag, or once with their number."""
    tags: defaultdict[Session, list[str]] = defaultdict(list)
    for entry in entries:
        if entry.sender is not None:
            tags[entry.sender].append(entry.tag)
    for sender, lost in tags.items():
        metrics.REFUSALS.labels(refusal.code).inc()
        if lost[0]:
            sender.client.show(*(server.Refused.of(refusal, tag) for tag in lost))
        else:
            is_counted = len(lost) > 1 and isinstance(refusal, NotStored)
            number = f"{len(lost)} messages " if is_counted else ""
            sender.client.show(server.Refused(refusal.code, f"{number}{refusal}"))


def _settle_senders(batch: Sequence[Entry]) -> None:
    for entry in batch:
        sender = entry.sender
        if sender is not None:
            sender.unreleased -= 1
            if not sender.unreleased and sender.settled:
                sender.settled.set()
        if isinstance(entry, Awaited):
            entry.is_settled.set()
