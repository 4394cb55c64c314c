"""Garbage, and what is nearly right: no input makes a wire raise, or depends on how it is cut.

The suite tries some; `make fuzz` tries 100,000 of each, other ones each time.
"""

import json
import unicodedata
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from app import events
from app.errors import Refusal
from app.operations import COMMANDS
from app.shapes import Command
from app.wire.ndjson import NdjsonWire
from app.wire.ndjson_requests import REQUESTS
from app.wire.text import TextWire
from app.wire.text_commands import usage
from tests.program import check
from tests.test_wire import check_pieces, talk

LINE_BYTES_MAX = 120

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
def _requests(draw: st.DrawFn) -> bytes:
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
_junk = st.binary(max_size=4) | st.sampled_from(
    [
        *(b"\n", b"\r\n", b"\r", b"\0", b"{", b"}", b"[" * 60, b'"', b"\\", b"\\ud800", b","),
        *(b":", b"NaN", b"1e999", b"9" * 40, b"-", b"\xff\xfb\x01", b"\xff\xfa", b"\xed\xa0\x80"),
        *(b"/", b" ", b"/passwd", b"/history", b"x" * 130, b"\xef\xbb\xbf", b"\xe2\x80\xae"),
    ]
)


@st.composite
def _streams(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> bytes:
    """Return some lines, of which a few bytes were lost or put in."""
    data = b"\n".join(draw(st.lists(lines | _junk, max_size=4))) + b"\n"
    for _ in range(draw(st.integers(0, 3))):
        place, length = draw(st.integers(0, len(data))), draw(st.integers(0, 3))
        data = data[:place] + draw(_junk) + data[place + length :]
    return data


_cuts = st.lists(st.integers(0, 200), max_size=5)


def _converse(pieces: Iterable[bytes]) -> tuple[list[object], bytes]:
    """Return what a program asks, and what it is answered if all but talk is done at once."""
    wire, items, sent = NdjsonWire(LINE_BYTES_MAX), [], b""
    for piece in pieces:
        for item in wire.feed(piece):
            if isinstance(item, Refusal):
                sent += wire.show(events.Refused(item.code, str(item)))
            items.append((item.code, str(item)) if isinstance(item, Refusal) else item)
            sent += wire.done()
    return items, sent


# The NDJSON wire takes anything: each line is nothing, a command, or refused with one answer.
@given(_streams(_requests()), _cuts)
def test_ndjson(data: bytes, cuts: list[int]) -> None:
    check_pieces(data, cuts, _converse)
    items, sent = _converse([data])
    refusals = sum(isinstance(item, tuple) for item in items)
    assert all(item is None or isinstance(item, Command | tuple) for item in items)
    answers = [json.loads(line) for line in sent.splitlines()]
    assert sum(not answer["ok"] for answer in answers) == refusals
    assert sent.isascii()
    for answer in answers:
        assert not (answer["ok"] and answer.keys() - {"id", "ok"})


# What the NDJSON wire accepts is right by the schema, too.
@given(_requests())
def test_accepted_is_right(line: bytes) -> None:
    items, _ = _converse([line + b"\n"])
    if items and isinstance(items[0], Command):
        check(f"request_{items[0].op}", json.loads(line))


# The text wire takes anything, and shows none of it raw to who typed it.
@given(_streams(_typed), _cuts)
def test_text(data: bytes, cuts: list[int]) -> None:
    check_pieces(data, cuts, talk)
    wire = TextWire(LINE_BYTES_MAX)
    for item in wire.feed(data):
        if isinstance(item, Refusal):
            shown = wire.show_last(events.Refused(item.code, str(item))).decode()
            kinds = {unicodedata.category(c) for c in shown.removesuffix("\r\n") if c != "\t"}
            assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
