"""Nobody's text reaches another's terminal as anything but text (CVE-2024-28085, CVE-2023-28486).

Each attack is sent through every sink there is. What everybody then received is fed to a terminal
in memory: every line must stand where it belongs, and the terminal must have sent nothing back.
"""

from typing import NamedTuple

import pytest

from tests.kit.client import Client
from tests.kit.terminal import assert_shows_plain_lines

ATTACKS = {
    "clear the screen": "\x1b[2J\x1b[H",
    "move up and write there": "\x1b[3A\x1b[2Kbob: I resign",
    "recolour": "\x1b[31;5m",
    "set the title": "\x1b]0;owned\x07",
    "link": "\x1b]8;;http://evil/\x1b\\click\x1b]8;;\x1b\\",
    "fill the clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "ask for a setting": "\x1bP$qq\x1b\\",
    "ask where the cursor is": "\x1b[6n",
    "ask who it is": "\x1b[c\x05",
    "reset": "\x1bc",
    "fill the screen with E": "\x1b#8",
    "another character set": "\x0e\x1b(0",
    "8-bit commands": "\x9b6n\x9b2J\x9d0;owned\x9c\x85\x84",
    "ring": "\x07",
    "rub out": "\x08" * 20 + "\x7f\x7f",
    "feed": "\x0b\x0c",
    "overwrite the line": "\rSERVER: you are banned",
    "nothing": "\x00",
}
# These are keys where people type: they erase, end the line, or mean nothing. Programs send them.
KEYS = ("rub out", "overwrite the line", "nothing")
TYPED = {name: attack for name, attack in ATTACKS.items() if name not in KEYS}


class Stage(NamedTuple):
    """Mallory owns the rooms of these tests; the others suffer her."""

    mallory: Client
    victim: Client
    reader: Client

    def meet(self, room: str) -> None:
        """Enter a new room together, and forget what was seen before."""
        for client in self:
            client.catch_up()
            client.everything.clear()
        for client in self:
            client.join(room)
        for client in self:
            client.catch_up()

    def act(self, *lines: str) -> None:
        """Let Mallory type lines, and wait until they were carried out."""
        self.mallory.type(*lines)
        self.mallory.catch_up()

    def assert_screens_are_whole(self) -> None:
        for client in self:
            client.catch_up()
            assert_shows_plain_lines(bytes(client.everything))


@pytest.fixture(scope="module")
def stage(server) -> Stage:
    return Stage(*(server.connect().register(name) for name in ("mallory", "victim", "reader")))


def _loaded(attack: str) -> str:
    """Put an attack between words that show that it came through."""
    return f"before{attack}after"


def _count(lines: list[str], beginning: str) -> int:
    return sum(line.startswith(beginning) and "after" in line for line in lines)


# Each of these does harm when nothing is done about it; otherwise this file shows nothing.
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_would_do_harm(attack: str) -> None:
    with pytest.raises(AssertionError):
        assert_shows_plain_lines(f"first\r\nmallory: {_loaded(attack)}\r\nlast\r\n".encode())


# What programs say is text to people as well, also what nobody can type.
def test_what_programs_say_is_text(server, stage: Stage) -> None:
    stage.meet("programs")
    program = server.program().register("automaton")
    program.join("programs")
    said = [_loaded(attack) for attack in ATTACKS.values() if "\r" not in attack]  # it is refused
    for text in said:
        program.call("say", room="programs", body=text)
        program.call("msg", user="reader", body=text)
    seen = stage.reader.catch_up()
    assert _count(seen, "automaton: before") == len(said)
    assert _count(seen, "[private] automaton: before") == len(said)
    stage.assert_screens_are_whole()


# What is said, done or told privately is text to those who see it.
def test_live_messages_are_text(stage: Stage) -> None:
    stage.meet("talk")
    for attack in TYPED.values():
        said = _loaded(attack)
        stage.act(said, f"/me {said}", f"/msg reader {said}")
    seen = stage.reader.catch_up()
    for beginning in ("mallory: before", "* mallory before", "[private] mallory: before"):
        assert _count(seen, beginning) == len(TYPED)
    stage.assert_screens_are_whole()


