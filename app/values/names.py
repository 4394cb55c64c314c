"""Names and text: normalise, compare, make harmless. Pure: no socket and no database.

A name has three forms. It is *shown* as its owner wrote it, normalised. It is *compared* by its
key: Alice, alice and a full-width alice have one key, and so one account. And it has a *skeleton*,
which names of other letters that look the same share: no two accounts may have one skeleton.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from os.path import splitext
from typing import NamedTuple

from confusable_homoglyphs import categories
from confusable_homoglyphs.utils import load
from precis_i18n import get_profile
from precis_i18n.context import context_rule_error
from precis_i18n.derived import PVALID, derived_property

from app.bounds import (
    FILE_NAME_BYTES_MAX,
    LETTERS_REMEMBERED_MAX,
    MARKS_IN_A_ROW_MAX,
    NAME_CHARS_MAX,
    NAMES_REMEMBERED_MAX,
)
from app.errors import BadNameError

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
    """Check and normalise a name (RFC 8265, 3.4; UTS 39, 5.1). Raises BadNameError.

    Cheap tests come first. After them, each letter that is left is looked at once.
    """
    if _ASCII_NAME.fullmatch(text):
        key = text.lower()
        return Name(text, key, key)
    if len(text) > 4 * NAME_CHARS_MAX or len(_normal(text)) > NAME_CHARS_MAX:
        raise _name_too_long()
    shown = _normal(text)
    _check_letters(shown)
    key = _normal(unicodedata.normalize("NFKC", shown.replace("İ", "i").casefold()))
    if key != shown:
        _check_letters(key)
    return Name(shown, key, _skeleton(key))


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", _username.width_mapping_rule(text))


def _name_too_long() -> BadNameError:
    return BadNameError(f"a name has at most {NAME_CHARS_MAX} characters")


class _Letter(NamedTuple):
    """The properties of a character that names depend on."""

    is_allowed: bool
    script: str  # empty for a character that goes with any script
    is_rightwards: bool
    plainest: str


@lru_cache(maxsize=LETTERS_REMEMBERED_MAX)
def _letter(character: str) -> _Letter:
    category = unicodedata.category(character)[0]
    is_digit = character.isascii() and character.isdigit()
    if not (category in "LM" or is_digit or character in _PUNCTUATION):
        return _Letter(False, "", False, character)
    is_allowed = derived_property(ord(character), _username.base.ucd)[0] == PVALID
    script = categories.alias(character)
    if category == "M" and script == "INHERITED":
        is_allowed = False  # a vowel sign of Hindi or Thai has a script, but these have none
    has_script = category in "LM" and script != "COMMON"
    is_rightwards = unicodedata.bidirectional(character) in ("R", "AL", "AN")
    plainest = _PLAINEST.get(character, character)
    return _Letter(is_allowed, script if has_script else "", is_rightwards, plainest)


def _plainest_lookalikes() -> dict[str, str]:
    """Return, by letter, the first lookalike in Unicode.

    Only this is kept of the table of lookalikes (UTS 39, 4), which takes 6 MiB.
    """
    plainest: dict[str, str] = {}
    for character, lookalikes in load("confusables.json").items():
        texts = (each["c"].lower() for each in lookalikes if len(each["c"]) == 1)
        first = min(character, *filter(str.isalpha, texts))
        if len(character) == 1 and not character.isascii() and first != character:
            plainest[character] = first
    return plainest


_PLAINEST = _plainest_lookalikes()


def _check_letters(name: str) -> None:
    if len(name) > NAME_CHARS_MAX:
        raise _name_too_long()
    letters = [_letter(character) for character in name]
    try:
        is_name = bool(name) and all(letter.is_allowed for letter in letters)
        if is_name and any(letter.is_rightwards for letter in letters):
            _username.directionality_rule(name)
    except UnicodeEncodeError:  # precis_i18n raises it when a rule is broken
        is_name = False
    if not is_name:
        raise BadNameError("a name has letters, digits, _, - and . only")
    scripts = {letter.script for letter in letters} - {""}
    if len(scripts) > 1 and not any(scripts <= together for together in _WRITTEN_TOGETHER):
        raise BadNameError("a name has letters of one script only")


# Lines of the server on the text wire, or its prompts, begin with these words. A user with such a
# name could write lines that seem to come from the server.
RESERVED = frozenset(("admin", "administrator", "announcement", "operator", "server", "system"))
RESERVED |= {
    *(
        "accounts",
        "all",
        "copied",
        "curl",
        "current",
        "error",
        "gave",
        "goodbye",
        "greenroom",
        "hello",
        "in",
        "it",
        "lines",
        "log",
    ),
    *("logging", "login", "messages", "nobody", "nothing", "password", "pong", "removed"),
    *("the", "there", "this", "topic", "usage", "warning", "welcome", "you", "your"),
}
# In ASCII, letters that look like another letter or two; skeletons do the rest.
_LOOKS_LIKE = (("0", "o"), ("1", "l"), ("i", "l"), ("5", "s"), ("rn", "m"), ("vv", "w"))


def parse_new_name(text: str) -> Name:
    """Read a name for a new account or room. Raises BadNameError."""
    name = parse_name(text)
    check_new(name)
    return name


def check_new(name: Name) -> None:
    """Check that a new account or room may have a name. Older ones keep theirs.

    Raises BadNameError.
    """
    if unicodedata.category(name.shown[0])[0] not in "LN" and name.shown[0] != "_":
        raise BadNameError("a name begins with a letter, a digit or _")
    upper = unicodedata.normalize("NFC", name.shown.upper())
    skeletons = {name.skeleton, _skeleton(name.shown), _skeleton(upper)}
    if not _RESERVED_FORMS.isdisjoint(map(_outline, skeletons)):
        raise BadNameError(f"the name {name.shown} is reserved, or looks so; choose another")


def _skeleton(name: str) -> str:
    return "".join([_letter(character).plainest for character in name])


def _outline(skeleton: str) -> str:
    """Return the outline of a name at a glance: lookalikes replaced, punctuation left out."""
    outline = "".join([c for c in skeleton.lower() if c not in _PUNCTUATION])
    for one, other in _LOOKS_LIKE:
        outline = outline.replace(one, other)
    return outline


_RESERVED_FORMS = frozenset(map(_outline, RESERVED))


def parse_password(text: str) -> str:
    """Normalise a password (RFC 8265, 4.2). Raises ValueError when it can't be one."""
    try:
        normal = _opaque.idempotence_check(_opaque.apply_five_rules(text))
        if not (normal.isascii() and normal.isprintable()):
            _check_password(normal)
    except UnicodeEncodeError as error:
        raise ValueError(_BAD_PASSWORD) from error
    if not normal:
        raise ValueError(_BAD_PASSWORD)
    return normal


