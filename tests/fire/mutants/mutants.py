"""Take each check out of the code, and see that a test turns red: `make fire ARGS=mutants`.

    make fire ARGS="mutants [--processes 2] [WORD ...]"     only those whose rule has a WORD

A mutant is a rule, a file, a text in it, what replaces it, and the test that must fail then. They
are listed in the *.toml beside this. Each is made in a copy of the project, never in the project.

What a test leaves behind ends with it: processes, folders, file systems. Where a test holds times
against bounds, nothing else runs beside it.

It is noticed when the test itself fails. That what the test needs could not be made, or that the
time was up, says nothing of the rule: it went unnoticed. Where the test is skipped, so is it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from xml.etree import ElementTree

from tests.fire.kinds import Kind
from tests.kit import ROOT

COPIED = ("app", "migrations", "tests", "alembic.ini", "manage.py", "pyproject.toml")
TEST_SECONDS_MAX = 240  # several times what the longest takes on a busy machine
ALL_SECONDS_MAX = 1_200  # of all tests, with nothing wrong
END_SECONDS_MAX = 10  # from Ctrl-C on, for a run to end its servers
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

    @property
    def takes_times(self) -> bool:
        """Whether its test holds times against bounds: a life under chaos, or a siege."""
        return self.noticed_by == "life"

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
    lists = sorted(Path(__file__).parent.glob("*.toml"))
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
    # A short name: that of a socket has 107 bytes at most. A process that was just killed may still
    # write there for a moment.
    with tempfile.TemporaryDirectory(prefix="m", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o711)  # for the user of a PostgreSQL, where root runs the tests
        command = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={scratch}/pytest"]
        arguments = [*command, f"--junitxml={report}", *tests]
        try:
            code = _run_pytest(root, scratch, arguments, seconds_max)
        except subprocess.TimeoutExpired:
            return "timed out"
        finally:
            _unmount_below(scratch)
    return read_report(report) if report.exists() else f"pytest ended with {code}"


def _run_pytest(root: Path, scratch: str, arguments: list[str], seconds_max: float) -> int:
    """Run pytest, and return its exit code. Raises subprocess.TimeoutExpired."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=root,
        # Without compiled files: they are told apart by a time that two mutants may share.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": scratch},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        return process.wait(seconds_max)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # at which pytest tears down what it has set up
        with suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS_MAX)
        raise
    finally:
        with suppress(ProcessLookupError):  # with the servers that it may have left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _unmount_below(folder: str) -> None:
    """Take away what file systems are left there: that of a server under chaos."""
    mounts = Path("/proc/mounts")
    lines = mounts.read_text().splitlines() if mounts.exists() else []
    for line in reversed(lines):
        place = line.split()[1]
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", place], check=True)


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


def _run(given: Namespace) -> bool:
    mutants = [mutant for mutant in load() if mutant.rule in given.names]
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for _ in range(given.processes):
            copies.put(copy_project(Path(folder)))
        return not _judge_all(mutants, copies, given.processes)


def _judge_all(chosen: list[Mutant], copies: SimpleQueue[Path], processes: int) -> int:
    def judge_in_a_copy(mutant: Mutant) -> str:
        root = copies.get()
        try:
            return judge(mutant, root)
        finally:
            copies.put(root)

    def judge_group(group: list[Mutant], processes: int) -> Iterator[tuple[Mutant, str]]:
        """Yield each with its verdict; none is tried when their tests fail with nothing wrong."""
        root = copies.get()
        tests = sorted({mutant.test for mutant in group})
        verdict = run_tests(root, *tests, seconds_max=ALL_SECONDS_MAX)
        copies.put(root)
        if verdict not in (SURVIVED, SKIPPED):
            yield from ((mutant, "not tried: a test fails as it is") for mutant in group)
            return
        with ThreadPoolExecutor(processes) as pool:
            yield from zip(group, pool.map(judge_in_a_copy, group), strict=True)

    verdicts: Counter[str] = Counter()
    beside = [mutant for mutant in chosen if not mutant.takes_times]
    alone = [mutant for mutant in chosen if mutant.takes_times]
    groups = [judge_group(group, n) for group, n in ((beside, processes), (alone, 1)) if group]
    for mutant, verdict in chain.from_iterable(groups):
        text = f"noticed by {mutant.noticed_by}" if verdict == NOTICED else verdict
        print(f"{text:<40} {mutant.rule}", flush=True)
        verdicts[verdict] += 1
    unnoticed = len(chosen) - verdicts[NOTICED] - verdicts[SKIPPED]
    print(f"{len(chosen)} mutants, {unnoticed} unnoticed, {verdicts[SKIPPED]} skipped")
    return unnoticed


KIND = Kind(
    _run,
    [mutant.rule for mutant in load()],
    {"processes": (2, "how many at once")},
    has_seed=False,
)
