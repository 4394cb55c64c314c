"""Let masses come, and hold numbers against bounds: `make fire ARGS="siege --only silent"`.

It ends with a table of what was wanted and what was seen.
"""

import shutil
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tests.fire.kinds import Kind, hold
from tests.fire.siege.scenes import SCENES
from tests.fire.siege.siege import Scene, play
from tests.kit.findings import Findings, show


def lay(scenes: Sequence[Scene], seed: int) -> dict[str, Findings]:
    """Play scenes, one after the other; return what was found in each.

    Of a scene in which something does not hold, the folder stays; of one that is interrupted,
    nothing does.
    """
    found: dict[str, Findings] = {}
    called = {scene.name: scene for scene in scenes}

    def play_one(name: str) -> list[str]:
        print(f"{name}: {called[name].about}", flush=True)
        folder = Path(tempfile.mkdtemp(prefix="greenroom-siege-"))
        try:
            found[name] = play(called[name], folder, seed)
        except BaseException:
            shutil.rmtree(folder)
            raise
        if not found[name].missed:
            shutil.rmtree(folder)
            return []
        kept = f"the database and the log are in {folder}"
        return [kept, *(f"{each.wanted}; seen: {each.seen}" for each in found[name].missed)]

    hold(called, play_one)
    return found


def _run(given: Namespace) -> bool:
    found = lay([scene for scene in SCENES if scene.name in given.names], given.seed)
    show(found, Console())
    return not any(findings.missed for findings in found.values())


KIND = Kind(_run, [scene.name for scene in SCENES])
