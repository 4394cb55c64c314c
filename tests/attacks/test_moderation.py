"""Getting around a ban, and numbers that are none."""

import re
from typing import NamedTuple

import pytest

from app.errors import BadLine
from app.protocol.moderation import Ban
from app.protocol.talk import History
from app.wires.text.commands import parse_arguments
from tests.kit.client import Client, all_see

BANNED = "Error: you are banned from {} (go away)"

NO_COUNTS = (
    *("-1", "+1", "0", "1001", str(2**31), str(2**63), str(2**64 + 5), "5" * 4000),
    *("1_000", "1,000", "1e3", "1e999", "1.0", "NaN", "inf", "true", "0x10", "five", "5 5"),
    *("\u0661", "\u00b2", "\uff11\uff12"),  # full-width: int() would take them
)
TOO_LONG_SPANS = (
    *("0m", "0000s", "3651d", "99999999999d", "999999999d", "9" * 3000 + "h"),
    *(f"{2**63}s", f"{2**64 + 60}s"),
)
NO_SPANS = ("-", "--m", "...", "<3", "NaNd", "m", "h5", "soon 5m", "\u4e94m")


class Banned(NamedTuple):
    """A room whose owner banned somebody who had two sessions in it and one outside."""

    room: str
    owner: Client
    sessions: list[Client]
    outside: Client


@pytest.fixture
def banned(server, new_name) -> Banned:
    room, name = new_name("Room"), new_name("banned")
    owner = server.connect().register(new_name("owner")).join(room)
    outside = server.connect().register(name)
    sessions = [server.connect().log_in(name).join(room) for _ in range(2)]
    owner.expect_lines(f"{name} has joined the room.")
    owner.exchange(f"/promote {name}", f"{name} was made a moderator by {owner.name}.")
    for session in sessions:
        session.catch_up()
    banned = f"{name} was banned by {owner.name} for good (go away)."
    owner.exchange(f"/ban {name.upper()} go away", banned)  # in whatever case
    return Banned(room, owner, sessions, outside)


# A ban ends every session of the banned in the room, at once, and what they say stays outside.
def test_a_ban_ends_every_session(banned: Banned) -> None:
    by = f"by {banned.owner.name} for good (go away)."
    for session in banned.sessions:
        session.expect_lines(f"You were banned from {banned.room} {by}")
        for typed in ("let me in", "/me knocks", "/topic mine", "/history", "/who", "/bans"):
            session.exchange(typed, "Error: join a room first: /join ROOM")
    banned.owner.exchange("is it quiet?", f"{banned.owner.name}: is it quiet?")
    for session in (*banned.sessions, banned.outside):
        session.expect_nothing_more()


# No spelling of the room, no session and no return opens it again (CVE-2021-34434); and a moderator
# who was banned is none any more.
def test_no_way_around_a_ban(server, banned: Banned) -> None:
    full_width = "".join(chr(ord(c) + 0xFEE0) for c in banned.room)
    returned = server.connect()
    returned.type(f"/login {banned.outside.name.upper()} secret")
    returned.expect(f"Hello, {banned.outside.name}.")
    for session in (*banned.sessions, banned.outside, returned):
        for room in (banned.room, banned.room.upper(), banned.room.lower(), full_width):
            session.type(f"/join {room}")
            session.expect(BANNED.format(banned.room) + "\r\n")
    banned.owner.expect_nothing_more()
    banned.owner.type(f"/unban {banned.outside.name}")
    banned.owner.expect_line(".* was unbanned by .*")
    banned.outside.join(banned.room)
    refusal = f"Error: only its moderators may do that in {banned.room}"
    banned.outside.exchange(f"/kick {banned.owner.name}", refusal)


# What is no count is refused, in one line, whatever int() would make of it.
def test_no_counts(pair) -> None:
    writer, _ = pair
    said = [f"{writer.name}: {word}" for word in ("first", "second", "third")]
    writer.type("first", "second", "third")
    writer.catch_up()
    for count in NO_COUNTS:
        writer.type(f"/history {count}")
        writer.expect_line("Error: (N is a whole number from 1 to 1000|usage: /history .*)")
    writer.type("/history 1000", "/history 007")
    assert [line.partition("] ")[2] for line in writer.catch_up()[:3]] == said


# A span that is too long is refused: the target is not banned for good by a typing error.
@pytest.mark.parametrize("command", ["ban", "mute"])
def test_spans_too_long(pair, command: str) -> None:
    writer, reader = pair
    for span in TOO_LONG_SPANS:
        writer.type(f"/{command} {reader.name} {span}")
        writer.expect_line(r"Error: (\d+[smhd] is too long or too short|REASON has at most).*")
    reader.expect_nothing_more()
    writer.type(f"/{command} {reader.name} 3650d", "/bans")
    assert f"{reader.name} was " in writer.expect_line(".* for 3650d.")
    assert any(re.search(r"until 20\d\d-", line) for line in writer.catch_up())


# Nor does a number trip the server that has more digits than Python reads, where lines are longer.
def test_numbers_of_5000_digits() -> None:
    with pytest.raises(BadLine, match="N is a whole number from 1 to 1000"):
        parse_arguments(History, "5" * 5000)
    with pytest.raises(BadLine, match="REASON has at most 200 characters here"):
        parse_arguments(Ban, "bob " + "5" * 5000 + "d")


# What begins with no number is the reason, as in: /mute bob enough of this.
def test_no_spans(pair) -> None:
    writer, reader = pair
    for text in NO_SPANS:
        writer.type(f"/mute {reader.name} {text}")
        all_see(pair, f"{reader.name} was muted by {writer.name} for good ({text}).")
