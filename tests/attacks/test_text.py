"""Text that pretends to be more than one line, runs backwards, stacks up, or is no text at all."""

import re
import unicodedata

import pytest

from app.bounds import MARKS_IN_A_ROW_MAX
from tests.kit.client import all_see

NOT_UTF8 = "Error: that line is not UTF-8, and was not used"

REORDERING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
INVISIBLE = "\u200b\ufeff\u2060\u180e\u00ad\u2063\u034f\u3164\U000e0041"
LINE_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # where anything may begin a line, but CR and LF

# What towers are built of: marks of seven scripts, and marks with something invisible in between.
TOWER_FLOORS = (
    *("\u0301", "\u0e47", "\u0610", "\u0ec8", "\u0f71", "\u0951", "\u20dd", "\ufe0f", "\U0001e000"),
    *("\u0301" * 7 + unseen for unseen in "\u200d\u034f\u2060"),
)
WHOLE = (
    *("Tiếng Việt", "می\u200cخواهم", "क्षत्रिय", "กำลังเที่ยว", "שָׁלוֹם", "བསྒྲུབས"),
    *("\N{WOMAN}\u200d\N{WOMAN}\u200d\N{GIRL}\u200d\N{BOY}", "\N{BLACK SUN WITH RAYS}\ufe0f"),
    "\N{WAVING BLACK FLAG}\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
)

