"""The siege: what its scenes want and do not see is told, whatever else becomes of them."""

import io
import re
from collections.abc import Callable

import pytest
from rich.console import Console

from tests.server_process import ROOT
from tests.siege import protocols
from tests.siege.__main__ import lay
from tests.siege.findings import Findings
from tests.siege.scenes import SCENES
from tests.siege.siege import Scene, Siege


def _say_too_much(siege: Siege) -> None:
    """Want what is so, and what is not; then go wrong."""
    siege.findings.equal("a login", siege.log_in(), "ok")
    siege.findings.equal("another", siege.log_in(), "refused")
    raise RuntimeError("what was that?")


# A scene that sees what it wants leaves nothing to tell of but its time.
def test_a_scene_that_holds() -> None:
    told = io.StringIO()
    found = lay([protocols.SCENE], 7, Console(file=told))
    assert all(finding.is_held for _, finding in found), told.getvalue()
    assert f"{len(found)} held, 0 did not" in told.getvalue()


# What does not hold is told, and so is what goes wrong in a scene itself; the rest is looked at all
# the same, and what the server left is kept.
def test_a_scene_that_does_not_hold(tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("kept")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    told = io.StringIO()
    found = lay([Scene("broken", "a test", _say_too_much)], 7, Console(file=told))
    missed = [finding.seen for _, finding in found if not finding.is_held]
    assert missed[0] == "ok"
    assert missed[1].startswith("RuntimeError: what was that?, ")
    assert len(missed) == 2
    assert "2 did not" in told.getvalue()
    assert "seen: RuntimeError: what was that?" in told.getvalue()
    assert [path.name for path in folder.glob("greenroom-siege-*/server.log")] == ["server.log"]


# Who reads of a scene on the pages finds it, and every scene is on both.
def test_the_pages_name_the_scenes() -> None:
    names = {scene.name for scene in SCENES}
    assert set(re.findall(r"siege: (\w+)", (ROOT / "docs" / "security.md").read_text())) == names
    chapter = (ROOT / "docs" / "testing.md").read_text().partition("## The siege")[2]
    table = chapter.partition("| --- |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| (\w+) \|", table, re.MULTILINE)) == names


# A bound is in what it lets pass.
@pytest.mark.parametrize(
    ("want", "is_held"),
    [
        (lambda findings: findings.at_most("time", 2.0, 2.0, "s"), True),
        (lambda findings: findings.at_most("time", 2.01, 2.0, "s"), False),
        (lambda findings: findings.at_least("answers", 2, 2), True),
        (lambda findings: findings.at_least("answers", 1, 2), False),
        (lambda findings: findings.within("codes", {"a"}, {"a", "b"}), True),
        (lambda findings: findings.within("codes", {"c"}, {"a", "b"}), False),
        (lambda findings: findings.within("codes", set(), {"a", "b"}), False),
    ],
)
def test_bounds(want: Callable[[Findings], None], is_held: bool) -> None:
    findings = Findings()
    want(findings)
    assert [finding.is_held for finding in findings] == [is_held]
