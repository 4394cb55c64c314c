"""Lines without end, and telnet commands where nobody expects them (CVE-2017-7651, 2022-39028)."""

import re

import pytest

from tests.kit.client import Client, all_see

LINE_BYTES_MAX = 4096  # as in the settings
MEGABYTE = 1 << 20
MEMORY_GROWTH_MAX = MEGABYTE
TOO_LONG = f"Error: a line has at most {LINE_BYTES_MAX} bytes; yours was not used"

IAC, SB, SE = b"\xff", b"\xfa", b"\xf0"
AYT, ERASING = b"\xf6", {b"\xf7", b"\xf8"}  # EC and EL take from a word, as they should
EIGHT_BITS = IAC + b"\xfd\x00"  # IAC DO BINARY, which is asked once of whoever negotiates
REQUESTS = WILL, WONT, DO, DONT = (b"\xfb", b"\xfc", b"\xfd", b"\xfe")  # an option follows
OPTIONS = [bytes([each]) for each in range(256)]
FLOODS = {
    "100,000 WILL": (IAC + WILL + b"\x05") * 100_000,
    "100,000 DO": (IAC + DO + b"\x05") * 100_000,
    "every request": b"".join(IAC + kind + option for kind in REQUESTS for option in OPTIONS),
    "are you there?": (IAC + AYT) * 100_000,
}
_ANSWER = re.compile(rb"\xff(?:[\xfb-\xfe].|[\xf0-\xfa])", re.DOTALL)


def _split_answers(received: bytes) -> tuple[str, int]:
    """Return the text in what was received, and how many bytes of telnet commands were between."""
    text = _ANSWER.sub(b"", received)
    return text.decode(), len(received) - len(text)


def _expect_next(pair: tuple[Client, Client]) -> None:
    """Check that both are shown `next` by the writer, and nothing more."""
    for client in pair:
        client.expect_lines(f"{pair[0].name}: next")
        client.expect_nothing_more()


# A line of the limit's length is a line; a longer one is refused whole, once, and the next one is
# read as if nothing had been. The line's end does not count.
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r\0"], ids=repr)
def test_the_limit_of_a_line(pair, line_end: bytes) -> None:
    writer, _ = pair
    for count in (*range(LINE_BYTES_MAX - 1, LINE_BYTES_MAX + 3), 16_384):
        writer.send(b"x" * count + line_end + b"next" + line_end)
        if count <= LINE_BYTES_MAX:
            all_see(pair, f"{writer.name}: {'x' * count}")
        else:
            writer.expect_lines(TOO_LONG)
        _expect_next(pair)


# A line that never ends is refused when it is too long, and costs no memory, however it goes on.
def test_a_line_of_100_megabytes(server, pair) -> None:
    writer, _ = pair
    for megabytes in (1, 100):  # the first time the server grows to what any such line takes
        grown = server.watch_memory()
        for _ in range(megabytes):
            writer.send(b"x" * MEGABYTE)
        writer.expect_lines(TOO_LONG)
        writer.type(" and on", "next")
        _expect_next(pair)
    assert grown() < MEMORY_GROWTH_MAX


# A telnet command in the middle of a word, whichever it is, takes nothing from the word.
def test_every_telnet_command(pair) -> None:
    writer, reader = pair
    inserts = [IAC + each for each in OPTIONS[:-1] if each not in {SB, *REQUESTS, *ERASING}]
    inserts += [b"".join(IAC + request + option for option in OPTIONS) for request in REQUESTS]
    inserts.append(IAC + SB + b"".join(OPTIONS[:-1]) + IAC + IAC + b"leak\n" + IAC + SE)
    out_of_place = [IAC + each + b"leak\n" for each in OPTIONS if each != SE]
    inserts.append(IAC + SB + b"".join(out_of_place) + IAC + SE)
    for insert in inserts:
        writer.send(b"be" + insert + b"fore\n")
    writer.type("done")
    reader.expect_lines(*[f"{writer.name}: before"] * len(inserts), f"{writer.name}: done")
    text, answered = _split_answers(writer.receive_through(b": done\r\n"))
    assert text == f"{writer.name}: before\r\n" * len(inserts) + writer.name
    assert 0 < answered <= sum(map(len, inserts)) + len(EIGHT_BITS)


# Offers are refused in as many bytes, and a refusal is not answered, or two could go on for ever.
def test_answers_to_telnet_requests(pair) -> None:
    writer, _ = pair
    expected = EIGHT_BITS
    for option in OPTIONS:
        writer.send(b"".join(IAC + request + option for request in REQUESTS))
        expected += IAC + DONT + option if option != b"\x00" else b""  # what was asked for
        expected += IAC + WONT + option if option != b"\x01" else b""  # our own offer to echo
    assert writer.receive_exactly(len(expected)) == expected
    writer.expect_nothing_more()


# A telnet command inside a character leaves the character whole.
def test_a_telnet_command_inside_a_character(pair) -> None:
    writer, reader = pair
    nop, option = IAC + b"\xf1", IAC + WILL + b"\n"
    for insert in (nop, option, IAC + SB + b"\n\xe2\n" + IAC + SE):
        writer.send(b"\xe2" + insert + b"\x82" + insert + b"\xac\n")
        reader.expect_lines(f"{writer.name}: €")


# A subnegotiation that never ends is never kept, and what comes after its end is text again.
def test_an_endless_subnegotiation(server, pair) -> None:
    writer, _ = pair
    for megabytes in (1, 5):
        grown = server.watch_memory()
        writer.send(IAC + SB)
        for _ in range(megabytes):
            writer.send(b"text\n" * (MEGABYTE // 5))
        writer.send(IAC + SE + b"next\n")
        _expect_next(pair)
    assert grown() < MEMORY_GROWTH_MAX


# Telnet's Synch, a Data Mark that comes as urgent data, takes nothing from what is typed after it.
def test_a_synch_takes_nothing(pair) -> None:
    writer, reader = pair
    for urgent, plain in ((b"\xf2", b""), (IAC, b"\xf2")):  # either is sent by some telnet
        if not plain:
            writer.send(IAC)
        writer.send_urgent(urgent)
        writer.send(plain + f"/msg {reader.name} my secret\n".encode())
        writer.expect_lines(f"[private to {reader.name}] my secret")
        reader.expect_lines(f"[private] {writer.name}: my secret")
    writer.catch_up()
    reader.expect_nothing_more()


# A flood of telnet requests is answered in no more bytes than it has, and loses no text.
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_telnet_requests(pair, flood: bytes) -> None:
    writer, reader = pair
    writer.send(flood + b"next\n")
    text, answered = _split_answers(writer.receive_through(b": next\r\n"))
    assert text == writer.name
    assert 0 < answered <= len(flood) + len(EIGHT_BITS)
    reader.expect_lines(f"{writer.name}: next")
