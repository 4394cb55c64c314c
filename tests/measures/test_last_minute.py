"""The last minute: how much grew, how fast, and how long things took, from counters and buckets."""

from math import isclose

import pytest

from app.measures.last_minute import Growth, LastMinute

SENT = "sent_total"


def _sent(count: float) -> dict[tuple[str, ...], float]:
    return {(SENT,): count}


def _buckets(**counts: int) -> dict[tuple[str, ...], float]:
    """Return a snapshot of a histogram: how many lay below each bound, `inf` the last."""
    bounds = {"low": "0.1", "middle": "1.0", "inf": "+Inf"}
    return {("took_seconds_bucket", bounds[name]): count for name, count in counts.items()}


# A rate is that of the last minute, or of as much of it as the server has run.
@pytest.mark.parametrize(
    ("now", "seconds", "rate"), [(10, 60, 2.0), (100, 60, 2.0), (100, 10, 2.0), (0, 60, 0.0)]
)
def test_rates(now: int, seconds: int, rate: float) -> None:
    minute = LastMinute(0, _sent(0))
    for second in range(1, now):
        minute.note(second, _sent(second * 2))
    assert minute.growth(now, _sent(now * 2), seconds).per_second(SENT) == rate


# What happened before the last minute is forgotten, also when nobody looked for a while.
def test_what_is_long_ago_is_forgotten() -> None:
    minute = LastMinute(0, _sent(0))
    minute.note(1, _sent(1000))
    assert minute.growth(30, _sent(1000)).of(SENT) == 1000
    assert minute.growth(90, _sent(1000)).of(SENT) == 0


# Of a counter's children those are told that grew, most first.
def test_labels() -> None:
    then = {("refusals_total", "wait"): 3.0, ("refusals_total", "full"): 1.0}
    now = {**then, ("refusals_total", "full"): 2.0, ("refusals_total", "muted"): 5.0}
    grown = Growth(then, now, 60).by_label("refusals_total")
    assert list(grown.items()) == [("muted", 5), ("full", 1)]


# A quantile lies where its share of the buckets ends; beyond the last bound, it is that bound.
@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, {"low": 100, "middle": 100, "inf": 100}, 0.05),
        (0.99, {"low": 0, "middle": 100, "inf": 100}, 0.991),
        (0.99, {"low": 90, "middle": 90, "inf": 100}, 1.0),
    ],
)
def test_quantiles(share: float, counts: dict[str, int], expected: float) -> None:
    found = Growth({}, _buckets(**counts), 60).quantile("took_seconds", share)
    assert isclose(found, expected)


# Nothing is said of what did not happen in that time.
def test_no_quantile_of_nothing() -> None:
    always = _buckets(low=5, middle=5, inf=5)
    assert Growth(always, always, 60).quantile("took_seconds", 0.99) is None


# The worst delay is that of the time that is asked for.
def test_the_worst_delay() -> None:
    minute = LastMinute(0, {})
    for at, delay in ((1, 0.01), (30, 2.0), (85, 0.2)):
        minute.note_delay(at, delay)
    assert minute.worst_delay(89) == 2.0
    assert minute.worst_delay(89, 10) == 0.2
    assert minute.worst_delay(200) == 0.0
