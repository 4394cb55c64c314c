"""The tables of the docs that are made from the code have what it has."""

from collections.abc import Callable, Iterable
from typing import get_args

import pytest

from app import bounds
from app.errors import Code
from docs.tables import FOLDER, TABLES, limits, with_tables
from tests.kit.source import refusals_in_source


# Each page has the rows that the code has, once, in its order: `python -m docs.tables` writes them.
@pytest.mark.parametrize(("page", "tables"), TABLES.items())
def test_tables_are_up_to_date(page: str, tables: Callable[[], Iterable[str]]) -> None:
    text = (FOLDER / page).read_text()
    assert text.splitlines() == with_tables(text, tables()).splitlines()


# No sentence is left out because nobody can tell its code.
def test_every_sentence_has_a_code() -> None:
    without = [each for each in refusals_in_source() if each.code not in get_args(Code)]
    assert [each for each in without if each.sentence.strip(".*")] == []


# No bound is left out because its line is written in another way.
def test_every_bound_is_read() -> None:
    wanted = [name for name in vars(bounds) if name.endswith("_MAX")]
    rows = [row.split("`")[1] for row in limits() if row.startswith("| `")]
    assert [name for name in rows if name in wanted] == wanted
    assert set(bounds.__annotations__) <= set(rows)
