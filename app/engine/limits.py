"""Limits: of the rate of acts, and of what each user holds.

Time is an argument, in seconds of any clock.
"""

from collections.abc import Hashable
from heapq import heappop, heappush, heapreplace
from typing import Generic, TypeVar
from weakref import WeakSet

from app.bounds import THROTTLE_STEPS_MAX, THROTTLED_KEYS_MAX
from app.errors import Unavailable
from app.measures import metrics


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate` a second; each act takes one."""

    __slots__ = ("burst", "filled_at", "rate", "tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self.filled_at = now

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until there is a token; 0 when there is one."""
        self.tokens = min(self.burst, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        return max(0.0, (1 - self.tokens) / self.rate)

    @property
    def full_at(self) -> float:
        """The time when it is full, unless a token is taken: then it can be forgotten."""
        return self.filled_at + (self.burst - self.tokens) / self.rate

    def take(self, now: float) -> float:
        """Take a token, on credit if need be; return the seconds to wait before acting."""
        seconds = self.wait_seconds(now)
        self.tokens -= 1
        return seconds


class LoginTime:
    """The time that a client has to log in: a longest silence, and a longest time in all."""

    __slots__ = ("_ends_at", "_line_at", "_silence_seconds")

    def __init__(self, silence_seconds: float, seconds: float, now: float) -> None:
        self._silence_seconds = silence_seconds
        self._line_at = now
        self._ends_at = now + max(seconds, silence_seconds)

    def note_line(self, now: float) -> None:
        """Count silence from now on."""
        self._line_at = now

    def left_seconds(self, now: float) -> float:
        """Return the seconds of silence that are left; 0 or less: it took too long."""
        return min(self._line_at + self._silence_seconds, self._ends_at) - now


class Throttle:
    """Counts acts by key (an address, a name), and limits them.

    It forgets a key when all of its acts are made up for. It remembers a bounded number of keys;
    beyond that it forgets the one that would be forgotten next. So a flood of new keys with one act
    each does not push out the key with most acts.
    """

    def __init__(self, acts_max: int, seconds: int) -> None:
        """Allow `acts_max` acts in `seconds`, for each key; 0 allows any number."""
        self._acts_max = acts_max
        self._seconds = seconds
        self._buckets: dict[str, TokenBucket] = {}
        self._next: list[tuple[float, str]] = []  # a heap: each key, not later than when it is full
        _throttles.add(self)

    def __len__(self) -> int:
        """Return the number of remembered keys."""
        return len(self._buckets)

    def wait_seconds(self, key: str, now: float) -> float:
        """Return the seconds until the key may act again; 0 when it may."""
        bucket = self._buckets.get(key)
        return bucket.wait_seconds(now) if bucket else 0.0

    def take(self, key: str, now: float) -> bool:
        """Count an act against the key, unless it must wait; return whether it was counted."""
        if self.wait_seconds(key, now) > 0:
            return False
        self.note(key, now)
        return True

    def note(self, key: str, now: float) -> None:
        """Count an act against the key."""
        if not self._acts_max:
            return
        bucket = self._buckets.get(key)
        if bucket is None:
            rate = self._acts_max / self._seconds
            bucket = self._buckets[key] = TokenBucket(rate, self._acts_max, now)
            bucket.take(now)
            heappush(self._next, (bucket.full_at, key))
        else:
            bucket.take(now)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """Forget keys that are made up for, and surplus ones.

        The heap has too early a time for a key that acted again. It is corrected when it is looked
        at: a few at a time, so that no act takes long.
        """
        for _ in range(THROTTLE_STEPS_MAX):
            full_at, key = self._next[0]
            is_full = len(self._buckets) > THROTTLED_KEYS_MAX
            if full_at > now and not is_full:
                return
            really_at = self._buckets[key].full_at
            if really_at > full_at:
                heapreplace(self._next, (really_at, key))
            else:
                self._drop_next()
                if not self._next:
                    return
        while len(self._buckets) > THROTTLED_KEYS_MAX:
            self._drop_next()

    def _drop_next(self) -> None:
        _, key = heappop(self._next)
        del self._buckets[key]


def rate_limited() -> Unavailable:
    """Return the refusal of a request that comes too often."""
    return Unavailable("you ask that too often; try again later", code="rate_limited")


Item = TypeVar("Item", bound=Hashable)


class Shares(Generic[Item]):
    """The items of each holder, oldest first; finds at once the holder with most."""

    def __init__(self) -> None:
        self._items: dict[int, dict[Item, None]] = {}
        self._by_count: dict[int, dict[int, None]] = {}  # the holders, by their number of items
        self._most = 0

    def of(self, holder: int) -> list[Item]:
        """Return the items of a holder, the oldest first."""
        return list(self._items.get(holder, ()))

    def add(self, holder: int, item: Item) -> None:
        """Give a holder an item."""
        items = self._items.setdefault(holder, {})
        items[item] = None
        self._move(holder, len(items) - 1, len(items))

    def remove(self, holder: int, item: Item) -> None:
        """Take an item from a holder, if they hold it."""
        items = self._items.get(holder, {})
        if item in items:
            del items[item]
            self._move(holder, len(items) + 1, len(items))
            if not items:
                del self._items[holder]

    def largest(self) -> list[Item]:
        """Return the items of the holder with most; of several, the one that has long had most."""
        holders = self._by_count.get(self._most)
        return self.of(next(iter(holders))) if holders else []

    def _move(self, holder: int, before: int, after: int) -> None:
        if before:
            del self._by_count[before][holder]
            if not self._by_count[before]:
                del self._by_count[before]
        if after:
            self._by_count.setdefault(after, {})[holder] = None
        self._most = max(self._most, after)
        if self._most not in self._by_count:
            self._most = after  # one less: of the holder that had most


_throttles = WeakSet[Throttle]()
metrics.show_kept("throttled_keys", lambda: sum(map(len, _throttles)))
