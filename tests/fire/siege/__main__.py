"""A siege from the command line: `make fire ARGS="siege --only silent"`.

It ends with a table of what was wanted and what was seen, and with 1 when anything does not hold.
"""

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.fire.siege.findings import Finding, Findings, show
from tests.fire.siege.scenes import SCENES
from tests.fire.siege.siege import Scene, play


def lay(scenes: list[Scene], seed: int, console: Console) -> list[tuple[str, Finding]]:
    """Play scenes, one after the other; return what was found.

    Of a scene in which something does not hold, the folder stays; of one that is interrupted,
    nothing does.
    """
    found = []
    for scene in scenes:
        console.print(f"{scene.name}: {scene.about}", highlight=False, soft_wrap=True)
        folder, began = Path(tempfile.mkdtemp(prefix="greenroom-siege-")), time.monotonic()
        try:
            findings = play(scene, folder, seed)
        except BaseException:
            shutil.rmtree(folder)
            raise
        found += [(scene.name, finding) for finding in findings]
        _tell(findings, time.monotonic() - began, console)
        if all(finding.is_held for finding in findings):
            shutil.rmtree(folder)
        else:
            console.print(f"    the database and the log are in {folder}", soft_wrap=True)
    return found


def _tell(findings: Findings, seconds: float, console: Console) -> None:
    """Say how long a scene took, and what of it did not hold."""
    missed = [finding for finding in findings if not finding.is_held]
    held = len(findings) - len(missed)
    console.print(f"    {seconds:.0f} s, {held} held, {len(missed)} did not")
    for finding in missed:
        told = f"    {finding.wanted}; seen: {finding.seen}"
        console.print(told, highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Play all scenes, or those that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [scene.name for scene in SCENES]
    parser.add_argument("--only", action="append", choices=names, help="these scenes alone")
    parser.add_argument("--seed", type=int, help="of a siege that is to be repeated")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing stays behind
    scenes = [scene for scene in SCENES if scene.name in (given.only or names)]
    console, began = Console(), time.monotonic()
    console.print(f"seed {seed}")
    found = lay(scenes, seed, console)
    show(found, console)
    console.print(f"{len(scenes)} scenes, seed {seed}, {time.monotonic() - began:.0f} s")
    sys.exit(not all(finding.is_held for _, finding in found))


if __name__ == "__main__":
    main()
