"""Names and passwords: what can be one, and which are the same; and what a shown text can't do."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.bounds import NAME_CHARS_MAX
from app.values.names import (
    BadNameError,
    harmless,
    parse_file_name,
    parse_name,
    parse_new_name,
    parse_password,
)

# Letters of one script each, with cases, accents and several ways to be written.
_ALPHABETS = (
    "abcxyzäéñøåßšžşőAZÄÉÑØÅŠŽŐ",
    "αβγδεζηάέήίόύώΑΒΓΔςσΣ",
    "абвгдежзійїёўАБВГДЁЎ",
    "אבגדהוזחט",
    "अआइईकखगि",
    "漢字日本かなカナゔが",
    "한국어가나다",
)
_names = st.one_of(
    [st.text(letters + "019", min_size=1, max_size=NAME_CHARS_MAX) for letters in _ALPHABETS]
)
_DIRECTION_MARKS = "\u061c\u200e\u200f"
_BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_LINE_BREAKS = "\n\r\v\f\x85\u2028\u2029"


def _valid(text: str) -> str:
    try:
        parse_name(text)
    except BadNameError:
        assume(False)
    return text


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


# A name as it is shown is the same name again, and so is its key.
@given(_names)
def test_names_are_idempotent(text: str) -> None:
    name = parse_name(_valid(text))
    assert parse_name(name.shown) == name
    assert parse_name(name.key).key == name.key
    assert parse_name(name.key).skeleton == name.skeleton


# One name in any case, width and normal form is one account.
@given(_names, st.sampled_from([str.upper, str.lower, str.swapcase, str.title, _wide]))
def test_keys_are_equal_for_what_is_the_same(text: str, vary) -> None:
    name = parse_name(_valid(text))
    for form in ("NFC", "NFD"):
        varied = parse_name(_valid(unicodedata.normalize(form, vary(text))))
        assert (varied.key, varied.skeleton) == (name.key, name.skeleton)


# Whatever is accepted is short, visible, and of one script; nothing else than BadNameError comes.
@given(st.text(max_size=40))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        name = parse_name(text)
    except BadNameError:
        return
    for form in (name.shown, name.key):
        assert 1 <= len(form) <= NAME_CHARS_MAX
        assert form == harmless(form)
        assert not set(form) & set("/:,;()[] \t@'\"")


# What two people would take for one name is one name. What only looks the same is another, which
# can't be had beside the first; names that differ do not keep each other away.
@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        *((*pair, {"key", "skeleton"}) for pair in (("Alice", "alice"), ("Alice", "ＡＬＩＣＥ"))),
        *((*pair, {"key", "skeleton"}) for pair in (("caf\u00e9", "cafe\u0301"), ("ガ", "ｶﾞ"))),
        *((*pair, {"key", "skeleton"}) for pair in (("Straße", "STRASSE"), ("Σίσυφος", "ΣΊΣΥΦΟΣ"))),
        *((*pair, {"key", "skeleton"}) for pair in (("ЁЖИК", "ёжик"), ("İPEK", "ipek"))),
        *((*pair, {"skeleton"}) for pair in (("ace", "асе"), ("pop", "РОР"), ("ovo", "ονο"))),
        *((*pair, set()) for pair in (("bob", "rob"), ("a.b", "a-b"), ("e", "é"), ("李", "季"))),
    ],
)
def test_same_names(one: str, other: str, same: set[str]) -> None:
    names = parse_name(one), parse_name(other)
    assert {
        each for each in ("key", "skeleton") if len({getattr(n, each) for n in names}) == 1
    } == same


# A name is shown as its owner wrote it.
@pytest.mark.parametrize(
    "text", ["Zoë", "x_X-9.0", "Łukasz", "İpek", "漢字かなカナ", "한漢", "हिन्दी", "a" * 32]
)
def test_names_that_can_be(text: str) -> None:
    assert parse_name(text).shown == text


# What can't be a name is refused, and it is said why.
@pytest.mark.parametrize(
    ("text", "why"),
    [
        *((text, "letters, digits") for text in ("", "two words", "a/b", "a\x1b[2J", "a\u202eb")),
        *((text, "letters, digits") for text in ("a\u200bb", "a\u00a0b", "👋", "①", "٣", "ﬁn")),
        ("\ud800", "letters, digits"),
        ("a" * 33, "at most 32"),
        ("a" * 5000, "at most 32"),
        ("ß" * 17, "at most 32"),  # its key would be longer
        ("pаypal", "one script"),  # the second letter is Cyrillic
        ("Ωmega", "one script"),
        ("漢字한글かな", "one script"),
    ],
)
def test_names_that_can_not_be(text: str, why: str) -> None:
    with pytest.raises(BadNameError, match=why):
        parse_name(text)


# A password is the same however the keyboard composes it, and differs by case and width.
def test_passwords_are_normalised() -> None:
    assert parse_password("cafe\u0301 ｘ") == parse_password("caf\u00e9\u3000ｘ") == "caf\u00e9 ｘ"
    assert parse_password("Secret") != parse_password("secret")
    assert parse_password(" two  words ") == " two  words "


# A shown text has no character that a terminal obeys, is valid UTF-8, and is safe to show again.
@given(st.text(st.characters(codec=None), max_size=60))
def test_harmless_text(text: str) -> None:
    shown = harmless(text)
    shown.encode()
    assert not [
        c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c != "\t"
    ]
    assert not set(shown) & set(_BIDI + _DIRECTION_MARKS)
    assert harmless(shown) == shown
    assert len(shown) <= len(text)


# Each character that moves, rings, recolours, breaks a line or turns text around is replaced.
@pytest.mark.parametrize(
    "character",
    sorted({*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *_BIDI, *_LINE_BREAKS} - {"\t"}),
    ids=ascii,
)
def test_harmful_characters(character: str) -> None:
    assert harmless(f"a{character}b") == "a\N{REPLACEMENT CHARACTER}b"


# What nobody sees, and no script is written with, is left out.
@pytest.mark.parametrize(
    "character", [*_DIRECTION_MARKS, *"\ufeff\u2061\u206a\ufff9\u180e"], ids=ascii
)
def test_what_nobody_sees_is_left_out(character: str) -> None:
    assert harmless(f"a{character}b") == "ab"
    assert harmless("a" + f"\u0301{character}" * 50) == "a" + "\u0301" * 8


# What people write passes as they wrote it.
@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain ASCII, with\ttabs & <signs> [2J",
        "Grüße, Привет, שלום, مرحبا, हिन्दी, ไทย, 世界",
        "می\u200cخواهم",  # Persian joins with a joiner
        "ភាសា\u200bខ្មែរ สวัสดี\u200bครับ",  # Khmer and Thai break lines where nobody sees it
        "\u06dd \u0600 \u08e2 \u070f \U000110bd",  # signs of Arabic, Syriac and Kaithi
        "👩\u200d👩\u200d👧 👋🏽 🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "e\u0301 nai\u0308ve",
    ],
)
def test_harmless_passes_what_people_write(text: str) -> None:
    assert harmless(text) == text


# Marks piled upon a letter do not reach over the lines above; wide blanks are blanks.
def test_harmless_shortens_towers_and_blanks() -> None:
    assert harmless("Z" + "\u0301" * 500 + "!") == "Z" + "\u0301" * 8 + "!"
    assert harmless("a\u00a0b\u3000c\u2003d") == "a b c d"


# A name of a file is the same name again, also where something between a letter and its accent was
# taken out.
def test_file_names_are_idempotent() -> None:
    name = parse_file_name("A\u200b" + "\u0301" * 9 + ".txt")
    assert name == parse_file_name(name) == unicodedata.normalize("NFC", name)


# A name that is given begins with a letter, a digit or _; one that was given before can be found.
@pytest.mark.parametrize("text", ["--help", "-dash", "..", ".hidden", "-", "－wide", "ी"])
def test_names_begin_with_a_letter(text: str) -> None:
    with pytest.raises(BadNameError, match="a name begins with a letter, a digit or _"):
        parse_new_name(text)
    assert parse_name(text).shown


# Names that people want are given, also those that look a little like what is reserved.
@pytest.mark.parametrize("text", ["_", "9", "Алиса", "ไทย", "errol", "topics", "moderator", "user"])
def test_names_that_are_given(text: str) -> None:
    assert parse_new_name(text) == parse_name(text)


# A name of which the server's own lines could seem to come is nobody's, however it is written.
@pytest.mark.parametrize(
    "text",
    [
        *("Announcement", "Error", "Topic", "Welcome", "login", "password", "admin", "server"),
        *("ERROR", "Ｅｒｒｏｒ", "Err0r", "Error.", "_error_", "E.rror", "1ogin", "we1come"),
        *("T0PIC", "adrnin", "vvelcome", "passw0rd", "All", "There"),
        "\u0422\u041e\u0420\u0406\u0421",  # TOPIC of Cyrillic letters
    ],
)
def test_reserved_names(text: str) -> None:
    with pytest.raises(BadNameError, match="is reserved"):
        parse_new_name(text)


# A file's name harms nobody on Windows either: there it is no device, stream or pattern. It keeps
# the joiners that its letters need, and none where they join nothing.
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CON.txt", "_CON.txt"),
        ("NUL", "_NUL"),
        ("nul .tar.gz", "_nul .tar.gz"),
        ("Com1", "_Com1"),
        ("lpt\u00b9.x", "_lpt\u00b9.x"),
        ("CONIN$", "_CONIN$"),
        ("c\u200do\u200cn.txt", "_con.txt"),
        ("a:b.txt", "a_b.txt"),
        ("a?b*", "a_b_"),
        ('<a>|"b"', "_a___b_"),
        ("concert.txt", "concert.txt"),
        ("com10", "com10"),
        ("می\u200cخواهم.txt", "می\u200cخواهم.txt"),
        ("क\u094d\u200dष.pdf", "क\u094d\u200dष.pdf"),
        ("\u200dab\u200c.txt\u200d", "ab.txt"),
        ("خ\u200c\u200c\u200cم", "خ\u200cم"),
        ("\u202egnp.exe", "gnp.exe"),
    ],
)
def test_file_names_on_windows(text: str, name: str) -> None:
    assert parse_file_name(text) == parse_file_name(name) == name


# A password is not empty, and has no control character, nor digits of two kinds; each kind alone is
# one, at any length.
@pytest.mark.parametrize("text", ["\u0660" * 512, "\u30fb" * 300 + "漢", "l\u00b7l"], ids=ascii)
def test_passwords_that_can_be(text: str) -> None:
    assert parse_password(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n", "a\x00b", "a\x1bb", "\ud800", "\u0660" * 511 + "\u06f0", "\u30fb" * 300),
        *("a\u00b7l", "\u0660\x01", "a\u200cb"),
    ],
    ids=ascii,
)
def test_passwords_that_can_not_be(text: str) -> None:
    with pytest.raises(ValueError, match="a password is not empty and has no control characters"):
        parse_password(text)
