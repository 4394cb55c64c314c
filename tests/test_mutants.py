"""The lists of mutants fit the code: each check that is to be taken out is there, and its test."""

from tests.mutants import ROOT, load


# A mutant whose text has changed, or whose test has another name, would try nothing.
def test_mutants_fit() -> None:
    lost = [
        mutant.rule
        for mutant in load()
        if (ROOT / mutant.file).read_text().count(mutant.old) != 1 or not _is_there(mutant.test)
    ]
    assert not lost


def _is_there(test: str) -> bool:
    """Whether there is a test, or a file of tests, as pytest names it."""
    file, _, name = test.partition("::")
    name = name.partition("[")[0]
    return f"def {name}" in (ROOT / file).read_text()
