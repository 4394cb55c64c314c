"""docs/security.md and docs/faults.md name tests that exist."""

import re

import pytest

from tests.kit.server_process import ROOT

PAGES = "".join((ROOT / "docs" / page).read_text() for page in ("security.md", "faults.md"))
_NAMED = re.compile(r"`((?:\w+/)*test_\w+\.py)?(?:::(test_\w+))?`")


def _named() -> list[tuple[str, str]]:
    """Return the files and tests that the pages name; one without a file is in the one before."""
    found, file = [], ""
    for match in _NAMED.finditer(PAGES):
        file = match[1] or file
        found.append((file, match[2] or ""))
    return found


# Whoever follows the page to a test finds it.
@pytest.mark.parametrize(("file", "test"), _named())
def test_what_is_named_is_there(file: str, test: str) -> None:
    source = (ROOT / "tests" / file).read_text()
    assert not test or f"def {test}(" in source
