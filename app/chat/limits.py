"""Token buckets: how fast something may happen. Time is an argument, in seconds of any clock."""

from collections import OrderedDict
from weakref import WeakSet

from app import metrics
from app.settings import THROTTLED_KEYS_MAX


class TokenBucket:
    """Holds up to `burst` tokens and gains `rate` a second; each act takes one."""

    __slots__ = ("burst", "filled_at", "rate", "tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self.tokens = burst
        self.filled_at = now

    def wait_seconds(self, now: float) -> float:
        """Return how long to wait until there is a token; 0 when there is one."""
        self.tokens = min(self.burst, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        return max(0.0, (1 - self.tokens) / self.rate)

    def take(self, now: float) -> float:
        """Take a token, on credit if need be, and return how long to wait before acting."""
        seconds = self.wait_seconds(now)
        self.tokens -= 1
        return seconds


class Throttle:
    """Counts acts by key (an address, a name) and says when they are too many.

    It remembers a bounded number of keys and forgets the one that was quiet for longest.
    """

    def __init__(self, acts_max: int, seconds: int) -> None:
        """Allow so many acts in so many seconds, for each key; 0 allows any number."""
        self._acts_max = acts_max
        self._seconds = seconds
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        _throttles.add(self)

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._buckets)

    def wait_seconds(self, key: str, now: float) -> float:
        """Return how long this key must wait before its next act; 0 when it need not."""
        bucket = self._buckets.get(key)
        return bucket.wait_seconds(now) if bucket else 0.0

    def take(self, key: str, now: float) -> bool:
        """Count an act against the key, unless it must wait; whether it need not."""
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
        self._buckets.move_to_end(key)
        bucket.take(now)
        if len(self._buckets) > THROTTLED_KEYS_MAX:
            self._buckets.popitem(last=False)


_throttles = WeakSet[Throttle]()
metrics.show_kept("throttled_keys", lambda: sum(map(len, _throttles)))
