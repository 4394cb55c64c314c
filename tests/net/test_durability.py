"""What anybody was shown is kept, once and in order, however the server ends."""

import random
import re
import signal
import threading
from contextlib import suppress

from tests.kit.client import Client
from tests.kit.server_process import ServerProcess

KILLS = 3  # in the middle of a burst; of a kill at each stage, see test_kill_at_every_stage.py
SENDERS = 4
LINES_EACH = 300
READERS = 2

_SAID = re.compile(r"(?:\[\d\d:\d\d\] )?(sender\d+: \d+-\d+-\d+)")


def _people(server: ServerProcess, room: str, is_first: bool) -> list[Client]:
    names = [f"sender{n}" for n in range(SENDERS)] + [f"reader{n}" for n in range(READERS)]
    clients = [server.connect() for _ in names]
    for client, name in zip(clients, names, strict=True):
        (client.register if is_first else client.log_in)(name)
        client.join(room)
    return clients


def _burst(server: ServerProcess, clients: list[Client], kill: int, after: int) -> list[list[str]]:
    """Let all send at once, kill the server in the middle, and return what each reader saw."""

    def talk(client: Client, sender: int) -> None:
        with suppress(OSError):  # the server is killed meanwhile
            client.type(*(f"{kill}-{sender}-{number}" for number in range(LINES_EACH)))

    threads = [
        threading.Thread(target=talk, args=(client, number))
        for number, client in enumerate(clients[:SENDERS])
    ]
    for thread in threads:
        thread.start()
    readers = clients[SENDERS:]
    readers[0].expect(f"sender0: {kill}-0-{after}\r\n")
    server.stop_before_its_clients(signal.SIGKILL)
    for thread in threads:
        thread.join()
    for reader in readers:
        reader.receive_end()
    return [_said(bytes(reader.everything)) for reader in readers]


def _said(data: bytes) -> list[str]:
    """Return the messages in whole lines of what was received."""
    whole, _, _ = data.decode().rpartition("\r\n")
    return [match[1] for line in whole.split("\r\n") if (match := _SAID.fullmatch(line))]


def _history(server: ServerProcess, room: str) -> list[str]:
    """Read all that was ever said in a room, a page at a time."""
    client = server.connect().log_in("reader0").join(room)
    client.catch_up()  # past what is replayed
    pages: list[list[str]] = []
    while True:
        client.type("/history 1000")
        lines = client.catch_up()
        if any(line.startswith("There is nothing earlier") for line in lines):
            return [said for page in reversed(pages) for said in page]
        page = [match[1] for line in lines if (match := _SAID.fullmatch(line))]
        pages.append(page)


# Every message that any reader had seen before a kill -9 in the middle of a burst is there after
# the restart, none of them twice, and in the order in which everybody saw them.
def test_kill_in_the_middle_of_a_burst_loses_nothing(start_server) -> None:
    server, chance = start_server(), random.Random(7)
    for kill in range(KILLS):
        room = f"room{kill}"
        clients = _people(server, room, is_first=kill == 0)
        seen_by_each = _burst(server, clients, kill, chance.randrange(LINES_EACH))
        server.start()
        kept = _history(server, room)
        assert len(set(kept)) == len(kept)
        assert seen_by_each[0]
        for seen in seen_by_each:
            assert kept[: len(seen)] == seen, "something seen was lost, or in another order"


# What was accepted before a SIGTERM in the middle of a burst is committed and shown before the end.
def test_stop_in_the_middle_of_a_burst_loses_nothing(start_server) -> None:
    server = start_server()
    sender = server.connect().register("sender0").join("lobby")
    reader = server.connect().register("reader0").join("lobby")
    sender.expect_lines("reader0 has joined the room.")
    sender.type(*(f"0-0-{number}" for number in range(5000)))
    reader.expect("sender0: 0-0-100\r\n")
    assert server.stop_before_its_clients() == 0, server.log
    reader.receive_end()
    seen = _said(bytes(reader.everything))
    server.start()
    assert _history(server, "lobby")[: len(seen)] == seen
    assert bytes(reader.everything).endswith(b"The server is shutting down. Goodbye.\r\n")
