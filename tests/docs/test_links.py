"""Every link of a page leads to a file and a chapter that are there; so does every path in it."""

import re
from pathlib import Path

import pytest

from tests.kit.source import APP

ROOT = APP.parent
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


# A page that names a file of ours names it as it is called now: from the root, or from app/.
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_is_there(page: Path) -> None:
    for name in re.findall(r"`((?:\w+/)+\w+\.(?:py|toml|md|sh))`", page.read_text()):
        assert any((folder / name).exists() for folder in (ROOT, APP, ROOT / "tests")), name
