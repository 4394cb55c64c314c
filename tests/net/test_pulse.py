"""The pulse: what it sees of the hub, and what systemd hears of it."""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from unittest.mock import Mock

import pytest

from app.bounds import PULSE_SECONDS
from app.measures.last_minute import LastMinute
from app.net.pulse import Notifier, Pulse

LISTENED_SECONDS_MAX = 10


class _Systemd(socket.socket):
    """Hears what a service says of itself."""

    def __init__(self, address: str) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.settimeout(LISTENED_SECONDS_MAX)
        self.bind(address)

    def hear(self) -> str:
        return self.recv(1024).decode()

    def has_heard_all(self) -> bool:
        self.settimeout(0)
        with suppress(BlockingIOError):
            return not self.recv(1024)
        return True


@pytest.fixture
def systemd(tmp_path) -> Iterator[_Systemd]:
    with _Systemd(str(tmp_path / "notify")) as listener:
        yield listener


def _pulse(**environment: str) -> tuple[Pulse, LastMinute]:
    last_minute = LastMinute(0, {})
    return Pulse(Mock(last_minute=last_minute), Notifier(environment)), last_minute


# However late a sleep wakes up, the rest of it was no delay; and what was early is none at all.
def test_delays() -> None:
    pulse, last_minute = _pulse()
    pulse.beat(10.0, 10.0 + PULSE_SECONDS / 2)
    assert last_minute.worst_delay(11) == 0
    pulse.beat(11.0, 13.0 + PULSE_SECONDS)
    assert last_minute.worst_delay(14) == pytest.approx(2)


# systemd hears that the server is ready when it listens, and that it stops before it does.
def test_ready_and_stopping(systemd: _Systemd, tmp_path, start_server, monkeypatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    server = start_server()
    assert systemd.hear() == "READY=1"
    assert server.stop() == 0
    assert systemd.hear() == "STOPPING=1"
    assert systemd.has_heard_all()  # nobody has asked for signs of life


# A sign of life goes out with the first beat, then at half of the time after which systemd gives
# up, however young the machine is.
@pytest.mark.parametrize("age_seconds", [0, 365 * 86_400])
def test_signs_of_life(systemd: _Systemd, tmp_path, age_seconds: int) -> None:
    pulse, _ = _pulse(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="2000000")
    for tenth in range(21):
        now = age_seconds + tenth / 10
        pulse.beat(now - PULSE_SECONDS, now)
    assert [systemd.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
    assert systemd.has_heard_all()


# An address that begins with @ is one of the abstract ones, which are no files.
@pytest.mark.skipif(os.uname().sysname != "Linux", reason="only Linux has abstract addresses")
def test_an_abstract_address() -> None:
    name = f"greenroom-test-{os.getpid()}"
    with _Systemd(f"\0{name}") as listener:
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).tell("READY=1")
        assert listener.hear() == "READY=1"


# Signs of life that another process is asked for are none of ours, and nobody may listen at all.
def test_nobody_listens(tmp_path) -> None:
    assert Notifier({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}).seconds == 0
    assert Notifier({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}).seconds == 1
    Notifier({}).tell("READY=1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell("READY=1")
