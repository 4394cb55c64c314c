"""Take each check out of the code, and see that a test turns red: `make mutants`.

    python -m tests.mutants [--processes 2] [WORD ...]     only those whose rule has a WORD

A mutant is a rule, a file, a text in it, what replaces it, and the test that must fail then. They
are listed in tests/mutations/*.toml. Each is made in a copy of the project, never in the project.

It is noticed when the test itself fails. That what the test needs could not be made, or that the
time was up, says nothing of the rule: it went unnoticed. Where the test is skipped, so is it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]
COPIED = ("app", "migrations", "tests", "alembic.ini", "manage.py", "pyproject.toml")
TEST_SECONDS_MAX = 240  # several times what the longest takes on a busy machine
ALL_SECONDS_MAX = 1_200  # of all tests, with nothing wrong
NOTICED, SURVIVED, SKIPPED = "noticed", "survived", "skipped"  # verdicts; others say what failed


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


def run_tests(root: Path, *tests: str, seconds_max: float = TEST_SECONDS_MAX) -> str:
    """Run tests in a copy, until one fails, and return a verdict of what is wrong there."""
    report = root / "report.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    process = subprocess.Popen(
        [*command, f"--junitxml={report}", *tests],
        cwd=root,
        # Without compiled files: they are told apart by a time that two mutants may share.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        process.wait(seconds_max)
    except subprocess.TimeoutExpired:
        return "timed out"
    finally:
        with suppress(ProcessLookupError):  # with the servers that it may have left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return read_report(report) if report.exists() else f"pytest ended with {process.returncode}"


def read_report(report: Path) -> str:
    """Return the verdict of a report: what became of its tests, the worst first."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    found = Counter(each.tag for case in cases for each in case)
    if found["failure"]:
        return NOTICED
    if found["error"]:
        return "not tried: a fixture or an import failed"
    if not cases:
        return "not tried: there is no such test"
    return SKIPPED if found["skipped"] == len(cases) else SURVIVED


def judge(mutant: Mutant, root: Path) -> str:
    """Make a mutant in a copy, run its test, and return the verdict."""
    try:
        whole = mutant.apply(root)
    except ValueError as error:
        return str(error)
    try:
        return run_tests(root, mutant.test)
    finally:
        (root / mutant.file).write_text(whole)


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
    if not chosen:
        parser.error(f"no rule has {' or '.join(options.words)}")
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
    verdict = run_tests(root, *tests, seconds_max=ALL_SECONDS_MAX)
    if verdict not in (SURVIVED, SKIPPED):
        print(f"the tests do not pass as it is ({verdict}); nothing was tried")
        return 1
    copies.put(root)
    verdicts: Counter[str] = Counter()
    with ThreadPoolExecutor(processes) as pool:
        for mutant, verdict in zip(chosen, pool.map(judge_in_a_copy, chosen), strict=True):
            text = f"noticed by {mutant.noticed_by}" if verdict == NOTICED else verdict
            print(f"{text:<40} {mutant.rule}", flush=True)
            verdicts[verdict] += 1
    unnoticed = len(chosen) - verdicts[NOTICED] - verdicts[SKIPPED]
    print(f"{len(chosen)} mutants, {unnoticed} unnoticed, {verdicts[SKIPPED]} skipped")
    return unnoticed


if __name__ == "__main__":
    sys.exit(min(main(), 100))
