"""The scenes as tests, for `make fire ARGS=mutants`, which breaks what they look for.

It runs them by their names; `make test` finds no test in a file that is called so. The longest are
played shorter: what is broken for good shows soon.
"""

from pathlib import Path

import pytest

from tests.fire.siege.scenes import SCENES
from tests.fire.siege.siege import Scene, play

SEED = 7
SHORTER = {
    "silent": {"silence.COMING_AND_GOING": 5_000},
    "reset": {"resets.USERS_OF_ROUNDS": [200, 200]},
    "worst": {"worst.SECONDS": 0.7},
    "locked": {"locks.HELD_SECONDS": 8.0, "locks.ANSWERED_SECONDS_MAX": 8.0},
}


# What a scene wants is what is seen.
@pytest.mark.parametrize("scene", SCENES, ids=[scene.name for scene in SCENES])
def test_scene(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SHORTER.get(scene.name, {}).items():
        monkeypatch.setattr(f"tests.fire.siege.{name}", value)
    assert play(scene, tmp_path, SEED).missed == []
