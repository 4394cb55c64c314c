"""The scenes as tests, for `make mutants`, which breaks what they look for.

It runs them by their names; `make test` finds no test in a file that is called so.
"""

from pathlib import Path

import pytest

from tests.siege.scenes import SCENES
from tests.siege.siege import Scene, Siege, attackers

SEED = 7


# What a scene wants is what is seen.
@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_scene(scene: Scene, tmp_path: Path) -> None:
    with attackers() as processes:
        findings = Siege(scene, tmp_path, processes, SEED).play()
    assert [finding for finding in findings if not finding.is_held] == []
