"""The protocol that every wire keeps. A third one is a class, and one line in `wires.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from app.errors import Refusal
from app.protocol.command import Check, Command, let_all
from app.protocol.event import Event


class Wire(Protocol):
    """One connection's dialogue: bytes to commands, events to bytes. Pure: it never switches.

    It learns from the events that it shows what its session may do now: `Connected`, `LoggedIn`,
    `DeviceKnown`, and pages of history.
    """

    name: ClassVar[str]  # in lists of sessions
    rooms_max: ClassVar[int]  # that a session may be in; with 1, entering another leaves it
    tag: str  # of the request that is carried out; empty if messages get no answer

    __slots__ = ()

    def __init__(self, line_bytes_max: int) -> None:
        """Begin a dialogue with lines of at most that many bytes."""

    @staticmethod
    def begins(first_bytes: bytes) -> bool:
        """Whether a client of this wire begins so; False for people, whose bytes may be any."""

    @staticmethod
    def render(event: Event) -> bytes:
        """Return an event's bytes, the same for all readers of a room with this very `render`.

        So a room's event is rendered once for them. A wire with dialects has one for each.
        """

    @property
    def free_bytes_max(self) -> int:
        """The bytes that may come without a line that counts."""

    def feed(self, data: bytes, check: Check = let_all) -> Iterator[Command | Refusal | None]:
        """Yield the client's commands, each after the one before; call `done` after each.

        None is a line that asks for nothing. `check` raises Refusal before arguments are read.
        """

    def take_output(self) -> bytes:
        """Return bytes to send besides answers: prompts, and answers of telnet."""

    def show(self, event: Event) -> bytes:
        """Return an event's bytes, for this session alone."""

    def show_last(self, event: Event) -> bytes:
        """Return the bytes of the session's last event."""

    def done(self) -> bytes:
        """Return the end of the answer to the last request."""
