"""Whatever goes wrong in a check is a finding, which says where it was and how to see it again."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.fire.kills import failpoints
from tests.fire.power import power_loss
from tests.fire.power.lossy_disk import Cut, Recording, cut_often


class _Broken:
    """A scene, and a server to kill, of which a check does not hold, at every second time."""

    def __init__(self, folder: Path, _database: Path, _seed: int, first: int = 1) -> None:
        self.recording = Recording(folder)
        self.kills = first - 1

    def __enter__(self) -> "_Broken":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def kill(self, stage: str) -> None:
        self.kills += 1
        if self.kills == 2:
            with closing(sqlite3.connect(":memory:")) as connection:
                connection.execute(stage)
        if self.kills == 4:
            raise AssertionError  # as an assert without a text does where pytest rewrites none

    def check(self, _cut: Cut) -> None:
        self.kill("no statement")


# An assertion without a text is told by its source, an error of a library by the check it came
# from; each with its number, and what is behind it is tried all the same.
def test_what_a_kill_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "Killer", _Broken)
    second, fourth = failpoints.kill_often("no statement", 5, seed=7)
    assert second.startswith('kill 2: OperationalError: near "no": syntax error, failpoints.py:')
    assert second.endswith("again with --stage 'no statement' --seed 7 --each 2")
    assert fourth.startswith("kill 4: AssertionError: raise AssertionError  #")


# Likewise, of power cuts.
def test_what_a_cut_finds(tmp_path: Path) -> None:
    second, fourth = cut_often(_Broken(tmp_path, tmp_path, 7), [0] * 5, seed=7)
    assert second.startswith('cut 1 at step 0: OperationalError: near "no": syntax error, lossy')
    assert fourth.startswith("cut 3 at step 0: AssertionError: ")
    assert "test_findings.py:" in fourth


# Where nothing of what SQLite does could be seen, no cut would lose anything: that is no success.
def test_no_power_to_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(power_loss, "sqlite_library", lambda: None)
    with pytest.raises(SystemExit, match="2"):
        power_loss.KIND.main("power", [])
    assert capsys.readouterr().err.startswith("power cuts need Linux, and a Python whose SQLite")
