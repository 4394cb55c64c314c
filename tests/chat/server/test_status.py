"""`status`: a stranger can tell from it what is going on."""

import os
import signal
import time
from dataclasses import replace
from unittest.mock import Mock

import pytest
import structlog.testing

from app.bounds import HUB_SECONDS_CONCERN
from app.chat.server.health import concerns
from app.protocol import rooms
from app.protocol.figures import Outbox
from app.protocol.talk import Say
from tests.kit.client import Client, wait_until
from tests.kit.fakes import FakeClient
from tests.kit.figures import LOAD, MINUTE
from tests.kit.house import House
from tests.kit.program import Program
from tests.kit.server_process import ServerProcess

SERVER_SETTINGS = {"OUTBOX_BYTES_MAX": 1 << 18}
WELL = replace(LOAD, outbox_bytes=0, outboxes=[])


@pytest.fixture(scope="module")
def control(server: ServerProcess) -> Program:
    """The operator, who watches."""
    return server.control()


def _found(control: Program) -> dict[str, str]:
    """Return what is wrong, by its name, as the operator is told it."""
    return {each["name"]: each["sentence"] for each in control.call("status")["concerns"]}


def _sees(control: Program, name: str) -> str:
    """Wait until the operator is told of a trouble, and return how."""
    wait_until(lambda: name in _found(control), f"{name} is seen")
    return _found(control)[name]


# A server that is well calls for nobody.
def test_nothing_is_wrong() -> None:
    assert concerns(WELL, MINUTE, 1 << 20) == []


# Each trouble has its name, and a sentence with its figure, for whoever has never seen it.
@pytest.mark.parametrize(
    ("name", "figure", "load", "minute"),
    [
        ("not_stored", "last minute: 17.", {}, {"messages_not_stored": 17}),
        ("slow_disk", "240 ms", {}, {"commit_p99_seconds": 0.24}),
        ("slow_disk", "up to 3.0 s", {}, {"commit_max_seconds": 3.0}),
        ("slow_disk", "3.2 s", {"commit_under_way_seconds": 3.2}, {}),
        ("slow_disk", "45 s", {"disk_seconds_ago": 45.0}, {}),
        ("disk_nearly_full", "12 MB", {"disk_free_bytes": 12_000_000}, {}),
        ("hub_stall", "2.0 s", {}, {"hub_delay_max_seconds": 2.0}),
        ("login_flood", "last minute: 400;", {}, {"failed_logins": 400}),
        ("login_flood", "checked: 90.", {"passwords_waiting": 90}, {}),
        ("slow_reader", "last minute: 3.", {}, {"readers_cut": 3}),
        ("slow_reader", "900 KB", {"outboxes": [Outbox("", "192.0.2.7", 900_000)]}, {}),
        ("newcomers_refused", "last minute: 8.", {}, {"newcomers_refused": 8}),
        ("certificate", "runs out in 2d", {"certificate_seconds": 2 * 86_400.0}, {}),
        ("certificate", "ran out 2d", {"certificate_seconds": -2 * 86_400.0}, {}),
        ("unknown_setting", "; is it Y?", {"unknown_settings": {"X": "Y"}}, {}),
        ("unknown_setting", "does nothing. See", {"unknown_settings": {"X": ""}}, {}),
        ("descriptors", "950 of at most 1000", {"open_files": 950, "open_files_max": 1000}, {}),
    ],
)
def test_each_trouble(name: str, figure: str, load: dict, minute: dict) -> None:
    (found,) = concerns(replace(WELL, **load), replace(MINUTE, **minute), 1 << 20)
    assert found.name == name
    assert figure in found.sentence


# On PostgreSQL nobody knows how full the disk is, and nobody is alarmed.
def test_an_unknown_disk() -> None:
    unknown = replace(WELL, disk_free_bytes=None, wal_bytes=None, database_bytes=None)
    assert concerns(unknown, MINUTE, 1 << 20) == []


# While another process holds the database, commits are slow, and so they are told to be.
def test_a_slow_disk_is_seen(server: ServerProcess, control, pair: tuple[Client, Client]) -> None:
    writer, _ = pair
    with server.database() as other:
        other.execute("BEGIN IMMEDIATE")
        writer.type("slowly")
        wait_until(
            lambda: control.call("status")["now"]["commit_under_way_seconds"] > 0.15,
            "a commit is under way",
        )
        other.execute("ROLLBACK")
    writer.expect("slowly\r\n")
    assert "The disk is slow" in _sees(control, "slow_disk")


