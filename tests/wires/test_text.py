"""The text wire without a socket: the same bytes, in whatever pieces, mean the same."""

import re
from collections.abc import Callable, Iterable
from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import Refusal
from app.protocol import accounts
from app.protocol.accounts import Login, Passwd, Register
from app.protocol.command import Command
from app.protocol.files import Send
from app.protocol.moderation import Ban, Topic
from app.protocol.server import Help
from app.protocol.talk import Away, History, Said, Say
from app.terminal.typed import read_request
from app.wires.lines import LineSplitter
from app.wires.text.events import render
from app.wires.text.telnet import TelnetFilter
from app.wires.text.text import TextWire
from app.wires.text.typed_lines import UNSEEN, TypedLines, hides_command

IAC, DONT, DO, WONT, WILL, SB, NOP, SE = (
    bytes([code]) for code in b"\xff\xfe\xfd\xfc\xfb\xfa\xf1\xf0"
)
AYT, ECHO, NAWS = b"\xf6", b"\x01", b"\x1f"
EIGHT_BITS = IAC + DO + b"\0"  # what is asked once of whoever negotiates
HIDE, SHOW = IAC + WILL + ECHO, IAC + WONT + ECHO + b"\r\n"
_PROMPTS = (b"password: ", b"old password: ", b"new password: ")
ASKED = b"".join(HIDE + prompt + SHOW for prompt in _PROMPTS)  # and answered
LINE_BYTES_MAX = 24

# What clients send, and what would be cut in two at the worst place.
_TYPED = (
    *("bob", "/login bob", "/login bob x", "/register bob", "/passwd", "/help", "/history"),
    "hello",
    *(" 5", "//", "/", " ", "\t", "é👋", "\r", "\n", "\0", "\r\n", "\r\0", "x" * LINE_BYTES_MAX),
    *("\b", "\x7f", "\x15", "\n\r", "\r\r\n", "\x1b[A", "\u200b", "{"),
)
_typed = st.sampled_from([text.encode() for text in _TYPED])
_telnet = st.sampled_from([IAC, WILL, WONT, DO, DONT, SB, SE, AYT, ECHO, NAWS])
_streams = st.lists(_typed | _telnet | st.binary(max_size=3), max_size=30).map(b"".join)
_line_ends = st.text("xé\r\n\0\b\x15", max_size=20).map(str.encode)
_requests = st.sampled_from([b"x", IAC + AYT, IAC + DO + NAWS, IAC + WILL + NAWS])
_telnet_streams = st.lists(_telnet | _requests, max_size=20).map(b"".join)
_cuts = st.lists(st.integers(0, 200), max_size=10)


