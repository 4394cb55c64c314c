"""What the service needs of a connection. Knows no socket and no format."""

from collections.abc import Callable
from typing import Protocol

from app.protocol.event import Event

Render = Callable[[Event], bytes]
Send = Callable[[bytes], bool]
Clock = Callable[[], int]  # milliseconds UTC


class Client(Protocol):
    """What the service needs of a connection. Nothing here switches but where it says so."""

    address: str
    wire: str  # what it speaks: text or ndjson
    rooms_max: int  # that its session may be in; with 1, whoever enters another leaves it
    is_secure: bool  # nobody can listen in: it comes through TLS, or from this machine
    is_closing: bool  # the session is over: what it is shown from now on goes nowhere
    connected_at: int  # milliseconds UTC

    @property
    def unread_bytes(self) -> int:
        """Return how much the peer has not taken yet of what it was sent."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there any more who could hear an answer, as far as is known."""

    @property
    def has_hung_up(self) -> bool:
        """Whether the peer will send no more; it may still read, or be gone."""

    @property
    def server(self) -> str:
        """Return where the client reached the server: http://127.0.0.1:8888, or https."""

    @property
    def render(self) -> Render:
        """Return how the wire shows what a room is shown: the same for everybody with it."""

    def send(self, data: bytes) -> bool:
        """Send bytes of `render`, and say whether the peer has taken all that it was sent.

        What it has not waits in a bounded outbox.
        """

    def show(self, *shown: Event) -> None:
        """Send what concerns this session alone."""

    def show_at_leisure(self, event: Event) -> None:
        """Send an answer that may be long, as fast as the peer reads. Switches."""

    def wait_until_read(self) -> None:
        """Wait until the peer has taken what it was sent, or is to be closed. Switches."""

    def close(self, event: Event) -> None:
        """Show a last event, and end the session."""


class Visitor(Protocol):
    """A client that has no session, since it speaks HTTP."""

    address: str

    def cut(self) -> None:
        """Let the connection end, whatever it is at. Never switches."""
