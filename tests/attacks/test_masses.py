"""Many at once who all go, and words that mean something to searches and databases elsewhere."""

import pytest

MANY = 150  # sessions of one account; thousands of them are the chaos runner's
ROUNDS = 3
PATTERNS = [
    *("' OR 1=1--", "'); DROP TABLE users;--", "%", "_%", "*", "*a*a*a*a*a*b", "NEAR(a b)"),
    *("(" * 1000, "\\", '"', "[a-z]", "{}", "%s%n", "$(id)", "`id`"),
]
ABOUT_A_NAME = ["/join", "/msg", "/kick", "/ban", "/unban", "/mute", "/promote", "/ignore"]


# A room that loses all of its people in one moment, by resets and not by goodbyes, is told of the
# one account that has gone, once; and takes them all in again (ngIRCd lost its mind over it).
def test_everybody_resets_at_once(server, new_name) -> None:
    room, name = new_name("room"), new_name("mass")
    witness = server.connect().register(new_name("witness")).join(room)
    token = server.program().register(name, remember="mass").token
    for _ in range(ROUNDS):
        mass = [server.program() for _ in range(MANY)]
        for each in mass:
            each.ask("login", token=token)
            each.ask("join", room=room)
        for each in mass:
            each.expect('{"id":2,"ok":true')
        witness.expect_lines(f"{name} has joined the room.")
        for each in mass:
            each.reset()
        witness.expect_lines(f"{name} has disconnected.")
    witness.expect_nothing_more()


# Where a name belongs, what would be a pattern, a wildcard or a statement elsewhere is no name, and
# nothing else happens: nothing here is ever put into a pattern or a statement (CVE-2024-31228).
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern[:12])
def test_patterns_are_no_names(pair, pattern: str) -> None:
    owner, _ = pair
    for command in ABOUT_A_NAME:
        owner.type(f"{command} {pattern} x")
        owner.expect_line(r"Error: .*")
    for client in pair:
        client.expect_nothing_more()


# Said, it is text like any other, in the room and in its history.
def test_patterns_are_text(pair) -> None:
    owner, other = pair
    owner.type(*PATTERNS)
    said = [f"{owner.name}: {pattern}" for pattern in PATTERNS]
    other.expect_lines(*said)
    other.type(f"/history {len(PATTERNS)}")
    for line in said:
        assert other.expect_line(r"\[\d\d:\d\d\] .*").partition("] ")[2] == line
