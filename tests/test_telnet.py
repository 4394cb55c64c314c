"""The real telnet and nc programs, as people use them."""

import shutil

import pexpect
import pytest

needs_telnet = pytest.mark.skipif(
    shutil.which("telnet") is None, reason="left out: no telnet here (Debian: inetutils-telnet)"
)
needs_nc = pytest.mark.skipif(
    shutil.which("nc") is None, reason="left out: no nc here (Debian: netcat-openbsd)"
)


# Telnet does not show the password while it is typed, and shows what is typed after it.
@needs_telnet
def test_telnet_hides_the_password(server) -> None:
    telnet = pexpect.spawn("telnet", ["127.0.0.1", str(server.port)], encoding="utf-8", timeout=10)
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
    nc = pexpect.spawn("nc", ["127.0.0.1", str(server.port)], timeout=10, echo=False)
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
