"""What the disk has kept when the power was cut is opened, and holds what was promised."""

from pathlib import Path
from random import Random

import pytest

from tests.fire.power.disk_recorder import sqlite_library
from tests.fire.power.lossy_disk import cut_often
from tests.fire.power.power_loss import SCENES

CUTS = 10  # besides those at changes of names

pytestmark = pytest.mark.skipif(
    sqlite_library() is None, reason="the file functions of Python's SQLite can't be replaced here"
)


# With `full`, the default, what anybody was shown outlasts a power cut at any moment. With `normal`
# the newest messages may be missing, but none in between, and the database is whole. What a command
# writes is there whole, or what was there before is. power_loss.py cuts it a thousand times.
@pytest.mark.parametrize("name", SCENES)
def test_a_power_cut_breaks_no_promise(tmp_path: Path, name: str) -> None:
    scene = SCENES[name](tmp_path / name)
    assert cut_often(scene, scene.recording.places(CUTS, Random(1)), seed=1) == []