BAD_UTF8 = [
    *(bytes([byte]) for byte in range(0x80, 0xFF)),
    b"\xff\xff",  # how telnet sends FF
    b"\xc0\xaf",  # a slash, too long
    *(b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x88\x80\x80\x80"),
    b"\xed\xa0\x80",  # half of a surrogate pair
    b"\xed\xa0\x80\xed\xb0\x80",  # both
    b"\xf4\x90\x80\x80",  # beyond Unicode
    *(b"\xe2\x82", b"\xf0\x9f\x98"),  # the end is missing
]


# A character that turns text around is gone from it: what follows reads as it was typed.
def test_text_is_not_reordered(pair) -> None:
    writer, reader = pair
    for character in REORDERING:
        writer.type(f"pay alice{character} 100", f"/me pays{character} bob")
    writer.catch_up()
    seen = "\n".join(reader.catch_up())
    assert seen.count("pay alice") == seen.count("pays") == len(REORDERING)
    assert not set(seen) & set(REORDERING)


# No name holds a character that turns text around, or that nobody sees.
def test_names_have_nothing_hidden(pair) -> None:
    writer, _ = pair
    for character in REORDERING + INVISIBLE:
        for name in (f"{character}bob", f"bo{character}b", f"bob{character}"):
            writer.type(f"/join {name}")
            writer.expect_line("Error: a name has .*")


# A tower of combining marks is cut before it reaches the lines above, whatever its script, and
# whether or not something invisible stands between its marks.
def test_towers_of_marks_are_cut(pair) -> None:
    writer, reader = pair
    for floor in TOWER_FLOORS:
        writer.type(f"a{floor * 50} and on")
        line = reader.expect_line(".* and on")
        marks = [c for c in line if unicodedata.category(c) in ("Mn", "Me")]
        assert 0 < len(marks) <= MARKS_IN_A_ROW_MAX, ascii(floor)


# Scripts that need marks and joiners, and emoji made of several, come through as they were typed.
def test_scripts_stay_whole(pair) -> None:
    writer, _ = pair
    for text in WHOLE:
        writer.type(text)
        all_see(pair, f"{writer.name}: {text}")


# A message is one line, for everybody, now and later, however its text was meant to be broken.
def test_a_message_is_one_line(pair) -> None:
    writer, reader = pair
    for character in LINE_ENDS:
        writer.type(f"hi{character}SERVER: x", f"/msg {reader.name} hi{character}SERVER: x")
    writer.catch_up()
    reader.type(f"/history {len(LINE_ENDS)}")
    lines = reader.catch_up()
    assert len(lines) == 3 * len(LINE_ENDS)
    for line in lines:
        assert len(line.splitlines()) == 1
        assert re.fullmatch(rf"(\[[0-9:]+\] |\[private\] )?{writer.name}: hi.SERVER: x", line)


# Where a line does end, a new message begins, and says whose it is.
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r\0", b"\r", b"\r\r\n"], ids=repr)
def test_every_line_says_whose_it_is(pair, line_end: bytes) -> None:
    writer, reader = pair
    writer.send(b"hi" + line_end + b"SERVER: x" + line_end)
    reader.expect_lines(f"{writer.name}: hi", f"{writer.name}: SERVER: x")


# What is not UTF-8 costs its sender an error, and nobody else anything (CVE-2017-7653).
def test_bad_utf8_is_its_senders_problem(pair) -> None:
    writer, reader = pair
    for bad in BAD_UTF8:
        writer.send(b"x" + bad + b" y\n")
        writer.send(b"/msg %s x%b y\n" % (reader.name.encode(), bad))
    assert writer.catch_up() == [NOT_UTF8] * 2 * len(BAD_UTF8)
    writer.type("still here")
    reader.expect_lines(f"{writer.name}: still here")


# Nor does it before anybody is logged in: as a name, and as a password.
def test_bad_utf8_before_login(server) -> None:
    newcomer = server.connect()
    for bad in BAD_UTF8:
        newcomer.send(b"x" + bad + b" y\n")
        newcomer.expect(f"login: {NOT_UTF8}\r\n")
    newcomer.send(b"newcomer\n" + BAD_UTF8[0] + b"\n")
    newcomer.receive_through(b"password: ")
    newcomer.receive_through(NOT_UTF8.encode() + b"\r\nlogin: ")


# A character that arrives in pieces is whole again, and one that is cut short spoils its line only.
def test_a_character_may_come_in_pieces(pair) -> None:
    writer, reader = pair
    for byte in "naïve € 😀\n".encode():
        writer.send(bytes([byte]))
        reader.catch_up()  # the server has read the byte
    writer.send("cut €".encode()[:-1] + b"\nwhole\n")
    reader.expect_lines(f"{writer.name}: naïve € 😀", f"{writer.name}: whole")


# A line that is too long is just that, also where the limit falls into a character.
def test_a_character_across_the_limit(pair) -> None:
    writer, reader = pair
    for text in ("x" * 4094 + "é", "x" * 4095 + "é", "x" * 4093 + "€", "x" * 4094 + "€"):
        writer.type(text)
        if len(text.encode()) <= 4096:
            all_see(pair, f"{writer.name}: {text}")
        else:
            writer.expect_line("Error: a line has at most 4096 bytes.*")
    reader.expect_nothing_more()


# However many blanks stand in a row, 16 are shown to people, so that what follows can't seem to be
# a line of its own; they are stored as they were typed.
@pytest.mark.parametrize(
    "blank",
    [
        *(" ", "\t", "\u00a0", "\u3000", "\u2800", "\u3164", " \u200b", " \u00ad \u2060"),
        *(" \ufe0f", " \u034f", " \u17b4 \u180b", " \u2065 \ufff0", " \U000e0041 \U000e0100"),
        *(" \U00013430", "\U00013441", "\U0001d159"),
    ],
    ids=ascii,
)
def test_runs_of_blanks(server, pair, blank: str) -> None:
    writer, reader = pair
    writer.type(f"a{blank * 80}Error: b", f"/me c{blank * 80}d", f"/topic e{blank * 40}f")
    shown = " " * 16
    reader.expect_lines(
        f"{writer.name}: a{shown}Error: b",
        f"* {writer.name} c{shown}d",
        f"{writer.name} set the topic: e{shown}f",
    )
    program = server.program().log_in(writer.name).join(writer.room)
    (said, _) = program.call("history")["messages"]
    assert len(said["body"]) > 80


# A line end in what a program sends is refused, with the name of the field that has it.
@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"], ids=ascii)
@pytest.mark.parametrize(
    ("op", "field"),
    [
        *(("say", "body"), ("me", "body"), ("msg", "body"), ("topic", "text"), ("away", "why")),
        ("kick", "reason"),
    ],
)
def test_line_ends_of_programs(server, new_name, line_end: str, op: str, field: str) -> None:
    program = server.program().register(new_name("bot")).join(new_name("room"))
    whom = {"user": program.name} if op in ("msg", "kick") else {}
    answer = program.answer(program.ask(op, **whom, **{field: f"a{line_end}b"}))
    assert answer["error"] == "bad_arguments"
    assert answer["message"] == f"bad {field}: it has an end of a line; send one line at a time"


# A topic is taken away by people with a dash, and by programs with no text as well.
def test_a_topic_is_taken_away(server, pair) -> None:
    writer, reader = pair
    program = server.program().log_in(writer.name).join(writer.room)
    for take_away in (
        lambda: writer.type("/topic -"),
        *(lambda text=text: program.call("topic", text=text) for text in ("", "-")),
    ):
        writer.type("/topic Tea at five")
        reader.expect_lines(f"{writer.name} set the topic: Tea at five")
        take_away()
        reader.expect_lines(f"{writer.name} took the topic away.")
    assert program.call("topic")["topic"] == ""
