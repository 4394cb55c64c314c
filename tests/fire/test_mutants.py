"""The lists of mutants fit the code, and only a test that fails by itself has noticed one."""

import fcntl
from pathlib import Path
from queue import SimpleQueue

import pytest

from tests.fire.mutants import mutants
from tests.fire.mutants.mutants import NOTICED, ROOT, SURVIVED, Mutant, load, run_tests
from tests.kit.client import wait_until

TESTS = """
import fcntl, pathlib, subprocess, tempfile, time, pytest

@pytest.fixture
def server():
    raise OSError

def test_that_fails():
    raise ValueError

def test_without_a_server(server):
    raise ValueError

def test_that_passes():
    left = open("left", "w")
    fcntl.flock(left, fcntl.LOCK_EX)
    subprocess.Popen(["sleep", "600"], pass_fds=[left.fileno()])

def test_that_leaves_a_disk():
    folder = tempfile.mkdtemp()
    subprocess.run(["mount", "-t", "tmpfs", "left", folder])  # where that is allowed
    pathlib.Path("folder").write_text(folder)

@pytest.mark.skip
def test_that_is_skipped():
    raise ValueError

def test_that_hangs():
    time.sleep(600)
"""


# A mutant whose text has changed, or whose test has another name, would try nothing.
def test_mutants_fit() -> None:
    all_of_them = load()
    lost = [
        mutant.rule
        for mutant in all_of_them
        if (ROOT / mutant.file).read_text().count(mutant.old) != 1 or not _is_there(mutant.test)
    ]
    assert all_of_them
    assert not lost


def _is_there(test: str) -> bool:
    """Whether there is a test, or a file of tests, as pytest names it."""
    file, _, name = test.partition("::")
    name = name.partition("[")[0]
    return f"def {name}" in (ROOT / file).read_text()


# A mutant is noticed when its test fails; not when a fixture does, nor when the time is up.
@pytest.mark.parametrize(
    ("test", "verdict"),
    [
        ("test_that_fails", "noticed"),
        ("test_without_a_server", "not tried: a fixture or an import failed"),
        ("test_that_is_skipped", "skipped"),
        ("test_that_is_not_there", "not tried: there is no such test"),
    ],
)
def test_verdicts(tmp_path: Path, test: str, verdict: str) -> None:
    (tmp_path / "test_all.py").write_text(TESTS)
    assert run_tests(tmp_path, f"test_all.py::{test}") == verdict


# The same; and what tests leave behind, as a killed one leaves its servers, ends with them.
def test_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "test_all.py").write_text(TESTS)
    assert run_tests(tmp_path, "test_all.py::test_that_hangs", seconds_max=0.1) == "timed out"
    assert run_tests(tmp_path, "test_all.py::test_that_passes") == "survived"
    with (tmp_path / "left").open() as left:
        wait_until(lambda: _can_lock(left.fileno()), "the process that was left has ended")


# Likewise folders, and what is mounted there.
def test_no_disk_is_left(tmp_path: Path) -> None:
    (tmp_path / "test_all.py").write_text(TESTS)
    assert run_tests(tmp_path, "test_all.py::test_that_leaves_a_disk") == "survived"
    assert not Path((tmp_path / "folder").read_text()).exists()


# A test that holds times against bounds has the machine to itself: the others are through by then.
def test_who_takes_times_is_judged_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def judge(mutant: Mutant, _root: Path) -> str:
        told.extend([f"{mutant.rule} begins", f"{mutant.rule} ends"])
        return NOTICED

    monkeypatch.setattr(mutants, "judge", judge)
    monkeypatch.setattr(mutants, "run_tests", lambda *_, **__: SURVIVED)
    files = {
        "a siege": "tests/fire/siege/life.py",
        "chaos": "tests/fire/chaos/life.py",
        "a test": __file__,
    }
    chosen = [Mutant(rule, "", "", "", f"{file}::test") for rule, file in files.items()]
    copies: SimpleQueue[Path] = SimpleQueue()
    for _ in range(2):
        copies.put(ROOT)
    assert mutants._judge_all(chosen, copies, 2) == 0
    assert told[2:] == ["a siege begins", "a siege ends", "chaos begins", "chaos ends"]


def _can_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
