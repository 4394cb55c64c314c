"""Bytes for the wires, names and texts, uploads: no input makes them raise, however it is cut."""

from __future__ import annotations

import base64
import json
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress

import pyte
from hypothesis import strategies as st

from app.bounds import FILE_IN_LINES_BYTES_MAX, FILE_NAME_BYTES_MAX, NAME_CHARS_MAX
from app.errors import BadNameError, Refusal
from app.protocol import COMMANDS, accounts, server
from app.protocol.command import Command
from app.protocol.files import Upload
from app.values.names import harmless, parse_file_name, parse_name, parse_password
from app.wires.lines import LineSplitter
from app.wires.ndjson.ndjson import NdjsonWire
from app.wires.ndjson.schema import REQUESTS
from app.wires.text.commands import usage
from app.wires.text.telnet import TelnetFilter
from app.wires.text.text import TextWire
from tests.fire.fuzz.fuzzers import fuzzer
from tests.kit.program import check
from tests.wires.test_text import check_pieces, talk

LINE_BYTES_MAX = 120

JUNK = (
    *(b"\n", b"\r\n", b"\r", b"\0", b"{", b"}", b"[" * 60, b'"', b"\\", b"\\ud800", b","),
    *(b":", b"NaN", b"1e999", b"9" * 40, b"-", b"\xff\xfb\x01", b"\xff\xfa", b"\xed\xa0\x80"),
    *(b"/", b" ", b"/passwd", b"/history", b"x" * 130, b"\xef\xbb\xbf", b"\xe2\x80\xae"),
    *(b"\xc2\x9b", b"\xc2\x85", b"\x1b[2J", b"\x7f", b"\xcc\x81" * 9, b"=", b".\n", b"\t"),
)