_BAD_PASSWORD = "a password is not empty and has no control characters"  # noqa: S105
# Characters allowed only beside some others. For digits and the dot, the whole text counts.
_SOMEWHERE_IN = frozenset(map(chr, (*range(0x660, 0x66A), *range(0x6F0, 0x6FA), 0x30FB)))
_BESIDE = frozenset("\u00b7\u0375\u05f3\u05f4\u200c\u200d")


def _check_password(normal: str) -> None:
    """Check a password's characters: each kind once, where its place has no meaning.

    Raises UnicodeEncodeError and ValueError.
    """
    characters = set(normal)
    _opaque.base.enforce("".join(characters - _SOMEWHERE_IN - _BESIDE))
    places = {normal.index(character) for character in characters & _SOMEWHERE_IN}
    if characters & _BESIDE:
        places |= {place for place, character in enumerate(normal) if character in _BESIDE}
    for place in places:
        if context_rule_error(normal, place, _opaque.base.ucd):
            raise ValueError(_BAD_PASSWORD)


def harmless(text: str) -> str:
    """Make a text safe to show: it can't move a cursor, ring, recolour or reorder.

    Control characters, line separators, characters that turn text around and unpaired surrogates
    become U+FFFD. Other invisible marks are left out, except those that some scripts need. Of a
    tower of marks and joiners the first 8 stay. Tabs, emoji and all letters pass.
    """
    if text.isprintable() and text.isascii():
        return text
    return _without_towers(c if c.isprintable() else _stand_in(c) for c in text)


