"""The siege: what its scenes want and do not see is told, whatever else becomes of them."""

import re
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from tests.fire.siege import attackers
from tests.fire.siege.kind import lay
from tests.fire.siege.scenes import SCENES
from tests.fire.siege.server import SiegeServer
from tests.fire.siege.siege import Scene, Siege
from tests.kit.findings import Findings
from tests.kit.server_process import ROOT

LONG_SECONDS = 20.0  # an attacker that is not ended ends then


def _scene(act: Callable[[Siege], None], name: str = "calm") -> Scene:
    """Return a scene that has all the time in the world."""
    return Scene(
        name,
        "a test",
        act,
        blocked_seconds_max=inf,
        answer_seconds_max=inf,
        silence_seconds_max=inf,
        pings_a_second_min=0,
    )


def _be_calm(siege: Siege) -> None:
    siege.findings.equal("a login", siege.log_in(), "ok")
    heard = siege.attack(attackers.crowd_in, 1, 0.0).result()
    siege.findings.equal("attackers who were told something", len(heard), 1)


def _say_too_much(siege: Siege) -> None:
    """Want what is so, and what is not; then go wrong, while somebody attacks."""
    siege.findings.equal("a login", siege.log_in(), "ok")
    siege.findings.equal("another", siege.log_in(), "refused")
    siege.attack(attackers.crowd_in, 1, LONG_SECONDS)
    raise RuntimeError("what was that?")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folders of scenes are."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


# A scene that sees what it wants leaves nothing to tell of but its time.
def test_a_scene_that_holds(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = lay([_scene(_be_calm)], 7)["calm"]
    assert found
    assert found.missed == []
    assert capsys.readouterr().out.endswith(" s  held\n")
    assert list(kept.iterdir()) == []


# What does not hold is told, and so is what goes wrong in a scene itself; the rest is looked at all
# the same, and what the server left is kept.
def test_a_scene_that_does_not_hold(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = lay([_scene(_say_too_much)], 7)["calm"].missed
    assert first.seen == "ok"
    assert second.seen.startswith("RuntimeError: what was that?, ")
    told = capsys.readouterr().out
    assert "DID NOT HOLD" in told
    assert "seen: RuntimeError: what was that?" in told
    assert [path.name for path in kept.glob("greenroom-siege-*/server.log")] == ["server.log"]


# A server that can't be had is a finding like any other, and the next scene is played.
def test_a_scene_without_a_server(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(SiegeServer, "furnish", fail)
    found = lay([_scene(_be_calm, name) for name in ("calm", "again")], 7)
    seen = [finding.seen.partition(",")[0] for each in found.values() for finding in each]
    assert seen == ["OSError: no space left on device"] * 2


# Who reads of a scene on the pages finds it, and every scene is on both.
def test_the_pages_name_the_scenes() -> None:
    names = {scene.name for scene in SCENES}
    assert set(re.findall(r"siege: (\w+)", (ROOT / "docs" / "security.md").read_text())) == names
    chapter = (ROOT / "docs" / "testing.md").read_text().partition("## The siege")[2]
    table = chapter.partition("| --- |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| (\w+) \|", table, re.MULTILINE)) == names


# Where it was that something took too long is told of what did, and of nothing else.
@pytest.mark.parametrize(("seconds", "seen"), [(1.0, "1 s"), (3.0, "3 s: in a loop")])
def test_where_a_bound_is_broken(seconds: float, seen: str) -> None:
    findings = Findings()
    findings.at_most("time", seconds, 2.0, "s", "in a loop")
    assert [finding.seen for finding in findings] == [seen]


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
