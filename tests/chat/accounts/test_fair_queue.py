"""Who waits for a password to be hashed, in which order, and who is sent away. Without a clock."""

import gevent
import pytest
from gevent.event import Event as Signal

from app.chat.accounts.fair_queue import Turns
from app.errors import Unavailable
from tests.kit.fakes import FakeClient

WAITING_MAX = 4


class _Queue:
    """Turns of which one is held until `run`, and what became of those who came meanwhile."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.refused: list[str] = []
        self._turns = Turns(WAITING_MAX)
        self._is_over = Signal()
        self._everybody: list[gevent.Greenlet] = []
        self.come("holder", "192.0.2.200", holds=self._is_over)

    def come(
        self, name: str, address: str, *, has_hung_up: bool = False, holds: Signal | None = None
    ) -> FakeClient:
        """Let one more come, who waits for a turn, and holds it for a moment, or for longer."""
        client = FakeClient(address)
        client.has_hung_up = has_hung_up
        self._everybody.append(gevent.spawn(self._take_a_turn, name, client, holds))
        gevent.sleep(0)
        return client

    def _take_a_turn(self, name: str, client: FakeClient, holds: Signal | None) -> None:
        try:
            with self._turns.turn(client):
                self.served.append(name)
                holds.wait() if holds else gevent.sleep(0)
        except Unavailable as refusal:
            self.refused.append(f"{name}: {refusal.code}")

    def let_go(self) -> None:
        """Let the next one have its turn."""
        self._is_over.set()
        gevent.sleep(0)
        gevent.sleep(0)

    def run(self) -> list[str]:
        """Let everybody have their turn, and return in which order they had it."""
        self._is_over.set()
        gevent.joinall(self._everybody, raise_error=True)
        return self.served[1:]


@pytest.fixture
def queue() -> _Queue:
    return _Queue()


# Who comes first has the first turn; nobody has one while another has.
def test_in_order(queue: _Queue) -> None:
    for name in ("a", "b", "c"):
        queue.come(name, "192.0.2.1")
    assert queue.served == ["holder"]
    assert queue.run() == ["a", "b", "c"]


# Addresses take turns, a /64 of IPv6 being one: who sends many waits behind those who send one.
def test_fair_by_address(queue: _Queue) -> None:
    for name, address in (
        ("a1", "2001:db8::1"),
        ("a2", "2001:db8::2"),
        ("a3", "2001:db8::3"),
        ("b1", "192.0.2.1"),
    ):
        queue.come(name, address)
    assert queue.run() == ["a1", "b1", "a2", "a3"]


# Who has hung up comes after all who have not, whenever it was that they did, and is served then:
# `printf ... | nc -N` has hung up as well.
def test_who_hung_up_comes_last(queue: _Queue) -> None:
    queue.come("gone", "192.0.2.1", has_hung_up=True)
    going = queue.come("going", "192.0.2.2")
    queue.come("here", "192.0.2.1")
    going.has_hung_up = True
    assert queue.run() == ["here", "gone", "going"]


# Who is gone for good has no turn at all.
def test_who_is_gone(queue: _Queue) -> None:
    queue.come("gone", "192.0.2.1", has_hung_up=True).is_closing = True
    queue.come("here", "192.0.2.1")
    assert queue.run() == ["here"]
    assert queue.refused == ["gone: busy"]


def _fill(queue: _Queue, *addresses: str, has_hung_up: bool = False) -> None:
    for number, address in enumerate(addresses):
        queue.come(f"{number}", address, has_hung_up=has_hung_up)


# When too many wait, the address with the most loses its last one to somebody else.
def test_full_of_one_address(queue: _Queue) -> None:
    _fill(queue, *["192.0.2.1"] * WAITING_MAX)
    for name in ("x", "y"):
        queue.come(name, f"192.0.2.{name}")
    assert queue.run() == ["0", "x", "y", "1"]
    assert queue.refused == ["3: busy", "2: busy"]


# ... but not to itself, and nobody is sent away for one who has as little right to wait.
@pytest.mark.parametrize("address", ["192.0.2.1", "192.0.2.9"])
def test_full(queue: _Queue, address: str) -> None:
    _fill(queue, *(f"192.0.2.{number}" for number in range(WAITING_MAX)))
    queue.come("late", address)
    assert queue.run() == ["0", "1", "2", "3"]
    assert queue.refused == ["late: busy"]


# Who was found to have hung up is sent away before anybody else, the last one first.
def test_full_of_those_who_hung_up(queue: _Queue) -> None:
    is_over = Signal()
    _fill(queue, "192.0.2.1", "192.0.2.2", has_hung_up=True)
    queue.come("second holder", "192.0.2.3", holds=is_over)
    queue.let_go()
    for name in ("x", "y", "z"):
        queue.come(name, "192.0.2.4")
    is_over.set()
    assert queue.run() == ["second holder", "x", "y", "z", "0"]
    assert queue.refused == ["1: busy"]
