"""A full disk, and a database that somebody else holds: nothing is shown that is not kept."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kit.client import Client, all_see
from tests.kit.server_process import ServerProcess

DISK_BYTES = 3 << 20
NOT_STORED = r"Error: (\d+ messages )?not stored: the database can't be used now \({}\); .*"
DISK_FULL = NOT_STORED.format("database or disk is full")
CANT_WRITE = NOT_STORED.format("disk I/O error")
ROOM_BYTES = 200_000  # that are left to a file that may not grow for ever
LOCKED = NOT_STORED.format("database is locked")


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own, with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", folder]
    run = subprocess.run(mount, capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"a small disk can't be mounted here: {run.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def _fill(filler: Path) -> None:
    """Take all the room that is left on a disk, with one file."""
    with filler.open("ab", buffering=0) as file:
        for size in (65_536, 4096, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue


def _talk_until_refused(talker: Client, refusal: str) -> list[str]:
    """Say numbered things until one is refused, and return those that were not."""
    said: list[str] = []
    while len(said) < 2 * DISK_BYTES // 4000:
        text = f"{len(said)} " + "secret" * 660
        talker.type(text)
        line = talker.expect_line()
        if line != f"{talker.name}: {text}":
            assert re.fullmatch(refusal, line)
            return said
        said.append(line)
    raise AssertionError("the disk is never full")


def _past(client: Client) -> list[str]:
    """Read all that was said in the room, a page at a time."""
    past: list[str] = []
    while True:
        client.type("/history 1000")
        lines = client.catch_up()
        if any(line.startswith("There is nothing earlier") for line in lines):
            client.type("/ping")  # so that the next page is the newest again
            client.expect_lines("Pong.")
            return past
        past = [line.partition("] ")[2] for line in lines if line.startswith("[")] + past


def _check_without_room(
    server: ServerProcess, refusal: str, fill: Callable[[], object], make_room: Callable[[], object]
) -> None:
    """Check what a server does when it can't write, how it says so, and what it does afterwards.

    The first `fill` leaves a little room, the second one none, if that makes a difference.
    """
    alice, bob = (server.connect().register(name).join("room") for name in ("alice", "bob"))
    alice.expect_lines("bob has joined the room.")
    fill()
    said = _talk_until_refused(alice, refusal)
    bob.expect_lines(*said)
    fill()
    for refused in ("/topic new", "/kick bob", "/ban bob", "/msg bob psst", "/join other", "/me !"):
        alice.type(refused)
        alice.expect_line(refusal)
    stranger = server.newcomer()
    stranger.type("/register stranger secret")
    stranger.expect_line(refusal)
    bob.expect_nothing_more()

    again = server.connect().log_in("bob").join("room")
    assert _past(again)[-len(said) :] == said
    again.exchange("/leave", "You have left room.")
    bob.expect_nothing_more()  # one of two sessions went, and nobody else did

    make_room()
    alice.type("there is room")
    all_see((alice, bob), "alice: there is room")
    stranger.register("stranger")
    assert _past(bob) == [*said, "alice: there is room"]
    assert "not stored" in server.log or "dropped" in server.log  # the log has no room either
    assert "secret" not in server.log


# When the disk is full a message, or a decision, is refused to whoever made it, and nobody is shown
# anything of it; reading and coming and going goes on; when there is room again all is well again.
def test_a_full_disk(small_disk: Path, start_server) -> None:
    server = start_server(DATA_DIR=small_disk)
    filler = small_disk / "filler"
    _check_without_room(server, DISK_FULL, lambda: _fill(filler), filler.unlink)


# So it is where no file may grow any more, for which nobody has to be root.
def test_files_that_may_not_grow(start_server) -> None:
    server = start_server()
    largest = max(path.stat().st_size for path in (server.folder / "var").iterdir())
    limits = iter([largest + ROOM_BYTES, 0])
    limit, free = (lambda: server.limit_files(next(limits))), (lambda: server.limit_files(None))
    _check_without_room(server, CANT_WRITE, limit, free)


# While somebody else holds the database talkers wait; when it is too long theirs is refused, and
# nobody has seen it. Reading goes on meanwhile, and what came later is kept, in order.
def test_a_locked_database(server, pair) -> None:
    writer, reader = pair
    writer.type("before")
    all_see(pair, f"{writer.name}: before")
    with server.database() as database:
        database.execute("BEGIN IMMEDIATE")
        writer.type("lost", "lost too")
        assert _past(reader) == [f"{writer.name}: before"]
        writer.expect_line(LOCKED)
        reader.type("kept")
        writer.expect_nothing_more()  # the server has read it, and waits again
        database.execute("ROLLBACK")
    reader.expect_lines(f"{reader.name}: kept")
    writer.expect(f"{reader.name}: kept\r\n")
    writer.type("after", "and after that")
    later = [f"{writer.name}: after", f"{writer.name}: and after that"]
    all_see(pair, *later)
    kept = [f"{writer.name}: before", f"{reader.name}: kept", *later]
    assert _past(reader) == _past(writer) == kept
    assert b"lost" not in reader.everything