# What was said is text too when it is replayed, paged through, or was kept for one who was away.
def test_kept_messages_are_text(server, stage: Stage) -> None:
    stage.meet("kept")
    server.program().register("absent").call("quit")
    for attack in TYPED.values():
        stage.act(_loaded(attack), f"/msg absent {_loaded(attack)}")
    returned = server.connect().log_in("absent").join("kept")
    returned.type(f"/history {len(TYPED)}")
    lines = [line.partition("] ")[2] for line in returned.catch_up()]
    assert _count(lines, "mallory: before") == 2 * len(TYPED)  # replayed, and asked for
    assert returned.everything.count(b"] [private] mallory: before") == len(TYPED)
    assert_shows_plain_lines(bytes(returned.everything))
    stage.assert_screens_are_whole()


# So is a topic, to those who are there when it is set, who ask for it, enter, or list the rooms;
# and why somebody is away, to those who ask who is there, or write to them.
@pytest.mark.parametrize(
    ("room", "act", "asked", "shown"),
    [
        (
            *("topics", "/topic {}", ["/topic", "/rooms", "/leave", "/join topics"]),
            ["mallory set the topic: ", "Topic of topics: ", "Topic: ", "  topics (3): "],
        ),
        (
            *("notes", "/away {}", ["/who", "/msg mallory hello?"]),
            ["  mallory, owner, away (", "mallory is away ("],
        ),
    ],
    ids=["topics", "notes"],
)
def test_what_is_told_of_others_is_text(
    stage: Stage, room: str, act: str, asked: list[str], shown: list[str]
) -> None:
    stage.meet(room)
    for attack in TYPED.values():
        stage.act(act.format(_loaded(attack)))
        stage.reader.type(*asked)
        seen = stage.reader.catch_up()
        for beginning in shown:
            assert _count(seen, f"{beginning}before") == 1
    stage.act("/topic -", "/away")
    stage.assert_screens_are_whole()


# The reason of a kick, a ban or a mute is text to the room, to whom it hits, and in the list.
def test_reasons_are_text(stage: Stage) -> None:
    stage.meet("reasons")
    for attack in TYPED.values():
        reason = _loaded(attack)
        stage.act(f"/mute victim 1h {reason}")
        stage.victim.type("listen to me")
        assert _count(stage.victim.catch_up(), "Error: you are muted in reasons") == 1
        stage.act("/unmute victim", f"/kick victim {reason}")
        stage.victim.type("/join reasons")
        assert _count(stage.victim.catch_up(), "You were kicked from reasons") == 1
        stage.act(f"/ban victim 1h {reason}")
        stage.victim.type("/join reasons")
        seen = stage.victim.catch_up()
        assert _count(seen, "You were banned from reasons") == 1
        assert _count(seen, "Error: you are banned from reasons until") == 1
        stage.reader.type("/bans")
        seen = stage.reader.catch_up()
        for what in ("muted", "kicked", "banned"):
            assert _count(seen, f"victim was {what} by mallory") == 1
        assert _count(seen, "  victim is banned until") == 1
        stage.act("/unban victim")
        stage.victim.join("reasons")
    stage.assert_screens_are_whole()


# A refusal that repeats what was typed repeats it as text: who pastes a trap is not caught in it.
def test_refusals_are_text(server, stage: Stage) -> None:
    stage.meet("refusals")
    newcomer = server.newcomer()
    for attack in TYPED.values():
        word = _loaded(attack)
        newcomer.type(f"/{word}", f"/help {word}", f"/register {word} secret")
        stage.reader.type(f"/{word}", f"/help {word}", f"/join {word}", f"/msg {word} hi")
        stage.reader.type(f"/ignore {word}", f"/history {word}", f"/kick {word}")
        errors = [line for line in stage.reader.catch_up() if line.startswith("Error: ")]
        assert len(errors) == 7
    newcomer.catch_up()
    assert_shows_plain_lines(bytes(newcomer.everything))
    stage.assert_screens_are_whole()


# The log is read in a terminal too: nothing that was typed stands in it as it was typed.
def test_the_log_is_text(server, stage: Stage) -> None:
    stage.meet("logged")
    for attack in TYPED.values():
        guesser = server.connect()
        guesser.type(f"/login {_loaded(attack)} {_loaded(attack)}")
        guesser.catch_up()
    server.expect_logged("login failed")
    assert_shows_plain_lines(server.log.replace("\n", "\r\n").encode())