def _pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut data at some places."""
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    return [data[a:b] for a, b in pairwise(places) if a < b]


def check_pieces(data: bytes, cuts: list[int], read: Callable[[list[bytes]], object]) -> None:
    """Check that what is read does not depend on how the data is cut."""
    whole = read([data] if data else [])
    assert read(_pieces(data, cuts)) == whole
    assert read([bytes([byte]) for byte in data]) == whole


def _lines(
    pieces: Iterable[bytes],
    line_bytes_max: int = LINE_BYTES_MAX,
    kind: type[LineSplitter | TypedLines] = TypedLines,
) -> list[bytes | None]:
    splitter = kind(line_bytes_max)
    return [line for piece in pieces for line in splitter.feed(piece)]


def _filtered(pieces: Iterable[bytes]) -> tuple[bytes, bytes]:
    telnet = TelnetFilter()
    text = b"".join([telnet.feed(piece) for piece in pieces])
    return text, bytes(telnet.answers)


def talk(pieces: Iterable[bytes], line_bytes_max: int = LINE_BYTES_MAX) -> tuple[list, bytes]:
    """Return what a connection would carry out, and what the wire prompts for; logins succeed.

    Answers to telnet's commands are left out: those of a piece come before its lines'.
    """
    wire, items, output = TextWire(line_bytes_max), [], b""
    for piece in pieces:
        for item in wire.feed(piece):
            output += wire.take_output()
            if item is None:
                continue
            items.append((item.code, str(item)) if isinstance(item, Refusal) else item)
            if isinstance(item, Refusal) and item.is_final:
                return items, _without_answers(output)
            if isinstance(item, Login | Register):
                wire.show(accounts.LoggedIn(item.name))
        output += wire.take_output()
    return items, _without_answers(output)


def _without_answers(output: bytes) -> bytes:
    return re.sub(rb"\xff(\xf1|\xfd\0|[\xfc\xfe](?!\x01).|\xfe\x01)", b"", output, flags=re.S)


# A stream has the same lines however the network cuts it.
@settings(max_examples=300)
@given(_line_ends, _cuts, st.integers(1, 4))
def test_lines_do_not_depend_on_pieces(data: bytes, cuts: list[int], limit: int) -> None:
    for kind in (LineSplitter, TypedLines):
        check_pieces(data, cuts, lambda pieces, kind=kind: _lines(pieces, limit, kind))


# A stream has the same text and gets the same answers however the network cuts it.
@settings(max_examples=300)
@given(_telnet_streams, _cuts)
def test_telnet_does_not_depend_on_pieces(data: bytes, cuts: list[int]) -> None:
    check_pieces(data, cuts, _filtered)


# A dialogue has the same commands, refusals and prompts however the network cuts it.
@settings(max_examples=300)
@given(_streams, _cuts)
def test_dialogue_does_not_depend_on_pieces(data: bytes, cuts: list[int]) -> None:
    check_pieces(data, cuts, talk)


# No line is longer than allowed, and what is kept of one that has not ended is bounded.
@given(_streams)
def test_lines_are_bounded(data: bytes) -> None:
    splitter = LineSplitter(LINE_BYTES_MAX)
    for line in splitter.feed(data * 3):
        assert line is None or len(line) <= LINE_BYTES_MAX
    assert len(splitter._begun) <= LINE_BYTES_MAX + 1


# The answers to telnet's commands are never longer than what they answer, but for one question.
@given(_telnet_streams)
def test_telnet_amplifies_nothing(data: bytes) -> None:
    text, answers = _filtered([data])
    assert len(text) + len(answers.replace(EIGHT_BITS, b"", 1)) <= len(data)
    assert answers.count(EIGHT_BITS) <= 1


# What programs send ends in LF or CR LF; a CR elsewhere is part of it, and so is a NUL.
@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb\r\nc\r\0d\n", [b"a", b"b", b"c\r\0d"]),
        (b"\n\r\n", [b"", b""]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\r\r\n", [b"a\r"]),
        (b"12345678\r\n", [b"12345678"]),
        (b"123456789\nab\n", [None, b"ab"]),
        (b"1234567890", [None]),
        (b"1234567890 and more\nab\n1234567890", [None, b"ab", None]),
    ],
)
def test_line_ends_of_programs(data: bytes, lines: list[bytes | None]) -> None:
    assert _lines([data], 8, LineSplitter) == lines


RETURNS = [
    *(b"\r\n", b"\r\0", b"\n", b"\r", b"\n\r", b"\r\r\n", b"\r\r\r\n"),
    *(b"\r\n\0", b"\r\0\n", b"\n\r\0", b"\n\0\r", b"\0\r\n", b"\0\n\r", b"\r\0\0\n"),
]


# Whatever a terminal sends for Return ends what is typed once, and at once.
@pytest.mark.parametrize("end", RETURNS, ids=repr)
def test_return_ends_a_line_once(end: bytes) -> None:
    typed = [b"one", b"two", b"three"]
    assert _lines([line + end for line in typed]) == typed
    assert _lines([b"".join(line + end for line in typed)]) == typed
    assert _lines([b"one" + end]) == [b"one"]
    lines = (b"bob", b"secret", b"/passwd" + end + b"a" + end + b"b")
    logged_in = [Login("bob", "secret"), Passwd("a", "b")]
    assert talk([line + end for line in lines]) == (logged_in, ASKED)


# Return twice is a line and an empty one, and a NUL elsewhere is nothing at all.
@pytest.mark.parametrize("end", [b"\r\n", b"\r\0", b"\n"], ids=repr)
def test_empty_lines(end: bytes) -> None:
    assert _lines([b"a" + end + end + b"\0b\0c" + end]) == [b"a", b"", b"bc"]


# What the keys erase is gone: the character before it whole, or the line; never of another line.
@pytest.mark.parametrize(
    ("typed", "left"),
    [
        (b"helo\x08lo", b"hello"),
        (b"helo\x7flo", b"hello"),
        (b"\x08\x08a", b"a"),
        (b"ab\x08\x08\x08c", b"c"),
        (b"abc\x08\x7f\x08xyz", b"xyz"),
        (b"abcd\x08e\x08\x08f", b"abf"),
        (b"x" * 9 + b"\x7f" * 9 + b"y", b"y"),
        ("tschö日\x08\x08oe".encode(), b"tschoe"),
        (b"a\xe6\x97\x08b", b"ab"),  # half a character
        ("é\xff".encode("latin-1") + b"\x08\x08\xff", b"\xff"),
        (b"wrong\x15right", b"right"),
        (b"a\x15\x15\x08b", b"b"),
        (b"", b""),
    ],
)
@pytest.mark.parametrize("ways", ["keys", "telnet"])
def test_erasing(typed: bytes, left: bytes, ways: str) -> None:
    if ways == "telnet":
        if IAC in typed:
            return
        typed = typed.replace(b"\x7f", IAC + b"\xf7").replace(b"\x15", IAC + b"\xf8")
        typed = _filtered([typed])[0]
    if b"\xff" in left:
        assert _lines([b"before\n" + typed + b"\n"], 99)[1].endswith(left)
        return
    assert _lines([b"before\n" + typed + b"\n"], 99) == [b"before", left]
    items, _ = talk([b"bob\n" + typed + b"\n"], 99)
    assert items == [Login("bob", left.decode())]


HIDDEN = [
    *("\x1b[A", "\x1bOA", "\x1b[1;5C", "\x1b[200~", "\x1b[[A", "\x1b", "\x1b[", "\x1bb", "\x9bA"),
    *("\x1b]0;title\x07", "\x1b[A\x1b[B", "\x04", "\x01", "\v", "\f", "\x85", "\ufeff"),
    *("\u200b", "\u200d", "\u2060", "\xad", "\u200e", "\u202e", "\u2028", "\u3164"),
    *("\ufe0f", "\u034f", "\xa0", "\u3000", " \u200b", "\u200b ", "\t\x1b[A\t"),
    *("\U00013430", "\U00013442", "\U0001d159"),
]


# What would be a command, but for what nobody sees in front of it, is never said: nor is it a name.
@pytest.mark.parametrize("before", HIDDEN, ids=ascii)
@pytest.mark.parametrize("login", [b"", b"/login bob x\n"])
def test_a_hidden_command_is_refused(before: str, login: bytes) -> None:
    items, output = talk([login + f"{before}/msg bob my secret\n".encode()], 99)
    assert items[-1][0] == "hidden_command"
    assert len(items) == 1 + bool(login)
    assert HIDE not in output


# Runs of blanks that are wider than 16 columns are shown as 16 of them; nothing else is changed.
@given(
    st.text(
        st.sampled_from(" \t\u200b\u3000\ufe0fa\u00e9\u6f22")
        | st.characters(codec="utf-8", exclude_categories=["Cc"])
    )
)
def test_runs_of_blanks(body: str) -> None:
    line, unseen = f"alice: {body}", re.compile(f"[{UNSEEN} ]")
    runs = ["".join(run) for _, run in groupby(line, lambda each: bool(unseen.match(each)))]
    wide = [unseen.match(run) and len(run.expandtabs(8)) > 16 for run in runs]
    shown = "".join(" " * 16 if is_wide else run for run, is_wide in zip(runs, wide, strict=True))
    assert render(Said("lobby", "alice", body, 0)).decode() == f"{shown}\r\n"


# What begins with something to be seen, or with plain blanks, is said as it was typed.
@pytest.mark.parametrize(
    "text", [" /x", "\t/x", "x\x1b[A/x", "ü/x", "日/", "\U0001f600/x", "\x1b[Ax/y"]
)
def test_what_is_no_command_is_said(text: str) -> None:
    assert not hides_command(text)
    assert talk([b"/login bob x\n" + text.encode() + b"\n"], 99)[0][1:] == [Say(text)]


# Behind the word of a command a tab stands for a blank, and so does each other blank there is.
@pytest.mark.parametrize("blank", ["\t", " \t ", "\u00a0", "\u3000"], ids=ascii)
def test_blanks_behind_a_command(blank: str) -> None:
    items, _ = talk([f"/login{blank}bob x\n/topic{blank}hello\n".encode()], 99)
    assert items == [Login("bob", "x"), Topic(text="hello")]
    assert read_request(f"/topic{blank}hello", "den").fields == {"room": "den", "text": "hello"}


# What comes in place of a name and can be none is told what this is; no password is asked for.
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"id": 1, "op": "login", "name": "bob", "password": "secret"}', "other_protocol"),
        *((line, "other_protocol") for line in ('\ufeff{"id": 1}', '[{"id": 1}]', "NICK x")),
        ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2", "other_protocol"),
        *((line, "other_protocol") for line in ("SSH-2.0-OpenSSH_9.2", "GET / HTTP/1.1", "CAP LS")),
        *((line, "bad_name") for line in ("EHLO example.org", "two words", "<xml/>", "x" * 40)),
    ],
)
def test_what_can_be_no_name(line: str, code: str) -> None:
    items, output = talk([f"{line}\nsecret\n".encode()], 99)
    assert items[0][0] == code
    assert "this is Greenroom" in items[0][1]
    assert HIDE not in output.partition(b"secret")[0] or code == "bad_name"
    assert talk([f"{line}\n".encode()], 99)[1] == b""


# Telnet's commands are taken out of the text; offers are declined, and nothing else is answered.
@pytest.mark.parametrize(
    ("data", "text", "answers"),
    [
        (b"plain", b"plain", b""),
        (b"a" + IAC + IAC + b"b", b"a\xffb", b""),
        (b"a" + IAC + NOP + b"b", b"ab", b""),
        (b"a" + IAC + AYT + b"b", b"ab", IAC + NOP),
        (b"a" + IAC + WILL + NAWS + b"b", b"ab", EIGHT_BITS + IAC + DONT + NAWS),
        (b"a" + IAC + DO + NAWS + b"b", b"ab", EIGHT_BITS + IAC + WONT + NAWS),
        (b"a" + IAC + DO + ECHO + b"b", b"ab", EIGHT_BITS),  # what we offered
        (b"a" + IAC + DO + ECHO + IAC + WILL + b"\0b", b"ab", EIGHT_BITS),  # what we asked for
        (b"a" + IAC + WILL + b"\0b", b"ab", EIGHT_BITS),
        (b"a" + IAC + DO + b"\0b", b"ab", EIGHT_BITS + IAC + WONT + b"\0"),
        (b"a" + (IAC + WONT + b"\0") * 2 + b"b", b"ab", EIGHT_BITS),
        (b"a" + IAC + DONT + ECHO + IAC + WONT + NAWS + b"b", b"ab", EIGHT_BITS),
        (b"a" + IAC + b"\xf7b" + IAC + b"\xf8c", b"a\x7fb\x15c", b""),  # as keys do
        (b"a" + IAC + SB + NAWS + b"\0\x50\0\x18" + IAC + SE + b"b", b"ab", b""),
        (b"a" + IAC + SB + b"x\xff\xffy" + IAC + NOP + b"z" + IAC + SE + b"b", b"ab", b""),
        (b"a" + IAC + SB + b"never ends", b"a", b""),
        (b"a" + IAC, b"a", b""),
    ],
)
def test_telnet_commands(data: bytes, text: bytes, answers: bytes) -> None:
    assert _filtered([data]) == (text, answers)


# At the login prompt a line is a name, and the one after it a password, whatever stands in it.
@pytest.mark.parametrize(
    ("data", "items", "output"),
    [
        (b"bob\n", [], HIDE + b"password: "),
        (b"bob\nsecret\n", [Login("bob", "secret")], HIDE + b"password: " + SHOW),
        (b"  bob \n/quit\n", [Login("bob", "/quit")], HIDE + b"password: " + SHOW),
        (b"/login bob\n \n", [Login("bob", " ")], HIDE + b"password: " + SHOW),
        (b"/register bob\n\n", [Register("bob", "")], HIDE + b"password: " + SHOW),
        (b"/login bob two words\n", [Login("bob", "two words")], b""),
        (b"\n  \n", [], b"login: login: "),
        (b"/help\n", [Help()], b""),
    ],
)
def test_login_prompts(data: bytes, items: list[Command], output: bytes) -> None:
    assert talk([data]) == (items, output)


# A line that can't be a password ends the prompt: what is typed next is seen again.
@pytest.mark.parametrize(
    ("password", "code"), [(b"\xe9", "not_utf8"), (b"x" * (LINE_BYTES_MAX + 1), "line_too_long")]
)
def test_a_bad_line_ends_a_prompt(password: bytes, code: str) -> None:
    items, output = talk([b"bob\n" + password + b"\n/help\n"])
    assert (items[0][0], items[1]) == (code, Help())
    assert output == HIDE + b"password: " + SHOW


# Once logged in, a line is said but for commands; the last text of a command is the rest of it.
@pytest.mark.parametrize(
    ("line", "items"),
    [
        *((text, [Say(text)]) for text in ("hello", "  hello ")),
        ("//hello", [Say("/hello")]),
        ("///hello", [Say("//hello")]),
        *((blank, []) for blank in (" \t", "")),
        ("/AWAY  for   lunch ", [Away("for   lunch")]),
        ("/ban bob 2h a  b", [Ban("bob", 7200, "a  b")]),
        ("/ban bob soon", [Ban("bob", None, "soon")]),
        ("/ban bob 2h", [Ban("bob", 7200, "")]),
        ("/history", [History(20)]),
        ("/history 7", [History(7)]),
        ("/login", [("bad_arguments", "usage: /login NAME [PASSWORD]")]),
        ("/kick", [("bad_arguments", "usage: /kick USER [REASON]")]),
        ("/send a  b to bob", [Send("a  b", "bob")]),
        ("/send a to  bob ", [Send("a", "bob")]),
    ],
)
def test_lines_after_login(line: str, items: list) -> None:
    assert talk([b"/login bob x\n", f"{line}\n".encode()])[0] == [Login("bob", "x"), *items]


# Who registers with a name in two words, it may be, is told which part of it is their name.
@pytest.mark.parametrize(
    ("typed", "is_told"),
    [
        *((name, True) for name in ("Al Ice", "Mary Jane Watson", "王 小明")),
        *((name, False) for name in ("al secret", "al Secret1", "al correct horse")),
    ],
)
def test_a_name_in_two_words(typed: str, is_told: bool) -> None:
    wire = TextWire(100)
    (command,) = wire.feed(f"/register {typed}\n".encode())
    told = f"; your name is {command.name}, and the rest of that line is your password."
    assert (told.encode() in wire.show(accounts.LoggedIn(command.name))) == is_told
