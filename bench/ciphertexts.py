"""What it costs to deliver encrypted messages, next to plain ones of as many bytes, in pairs.

    python bench/ciphertexts.py --rounds 5

Ten of 200 programs in a room send all they have at once, and everybody there reads it all: once in
the clear, once in an encrypted room. Bodies are so long that what a reader is sent is of the same
length both times. What is encrypted here is noise: the server does not look.
"""

import argparse
import base64
import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import median

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.table import Table

from dialects import Exchange, Ndjson
from generator import Client, Crowd
from loads import Burst
from machine import Cores, alone, describe, raise_descriptor_limit
from meter import Meter
from options import count
from peers import greenroom, served
from process import BenchError, ServerProcess

MEMBERS = 200
SPEAKERS = 10
CIPHERTEXT_CHARS = 400  # of a sentence: 256 bytes with their padding, sealed, as base64
OUTBOX_BYTES_MAX = 64 << 20  # so that the generator may lag: it counts every line
US_PER_SECOND = 1_000_000
_ENCRYPTED = '"device":"abcdefgh","enc":{"alg":"megolm.v1","sid":"%s","ct":""}' % ("s" * 43)
_PLAIN = '"body":"","is_action":false'
BODY_CHARS = CIPHERTEXT_CHARS + len(_ENCRYPTED) - len(_PLAIN)  # makes as long a line


class Plain(Ndjson):
    """Programs that say something in the clear."""

    def say(self, room: str, body: bytes) -> bytes:
        """Say something of the length."""
        return super().say(room, body.ljust(BODY_CHARS, b"."))


class Encrypted(Ndjson):
    """Programs that say what could be a ciphertext."""

    def say(self, room: str, body: bytes) -> bytes:
        """Say it to those who belong to the room since it was encrypted."""
        enc = {"alg": "megolm.v1", "sid": "s" * 43, "ct": "c" * CIPHERTEXT_CHARS}
        request = {"op": "say", "room": room, "enc": enc, "if_rev": 1}
        return json.dumps(request, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True)
class Cost:
    """What a burst took."""

    bytes_each: float
    deliveries_per_second: float
    cpu_us_each: float


class _Lines(Burst):
    """A burst whose readers count lines: of what is encrypted they could find no mark."""

    bytes_read = 0

    def __init__(self, crowd: Crowd, room: str, members: Sequence[Client], messages: int) -> None:
        super().__init__(crowd, room, members, SPEAKERS, messages)
        for member in members[:SPEAKERS]:
            self._missing[member.socket.fileno()] += messages  # each is answered besides

    def run(self) -> None:
        """See Burst; the answers are waited for as well."""
        told, self.deliveries = self.deliveries, sum(self._missing.values())
        super().run()
        self.deliveries = told

    def _count(self, descriptor: int) -> int:
        size = self._crowd.clients[descriptor].socket.recv_into(self._buffer)
        if not size:
            raise BenchError(f"{self._crowd.clients[descriptor].name} was cut")
        found = self._buffer.count(b"\n", 0, size)
        self._missing[descriptor] -= found
        self.bytes_read += size
        return found


def main() -> int | str:
    """Play the pairs; return what sys.exit takes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=count, default=3, help="pairs; figures are medians")
    parser.add_argument("--messages", type=count, default=2_000, help="of each speaker")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # through every finally
    cores = Cores.divided()
    os.sched_setaffinity(0, cores.generator)
    house = greenroom("full")
    patience = {"GREENROOM_OUTBOX_BYTES_MAX": str(OUTBOX_BYTES_MAX)}
    server = replace(house, dialect=Ndjson(), environment=house.environment | patience)
    try:
        raise_descriptor_limit()
        with alone(say=print), served(server, cores.server) as (process, crowd):
            pairs = list(_play(process, crowd, arguments.rounds, arguments.messages))
    except (BenchError, KeyboardInterrupt) as error:
        return f"no figures: {str(error) or 'interrupted'}"
    _show(pairs)
    for name, value in describe([server], cores).items():
        print(f"{name}: {value}")
    return 0


def _play(
    process: ServerProcess, crowd: Crowd, rounds: int, messages: int
) -> Iterator[tuple[Cost, Cost]]:
    """Yield what each pair cost: in the clear, and encrypted."""
    members = crowd.log_in((f"m{index}" for index in range(MEMBERS)), crowd.dialect.hello)
    for member in members[:SPEAKERS]:
        _ask(crowd, member, _device_of(member.name))
    for number in range(rounds):
        costs = {}
        for is_encrypted in (False, True) if number % 2 else (True, False):
            room = f"{'closed' if is_encrypted else 'opened'}{number:02}"
            crowd.join(members[:1], room)  # whose it is
            crowd.join(members[1:], room)
            if is_encrypted:
                _ask(crowd, members[0], {"op": "room.encrypt", "room": room})
            crowd.dialect = Encrypted() if is_encrypted else Plain()
            costs[is_encrypted] = _cost(process, crowd, room, members, messages)
            crowd.leave(members, room)
            crowd.settle()
        yield costs[False], costs[True]


def _cost(
    process: ServerProcess, crowd: Crowd, room: str, members: Sequence[Client], messages: int
) -> Cost:
    load = _Lines(crowd, room, members, messages)
    crowd.settle()
    meter = Meter(process)
    load.run()
    usage, deliveries = meter.stop(), load.deliveries
    return Cost(
        load.bytes_read / deliveries,
        deliveries / usage.wall_seconds,
        usage.server_cpu_seconds * US_PER_SECOND / deliveries,
    )


_numbers = itertools.count(1)


def _ask(crowd: Crowd, member: Client, request: dict[str, str]) -> None:
    number = next(_numbers)
    line = json.dumps({"id": f"bench{number}", **request}) + "\n"
    crowd.ask(member, Exchange(line.encode(), f'"id":"bench{number}","ok":true'.encode()))
    crowd.await_answers()


def _device_of(user: str) -> dict[str, str]:
    """Return the request that makes a device of a user known."""
    key = Ed25519PrivateKey.generate()
    device = {
        "id": base64.b32encode(os.urandom(5)).decode().lower(),
        "ed25519": _base64(key.public_key().public_bytes_raw()),
        "curve25519": _base64(os.urandom(32)),
    }
    payload = json.dumps({"user": user, "device": device, "approval": _base64(bytes(32))})
    signature = key.sign(b"greenroom-e2ee/v1/device\0" + payload.encode())
    return {"op": "keys.device.put", "payload": payload, "sig": _base64(signature)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _show(pairs: Sequence[tuple[Cost, Cost]]) -> None:
    table = Table("", "bytes each", "deliveries/s", "CPU us each", "CPU ns a byte")
    for name, costs in zip(("plain", "encrypted"), zip(*pairs, strict=True), strict=True):
        middle = sorted(costs, key=lambda cost: cost.cpu_us_each)[len(costs) // 2]
        cells = (middle.bytes_each, middle.deliveries_per_second)
        table.add_row(
            name,
            *(f"{cell:,.0f}" for cell in cells),
            f"{middle.cpu_us_each:.3f}",
            f"{middle.cpu_us_each / middle.bytes_each * 1_000:.3f}",
        )
    ratios = [
        encrypted.cpu_us_each / encrypted.bytes_each / (plain.cpu_us_each / plain.bytes_each)
        for plain, encrypted in pairs
    ]
    console = Console()
    console.print(table)
    spread = ", ".join(f"{ratio:.2f}" for ratio in sorted(ratios))
    console.print(f"encrypted to plain, a byte: {median(ratios):.2f} (pairs: {spread})")


if __name__ == "__main__":
    sys.exit(main())
