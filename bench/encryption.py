"""What encryption costs a client: its first message to many devices, and what it can keep up.

    python bench/encryption.py --devices 50 --messages 500

As many people as that have put their devices, entered a room that is encrypted, and gone. Then one
more comes, looks at the room for the first time, and says something: a session for each device, and
its key. After that it says one message after the other and reads each as it comes back. All of it
is the client's own code, at a real server with full durability. It exits with 1 below a bar.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console

from machine import Cores, alone, describe
from options import count
from peers import Server, greenroom, served
from process import REPOSITORY, BenchError

sys.path.insert(0, str(REPOSITORY))

from app.client import CallRefused, Client
from app.encryption import Device, KeyStore, ServerRefused, received, run
from app.encryption.flows import Flow, Json
from app.encryption.sealing import Cost
from app.values.times import now

ROOM = "den"
BODY = "a line of about as many bytes as people say at once in a room"
FIRST_SECONDS_MAX = 0.5
MESSAGES_A_SECOND_MIN = 100
_PASSPHRASE = "bench"
_CHEAP = Cost(memory_kib=8, passes=1)  # a passphrase is asked once an evening


class Member:
    """Somebody whose client encrypts."""

    def __init__(self, port: int, name: str, folder: Path) -> None:
        self.name = name
        self.client = Client(f"127.0.0.1:{port}", name=name, password=name, register=True)
        self._store = KeyStore(folder / f"{name}.db", _PASSPHRASE, _CHEAP)
        self.device = Device(self._store, name)
        self.do(self.device.start(now()))

    def do(self, flow: Flow[object]) -> None:
        """Carry out a flow. Raises ServerRefused, ConnectionLost."""
        run(flow, self._ask)

    def _ask(self, op: str, fields: Json) -> Json:
        try:
            return self.client.call(op, **fields)
        except CallRefused as refusal:
            raise ServerRefused(refusal.code, str(refusal)) from refusal

    def say(self) -> None:
        """Say a message; returns when it is stored."""
        self.do(self.device.say(ROOM, BODY, now()))

    def read(self, messages: int) -> None:
        """Read as many messages. Raises BenchError when one can't be read."""
        events = self.client.events()
        while messages:
            event = next(events)
            if event["event"] == "message":
                (shown,) = self.device.read([received(event, self.name)])
                if shown.body != BODY:
                    raise BenchError(f"a message can't be read: {shown.refusal}")
                messages -= 1

    def close(self) -> None:
        """Go."""
        self.client.close()
        self._store.close()


@contextmanager
def member(port: int, name: str, folder: Path) -> Iterator[Member]:
    """Come, enter the room, and go in the end."""
    each = Member(port, name, folder)
    try:
        each.client.join(ROOM)
        yield each
    finally:
        each.close()


def measure(server: Server, core: int, devices: int, messages: int) -> tuple[float, float]:
    """Return the seconds of a first message, and the messages a second after it."""
    with (
        served(server, core) as (process, _),
        tempfile.TemporaryDirectory(prefix="greenroom-bench-") as name,
    ):
        port, folder = process.accepting_port(), Path(name)
        with member(port, "owner", folder) as owner:
            owner.do(owner.device.encrypt_room(ROOM))
        for number in range(devices - 1):
            with member(port, f"member{number}", folder):
                pass  # it has put its keys and is on the roster: that is all
        with member(port, "speaker", folder) as speaker:
            began = time.monotonic()
            speaker.say()
            first = time.monotonic() - began
            speaker.read(1)
            began = time.monotonic()
            for _ in range(messages):
                speaker.say()
                speaker.read(1)
            return first, messages / (time.monotonic() - began)


def main() -> int | str:
    """Measure, and show it; return what sys.exit takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--devices", type=count, default=50)
    parser.add_argument("--messages", type=count, default=500)
    parser.add_argument("--rounds", type=count, default=5)
    options = parser.parse_args()
    server, cores, console = greenroom("full"), Cores.divided(), Console()
    os.sched_setaffinity(0, cores.generator)
    try:
        with alone(Console(stderr=True).print):
            rounds = [
                measure(server, cores.server, options.devices, options.messages)
                for _ in range(options.rounds)
            ]
    except (BenchError, OSError, ServerRefused, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"
    firsts, rates = zip(*rounds, strict=True)
    console.print(
        f"first message to {options.devices} devices: median {median(firsts):.2f} s, worst"
        f" {max(firsts):.2f} s; the bar is {FIRST_SECONDS_MAX} s"
    )
    console.print(
        f"after it, said and read by one client: median {median(rates):.0f} a second, worst"
        f" {min(rates):.0f}; the bar is {MESSAGES_A_SECOND_MIN}"
    )
    for name, text in describe([server], cores).items():
        console.print(f"{name}: {text}", markup=False, highlight=False)
    return int(median(firsts) > FIRST_SECONDS_MAX or median(rates) < MESSAGES_A_SECOND_MIN)


if __name__ == "__main__":
    sys.exit(main())
