"""Who is speaking, and where. Knows no socket and no format.

A `Session` is one login at work; a `User` is the account behind one or several of them.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Protocol

from gevent.event import Event as Signal

from app.errors import NotPossible
from app.events import Event

if TYPE_CHECKING:
    from app.chat.rooms import Room

Render = Callable[[Event], bytes]
Send = Callable[[bytes], bool]
Clock = Callable[[], int]  # milliseconds UTC


class Client(Protocol):
    """What the service needs of a connection. Nothing here switches, but `show_at_leisure`."""

    address: str

    @property
    def render(self) -> Render:
        """Return how the wire shows what a room is shown: the same for everybody with it."""

    def send(self, data: bytes) -> bool:
        """Send bytes of `render`, and say whether the peer has taken all that it was sent.

        What it has not waits in a bounded outbox.
        """

    def show(self, event: Event) -> None:
        """Send what concerns this session alone."""

    def show_at_leisure(self, event: Event) -> None:
        """Send an answer that may be long, as fast as the peer reads. Switches."""

    def close(self, event: Event) -> None:
        """Show a last event, and end the session."""


class User:
    """An account that has sessions. There is one such object an account at a time."""

    __slots__ = ("away", "id", "ignored", "is_admin", "name", "sessions")

    def __init__(self, user_id: int, name: str, ignored: set[str]) -> None:
        self.id = user_id
        self.name = name
        self.is_admin = False
        self.ignored = ignored  # names
        self.sessions: set[Session] = set()
        self.away: str | None = None


class Session:
    """One client, from connect to close; `user` and `room` are None until it has them."""

    __slots__ = (
        "client",
        "hears",
        "history_before_id",
        "ignored",
        "login_failures",
        "room",
        "settled",
        "unreleased",
        "user",
    )

    def __init__(self, client: Client) -> None:
        self.client = client
        self.user: User | None = None
        self.room: Room | None = None  # where it speaks
        self.hears: Room | None = None  # where it listens: follows when the journal got there
        self.ignored: Set[str] = frozenset()  # its user's own set, once there is one
        self.login_failures = 0
        self.unreleased = 0  # entries in the journal that this session made
        self.settled: Signal | None = None  # set when there are none left
        self.history_before_id: int | None = None  # where the next page of /history ends

    @property
    def speaker(self) -> User:
        """The user who is logged in. Raises NotPossible before login."""
        if self.user is None:
            raise NotPossible("log in first: /login NAME, or /register NAME", code="login_required")
        return self.user

    def room_or_refuse(self) -> Room:
        """Return the room that the session is in. Raises NotPossible when there is none."""
        if self.room is None:
            raise NotPossible("join a room first: /join ROOM", code="no_room")
        return self.room