_names = st.sampled_from(["bob", "lobby", "", "\0", "ＢＯＢ", "é", "\u202e", "x" * 70, "\ud800"])
_numbers = st.sampled_from([0, 1, -1, 20, 1000, 1 << 63, 10**25, True, 1.0, 1e300, float("inf")])
_values = st.recursive(
    _names | _numbers | st.none() | st.text(max_size=8) | st.floats(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_names, inner, max_size=2),
    max_leaves=4,
)
_SAMPLES: dict[str, object] = {"count": 5, "seconds": 60, "since": 1, "revoke": 1, "before": 9}
_right = st.sampled_from(sorted(REQUESTS)).map(
    lambda word: {
        name: word if name == "op" else _SAMPLES.get(name, 1 if name in ("id", "after") else "bob")
        for name in REQUESTS[word].model_fields
    }
)
_fields = st.sampled_from(
    sorted({name for each in REQUESTS.values() for name in each.model_fields})
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return a request that is right but for a field or two, as JSON."""
    request = draw(_right)
    for name in draw(st.lists(_fields, max_size=2)):
        if draw(st.booleans()):
            request[name] = draw(_values)
        else:
            request.pop(name, None)
    text = json.dumps(request, ensure_ascii=draw(st.booleans()))
    return text.encode(errors=draw(st.sampled_from(["replace", "surrogatepass"])))


_typed = st.sampled_from([*COMMANDS.values()]).map(lambda kind: usage(kind).encode())
_junk = st.sampled_from(JUNK) | st.binary(max_size=4)


def lines_of(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return some lines."""
    return st.lists(lines | _junk, max_size=4).map(lambda each: b"\n".join(each) + b"\n")


# Lines and telnet.


@fuzzer("lines", st.text("x\r\n\0", max_size=20).map(str.encode), JUNK, is_cut=True)
def check_lines(data: bytes, cuts: Sequence[int]) -> None:
    """A stream has the same lines however it is cut, and none is too long."""

    def read(pieces: Iterable[bytes]) -> list[bytes | None]:
        splitter = LineSplitter(4)
        found = [line for piece in pieces for line in splitter.feed(piece)]
        assert len(splitter._begun) <= 5
        return found

    check_pieces(data, list(cuts), read)
    for line in read([data]):
        assert line is None or (len(line) <= 4 and b"\n" not in line)


_telnet_bytes = st.lists(
    st.sampled_from([*(bytes([each]) for each in (*range(0xF0, 0x100), 1, 3, 31)), b"x", b"\r\n"]),
    max_size=30,
).map(b"".join)


@fuzzer("telnet", _telnet_bytes, JUNK, is_cut=True)
def check_telnet(data: bytes, cuts: Sequence[int]) -> None:
    """Telnet's commands are taken out and answered in the same way however they are cut."""

    def read(pieces: Iterable[bytes]) -> tuple[bytes, bytes]:
        telnet = TelnetFilter()
        return b"".join([telnet.feed(piece) for piece in pieces]), bytes(telnet.answers)

    check_pieces(data, list(cuts), read)
    text, answers = read([data])
    assert len(text) <= len(data)
    assert len(answers) <= 2 * len(data)


# The wires.


def converse(pieces: Iterable[bytes]) -> tuple[list[object], bytes]:
    """Return what a program asks, and what it is answered if all but talk is done at once."""
    wire, items, sent = NdjsonWire(LINE_BYTES_MAX), [], b""
    for piece in pieces:
        for item in wire.feed(piece):
            if isinstance(item, Refusal):
                sent += wire.show(server.Refused.of(item))
            items.append((item.code, str(item)) if isinstance(item, Refusal) else item)
            sent += wire.done()
    return items, sent


@fuzzer("ndjson", lines_of(requests()), JUNK, is_cut=True)
def check_ndjson(data: bytes, cuts: Sequence[int]) -> None:
    """Each line of a program is nothing, a command, or refused with one answer."""
    check_pieces(data, list(cuts), converse)
    items, sent = converse([data])
    refusals = sum(isinstance(item, tuple) for item in items)
    assert all(item is None or isinstance(item, Command | tuple) for item in items)
    answers = [json.loads(line) for line in sent.splitlines()]
    assert sum(not answer["ok"] for answer in answers) == refusals
    assert sent.isascii()
    for answer in answers:
        assert not (answer["ok"] and answer.keys() - {"id", "ok"})


@fuzzer("accepted", requests(), JUNK)
def check_accepted(data: bytes, _cuts: Sequence[int]) -> None:
    """What the NDJSON wire accepts is right by the schema, too."""
    line = data.partition(b"\n")[0]
    items, _ = converse([line + b"\n"])
    if items and isinstance(items[0], Command):
        check(f"request_{items[0].op}", json.loads(line))


@fuzzer("text", lines_of(_typed), JUNK, is_cut=True)
def check_text(data: bytes, cuts: Sequence[int]) -> None:
    """The text wire takes anything, and shows none of it raw to who typed it."""
    check_pieces(data, list(cuts), lambda pieces: talk(pieces, LINE_BYTES_MAX))
    wire = TextWire(LINE_BYTES_MAX)
    for item in wire.feed(data):
        if isinstance(item, Refusal):
            check_harmless(wire.show_last(server.Refused.of(item)).decode()[:-2])


# Names and texts.

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_COLUMNS = 80


def check_harmless(text: str) -> None:
    """Check that a text is one line that moves nothing, and is the same made harmless again."""
    kinds = {unicodedata.category(c) for c in text if c != "\t"}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert not _BIDI & set(text)
    assert harmless(text) == text
    text.encode()


@fuzzer(
    "texts",
    st.text(max_size=40).map(lambda text: text.encode(errors="surrogatepass")),
    JUNK,
)
def check_texts(data: bytes, _cuts: Sequence[int]) -> None:
    """What was made harmless is one line, moves no cursor, and stays as it is."""
    made = harmless(data.decode(errors="surrogateescape"))
    check_harmless(made)
    check_harmless(harmless(data[: len(data) // 2 * 2].decode("utf-16", errors="replace")))
    screen = pyte.Screen(_COLUMNS, 3)
    pyte.Stream(screen).feed("safe\r\nbob: " + made[: _COLUMNS // 4])
    assert screen.cursor.y == 1
    assert screen.display[0].rstrip() == "safe"
    assert not screen.title


_scripts = st.text("abzAZ019_-.éßσςбгиאבकखि漢かカ한ｂ\u0301\u200d", max_size=12)


@fuzzer(
    "names",
    (_scripts | st.text(max_size=40)).map(lambda text: text.encode(errors="replace")),
    JUNK,
)
def check_names(data: bytes, _cuts: Sequence[int]) -> None:
    """A name that is accepted is short, visible, and the same name again."""
    text = data.decode(errors="replace")
    with suppress(BadNameError):
        name = parse_name(text)
        assert parse_name(name.shown) == name
        assert parse_name(name.key).key == name.key
        assert 0 < len(name.shown) <= NAME_CHARS_MAX
        assert name.shown.isprintable()
        assert not any(c.isspace() for c in name.shown)
        check_harmless(name.shown)
    with suppress(BadNameError):
        file = parse_file_name(data.decode(errors="surrogateescape"))
        check_harmless(file)
        assert parse_file_name(file) == file
        assert file[0] not in ".-"
        assert not set(file) & set("/\\")
        assert len(file.encode()) <= FILE_NAME_BYTES_MAX
    with suppress(ValueError):
        assert parse_password(parse_password(text)) == parse_password(text)


# Uploads.


_uploads = st.binary(max_size=150).map(
    lambda data: b"\n".join(
        [*(base64.b64encode(data)[at : at + 76] for at in range(0, 200, 76)), b".\n"]
    )
)


@fuzzer("uploads", _uploads, JUNK, is_cut=True)
def check_uploads(data: bytes, cuts: Sequence[int]) -> None:
    """A typed file is what base64 says, or refused, however its lines are cut."""

    def read(pieces: Iterable[bytes]) -> list[object]:
        wire, items = TextWire(LINE_BYTES_MAX), []
        wire.show(accounts.LoggedIn("bob"))
        for piece in [b"/upload a.txt\n", *pieces]:
            items += [each for each in wire.feed(piece) if each is not None]
        return [item.code if isinstance(item, Refusal) else item for item in items]

    check_pieces(data, list(cuts), read)
    first = next(iter(read([data])), None)
    if isinstance(first, Upload):
        text = data.partition(b"\n.\n")[0] if data[:2] != b".\n" else b""
        assert len(first.data) <= FILE_IN_LINES_BYTES_MAX
        plain = b"".join(line.strip() for line in text.split(b"\n"))
        assert (
            b"\0" in data
            or b"\xff" in data
            or set(b"\r\b\x7f\x15") & set(data)
            or not text.isascii()
            or (b"." in text or first.data == base64.b64decode(plain, validate=True))
        )


FUZZERS = [
    *(check_lines, check_telnet, check_ndjson, check_accepted),
    *(check_text, check_texts, check_names, check_uploads),
]
