"""The command line of all kinds: `make fire ARGS="KIND ..."`."""

import pytest

from tests.fire import __main__ as fire
from tests.fire.kinds import Kind, chosen, hold

NAMES = ["SIGKILL", "SIGKILL while starting", "full disk"]


# Each kind says what it takes.
@pytest.mark.parametrize("kind", [kind for kind, (module, _) in fire.KINDS.items() if module])
def test_each_kind_has_help(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        fire.main([kind, "--help"])
    assert f"usage: make fire ARGS={kind}" in capsys.readouterr().out


# A word that is a name means that alone; any other, all that have it.
@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ([], NAMES),
        (["SIGKILL"], NAMES[:1]),
        (["SIG"], NAMES[:2]),
        (["disk", "while"], NAMES[1:]),
        (["nothing"], []),
    ],
)
def test_words(words: list[str], meant: list[str]) -> None:
    assert chosen(NAMES, words) == meant


def _try(name: str) -> list[str]:
    if name == "b":
        raise ValueError("bad")
    return ["worse"] if name == "c" else []


# All are tried, whatever goes wrong; what does not hold is told, and ends with 1.
@pytest.mark.parametrize(
    ("arguments", "code"), [(["a"], 0), ([], 1), (["--stage", "b"], 1), (["x"], 2)]
)
def test_exit_codes(arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    kind = Kind(lambda given: hold(given.names, _try), ["a", "b", "c"], {"cuts": (2, "so many")})
    with pytest.raises(SystemExit) as ended:
        kind.main("fire", [*arguments, "--seed", "7", "--cuts", "3"])
    assert ended.value.code == code
    if not arguments:
        told = capsys.readouterr().out
        assert "seed 7" in told
        assert "ValueError: bad, " in told
        assert "worse" in told
