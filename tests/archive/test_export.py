"""Exports: all of a room in a file, for programs or for people, beside a server or without one."""

import json
import re
import stat

import pytest

from app.bounds import EXPORT_PAGE
from tests.kit.commands import refused
from tests.kit.program import Program, check_sent
from tests.kit.transfers import digest, request

SHA256 = digest(b"five")


@pytest.fixture(scope="module")
def alice(server) -> Program:
    """Somebody in a room in which more was said than is read at once, and a file was shared."""
    alice = server.program().register("alice").join("lobby")
    alice.say(*(f"line {number}" for number in range(EXPORT_PAGE + 1)))
    alice.call("me", body="waves \x1b[2J")
    url = alice.call("file.offer", name="five.txt")["url"]
    assert request(server, "PUT", url, b"five").status == 201
    alice.say("last")
    alice.call("msg", user="alice", body="private")
    alice.call("leave")
    alice.join("other").say("elsewhere")
    return alice


# For programs a line is what they are sent when it happens; what is private is not in it.
def test_for_programs(server, alice: Program, run_here) -> None:
    result = run_here(server.folder, "export", "LOBBY")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    for line in lines:
        check_sent(line, None)
    *first, wave, file, last = lines
    assert [each["body"] for each in first] == [f"line {n}" for n in range(EXPORT_PAGE + 1)]
    assert (wave["body"], wave["is_action"]) == ("waves �[2J", True)
    assert (file["event"], file["name"], file["sha256"]) == ("file", "five.txt", SHA256)
    assert last["body"] == "last"


# For people a line is what they see in the room, with its date and time.
def test_for_people(server, alice: Program, run_here) -> None:
    result = run_here(server.folder, "export", "lobby", "--format", "text")
    *_, wave, file, last, rest = result.stdout.split("\n")
    when = r"\[\d{4}-\d\d-\d\d \d\d:\d\d\]"
    assert re.fullmatch(rf"{when} \* alice waves �\[2J", wave)
    assert re.fullmatch(rf"{when} alice shares five.txt \(4 B\): /get 1", file)
    assert re.fullmatch(rf"{when} alice: last", last)
    assert rest == ""


# A file of it is its owner's alone, and takes no other's place unless that is asked for.
def test_to_a_file(server, alice: Program, run_here, tmp_path) -> None:
    path = tmp_path / "lobby.txt"
    command = ("export", "other", "--format", "text", "--output", str(path))
    assert run_here(server.folder, *command).exit_code == 0
    assert path.read_text().endswith("alice: elsewhere\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("mine")
    told = refused(run_here(server.folder, *command))
    assert told == f"{path} is there already; --force replaces it"
    assert path.read_text() == "mine"
    assert run_here(server.folder, *command, "--force").exit_code == 0
    assert path.read_text().endswith("alice: elsewhere\n")
    assert list(tmp_path.iterdir()) == [path]


# Since a time it is what was said from then on.
def test_since(server, alice: Program, run_here) -> None:
    with server.database() as database:
        database.execute("UPDATE messages SET said_at = said_at - 7200000 WHERE body LIKE 'line %'")
        database.execute("UPDATE files SET made_at = made_at - 7200000")
    lines = run_here(server.folder, "export", "lobby", "--since", "1h").stdout.splitlines()
    assert [json.loads(line)["body"] for line in lines] == ["waves �[2J", "last"]
    result = run_here(server.folder, "export", "lobby", "--since", "soon")
    assert (result.exit_code, result.stdout) == (2, "")


# Where there is no such room, one line says so, and nothing is made.
def test_refusals(server, run_here, tmp_path) -> None:
    path = tmp_path / "export"
    for name, sentence in (("nowhere", "there is no room nowhere"), ("no/room", "a name has")):
        told = refused(run_here(server.folder, "export", name, "--output", str(path)))
        assert told.startswith(sentence)
    assert list(tmp_path.iterdir()) == []
