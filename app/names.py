"""Names and text: normalise, compare, make harmless. Pure; never touches a socket or a database.

A name has three forms. It is *shown* as its owner wrote it, normalised. It is *compared* by its
key: one account for Alice, alice and a full-width alice. And it has a *skeleton*, which it shares
with names of other letters that look the same: no two accounts may have one skeleton.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from os.path import splitext
from typing import NamedTuple

from confusable_homoglyphs import categories
from confusable_homoglyphs.confusables import confusables_data
from precis_i18n import get_profile

from app.errors import BadNameError
from app.settings import (
    FILE_NAME_BYTES_MAX,
    MARKS_IN_A_ROW_MAX,
    NAME_CHARS_MAX,
    NAMES_REMEMBERED_MAX,
)

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_PUNCTUATION = frozenset("_-.")
_ASCII_NAME = re.compile(rf"[A-Za-z0-9_.-]{{1,{NAME_CHARS_MAX}}}")
# UTS 39, 5.1: Japanese, Korean and Bopomofo are each written in several scripts at once.
_WRITTEN_TOGETHER = (
    frozenset({"HAN", "HIRAGANA", "KATAKANA"}),
    frozenset({"HAN", "HANGUL"}),
    frozenset({"HAN", "BOPOMOFO"}),
)
_username = get_profile("UsernameCasePreserved")
_opaque = get_profile("OpaqueString")


class Name(NamedTuple):
    """A valid name of a user or a room."""

    shown: str
    key: str
    skeleton: str


@lru_cache(maxsize=NAMES_REMEMBERED_MAX)
def parse_name(text: str) -> Name:
    """Check and normalise a name (RFC 8265, 3.4; UTS 39, 5.1). Raises BadNameError."""
    if _ASCII_NAME.fullmatch(text):
        key = text.lower()
        return Name(text, key, key)
    if len(text) > 4 * NAME_CHARS_MAX:
        raise BadNameError(f"a name has at most {NAME_CHARS_MAX} characters")
    try:
        shown = _username.enforce(text)
        key = _username.enforce(unicodedata.normalize("NFKC", shown.casefold()))
    except UnicodeEncodeError as error:  # how precis_i18n says that a rule is broken
        raise BadNameError("a name has letters, digits, _, - and . only") from error
    for form in (shown, key):
        _check_characters(form)
    return Name(shown, key, "".join(map(_plainest_lookalike, key)))


def _check_characters(name: str) -> None:
    if len(name) > NAME_CHARS_MAX:
        raise BadNameError(f"a name has at most {NAME_CHARS_MAX} characters")
    scripts: set[str] = set()
    for character in name:
        category = unicodedata.category(character)
        script = categories.alias(character)
        if category[0] == "M" and script != "INHERITED":
            scripts.add(script)  # a vowel sign of Hindi or Thai is part of its script
        elif category[0] == "L":
            scripts.add(script)
        elif character not in _PUNCTUATION and not (character.isascii() and character.isdigit()):
            raise BadNameError("a name has letters, digits, _, - and . only")
    scripts.discard("COMMON")
    if len(scripts) > 1 and not any(scripts <= together for together in _WRITTEN_TOGETHER):
        raise BadNameError("a name has letters of one script only")


def _plainest_lookalike(character: str) -> str:
    """Return the letter that stands for all that look like this one: the first in Unicode."""
    if character.isascii():
        return character
    lookalikes = (glyph["c"] for glyph in confusables_data.get(character, ()))
    letters = [text.lower() for text in lookalikes if len(text) == 1 and text.isalpha()]
    return min(character, *letters) if letters else character


def parse_password(text: str) -> str:
    """Normalise a password (RFC 8265, 4.2). Raises ValueError when it can't be one."""
    try:
        return str(_opaque.enforce(text))
    except UnicodeEncodeError as error:
        raise ValueError("a password is not empty and has no control characters") from error


def harmless(text: str) -> str:
    """Make a text safe to show to anybody: it can't move a cursor, ring, recolour or reorder.

    Control characters, line separators, bidi controls and unpaired surrogates become U+FFFD; of a
    tower of marks and joiners the first 8 stay. Tabs, emoji and every script's letters pass.
    """
    if text.isprintable() and text.isascii():
        return text
    return _without_towers(c if c.isprintable() else _stand_in(c) for c in text)


# Invisible, but needed to write Persian, Indic scripts, emoji families and flags.
_JOINERS = frozenset("\u200c\u200d\u2060\u00ad") | {chr(c) for c in range(0xE0020, 0xE0080)}
# Drawn on the letter before them, at no width of their own: accents, vowel signs, enclosures.
_MARKS = frozenset(
    character
    for character in map(chr, (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0)))
    if unicodedata.category(character) in ("Mn", "Me")
)
_STACKED = _MARKS | _JOINERS


def _without_towers(characters: Iterable[str]) -> str:
    """Join characters, of the marks and joiners in a row the first few: no regex, 30 times slower.

    It would look each letter up in a list of all marks.
    """
    kept, height = [], 0
    for character in characters:
        height = height + 1 if character in _STACKED else 0
        if height <= MARKS_IN_A_ROW_MAX:
            kept.append(character)
    return "".join(kept)


def parse_file_name(text: str) -> str:
    """Return what a file may be called on anybody's disk, given a name or a path.

    It is in no folder, not hidden, not an option of a command, has nothing that can't be seen, and
    keeps its ending if it is too long. Raises BadNameError when nothing is left of it.
    """
    base = re.split(r"[/\\]", text)[-1]
    seen = unicodedata.normalize("NFC", "".join([c for c in base if c.isprintable()]))
    stem, ending = splitext(harmless(seen).lstrip(".- ").rstrip(". "))
    room_bytes = FILE_NAME_BYTES_MAX - len(ending.encode())
    name = _cut(stem, room_bytes) + ending if room_bytes > 0 else _cut(stem, FILE_NAME_BYTES_MAX)
    if not name:
        raise BadNameError("that is no name of a file", code="bad_file_name")
    return name


def _cut(text: str, bytes_max: int) -> str:
    return text.encode()[:bytes_max].decode(errors="ignore")


def _stand_in(character: str) -> str:
    if character == "\t" or character in _JOINERS:
        return character
    category = unicodedata.category(character)
    if category == "Zs":
        return " "  # wide and no-break spaces
    return character if category in ("Cn", "Co") else REPLACEMENT
