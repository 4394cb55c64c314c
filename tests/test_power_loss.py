"""What the disk has kept when the power was cut is opened, and holds what was promised."""

from pathlib import Path

import pytest

from tests.disk_recorder import sqlite_library
from tests.power_loss import History, cut_often

CUTS = 30

pytestmark = pytest.mark.skipif(
    sqlite_library() is None, reason="the file functions of Python's SQLite can't be replaced here"
)


# With `full`, the default, what anybody was shown outlasts a power cut at any moment. With `normal`
# the newest messages may be missing, but none in between, and the database is whole.
# `make power-loss` cuts it a thousand times.
@pytest.mark.parametrize("durability", ["full", "normal"])
def test_a_power_cut_breaks_no_promise(tmp_path: Path, durability: str) -> None:
    assert cut_often(History(tmp_path, durability), CUTS, seed=1) == []
