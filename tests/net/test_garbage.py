"""What a long collection of garbage has looked at, no other looks at again."""

import gc

import pytest

from app.net.garbage import keep_collections_short


# What was there is set aside at once, and what a long collection saw after it; a short one changes
# nothing. What nobody has any more goes all the same.
@pytest.mark.parametrize(("seconds_max", "is_kept"), [(0.0, True), (3600.0, False)])
def test_what_lasts_is_set_aside(seconds_max: float, is_kept: bool) -> None:
    end = keep_collections_short(seconds_max)
    try:
        at_first = gc.get_freeze_count()
        lasting = [[each] for each in range(100_000)]
        gc.collect()
        assert at_first > 0
        half = len(lasting) // 2  # a few of those that were there may be gone meanwhile
        assert (gc.get_freeze_count() - at_first > half) is is_kept
        lasting.clear()
        assert gc.get_freeze_count() - at_first < half
    finally:
        end()
        gc.unfreeze()
