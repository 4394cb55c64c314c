"""The conversations in tests/conversations/ happen word for word with a real server.

    alice connects                 alice opens a connection, as with telnet or nc
    bob connects from 127.0.0.2    likewise, from that address
    bot connects as a program      likewise; what it sees are the lines of the NDJSON wire
    alice registers                likewise; she makes an account, and has read the greeting
    alice logs in                  likewise, with the account that she has; its password is: secret
    alice-2 logs in as alice       likewise, with somebody's account
    alice > /join lobby            alice types a line
    alice | Welcome to room ...    alice sees this line next, to the letter
    alice hangs up                 alice's line drops
    alice is gone                  the server has closed alice's connection
    operator > users list          the operator runs a command of manage.py
    operator | alice               the command prints this line next
    server stops                   the server is told to, and exits with 0
    server starts                  it runs again, on the same data
    disk is full                   the server can write no file any more
    disk has room                  it can again
    server with NAME=VALUE         a setting of the server, in the first lines

`login: ` and other prompts end without a line end. In what is seen, `<minute>` stands for a date
and time, `<time>` for a time of today (with its date if midnight came between), `<...>` for
anything, and `<IAC WILL ECHO>` and the like for telnet's own commands, of which this one hides a
password. In what is typed, `<byte 1b>` stands for a byte, and `<x 300 times>` for many letters.
Lines that begin with # are prose. At the end everybody has seen everything: nothing is left over.
"""

import re
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from app.values import times
from tests.kit.client import Client
from tests.kit.replay import check_logs_of_file
from tests.kit.server_process import ServerProcess

FOLDER = Path(__file__).parent
PROMPTS = ("login:", "password:", "old password:", "new password:")
_STANDS_FOR = {
    "<minute>": r"\d{4}-\d\d-\d\d \d\d:\d\d",
    "<time>": r"(\d{4}-\d\d-\d\d )?\d\d:\d\d",
    "<...>": r".*",
}
_TELNET = {
    "<IAC WILL ECHO>": b"\xff\xfb\x01",
    "<IAC WONT ECHO>": b"\xff\xfc\x01",
    "<IAC DO BINARY>": b"\xff\xfd\x00",
    "<IAC NOP>": b"\xff\xf1",
    "<IAC DONT TERMINAL-TYPE>": b"\xff\xfe\x18",
}


def _bytes_typed(text: str) -> bytes:
    text = re.sub(r"<(.) (\d+) times>", lambda many: many[1] * int(many[2]), text)
    return re.sub(rb"<byte (..)>", lambda byte: bytes.fromhex(byte[1].decode()), text.encode())


def pattern_of(shown: str) -> str:
    """Return the regular expression of a line of which some signs stand for something else."""
    pattern = re.escape(shown)
    for sign, meaning in _STANDS_FOR.items():
        pattern = pattern.replace(re.escape(sign), meaning)
    return pattern


class _Stage:
    """A conversation as it is played: who is there, and what the operator has not read yet."""

    def __init__(self, server: ServerProcess, run_here: Callable[..., Result]) -> None:
        self._server = server
        self._run_here = run_here
        self._clients: dict[str, Client] = {}
        self._printed: deque[str] = deque()

    def play(self, line: str) -> None:
        who, sign, text = [*line.split(" ", 2), "", ""][:3]
        match who, sign, text:
            case "server" | "disk", _, _:
                self._play_machine(line)
            case "operator", ">", _:
                run = self._run_here(self._server.folder, *text.split())
                self._printed += run.output.splitlines()
            case "operator", "|", _:
                assert self._printed, f"nothing more was printed; expected {text!r}"
                printed = self._printed.popleft()
                assert re.fullmatch(pattern_of(text), printed), f"printed {printed!r}"
            case _, ">", _:
                self._clients[who].send(_bytes_typed(text) + b"\n")
            case _, "|", _:
                self._expect(self._clients[who], text)
            case _:
                self._play_person(who, f"{sign} {text}".strip())

    def _play_machine(self, line: str) -> None:
        if line == "server stops":
            assert self._server.stop_before_its_clients() == 0, self._server.log
        elif line == "server starts":
            self._server.start()
        else:
            self._server.limit_files({"disk is full": 0, "disk has room": None}[line])

    def _play_person(self, who: str, what: str) -> None:
        match what.split():
            case ["connects"]:
                self._clients[who] = self._server.connect()
            case ["connects", "as", "a", "program"]:
                self._clients[who] = self._server.program()
            case ["opens", "the", "control", "socket"]:
                self._clients[who] = self._server.control()
            case ["connects", "from", address]:
                self._clients[who] = self._server.connect(source=address)
            case ["registers"]:
                self._clients[who] = self._server.connect().register(who)
            case ["logs", "in", *as_whom]:
                self._clients[who] = self._server.connect().log_in((as_whom or [who])[-1])
            case ["hangs", "up"]:
                self._clients.pop(who).close()
            case ["is", "gone"]:
                client = self._clients.pop(who)
                assert client.expect_end() == ""
                client.close()
            case _:
                raise ValueError(f"not a line of a transcript: {who} {what}")

    @staticmethod
    def _expect(client: Client, shown: str) -> None:
        """Check the next thing that a client sees: prompts and telnet commands, then a line."""
        for name, command in _TELNET.items():
            if shown.startswith(name):
                assert client.receive_exactly(len(command)) == command
                shown = shown.removeprefix(name)
        if shown in PROMPTS:
            assert client.receive_exactly(len(shown) + 1).decode() == shown + " "
        else:
            client.expect_line(pattern_of(shown))

    def end(self) -> None:
        """Check that nobody missed anything, and that the logs tell what the tables have."""
        assert not self._printed
        for client in self._clients.values():
            client.expect_nothing_more()
        check_logs_of_file(self._server.folder / "var" / "greenroom.db", times.now())


def play(path: Path, start_server: Callable[..., ServerProcess], run_here: Callable[..., Result]):
    """Play a transcript with a server that is started for it."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    settings = [line for line in lines if line.startswith("server with ")]
    named = dict(line.removeprefix("server with ").split("=", 1) for line in settings)
    stage = _Stage(start_server(**named), run_here)
    for number, line in enumerate(lines):
        if line not in settings:
            try:
                stage.play(line)
            except AssertionError as error:
                context = "\n".join(lines[max(0, number - 5) : number + 1])
                where = f"{path.name}, at the last line of:\n{context}"
                raise AssertionError(f"{where}\n{error}") from None
    stage.end()


# Everybody sees what the transcript says that they see, and nothing else.
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(path: Path, start_server, run_here) -> None:
    play(path, start_server, run_here)
