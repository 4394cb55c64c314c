"""A server that is killed, at whatever stage, has kept all that it promised: see failpoints.py."""

from collections.abc import Iterator

import pytest

from tests.fire.kills.failpoints import Killer
from tests.fire.kills.stages import STAGES
from tests.kit.databases import OLD_REVISION, make_database

# Nothing is committed there, as at others that are tried here: failpoints.py tries these too.
LEFT_OUT = {
    "begin",
    "insert",
    "before key claimed",
    "before mail let go",
    "before devices listed",
    "before member added",
    "before member removed",
}


@pytest.fixture(scope="module")
def killer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killer]:
    folder = tmp_path_factory.mktemp("kills")
    make_database(folder / "old.db", OLD_REVISION)
    with Killer(folder, folder / "old.db", seed=1) as killer:
        yield killer


# What was seen or acknowledged is stored, in one order, and once; no file, ban or schema is there
# by half: whatever the server was about to do. `make fire ARGS=failpoints` does this 50 times each.
@pytest.mark.parametrize("stage", [each for each in STAGES if each not in LEFT_OUT])
def test_a_kill_at_a_stage_breaks_no_promise(killer: Killer, stage: str) -> None:
    killer.kill(stage)
