"""The real telnet and nc programs, as people use them."""

import os
import shutil
from collections.abc import Callable, Iterator

import pexpect
import pytest

from tests.kit.client import WAIT_SECONDS_MAX

needs_telnet = pytest.mark.skipif(
    shutil.which("telnet") is None, reason="left out: no telnet here (Debian: inetutils-telnet)"
)
needs_nc = pytest.mark.skipif(
    shutil.which("nc") is None, reason="left out: no nc here (Debian: netcat-openbsd)"
)

# Terminals that people have, how each is started, and what Debian calls it.
TERMINALS = {
    "telnet": (["telnet", "127.0.0.1"], "inetutils-telnet"),
    "plink": (["plink", "-telnet", "127.0.0.1", "-P"], "putty-tools"),
    "busybox": (["busybox", "telnet", "127.0.0.1"], "busybox"),
}
WORDS = ("Ü", "日本語", "“hello”", "мир", "مرحبا")


@pytest.fixture(params=TERMINALS)
def dial(request, server, tmp_path) -> Iterator[Callable[[], pexpect.spawn]]:
    """Return what starts a terminal that people have, through a pseudo-terminal."""
    command, package = TERMINALS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"left out: no {command[0]} here (Debian: {package})")
    given = os.environ | {"LC_ALL": "C.UTF-8", "HOME": str(tmp_path), "TERM": "xterm"}
    started: list[pexpect.spawn] = []

    def start() -> pexpect.spawn:
        started.append(
            pexpect.spawn(
                command[0],
                [*command[1:], str(server.port)],
                env=given,
                encoding="utf-8",
                timeout=WAIT_SECONDS_MAX,
            )
        )
        return started[-1]

    yield start
    for each in started:
        each.close(force=True)


# Whatever people type arrives as they typed it, as a password and in a room, and is shown to them.
def test_real_terminals_type_every_script(dial, server, new_name) -> None:
    name, room = new_name("typist"), new_name("room")
    reader = server.connect().register(new_name("reader")).join(room)
    password = "-".join(WORDS)
    for first in (f"/register {name}", name):
        terminal = dial()
        terminal.expect("login: ")
        terminal.sendline(first)
        terminal.expect("password: ")
        terminal.sendline(password)
        terminal.expect(f"Hello, {name}.")
        terminal.sendline(f"/join {room}")
        terminal.expect("Current users: ")
        reader.expect_lines(f"{name} has joined the room.")
        for word in WORDS:
            terminal.sendline(word)
            terminal.expect(f"{name}: {word}")
            reader.expect_lines(f"{name}: {word}")
        terminal.sendline("/quit")
        terminal.expect("Goodbye.")
        reader.expect_lines(f"{name} has disconnected.")
    server.connect().log_in(name, password).close()


# After telnet's Synch the next line is what was typed.
@needs_telnet
def test_real_telnet_sends_synch(server, new_name) -> None:
    name = new_name("synch")
    bob = server.connect().register(new_name("bob"))
    telnet = pexpect.spawn(
        "telnet", ["127.0.0.1", str(server.port)], encoding="utf-8", timeout=WAIT_SECONDS_MAX
    )
    telnet.expect("login: ")
    telnet.sendline(f"/register {name}")
    telnet.expect("password: ")
    telnet.sendline("secret")
    telnet.expect(f"Hello, {name}.")
    for _ in range(2):
        telnet.sendcontrol("]")
        telnet.expect("telnet> ")
        telnet.sendline("send synch")
        telnet.sendline(f"/msg {bob.name} my secret")
        telnet.expect(f"private to {bob.name}] my secret")
        bob.expect_lines(f"[private] {name}: my secret")
    telnet.close(force=True)


# Telnet does not show the password while it is typed, and shows what is typed after it.
@needs_telnet
def test_telnet_hides_the_password(server) -> None:
    telnet = pexpect.spawn(
        "telnet", ["127.0.0.1", str(server.port)], encoding="utf-8", timeout=WAIT_SECONDS_MAX
    )
    screen = []
    telnet.logfile_read = type("Screen", (), {"write": screen.append, "flush": lambda: None})
    telnet.expect("login: ")
    telnet.sendline("/register tess")
    telnet.expect("password: ")
    telnet.sendline("swordfish-1")
    telnet.expect("Hello, tess.")
    telnet.sendline("/join telnet")
    telnet.expect("Welcome to room telnet!\r\nCurrent users: tess\r\n")
    telnet.sendline("shown again")
    telnet.expect("shown again\r\ntess: shown again\r\n")
    telnet.sendline("/passwd")
    telnet.expect("old password: ")
    telnet.sendline("swordfish-1")
    telnet.expect("new password: ")
    telnet.sendline("swordfish-2")
    telnet.expect("Your password is changed.")
    telnet.sendline("/quit")
    telnet.expect("Goodbye.")
    telnet.expect(pexpect.EOF)
    assert "swordfish" not in "".join(screen)


# With nc not one telnet command appears unless a password is asked for.
@needs_nc
def test_nc_sees_no_telnet_commands(server) -> None:
    nc = pexpect.spawn("nc", ["127.0.0.1", str(server.port)], timeout=WAIT_SECONDS_MAX, echo=False)
    received = []
    nc.logfile_read = type("Screen", (), {"write": received.append, "flush": lambda: None})
    nc.expect(b"login: ")
    nc.sendline("/register nick secret")
    nc.expect(b"Hello, nick.")
    nc.sendline("/join netcat")
    nc.expect(b"Current users: nick\r")
    nc.sendline("h\u00e9llo \u706b\u9505")
    nc.expect("nick: h\u00e9llo \u706b\u9505\r".encode())
    nc.sendline("/quit")
    nc.expect(b"Goodbye.\r")
    nc.close()
    assert b"\xff" not in b"".join(received)


# Three clients that talk at the same time all see one order.
def test_everybody_sees_one_order(server) -> None:
    names = ("one", "two", "three")
    clients = [server.connect().register(name).join("order") for name in names]
    for client in clients:
        client.catch_up()
    for number in range(200):
        for client in clients:
            client.type(f"line {number}")
    seen = []
    for client in clients:
        lines = [client.expect_line() for _ in range(600)]
        seen.append(lines)
    assert seen[0] == seen[1] == seen[2]
    for name in names:
        own = [line for line in seen[0] if line.startswith(f"{name}: ")]
        assert own == [f"{name}: line {number}" for number in range(200)]
