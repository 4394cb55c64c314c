"""Programs that mean no good, or do not know better: each is told, and others notice nothing."""

import json
from collections.abc import Iterator

import pytest

from app.bounds import TOKENS_A_USER_MAX
from tests.kit.program import Program

BAD_LINES = {
    "not JSON": b"hello",
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"op":' * 100_000,
    "deep, but not too long": b"[" * 4000,
    "a deep op": b'{"op":' + b"[" * 900 + b"]" * 900 + b"}",
    "a key twice": b'{"op":"ping","op":"quit"}',
    "a key twice inside": b'{"op":"ping","x":{"a":1,"a":2}}',
    "1 MB of a string": b'{"op":"say","body":"' + b"x" * (1 << 20) + b'"}',
    "1 MB of an id": b'{"id":"' + b"x" * (1 << 20) + b'","op":"ping"}',
    "1 MB of spaces": b" " * (1 << 20) + b'{"op":"ping"}',
    "a long string": b'{"op":"' + b"x" * 4000 + b'"}',
    "a lone surrogate": b'{"op":"say","body":"\\ud800"}',
    "surrogates the wrong way round": b'{"op":"say","body":"\\udc00\\ud800"}',
    "a surrogate as a token": b'{"op":"login","token":"\\ud800"}',
    "a surrogate in UTF-8": b'{"op":"say","body":"\xed\xa0\x80"}',
    "no UTF-8": b'{"op":"say","body":"\xff\xfe"}',
    "a BOM": b'\xef\xbb\xbf{"op":"ping"}',
    "UTF-16": '{"op":"ping"}'.encode("utf-16-le"),
    "UTF-16 with a BOM": '{"op":"ping"}'.encode("utf-16"),
    "a NUL": b'{"op":"ping"}\0',
    "NULs": b"\0" * 100,
    "a NUL as a txn": b'{"op":"say","body":"x","txn":"a\\u0000b"}',
    "a number": b"1",
    "a number of 4,000 digits": b'{"id":' + b"9" * 4000 + b',"op":"ping"}',
    "a number of 4,000 digits in a field": b'{"op":"tokens","revoke":' + b"9" * 4000 + b"}",
    "infinity": b'{"op":"history","after":1e999}',
    "no number": b'{"op":"history","after":NaN}',
    "an id that is true": b'{"id":true,"op":"ping"}',
    "full-width digits": '{"op":"history","after":１}'.encode(),
    "digits in a string": '{"op":"history","after":"１"}'.encode(),
    "an underscore": b'{"op":"history","after":1_000}',
    "another protocol": b"GET / HTTP/1.1",
    "escapes in an op": b'{"op":"\\u001b[2J\\u202e"}',
    "a prototype": b'{"__proto__":{"x":1},"op":"ping"}',
}


@pytest.fixture(scope="module")
def canary(server) -> tuple[Program, Program]:
    """Two in a room who talk while others do their worst."""
    speaker, listener = (server.program().register(name) for name in ("canary", "listener"))
    speaker.join("cage")
    listener.join("cage")
    return speaker, listener


@pytest.fixture(autouse=True)
def _the_canary_sings(canary: tuple[Program, Program]) -> Iterator[None]:
    yield
    speaker, listener = canary
    speaker.events.clear()
    listener.catch_up()
    speaker.call("say", body="chirp")
    listener.event(user="canary", body="chirp")


# A line that is no request costs one refusal; the requests around it count, and so does a blank
# line, or one that ends as Windows ends them: not at all.
@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_bad_lines(server, new_name, line: bytes) -> None:
    bot = server.program().register(new_name("bot")).join(new_name("room"))
    before = b'{"id":"before","op":"ping"}\r\n\r\n \t\n'
    bot.send(before + line + b'\n\n{"id":"after","op":"ping"}\n')
    bot.answer("before")
    refusal = json.loads(bot.expect("\n"))
    assert not refusal["ok"]
    assert len(refusal["message"]) < 250
    assert "\x1b" not in refusal["message"].replace("\\u001b", "")
    bot.answer("after")
    bot.expect_nothing_more()