# A reader who does not read is told of by name, and so is that one was cut.
def test_a_slow_reader_is_seen(server: ServerProcess, control: Program, new_name) -> None:
    room = new_name("room")
    writer = server.connect().register(new_name("writer")).join(room)
    reader = server.connect(receive_buffer_bytes=4096).register(new_name("idle")).join(room)

    def talk() -> None:
        writer.type(*["x" * 4000] * 30)
        writer.catch_up()

    while "slow_reader" not in _found(control):
        talk()
    assert _found(control)["slow_reader"].startswith(f"{reader.name} at 127.0.0.1 has left ")
    (fullest,) = control.call("status")["now"]["outboxes"]
    assert (fullest["user"], fullest["address"]) == (reader.name, "127.0.0.1")
    while not control.call("status")["minute"]["readers_cut"]:
        talk()
    assert _found(control)["slow_reader"].startswith("Slow readers cut in the last minute: 1.")


# Logins that fail by the dozen are told to be a flood.
def test_a_login_flood_is_seen(server: ServerProcess, control: Program) -> None:
    for _ in range(20):
        guesser = server.program()
        asked = [guesser.ask("login", token=f"guess {number}") for number in range(3)]
        assert [guesser.answer(number)["error"] for number in asked] == ["login_refused"] * 3
    assert "Failed logins in the last minute: 60;" in _sees(control, "login_flood")


# A process that was stopped for a moment has kept everybody waiting, and says for how long.
def test_a_stall_is_seen(server: ServerProcess, control: Program) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    time.sleep(HUB_SECONDS_CONCERN * 2)  # this is the stall
    os.kill(server.pid, signal.SIGCONT)
    assert "Everybody was kept waiting for" in _sees(control, "hub_stall")


# A stall that everybody noticed makes /healthz red for some seconds, and no longer.
def test_a_stall_is_an_illness(house: House) -> None:
    status = house.service.status
    now = time.monotonic()
    status.last_minute.note_delay(now, 0.9)
    assert status.illness(now) == ""
    status.last_minute.note_delay(now, 2.0)
    assert status.illness(now + 9) == "everybody was kept waiting for 2.0 s a moment ago"
    assert status.illness(now + 11) == ""


# A commit that hangs makes it red as well, though it has not failed yet.
def test_a_hanging_commit_is_an_illness(house: House) -> None:
    status, now = house.service.status, time.monotonic()
    house.database._writing_since = now
    assert status.illness(now + 9) == ""
    assert status.illness(now + 11) == "a commit has been under way for 11 s"


# What is shown adds up: who is here, in how many rooms, and the files that there are.
def test_what_is_shown(house: House) -> None:
    alice = house.register("alice", "lobby")
    house.log_in("alice")
    house.service.connect(FakeClient())
    house.do(alice, Say("hello"), rooms.Who())
    house.service.status.look_at_disk()
    shown = house.service.status.status(time.monotonic())
    assert (shown.now.sessions, shown.now.users, shown.now.live_rooms) == (3, 1, 1)
    assert shown.now.database_bytes > 50_000
    assert shown.now.disk_free_bytes > 0
    assert 0 < shown.now.open_files < shown.now.open_files_max
    assert shown.minute.messages_per_second > 0
    assert shown.minute.logins_per_second > 0
    minute = shown.minute
    assert minute.commit_p50_seconds <= minute.commit_p99_seconds <= minute.commit_max_seconds
    assert shown.is_storing


# Files that can't be looked at have no size, which is logged once; then they have one again.
def test_files_that_cant_be_looked_at(house: House, monkeypatch) -> None:
    status = house.service.status
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as records:
        patch.setattr(house.database, "look_at_files", Mock(side_effect=PermissionError(13, "no")))
        for _ in range(3):
            status.look_at_disk()
            assert status.load(time.monotonic()).database_bytes is None
    assert [(each["event"], each["reason"]) for each in records] == [
        ("can't look at the database's files", "no")
    ]
    status.look_at_disk()
    assert status.load(time.monotonic()).database_bytes > 50_000


# An admin sees it in the chat, what is wrong right below the first line.
def test_in_the_chat(server: ServerProcess, run_here, new_name) -> None:
    name = new_name("boss")
    server.connect().register(name).close()
    assert run_here(server.folder, "users", "admin", name).exit_code == 0
    boss = server.connect().log_in(name)
    boss.type("/status")
    boss.expect_line(r"Greenroom [\d.]+, up for .*: messages are stored\.")
    lines = boss.catch_up()
    first = next(number for number, line in enumerate(lines) if not line.startswith("! "))
    assert lines[0] == "All is well." or first > 0
    assert lines[-1].endswith(" free")
