"""The NDJSON wire without a socket: what it reads, and that each request gets one answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.bounds import ENC_ALG_CHARS_MAX, ID_MAX, REQUEST_ID_CHARS_MAX
from app.errors import Refusal
from app.protocol import rooms, server, talk
from app.protocol.command import Command, Enc
from app.protocol.server import Ping
from app.protocol.talk import Emote, Say, Tell
from app.values.times import TIME_MAX
from app.wires.ndjson.events import ADAPTERS, render, render_answer
from app.wires.ndjson.ndjson import NdjsonWire
from app.wires.ndjson.requests import OPS
from app.wires.ndjson.schema import REQUESTS
from tests.fire.fuzz.streams import requests

LINE_BYTES_MAX = 1 << 20  # the most that an operator may set
_texts = st.text(st.characters(exclude_categories=["Cs"]))
_words = st.text("AZaz09+/=_.-", min_size=1, max_size=ENC_ALG_CHARS_MAX)
_encs = st.builds(Enc, alg=_words, sid=_words, ct=_words)
_ids, _times = st.integers(0, ID_MAX), st.integers(0, TIME_MAX)
_said = st.one_of(
    st.builds(talk.Said, _texts, _texts, _texts, _times, st.booleans(), _ids),
    st.builds(talk.SaidEncrypted, _texts, _texts, _texts, _encs, _times, _ids),
)


def _read(line: bytes) -> Command | tuple[str, str] | None:
    """Return the command of a line, or its refusal's code and sentence."""
    wire = NdjsonWire(LINE_BYTES_MAX)
    (item,) = wire.feed(line + b"\n")
    return (item.code, str(item)) if isinstance(item, Refusal) else item


def _asked(*asked: dict) -> NdjsonWire:
    """Return a wire that has read some requests, all of them right."""
    wire = NdjsonWire(LINE_BYTES_MAX)
    lines = "".join(f"{json.dumps(each)}\n" for each in asked)
    assert not [each for each in wire.feed(lines.encode()) if isinstance(each, Refusal)]
    return wire


def _many(request: str) -> bytes:
    """Return a request in which more fields stand than any object has."""
    return (request % ",".join(f'"{number}":1' for number in range(33))).encode()


def _answers(sent: bytes) -> list[dict]:
    return [json.loads(line) for line in sent.splitlines()]


# What is no JSON text of RFC 8259, or means two things, is refused for what is wrong with it.
@pytest.mark.parametrize(
    ("line", "code", "sentence"),
    [
        ('{"op":"ping"}'.encode("utf-16-le"), "bad_json", "no JSON"),
        ('{"op":"ping"}'.encode("utf-16"), "not_utf8", "not UTF-8"),
        ('{"op":"ping"}'.encode("utf-32-be"), "bad_json", "no JSON"),
        (b'\xef\xbb\xbf{"op":"ping"}', "bad_json", "Expecting value"),
        (b'{"op":"say","body":"\xed\xa0\x80"}', "not_utf8", "not UTF-8"),
        (b'{"op":"say","body":"\xff"}', "not_utf8", "not UTF-8"),
        (b'{"op":"say","body":"\\ud800"}', "bad_json", "surrogate"),
        (b'{"op":"login","token":"\\uDFFF"}', "bad_json", "surrogate"),
        (b'{"op":"ping","id":"\\ud83d x"}', "bad_json", "surrogate"),
        (b'{"op":"ping","\\udc00":1}', "bad_json", "surrogate"),
        *((each, "bad_json", "nested too deeply") for each in (b"[" * 33, b"[" * 100_000)),
        (b'{"op":' * 100_000, "bad_json", "nested too deeply"),
        (b'{"op":"\\"","x":' + b"[" * 40 + b"]" * 40 + b"}", "bad_json", "nested too deeply"),
        (_many('{"op":"ping",%s}'), "bad_json", "at most 32 fields"),
        (_many('{"op":"say","enc":{%s}}'), "bad_json", "at most 32 fields"),
        (_many('{"op":"td.send","msgs":[{%s}]}'), "bad_json", "at most 32 fields"),
        (b'{"op":"ping","op":"quit"}', "bad_json", "a key occurs twice"),
        (b'{"op":"ping","x":{"a":1,"a":1}}', "bad_json", "a key occurs twice"),
        (b'{"op":"history","after":NaN}', "bad_json", "NaN is no number"),
        (b'{"op":"history","after":-Infinity}', "bad_json", "-Infinity is no number"),
        (b'{"op":"ping","id":' + b"9" * 5000 + b"}", "bad_json", "5000 digits"),
        ('{"op":"history","after":１}'.encode(), "bad_json", "Expecting value"),
        (b'{"op":"ping"}\0', "bad_json", "Extra data"),
        (b'{"op":"ping"}{"op":"ping"}', "bad_json", "Extra data"),
        (b'{"op":"say","body":"a\tb"}', "bad_json", "Invalid control character"),
        *((each, "bad_json", "a request is a JSON object") for each in (b"null", b'["ping"]')),
        (b"{}", "bad_arguments", "op: a string"),
        (b"[" * 32, "bad_json", "Expecting value"),
        (b'{"op":' + b"[" * 31 + b"]" * 31 + b"}", "bad_arguments", "op: a string"),
        (b'{"op":[' + b'"[",[],{},' * 900 + b"0]}", "bad_arguments", "op: a string"),
        (b'{"op":["' + b'\\"[' * 900 + b'"]}', "bad_arguments", "op: a string"),
        (b'{"op":"' + b"x" * 9000 + b'"}', "unknown_command", "x" * 40 + '"'),
        (b'{"op":"PING"}', "unknown_command", "PING"),
    ],
)
def test_no_request(line: bytes, code: str, sentence: str) -> None:
    read = _read(line)
    assert read[0] == code
    assert sentence in read[1]
    assert len(read[1]) < 200