# The same of one who has not logged in, byte by byte, and first of all.
def test_bad_lines_before_login(server) -> None:
    stranger = server.program()
    stranger.send(b"{\n")
    assert json.loads(stranger.expect("\n"))["error"] == "bad_json"
    for line in BAD_LINES.values():
        if len(line) < 100:
            for byte in line:
                stranger.send(bytes([byte]))
            stranger.send(b"\n")
            assert not json.loads(stranger.expect("\n"))["ok"]
    assert stranger.call("ping")["sentence"] == "Pong."


# Nobody's text reaches a program with a control character in it, whichever way it came.
def test_nothing_escapes(server, new_name, canary) -> None:
    evil = "\x1b]0;x\x07\x9b2J\u202e\x00\u2028\x7f\b"
    bot = server.program().register(new_name("bot"), remember=evil).join(new_name("room"))
    for op in ("say", "me"):
        bot.call(op, body=evil)
    bot.call("msg", user="listener", body=evil)
    bot.call("away", why=evil)
    bot.call("topic", text=evil)
    bot.call("ban", user="listener", reason=evil)
    bot.call("help", command=evil)
    for op in ("who", "bans", "tokens", "topic", "history", "rooms"):
        bot.call(op)
    assert bot.refused("join", room=evil) == "bad_name"
    assert bot.refused("kick", user=evil) == "no_such_user"
    listener = canary[1]
    listener.catch_up()
    for data in (bot.everything, listener.everything):
        text = bytes(data).decode()
        assert all(character.isprintable() or character == "\n" for character in text)
        for line in map(json.loads, text.splitlines()):
            for field in ("body", "topic", "message"):  # the last of a refusal: it repeats
                assert str(line.get(field, "")).isprintable(), line


# The number of another's token is no number of mine, and what is no number is refused as such.
def test_others_tokens(server, new_name, canary) -> None:
    mine, theirs = (server.program().register(new_name("bot"), remember="x") for _ in range(2))
    (token,) = theirs.call("tokens")["tokens"]
    assert mine.refused("tokens", revoke=token["number"]) == "no_such_token"
    for number in (0, -1, 1 << 63, True, "1", 1.0):
        assert mine.refused("tokens", revoke=number) == "bad_arguments"
    assert theirs.call("tokens")["tokens"] == [token]


# A token logs in as its user until it is revoked; it is kept as a hash alone, and shown but once.
# (By a person: conversations/24-tokens.txt.)
def test_tokens(start_server) -> None:
    server = start_server()
    bot = server.program().register("bot", remember="lab")
    other = server.program()
    assert other.call("login", token=bot.token, remember="lab 2")["token"] not in (None, bot.token)
    first, second = bot.call("tokens")["tokens"]
    assert (first["label"], second["label"]) == ("lab", "lab 2")
    assert bot.call("tokens", revoke=first["number"])["tokens"] == [second]
    assert other.call("ping")["ok"]  # who is in stays in
    assert server.program().refused("login", token=bot.token) == "login_refused"
    server.stop()
    for path in (server.folder / "var").iterdir():
        assert not path.is_file() or bot.token.encode() not in path.read_bytes()
    assert bot.token not in server.log


# There is an end to how many tokens one keeps: the one that was used least lately goes.
def test_too_many_tokens(server, new_name) -> None:
    bot = server.program().register(new_name("bot"), remember="0")
    token = bot.token
    for number in range(1, TOKENS_A_USER_MAX + 2):
        token = server.program().call("login", token=token, remember=str(number))["token"]
    labels = [token["label"] for token in bot.call("tokens")["tokens"]]
    assert labels == [str(number) for number in range(2, TOKENS_A_USER_MAX + 2)]


# Who guesses tokens is made to wait like who guesses passwords; a third wrong one ends it.
def test_guessing_tokens(start_server) -> None:
    server = start_server(LOGIN_ATTEMPTS=4)
    token = server.program().register("bot", remember="x").token
    guesser = server.program()
    for guess in ("x", token[:-1], token.swapcase()):
        assert guesser.refused("login", token=guess) == "login_refused"
    assert guesser.receive_end() == b""
    guesser = server.program()
    assert guesser.refused("login", token="x" * 43) == "login_refused"
    assert guesser.refused("login", token=token) == "wait"
