"""Getting around a ban, and numbers that are none."""

import re
from typing import NamedTuple

import pytest

from app.errors import BadLine
from app.protocol.moderation import Ban
from app.protocol.talk import History
from app.wires.text.commands import parse_arguments
from tests.kit.client import Client
from tests.kit.server_process import ServerProcess

BANNED = "Error: you are banned from {} (go away)"
DIGITS = "\uff11\uff12"  # full-width: int() would take them

NO_COUNTS = (
    "-1",
    "+1",
    "0",
    "1001",
    str(2**31),
    str(2**63),
    str(2**64 + 5),
    "1_000",
    "1,000",
    "5" * 4000,
    "1e3",
    "1e999",
    "1.0",
    "NaN",
    "inf",
    "true",
    "0x10",
    DIGITS,
    "\u0661",
    "\u00b2",
    "five",
    "5 5",
)
TOO_LONG_SPANS = (
    "0m",
    "0000s",
    "3651d",
    "99999999999d",
    "999999999d",
    f"{2**63}s",
    f"{2**64 + 60}s",
    "9" * 3000 + "h",
)
NO_SPANS = ("-", "--m", "...", "<3", "NaNd", "m", "h5", "soon 5m", "\u4e94m")


class Banned(NamedTuple):
    """A room whose owner banned somebody who had two sessions in it and one outside."""

    room: str
    owner: Client
    sessions: list[Client]
    outside: Client


@pytest.fixture
def banned(server: ServerProcess, new_name) -> Banned:
    room, name = new_name("Room"), new_name("banned")
    owner = server.connect().register(new_name("owner")).join(room)
    outside = server.connect().register(name)
    sessions = [server.connect().log_in(name).join(room) for _ in range(2)]
    owner.expect_lines(f"{name} has joined the room.")
    owner.type(f"/ban {name.upper()} go away")  # in whatever case
    owner.expect_lines(f"{name} was banned by {owner.name} for good (go away).")
    return Banned(room, owner, sessions, outside)


# A ban ends every session of the banned in the room, at once, and what they say stays outside.
def test_a_ban_ends_every_session(banned: Banned) -> None:
    for session in banned.sessions:
        session.expect_lines(
            f"You were banned from {banned.room} by {banned.owner.name} for good (go away)."
        )
        for typed in ("let me in", "/me knocks", "/topic mine", "/history", "/who", "/bans"):
            session.type(typed)
            session.expect_lines("Error: join a room first: /join ROOM")
    banned.owner.type("is it quiet?")
    banned.owner.expect_lines(f"{banned.owner.name}: is it quiet?")
    for session in (*banned.sessions, banned.outside):
        session.expect_nothing_more()


# No spelling of the room, no session and no return opens it again (CVE-2021-34434).
def test_no_way_around_a_ban(server: ServerProcess, banned: Banned) -> None:
    full_width = "".join(chr(ord(c) + 0xFEE0) for c in banned.room)
    returned = server.connect()
    returned.type(f"/login {banned.outside.name.upper()} secret")
    returned.expect(f"Hello, {banned.outside.name}.")
    for session in (*banned.sessions, banned.outside, returned):
        for room in (banned.room, banned.room.upper(), banned.room.lower(), full_width):
            session.type(f"/join {room}")
            session.expect(BANNED.format(banned.room) + "\r\n")
    banned.owner.expect_nothing_more()
    returned.close()


# A ban outlives an empty room and the server's end, and a banned moderator is none any more.
def test_a_ban_outlives_everything(start_server) -> None:
    server = start_server()
    owner = server.connect().register("owner").join("room")
    moderator = server.connect().register("moderator").join("room")
    owner.type("/promote moderator", "/ban moderator go away", "/leave")
    owner.expect("You have left room.\r\n")
    moderator.expect("You were banned from room by owner for good (go away).\r\n")
    moderator.type("/join room")
    moderator.expect_lines(BANNED.format("room"))
    server.restart()
    moderator = server.connect().log_in("moderator")
    moderator.type("/join room")
    moderator.expect_lines(BANNED.format("room"))
    owner = server.connect().log_in("owner").join("room")
    owner.type("/unban moderator")
    owner.expect_lines("moderator was unbanned by owner.")
    moderator.join("room")
    moderator.type("/kick owner")
    moderator.expect_lines("Error: only its moderators may do that in room")


# The banned can't unban themselves: not by a room that looks the same, and not as its owner.
def test_a_banned_user_decides_nothing(banned: Banned) -> None:
    outside = banned.outside
    own = f"of-{outside.name}"
    outside.join(own)
    for command in ("unban", "unmute", "promote"):
        outside.type(f"/{command} {outside.name}")
        outside.expect_lines("Error: you can't do that to yourself")
    outside.type(f"/ban {banned.owner.name}")
    outside.expect_lines(f"{banned.owner.name} was banned by {outside.name} for good.")
    banned.owner.expect_nothing_more()  # who was banned from that room, not from their own
    outside.type(f"/join {banned.room}")
    outside.expect_lines(BANNED.format(banned.room))


# Nobody moderates whom they do not outrank, nor in a room where they are nobody.
def test_ranks(server: ServerProcess, pair: tuple[Client, Client]) -> None:
    owner, plain = pair
    for command in ("kick", "ban", "mute", "unban", "unmute", "promote", "demote"):
        plain.type(f"/{command} {owner.name}")
        plain.expect_line("Error: only its (moderators|owner and admins) may do that in .*")
    owner.type(f"/promote {plain.name}")
    plain.expect_line(".* was made a moderator by .*")
    for command in ("kick", "ban", "mute"):
        plain.type(f"/{command} {owner.name}")
        plain.expect_lines(f"Error: {owner.name} is the owner here")
    owner.expect("moderator by ")
    owner.expect("\r\n")
    owner.expect_nothing_more()


# What is no count is refused, in one line, whatever int() would make of it.
def test_no_counts(pair: tuple[Client, Client]) -> None:
    writer, _ = pair
    writer.type("first", "second", "third")
    writer.catch_up()
    for count in NO_COUNTS:
        writer.type(f"/history {count}")
        writer.expect_line("Error: (N is a whole number from 1 to 1000|usage: /history .*)")
    writer.type("/history 1000", "/history 007")
    lines = writer.catch_up()
    assert [line.partition("] ")[2] for line in lines[:3]] == [
        f"{writer.name}: {word}" for word in ("first", "second", "third")
    ]


# A span that is too long is refused: the target is not banned for good by a typing error.
@pytest.mark.parametrize("command", ["ban", "mute"])
def test_spans_too_long(pair: tuple[Client, Client], command: str) -> None:
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
def test_no_spans(pair: tuple[Client, Client]) -> None:
    writer, reader = pair
    for text in NO_SPANS:
        writer.type(f"/mute {reader.name} {text}")
        for client in pair:
            client.expect_lines(f"{reader.name} was muted by {writer.name} for good ({text}).")
