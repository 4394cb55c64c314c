"""Token buckets and the throttle of logins. Time is an argument, so no test waits."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.engine import limits
from app.engine.limits import LoginTime, Throttle, TokenBucket
from app.values.networks import origin

NOW = 1000.0


# A burst passes at once; after it, each act waits its turn at the rate. Silence saves up a burst,
# and no more; and to ask how long to wait costs nothing.
def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=10, burst=3, now=NOW)
    assert [bucket.wait_seconds(NOW) for _ in range(9)] == [0] * 9
    assert [bucket.take(NOW) for _ in range(6)] == pytest.approx([0, 0, 0, 0.1, 0.2, 0.3])
    waits = [bucket.take(NOW + 3600) for _ in range(4)]
    assert waits == pytest.approx([0, 0, 0, 0.1])


# Whoever waited as told may act, and then waits again.
def test_waiting_as_told() -> None:
    bucket = TokenBucket(rate=10, burst=1, now=NOW)
    bucket.take(NOW)
    assert bucket.wait_seconds(NOW) == pytest.approx(0.1)
    assert [bucket.take(NOW + 0.1) for _ in range(2)] == pytest.approx([0, 0.1])


# Time to log in counts from the last line, but not for ever.
def test_time_to_log_in() -> None:
    login = LoginTime(silence_seconds=60, seconds=300, now=NOW)
    assert login.left_seconds(NOW) == 60
    assert login.left_seconds(NOW + 60) == 0
    for minute in range(5):
        login.note_line(NOW + minute * 59)
        assert login.left_seconds(NOW + minute * 59) == 60
    login.note_line(NOW + 295)
    assert login.left_seconds(NOW + 295) == 5
    login.note_line(NOW + 300)
    assert login.left_seconds(NOW + 300) == 0


# Who lets people be silent for longer lets them take as long in all.
def test_longer_silence() -> None:
    assert LoginTime(silence_seconds=600, seconds=300, now=NOW).left_seconds(NOW + 599) == 1


# However somebody spreads their acts, they do at most a burst and the rate times the time.
@given(st.lists(st.floats(0, 2), max_size=50), st.integers(1, 5), st.integers(1, 20))
def test_no_schedule_beats_the_rate(pauses: list[float], rate: int, burst: int) -> None:
    bucket, now, done = TokenBucket(rate, burst, NOW), NOW, 0
    for pause in pauses:
        now += pause
        if bucket.wait_seconds(now) < 1e-9:
            bucket.take(now)
            done += 1
    assert done <= burst + (now - NOW) * rate + 1e-6


# A key may act so many times a minute; then it waits until one more is due. Others need not.
def test_throttle() -> None:
    throttle = Throttle(3, seconds=60)
    for _ in range(3):
        assert throttle.wait_seconds("mallory", NOW) == 0
        throttle.note("mallory", NOW)
    waits = [throttle.wait_seconds("mallory", NOW + later) for later in (0, 15, 20)]
    assert waits == pytest.approx([20, 5, 0])
    assert throttle.wait_seconds("alice", NOW) == 0


# A throttle of 0 lets everybody act as often as they like.
def test_throttle_off() -> None:
    throttle = Throttle(0, seconds=60)
    for _ in range(100):
        throttle.note("mallory", NOW)
    assert throttle.wait_seconds("mallory", NOW) == 0


# The keys remembered are bounded; who may act again soonest is forgotten first.
def test_throttle_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "THROTTLED_KEYS_MAX", 2)
    throttle = Throttle(1, seconds=60)
    for key in ("a", "b", "a", "c"):
        throttle.note(key, NOW)
    assert throttle.wait_seconds("a", NOW) > 0
    assert throttle.wait_seconds("b", NOW) == 0
    assert throttle.wait_seconds("c", NOW) > 0


# A flood of new keys doesn't push out the one that acted most, however long ago it came; and what
# is over is forgotten by itself.
def test_a_flood_of_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "THROTTLED_KEYS_MAX", 100)
    throttle = Throttle(20, seconds=60)
    for _ in range(20):
        throttle.note("guessed at", NOW)
    for number in range(1_000):
        throttle.note(f"flood {number}", NOW + 1)
        assert len(throttle) <= 100
    assert throttle.wait_seconds("guessed at", NOW + 1) > 0
    for number in range(10):
        throttle.note("late", NOW + 100 + number)
    assert len(throttle) == 1


# Shares know who holds most, whatever is given and taken, and in which order.
def test_shares() -> None:
    chance = random.Random(7)
    shares, plain = limits.Shares[int](), {holder: [] for holder in range(5)}
    for item in range(2_000):
        holder = chance.randrange(5)
        if plain[holder] and chance.random() < 0.5:
            gone = chance.choice(plain[holder])
            plain[holder].remove(gone)
            shares.remove(holder, gone)
        else:
            plain[holder].append(item)
            shares.add(holder, item)
        assert [shares.of(each) for each in range(5)] == list(plain.values())
        assert shares.largest() in plain.values()
        assert len(shares.largest()) == max(map(len, plain.values()))


# What counts as one where a limit is by address: of IPv6 a /64, for whoever has one has them all.
@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_origins(address: str, counted: str) -> None:
    assert origin(address) == counted
