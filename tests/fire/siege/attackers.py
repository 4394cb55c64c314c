"""The masses. Each function runs in a process of its own, and returns what happened to them.

They come from as many loopback addresses as they need for what one address may do, and more.
"""

import itertools
import selectors
import signal
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import inf
from typing import NamedTuple, TypeVar

from tests.kit.sockets import raise_descriptor_limit, reset_on_close

CONNECT_SECONDS_MAX = 10
ADDRESSES = 20
READ_BYTES = 1 << 18
HEARD_BYTES_MAX = 400  # of what each heard last
PIECES_A_SECOND = 10  # of each that presses: as many lines as a session may say
PACE_SECONDS = 0.002  # by which a pace may be ahead: to sleep for less takes longer

Thing = TypeVar("Thing")


def get_ready() -> None:
    """Let this process have a socket for each of the mass. Who interrupts a siege ends it."""
    raise_descriptor_limit()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class End(NamedTuple):
    """How a connection ended that somebody else closed: after how long, and with which words."""

    seconds: float
    last_words: bytes


class _Peer:
    """A connection of the mass, and the last that it was told."""

    def __init__(self, port: int, source: str) -> None:
        self.began = time.monotonic()
        self.socket = open_socket(port, source)
        self.heard = b""
        self.is_answered = False  # its ping
        self.end: End | None = None

    def read(self) -> None:
        """Read what came; note the end, if that was it."""
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        heard = self.heard + data
        self.is_answered = self.is_answered or b"Pong." in heard
        self.heard = heard[-HEARD_BYTES_MAX:]
        if not data:
            self.end = End(time.monotonic() - self.began, self.heard)

    def send(self, data: bytes) -> int:
        """Send, if that still makes sense; return how many bytes went."""
        with suppress(OSError):
            return self.socket.send(data)
        return 0


def open_socket(port: int, source: str) -> socket.socket:
    """Connect, and never wait any more."""
    plain = socket.socket()
    plain.settimeout(CONNECT_SECONDS_MAX)
    plain.bind((source, 0))
    plain.connect(("127.0.0.1", port))
    plain.setblocking(False)
    return plain


def sources(group: int) -> Iterator[str]:
    """Return addresses of a group of attackers, again and again."""
    return itertools.cycle(f"127.{group}.0.{number}" for number in range(1, ADDRESSES + 1))


def _come(selector: selectors.BaseSelector, port: int, source: str, words: bytes) -> _Peer:
    """Connect, and say that at once: who is silent for long is taken for a person."""
    peer = _Peer(port, source)
    peer.send(words)
    selector.register(peer.socket, selectors.EVENT_READ, peer)
    return peer


def _read(selector: selectors.BaseSelector, seconds: float) -> None:
    """Read what comes in this time, or what there is to read at its end."""
    for key, _ in selector.select(seconds):
        key.data.read()
        if key.data.end:
            selector.unregister(key.data.socket)
            key.data.socket.close()


def _paced(things: Iterable[Thing], a_second: float) -> Iterator[Thing]:
    """Return things one after the other, and no more than so many a second."""
    began = time.monotonic()
    for number, thing in enumerate(things):
        early_seconds = began + number / a_second - time.monotonic()
        if early_seconds > PACE_SECONDS:
            time.sleep(early_seconds)
        yield thing


def stall(
    port: int,
    begun: Sequence[bytes],
    trickled: Sequence[bytes],
    seconds_max: float,
    a_second: float = inf,
) -> list[End | None]:
    """Open a connection for each of `begun`, send that, and then a byte a second of `trickled`.

    Returns how each ended; None for those that never did, up to then.
    """
    addresses = sources(1)
    with selectors.DefaultSelector() as selector:
        paced = _paced(begun, a_second)
        peers = [_come(selector, port, next(addresses), words) for words in paced]
        opened_at = time.monotonic()
        tick = 0
        while any(peer.end is None for peer in peers):
            elapsed = time.monotonic() - opened_at
            if elapsed > seconds_max:
                break
            if elapsed > tick:
                for peer, rest in zip(peers, trickled, strict=True):
                    if rest[tick : tick + 1] and peer.end is None:
                        peer.send(rest[tick : tick + 1])
                tick += 1
            _read(selector, 0.05)
    for peer in peers:
        peer.socket.close()
    return [peer.end for peer in peers]


def stay_silent(port: int, count: int, a_second: float, seconds_max: float) -> list[End | None]:
    """Open so many connections, and say nothing; return how each ended."""
    return stall(port, [b""] * count, [b""] * count, seconds_max, a_second)


def connect_and_close(port: int, count: int, a_second: float) -> float:
    """Open connections and close them at once, so many a second; return how long it took."""
    began, addresses = time.monotonic(), sources(2)
    for _ in _paced(range(count), a_second):
        open_socket(port, next(addresses)).close()
    return time.monotonic() - began


def come_and_reset(port: int, lines: Sequence[bytes], seconds_max: float) -> float:
    """Let each say its lines, of which the last is a ping; when all had an answer, reset all.

    Returns how long it took until all had. Raises TimeoutError, ConnectionResetError.
    """
    began, addresses = time.monotonic(), sources(3)
    with selectors.DefaultSelector() as selector:
        peers = [_come(selector, port, next(addresses), said) for said in lines]
        waiting = set(peers)
        while waiting:
            if time.monotonic() - began > seconds_max:
                raise TimeoutError(f"{len(waiting)} are not in: {waiting.pop().heard!r}")
            for key, _ in selector.select(1):
                key.data.read()
                if key.data.end:
                    raise ConnectionResetError(repr(key.data.heard))
                if key.data.is_answered:
                    waiting.discard(key.data)
        seconds = time.monotonic() - began
        for peer in peers:
            reset_on_close(peer.socket)
        for peer in peers:
            peer.socket.close()
    return seconds


def ask_and_hang_up(port: int, lines: Sequence[bytes], bursts: int, pause_seconds: float) -> None:
    """Say each line on a connection of its own, and close them at once; again and again."""
    addresses = sources(4)
    for _ in range(bursts):
        opened = []
        for said in lines:
            opened.append(open_socket(port, next(addresses)))
            opened[-1].send(said)
        for each in opened:
            each.close()
        time.sleep(pause_seconds)


def crowd_in(port: int, count: int, seconds: float) -> list[bytes]:
    """Come all at once, stay for so long if one may, and return what each was told."""
    addresses = sources(5)
    with selectors.DefaultSelector() as selector:
        peers = [_come(selector, port, next(addresses), b"") for _ in range(count)]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            _read(selector, 0.05)
    for peer in peers:
        peer.socket.close()
    return [peer.heard for peer in peers]


def press(
    port: int, openings: Sequence[bytes], scripts: Sequence[Sequence[bytes]], seconds: float
) -> int:
    """Send each opening once, then the pieces of its script in turn, ten a second, and read.

    A connection that is closed is opened again. Returns how many bytes were sent.
    """
    began, sent, addresses = time.monotonic(), 0, sources(8)
    with selectors.DefaultSelector() as selector:
        peers = [_come(selector, port, next(addresses), words) for words in openings]
        for tick in itertools.count():
            for number, script in enumerate(scripts):
                if peers[number].end:
                    words = openings[number]
                    peers[number] = _come(selector, port, next(addresses), words)
                sent += peers[number].send(script[tick % len(script)])
            while (rest := began + (tick + 1) / PIECES_A_SECOND - time.monotonic()) > 0:
                _read(selector, rest)
            if time.monotonic() - began > seconds:
                break
        for peer in peers:
            peer.socket.close()
    return sent
