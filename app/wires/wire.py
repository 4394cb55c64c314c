"""What every wire keeps. A third wire is a class like these, and one line in `wires.py`."""

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

    name: ClassVar[str]  # as sessions are listed
    rooms_max: ClassVar[int]  # that a session may be in; with 1, entering another leaves it
    tag: str  # the request that is being carried out; empty if what is said gets no answer

    __slots__ = ()

    def __init__(self, line_bytes_max: int) -> None:
        """Begin a dialogue whose lines have at most so many bytes."""

    @staticmethod
    def begins(first_bytes: bytes) -> bool:
        """Whether a client that speaks this begins so; of people, who begin anyhow, False."""

    @staticmethod
    def render(event: Event) -> bytes:
        """Return what shows an event to everybody in a room who speaks this."""

    @property
    def free_bytes_max(self) -> int:
        """How many bytes may come without a line that counts as one."""

    def feed(self, data: bytes, check: Check = let_all) -> Iterator[Command | Refusal | None]:
        """Yield what the client asks, each when the one before was done; call `done` after each.

        None is a line that asks for nothing. `check` raises Refusal before arguments are read.
        """

    def take_output(self) -> bytes:
        """Return what is to be sent besides answers: prompts, and answers of telnet."""

    def show(self, event: Event) -> bytes:
        """Return what shows the session an event that concerns it alone."""

    def show_last(self, event: Event) -> bytes:
        """Return what shows the session its last event."""

    def done(self) -> bytes:
        """Return what ends the answer to the request that was carried out."""
