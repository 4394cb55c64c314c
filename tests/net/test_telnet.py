"""The real telnet and nc programs, as people use them."""

import io
import os
import shutil
from collections.abc import Callable, Iterator

import pexpect
import pytest

from tests.kit.client import WAIT_SECONDS_MAX

# Programs that people have, how each is started, and what Debian calls it.
TERMINALS = {
    "telnet": (["telnet", "127.0.0.1"], "inetutils-telnet"),
    "plink": (["plink", "-telnet", "127.0.0.1", "-P"], "putty-tools"),
    "busybox": (["busybox", "telnet", "127.0.0.1"], "busybox"),
    "nc": (["nc", "127.0.0.1"], "netcat-openbsd"),
}
WORDS = ("Ü", "日本語", "“hello”", "мир", "مرحبا")


@pytest.fixture
def dial(server, tmp_path) -> Iterator[Callable[..., pexpect.spawn]]:
    """Return what starts a program that people have, through a pseudo-terminal."""
    given = os.environ | {"LC_ALL": "C.UTF-8", "HOME": str(tmp_path), "TERM": "xterm"}
    started: list[pexpect.spawn] = []

    def start(name: str) -> pexpect.spawn:
        command, package = TERMINALS[name]
        if shutil.which(command[0]) is None:
            pytest.skip(f"left out: no {command[0]} here (Debian: {package})")
        words = [*command[1:], str(server.port)]
        options = {"env": given, "encoding": "utf-8", "timeout": WAIT_SECONDS_MAX}
        started.append(pexpect.spawn(command[0], words, echo=name != "nc", **options))
        started[-1].logfile_read = io.StringIO()
        return started[-1]

    yield start
    for each in started:
        each.close(force=True)


def _talk(terminal: pexpect.spawn, *dialogue: str) -> None:
    """Wait for the first text, type the second, and so on; they take turns."""
    for seen, typed in zip(dialogue[::2], dialogue[1::2], strict=True):
        terminal.expect_exact(seen)
        terminal.sendline(typed)


# Whatever people type arrives as they typed it, as a password and in a room, and is shown to them.
@pytest.mark.parametrize("name", ["telnet", "plink", "busybox"])
def test_real_terminals_type_every_script(dial, server, new_name, name: str) -> None:
    typist, room, password = new_name("typist"), new_name("room"), "-".join(WORDS)
    reader = server.connect().register(new_name("reader")).join(room)
    for first in (f"/register {typist}", typist):
        terminal = dial(name)
        _talk(terminal, "login: ", first, "password: ", password)
        _talk(terminal, f"Hello, {typist}.", f"/join {room}")
        terminal.expect("Current users: ")
        reader.expect_lines(f"{typist} has joined the room.")
        for word in WORDS:
            terminal.sendline(word)
            terminal.expect(f"{typist}: {word}")
            reader.expect_lines(f"{typist}: {word}")
        terminal.sendline("/quit")
        terminal.expect("Goodbye.")
        reader.expect_lines(f"{typist} has disconnected.")
    server.connect().log_in(typist, password)


# After telnet's Synch the next line is what was typed.
def test_real_telnet_sends_synch(dial, server, new_name) -> None:
    name = new_name("synch")
    bob = server.connect().register(new_name("bob"))
    telnet = dial("telnet")
    _talk(telnet, "login: ", f"/register {name}", "password: ", "secret")
    telnet.expect(f"Hello, {name}.")
    for _ in range(2):
        telnet.sendcontrol("]")
        _talk(telnet, "telnet> ", "send synch")
        telnet.sendline(f"/msg {bob.name} my secret")
        telnet.expect(f"private to {bob.name}] my secret")
        bob.expect_lines(f"[private] {name}: my secret")


# Telnet does not show the password while it is typed, and shows what is typed after it.
def test_telnet_hides_the_password(dial) -> None:
    telnet = dial("telnet")
    _talk(telnet, "login: ", "/register tess", "password: ", "swordfish-1")
    _talk(telnet, "Hello, tess.", "/join telnet")
    _talk(telnet, "Welcome to room telnet!\r\nCurrent users: tess\r\n", "shown again")
    _talk(telnet, "shown again\r\ntess: shown again\r\n", "/passwd")
    _talk(telnet, "old password: ", "swordfish-1", "new password: ", "swordfish-2")
    _talk(telnet, "Your password is changed.", "/quit")
    telnet.expect("Goodbye.")
    telnet.expect(pexpect.EOF)
    assert "swordfish" not in telnet.logfile_read.getvalue()


# With nc not one telnet command appears unless a password is asked for.
def test_nc_sees_no_telnet_commands(dial) -> None:
    nc = dial("nc")
    _talk(nc, "login: ", "/register nick secret", "Hello, nick.", "/join netcat")
    _talk(nc, "Current users: nick\r", "héllo 火鍋", "nick: héllo 火鍋\r", "/quit")
    nc.expect("Goodbye.\r")  # any of their bytes would be no UTF-8, and raise
