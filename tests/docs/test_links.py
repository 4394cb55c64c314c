"""Every link of a page leads to a file that is there, and to a chapter that it has."""

import re
from pathlib import Path

import pytest

from tests.kit.server_process import ROOT

PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "bench").glob("*.md"), *(ROOT / "docs").rglob("*.md")))
_CODE = re.compile(r"^```.*?^```|^ {4}.*?$|`[^`\n]*`", re.M | re.S)


def _chapters(page: Path) -> set[str]:
    """Return the names by which chapters are linked to."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", _CODE.sub("", page.read_text())):
        name, _, chapter = target.partition("#")
        if not target.startswith("https://"):
            path = page.parent / name if name else page
            assert path.exists(), target
            assert not chapter or chapter in _chapters(path), target
