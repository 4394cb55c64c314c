"""The newest messages of live rooms, in memory.

Each room has a bounded number of them, and no more text than is shown at once. All rooms together
have a bound of memory: text takes up to four bytes a character there, and there may be many rooms.
The room that was unused for longest gives up its messages first. They are read again when a session
enters it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from sys import getsizeof
from typing import TYPE_CHECKING

from app.bounds import RECENT_BYTES_MAX, REPLAY_BYTES_MAX
from app.protocol import talk

if TYPE_CHECKING:
    from app.protocol.talk import Message

# The memory of a message besides its text: objects, and names that it shares with no other.
_MESSAGE_BYTES = 512
_ENCRYPTED_MESSAGE_BYTES = 1_536
_UNCOUNTED_SHARE_BITS = 10  # a room grows by a thousandth of the bound before it is counted again


def first_that_fit(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the first messages that may be shown at once. One at least."""
    sizes = accumulate(said.size_bytes for said in messages)
    count = sum(size <= REPLAY_BYTES_MAX for size in sizes)
    return messages[: max(1, count)]


def newest_that_fit(messages: Sequence[Message]) -> Sequence[Message]:
    """Return the last messages that may be shown at once. One at least."""
    return first_that_fit(messages[::-1])[::-1]


class Recent:
    """A room's newest messages, oldest first; one at least, if the room has any.

    After they were given up, there are only those that came since.
    """

    __slots__ = (
        "_after_id",
        "_messages",
        "_shelf",
        "_sizes",
        "_text_bytes",
        "count_max",
        "counted_bytes",
        "is_given_up",
        "memory_bytes",
    )

    is_given_up: bool
    memory_bytes: int
    _after_id: int  # every message after it is here
    _messages: deque[Message]
    _sizes: deque[tuple[int, int]]  # of each: bytes of text, and of memory
    _text_bytes: int

    def __init__(self, count_max: int, messages: Iterable[Message] = ()) -> None:
        """Keep at most `count_max` messages. Those given are all of the room, or too many."""
        self.count_max = count_max
        self._shelf: Shelf | None = None
        self.counted_bytes = 0  # of memory, by the shelf
        self.replace(messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    @property
    def last_id(self) -> int:
        """The id of the newest message; 0 when there was none."""
        return self._messages[-1].id if self._messages else self._after_id

    def append(self, said: Message) -> None:
        """Keep one more message, dropping the oldest beyond the bounds."""
        text_bytes, memory_bytes = said.size_bytes, _memory_bytes(said)
        self._messages.append(said)
        self._sizes.append((text_bytes, memory_bytes))
        self._text_bytes += text_bytes
        self.memory_bytes += memory_bytes
        while len(self._messages) > self.count_max or (
            self._text_bytes > REPLAY_BYTES_MAX and len(self._messages) > 1
        ):
            self._after_id = self._messages.popleft().id
            text_bytes, memory_bytes = self._sizes.popleft()
            self._text_bytes -= text_bytes
            self.memory_bytes -= memory_bytes
        shelf = self._shelf
        if shelf is not None and (
            shelf.last is not self
            or self.memory_bytes - self.counted_bytes > RECENT_BYTES_MAX >> _UNCOUNTED_SHARE_BITS
        ):
            shelf.note(self)

    def has_all_since(self, message_id: int) -> bool:
        """Whether every later message of the room is here."""
        return self._after_id <= message_id

    def keeps_all_since(self, message_id: int) -> bool:
        """Whether they will still be here after as many again."""
        since = zip(self._messages, self._sizes, strict=True)
        texts = [text_bytes for said, (text_bytes, _) in since if said.id > message_id]
        has_room = len(texts) <= self.count_max // 2 and sum(texts) <= REPLAY_BYTES_MAX // 2
        return has_room and self.has_all_since(message_id)

    def replace(self, messages: Iterable[Message]) -> None:
        """Keep these messages instead. They are all of the room, or too many."""
        self._clear(after_id=0)
        for said in messages:
            self.append(said)

    def forget_before(self, said_at: int) -> None:
        """Drop messages said before a time, in milliseconds UTC: they are removed for good."""
        kept = [said for said in self._messages if said.at >= said_at]
        if len(kept) < len(self._messages):
            self.replace(kept)

    def rename(self, name: str) -> None:
        """Put the messages into a room of another name. Copies given out stay unchanged."""
        self._messages = deque(replace(said, room=name) for said in self._messages)

    def give_up(self) -> None:
        """Drop all messages: a session that enters has them read again."""
        self._clear(after_id=self.last_id)
        self.is_given_up = True

    def _clear(self, after_id: int) -> None:
        self._messages, self._sizes = deque(), deque()
        self._text_bytes = self.memory_bytes = 0
        self._after_id = after_id
        self.is_given_up = False

    def put_on(self, shelf: Shelf | None) -> None:
        """Count on a shelf from now on; None: on no shelf."""
        if self._shelf is not None:
            self._shelf.remove(self)
        self._shelf = shelf
        if shelf is not None:
            shelf.note(self)


class Shelf:
    """The messages of all live rooms: within a bound of memory, or those of one room.

    The `last` room that was used may grow a little before it is counted again: many messages in a
    row are said in one room.
    """

    def __init__(self) -> None:
        self.last: Recent | None = None
        self._rooms: OrderedDict[Recent, None] = OrderedDict()  # the most recently used is last
        self._counted_bytes = 0

    @property
    def memory_bytes(self) -> int:
        """The bytes of memory that they take now."""
        self._count(self.last)
        return self._counted_bytes

    def note(self, recent: Recent) -> None:
        """Count a room's messages, and its use; others may have to give theirs up."""
        if recent is not self.last:
            self._count(self.last)
            self._rooms[recent] = None
            self._rooms.move_to_end(recent)
            self.last = recent
        self._count(recent)
        while self._counted_bytes > RECENT_BYTES_MAX and len(self._rooms) > 1:
            oldest, _ = self._rooms.popitem(last=False)
            self._forget(oldest)
            oldest.give_up()

    def remove(self, recent: Recent) -> None:
        """Stop counting a room."""
        self._rooms.pop(recent, None)
        self._forget(recent)

    def _count(self, recent: Recent | None) -> None:
        if recent is not None:
            self._counted_bytes += recent.memory_bytes - recent.counted_bytes
            recent.counted_bytes = recent.memory_bytes

    def _forget(self, recent: Recent) -> None:
        self._counted_bytes -= recent.counted_bytes
        recent.counted_bytes = 0
        if recent is self.last:
            self.last = None


def _memory_bytes(said: Message) -> int:
    """Return a message's bytes of memory, more or less."""
    if isinstance(said, talk.SaidEncrypted):
        return getsizeof(said.enc.ct) + _ENCRYPTED_MESSAGE_BYTES
    return getsizeof(said.body) + _MESSAGE_BYTES
