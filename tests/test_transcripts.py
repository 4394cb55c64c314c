"""The conversations in tests/transcripts/ happen word for word with a real server.

    alice connects                 alice opens a connection, as with telnet or nc
    alice > /join lobby            alice types a line
    alice | Welcome to room ...    alice sees this line next, to the letter
    alice hangs up                 alice's line drops
    alice is gone                  the server has closed alice's connection
    server restarts                the server is stopped and started again
    server with NAME=VALUE         a setting of the server, in the first lines

`login: ` and other prompts end without a line end. `<minute>` stands for a date and time, `<time>`
for a time of today, `<...>` for anything; `<IAC WILL ECHO>` is sent to telnet to hide a password.
Lines that begin with # are prose. At the end everybody has seen everything: nothing is left over.
"""

import re
from pathlib import Path

import pytest

from tests.client import Client

FOLDER = Path(__file__).parent / "transcripts"
PROMPTS = ("login:", "password:", "old password:", "new password:")
_STANDS_FOR = {
    "<minute>": r"\d{4}-\d\d-\d\d \d\d:\d\d",
    "<time>": r"\d\d:\d\d",
    "<...>": r".*",
}
_TELNET = {"<IAC WILL ECHO>": b"\xff\xfb\x01", "<IAC WONT ECHO>": b"\xff\xfc\x01"}


def _expect(client: Client, shown: str) -> None:
    """Check the next thing that a client sees: prompts and telnet commands, then a line's end."""
    for name, command in _TELNET.items():
        if shown.startswith(name):
            assert client.receive_exactly(len(command)) == command
            shown = shown.removeprefix(name)
    if shown in PROMPTS:
        assert client.receive_exactly(len(shown) + 1).decode() == shown + " "
        return
    pattern = re.escape(shown)
    for sign, meaning in _STANDS_FOR.items():
        pattern = pattern.replace(re.escape(sign), meaning)
    client.expect_line(pattern)


def _play(line: str, clients: dict[str, Client], server) -> None:
    who, sign, text = (line.split(" ", 2) + ["", ""])[:3]
    match sign, text:
        case "connects", _:
            clients[who] = server.connect()
        case ">", _:
            clients[who].type(text)
        case "|", _:
            _expect(clients[who], text)
        case "hangs", "up":
            clients.pop(who).close()
        case "is", "gone":
            assert clients.pop(who).expect_end() == ""
        case "restarts", _:
            server.restart()
        case _:
            raise ValueError(f"not a line of a transcript: {line}")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_transcript(path: Path, start_server) -> None:
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    settings = [line.removeprefix("server with ") for line in lines if " with " in line[:12]]
    server = start_server(**dict(setting.split("=", 1) for setting in settings))
    clients: dict[str, Client] = {}
    for number, line in enumerate(lines):
        if not line.startswith("server with "):
            try:
                _play(line, clients, server)
            except AssertionError as error:
                context = "\n".join(lines[max(0, number - 5) : number + 1])
                raise AssertionError(f"{path.name}, at the last line of:\n{context}\n{error}") from None
    for client in clients.values():
        client.expect_nothing_more()
