"""The scenes as tests, for `make mutants`, which breaks what they look for.

It runs them by their names; `make test` finds no test in a file that is called so.
"""

from pathlib import Path

import pytest

from tests.siege.scenes import SCENES
from tests.siege.siege import Scene, play

SEED = 7


# What a scene wants is what is seen.
@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_scene(scene: Scene, tmp_path: Path) -> None:
    findings = play(scene, tmp_path, SEED)
    assert [finding for finding in findings if not finding.is_held] == []
