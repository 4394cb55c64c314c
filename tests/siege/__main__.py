"""A siege from the command line: `python -m tests.siege --only silent`, or `make siege`.

It ends with a table of what was wanted and what was seen, and with 1 when anything does not hold.
"""

import argparse
import resource
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from tests.siege.findings import Finding, show
from tests.siege.scenes import SCENES
from tests.siege.siege import Scene, Siege, attackers


def lay(scenes: list[Scene], seed: int, console: Console) -> list[tuple[str, Finding]]:
    """Play scenes, one after the other; return what was found.

    Of a scene in which something does not hold, the folder stays.
    """
    found = []
    with attackers() as processes:
        for scene in scenes:
            console.print(f"{scene.name}: {scene.about}", highlight=False, soft_wrap=True)
            folder, began = Path(tempfile.mkdtemp(prefix="greenroom-siege-")), time.monotonic()
            findings = Siege(scene, folder, processes, seed).play()
            found += [(scene.name, finding) for finding in findings]
            missed = sum(not finding.is_held for finding in findings)
            seconds = time.monotonic() - began
            console.print(f"    {seconds:.0f} s, {len(findings) - missed} held, {missed} did not")
            for finding in findings:
                if not finding.is_held:
                    told = f"    {finding.wanted}; seen: {finding.seen}"
                    console.print(told, highlight=False, markup=False, soft_wrap=True)
            if missed:
                console.print(f"    the database and the log are in {folder}", soft_wrap=True)
            else:
                shutil.rmtree(folder)
    return found


def main() -> None:
    """Play all scenes, or those that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.siege", description=__doc__)
    names = [scene.name for scene in SCENES]
    parser.add_argument("--only", action="append", choices=names, help="these scenes alone")
    parser.add_argument("--seed", type=int, help="of a siege that is to be repeated")
    given = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if given.seed is None else given.seed
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a socket for each of the mass
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