# A number that is none, or beyond what an id can be, is refused by the name of its field.
@pytest.mark.parametrize("field", ["before", "after"])
@pytest.mark.parametrize("number", ["-1", str(1 << 63), '"1"', "1e999", "1.0", "true", "[]", "{}"])
def test_bad_ids(field: str, number: str) -> None:
    code, sentence = _read(f'{{"op":"history","{field}":{number}}}'.encode())
    assert (code, sentence.split(":")[0]) == ("bad_arguments", f"bad {field}")


# An id of a request is a whole number or a short string, and comes back as it was.
@pytest.mark.parametrize(
    "request_id", [0, -1, (1 << 63) - 1, "", "7", "é👋", '"\\', "x" * REQUEST_ID_CHARS_MAX, None]
)
def test_request_ids(request_id: int | str | None) -> None:
    wire = _asked({"id": request_id, "op": "ping"})
    assert _answers(wire.show(server.Ponged()))[0]["id"] == request_id


# Anything else is none; the answer to such a request has no id.
@pytest.mark.parametrize(
    "request_id", ["true", "1.5", "1e999", str(1 << 63), f'"{"x" * 65}"', "[1]", "{}"]
)
def test_bad_request_ids(request_id: str) -> None:
    wire = NdjsonWire(LINE_BYTES_MAX)
    (refusal,) = wire.feed(f'{{"id":{request_id},"op":"ping"}}\n'.encode())
    assert refusal.code == "bad_arguments"
    (answer,) = _answers(wire.show(server.Refused.of(refusal)))
    assert answer["id"] is None


# A pair of surrogates is a letter, as programs that write ASCII send it; blank lines are nothing.
def test_what_is_right() -> None:
    assert _read(b'{"op":"say","body":"\\ud83d\\uDE00 \\\\ud800"}') == Say("😀 \\ud800")
    assert _read(b' {"op" : "ping"} \r') == Ping()
    assert _read(b" \t\r") is None


# A line that is no request, or asks for what is told to nobody, gets one answer all the same.
def test_done_answers_what_has_no_answer() -> None:
    for op in ("kick", "ban"):
        wire = _asked({"id": 1, "op": op, "user": "bob"})
        assert _answers(wire.done()) == [{"id": 1, "ok": True}]
        assert wire.done() == b""


# What is stored is answered when it is, and by nothing else.
@pytest.mark.parametrize("kind", [Say, Emote, Tell])
def test_talk_is_answered_when_stored(kind: type[Command]) -> None:
    user = {"user": "bob"} if kind is Tell else {}
    assert _asked({"id": 1, "op": kind.word, "body": "x", **user}).done() == b""


# An answer that comes late takes none from the request that is carried out meanwhile, though both
# have the same id, or none.
@pytest.mark.parametrize("number", [7, None])
def test_late_answers(number: int | None) -> None:
    say = {"id": number, "op": "say", "body": "x"}
    wire, tag = _asked(say, {"id": number, "op": "kick", "user": "bob"}), json.dumps(number)
    (late,) = _answers(wire.show(talk.Stored(3, tag)))
    assert late == {"id": number, "ok": True, "message_id": 3}
    wire.show(server.Refused("not_stored", "not stored: ...", tag))
    assert _answers(wire.done()) == [{"id": number, "ok": True}]


# What is written by hand, because most of what is sent is such, is what its shape says: now, and
# when it is replayed.
@given(_said)
def test_messages_are_written_as_their_shape_says(said: talk.Message) -> None:
    fields = ADAPTERS[type(said)].dump_json(said)[1:]
    assert render(said) == b'{"event":"message",' + fields + b"\n"
    entered = render_answer(rooms.Entered("den", "", [], [said], now=0), "1")
    replayed = b'{"event":"message","is_replayed":true,' + fields + b"\n"
    assert entered.splitlines(keepends=True)[1] == replayed


# So is the answer to each of them.
@given(_ids, st.integers() | _texts)
def test_what_is_stored_is_answered_as_its_shape_says(message_id: int, request_id: object) -> None:
    tag = json.dumps(request_id)
    answer = render_answer(talk.Stored(message_id, tag), tag)
    assert json.loads(answer) == {"id": request_id, "ok": True, "message_id": message_id}


# A request is read as its published shape says, or refused for what is wrong by that first.
@given(requests())
def test_requests_are_read_as_their_shape_says(line: bytes) -> None:
    read = _read(line)
    if isinstance(read, tuple) and read[0] in ("bad_json", "not_utf8", "unknown_command"):
        return
    request = json.loads(line)
    op = request.get("op")
    try:
        fields = dict(REQUESTS[op].model_validate(request)) if isinstance(op, str) else None
    except ValidationError as error:
        (first, *_) = error.errors()
        assert isinstance(read, tuple)
        is_unknown = any(each["type"] == "extra_forbidden" for each in error.errors())
        assert is_unknown or read[1].startswith((f"bad {first['loc'][0]}", f"{first['loc'][0]}: "))
    else:
        given = {name: fields[name] for name in (fields or {}).keys() - {"op", "id"}}
        assert fields is None or read == OPS[op](**given)
