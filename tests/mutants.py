"""Take each check out of the code, and see that a test turns red: `make mutants`.

    python -m tests.mutants [--processes 2] [WORD ...]     only those whose rule has a WORD

A mutant is a rule, a file, a text in it, what replaces it, and the test that must fail then. They
are listed in tests/mutations/*.toml. Each is made in a copy of the project, never in the project.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).parents[1]
COPIED = ("app", "migrations", "tests", "alembic.ini", "manage.py", "pyproject.toml")
TEST_SECONDS_MAX = 120  # a mutant that never ends is as good as caught
ALL_SECONDS_MAX = 1_200  # of all tests, with nothing wrong
FAILED = 1  # what pytest exits with when a test failed; other codes say that none was run


@dataclass(frozen=True)
class Mutant:
    """A check that is taken out, and the test that notices it."""

    rule: str
    file: str
    old: str
    new: str
    test: str

    @property
    def noticed_by(self) -> str:
        """What it is that notices: chaos, fuzz, or a file of the suite."""
        file = Path(self.test.partition("::")[0])
        return file.stem.removeprefix("test_")

    def apply(self, root: Path) -> str:
        """Change the file in a copy of the project, and return what it was. Raises ValueError."""
        path = root / self.file
        whole = path.read_text()
        if whole.count(self.old) != 1:
            raise ValueError(f"is {whole.count(self.old)} times in {self.file}, not once")
        path.write_text(whole.replace(self.old, self.new))
        return whole


def load() -> list[Mutant]:
    """Return all mutants there are."""
    lists = sorted((ROOT / "tests" / "mutations").glob("*.toml"))
    return [Mutant(**each) for path in lists for each in tomllib.loads(path.read_text())["mutants"]]


def copy_project(folder: Path) -> Path:
    """Copy what tests need into a folder of its own."""
    root = Path(tempfile.mkdtemp(dir=folder))
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, root / name, ignore=ignored)
        elif source.exists():
            shutil.copy(source, root / name)
    return root


def run_tests(root: Path, *tests: str, seconds_max: float = TEST_SECONDS_MAX) -> int:
    """Run tests in a copy, until one fails, and return how pytest ended."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Without compiled files: they are told apart by a time that two mutants may share.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        ended = subprocess.run(
            command,
            cwd=root,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds_max,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FAILED
    return ended.returncode


def judge(mutant: Mutant, root: Path) -> str:
    """Make a mutant in a copy, run its test, and return what is wrong: nothing if it is red."""
    try:
        whole = mutant.apply(root)
    except ValueError as error:
        return str(error)
    try:
        code = run_tests(root, mutant.test)
    finally:
        (root / mutant.file).write_text(whole)
    if code == FAILED:
        return ""
    return "survived" if code == 0 else f"could not be tested: pytest ended with {code}"


def main() -> int:
    """Run them all, and return how many went unnoticed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("words", nargs="*", help="only mutants whose rule has one of these")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    chosen = [
        mutant
        for mutant in load()
        if not options.words or any(word in mutant.rule for word in options.words)
    ]
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for _ in range(options.processes):
            copies.put(copy_project(Path(folder)))
        return _judge_all(chosen, copies, options.processes)


def _judge_all(chosen: list[Mutant], copies: SimpleQueue[Path], processes: int) -> int:
    def judge_in_a_copy(mutant: Mutant) -> str:
        root = copies.get()
        try:
            return judge(mutant, root)
        finally:
            copies.put(root)

    root = copies.get()
    tests = sorted({mutant.test for mutant in chosen})
    if run_tests(root, *tests, seconds_max=ALL_SECONDS_MAX):
        print("the tests do not pass as it is; nothing was tried")
        return 1
    copies.put(root)
    unnoticed = 0
    with ThreadPoolExecutor(processes) as pool:
        for mutant, wrong in zip(chosen, pool.map(judge_in_a_copy, chosen), strict=True):
            noticed = f"noticed by {mutant.noticed_by}"
            print(f"{wrong or noticed:<40} {mutant.rule}", flush=True)
            unnoticed += bool(wrong)
    print(f"{len(chosen)} mutants, {unnoticed} unnoticed")
    return unnoticed


if __name__ == "__main__":
    sys.exit(min(main(), 100))