# Invisible, but needed to write Persian, Indic scripts, emoji families and flags, and to break
# lines of Khmer and Thai.
_JOINERS = frozenset("\u200b\u200c\u200d\u2060\u00ad") | {chr(c) for c in range(0xE0020, 0xE0080)}
_WORD_JOINERS = "\u200c\u200d"
# Characters that reorder the text around them, and that could: Hebrew and Arabic do without.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f")
# Drawn on the letter before them, at no width of their own: accents, vowel signs, enclosures.
_MARKS = frozenset(
    character
    for character in map(chr, (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0)))
    if unicodedata.category(character) in ("Mn", "Me")
)
_STACKED = _MARKS | _JOINERS


def _without_towers(characters: Iterable[str]) -> str:
    """Join characters; of marks and joiners in a row, keep the first few.

    A regex would look each letter up in a list of all marks, and take 30 times as long.
    """
    kept, height = [], 0
    for character in characters:
        if not character:
            continue  # it was left out
        height = height + 1 if character in _STACKED else 0
        if height <= MARKS_IN_A_ROW_MAX:
            kept.append(character)
    return "".join(kept)


_TO_WINDOWS = str.maketrans(dict.fromkeys('<>:"|?*', "_"))  # they have a meaning there
_DEVICE = re.compile(
    "(con|prn|aux|nul|conin\\$|conout\\$|(com|lpt)[0-9\u00b9\u00b2\u00b3]) *", re.IGNORECASE
)


def parse_file_name(text: str) -> str:
    """Return the end of a path as a safe file name.

    It is in no folder, not hidden, not an option of a command, and no device of Windows. It has
    nothing invisible, and keeps its ending if it is too long. Raises BadNameError when nothing is
    left of it.
    """
    base = re.split(r"[/\\]", text)[-1]
    seen = unicodedata.normalize("NFC", _without_towers(_seen_in_file_name(base)))
    plain = harmless(seen).translate(_TO_WINDOWS).lstrip(".- ").rstrip(". ")
    stem, ending = splitext(plain)
    if _DEVICE.fullmatch(plain.partition(".")[0]):
        stem = f"_{stem}"
    room_bytes = FILE_NAME_BYTES_MAX - len(ending.encode())
    name = _cut(stem, room_bytes) + ending if room_bytes > 0 else _cut(stem, FILE_NAME_BYTES_MAX)
    if not name:
        raise BadNameError("that is no name of a file", code="bad_file_name")
    return name


def _seen_in_file_name(text: str) -> Iterator[str]:
    """Yield visible characters, and joiners that a script needs."""
    before, joiner = "", ""
    for character in text:
        if character in _WORD_JOINERS:
            joiner = character
        elif character.isprintable():
            if joiner and before and not (before.isascii() or character.isascii()):
                yield joiner
            yield character
            before, joiner = character, ""


def _cut(text: str, bytes_max: int) -> str:
    return text.encode()[:bytes_max].decode(errors="ignore")


@lru_cache(maxsize=0x400)  # a text has few kinds of them, often thousands of times
def _stand_in(character: str) -> str:
    """Return an unprintable character as shown: itself, another, or none."""
    if character == "\t" or character in _JOINERS:
        return character
    category = unicodedata.category(character)
    if category == "Zs":
        return " "  # wide and no-break spaces
    if category == "Cf" and character not in _REORDERING:
        return "" if _is_invisible(character) else character
    return character if category in ("Cn", "Co") else REPLACEMENT


def _is_invisible(character: str) -> bool:
    """Whether a format character shows nothing. Some are signs, as the end of an ayah."""
    is_sign = unicodedata.bidirectional(character) in ("L", "AL", "AN", "R")
    return not is_sign or character in _DIRECTION_MARKS
