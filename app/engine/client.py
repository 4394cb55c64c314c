"""The service's view of a connection. Knows no socket and no format."""

from collections.abc import Callable
from typing import Protocol

from app.protocol.event import Event

Render = Callable[[Event], bytes]
Send = Callable[[bytes], bool]
Clock = Callable[[], int]  # milliseconds UTC


class Client(Protocol):
    """The service's view of a connection. Methods switch only where they say so."""

    address: str
    wire: str  # its protocol: text or ndjson
    rooms_max: int  # that its session may be in; with 1, entering another leaves the first
    is_secure: bool  # no other can listen in: it comes through TLS, or from this machine
    is_closing: bool  # the session is over: events for it go nowhere
    connected_at: int  # milliseconds UTC

    @property
    def unread_bytes(self) -> int:
        """Return the number of sent bytes not taken by the peer."""

    @property
    def is_gone(self) -> bool:
        """Whether the peer is known to hear no further answer."""

    @property
    def has_hung_up(self) -> bool:
        """Whether the peer will send nothing more. It may still read, or be gone."""

    @property
    def server(self) -> str:
        """Return the URL that reached the server: http://127.0.0.1:8888, or https."""

    @property
    def render(self) -> Render:
        """Return the wire's function for events of rooms: the same for all sessions with it."""

    def send(self, data: bytes) -> bool:
        """Send bytes of `render`; return whether the peer has taken all sent bytes.

        The rest waits in a bounded outbox.
        """

    def show(self, *shown: Event) -> None:
        """Send events that concern this session alone."""

    def show_at_leisure(self, event: Event) -> None:
        """Send a long answer, as fast as the peer reads. Switches."""

    def wait_until_read(self) -> None:
        """Wait until the peer has taken all bytes, or is closed. Switches."""

    def close(self, event: Event) -> None:
        """Show a last event, and end the session."""


class Visitor(Protocol):
    """A client without a session, since it speaks HTTP."""

    address: str

    def cut(self) -> None:
        """End the connection, in the middle of anything. Never switches."""
