"""Who is speaking, and where. Knows no socket and no format.

A `Session` is one login at work; a `User` is the account behind one or several of them.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Protocol

from gevent.event import Event as Signal

from app.errors import Forbidden, NotPossible
from app.protocol.command import Level
from app.protocol.event import Event
from app.protocol.moderation import ServerSanction
from app.queries import audit
from app.values.names import parse_name

if TYPE_CHECKING:
    from app.engine.room import Room
    from app.queries.devices import KnownDevice

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


class User:
    """An account that has sessions. There is one such object an account at a time."""

    __slots__ = (
        "away",
        "has_mail",
        "id",
        "ignored",
        "is_admin",
        "name",
        "sessions",
        "shown_early_id",
    )

    def __init__(self, user_id: int, name: str, ignored: set[str]) -> None:
        self.id = user_id
        self.name = name
        self.is_admin = False
        self.ignored = ignored  # names
        self.sessions: set[Session] = set()
        self.away: str | None = None
        self.has_mail = False  # private messages that no session may have been shown yet
        self.shown_early_id = 0  # of the newest one that was shown while there were older ones

    @property
    def account_id(self) -> int | None:
        """The user's id, as what they decide is signed in the database; None: the operator."""
        return self.id or None


# Who speaks at the control socket: no account, and no account can have that name.
OPERATOR = User(0, audit.OPERATOR, set())
OPERATOR.is_admin = True

NOBODY: Set[str] = frozenset()  # one for all: each empty set takes 216 bytes


class Session:
    """One client, from connect to close; `user` is None until somebody logs in on it."""

    __slots__ = (
        "client",
        "device",
        "hears",
        "ignored",
        "login_failures",
        "mute",
        "number",
        "rooms",
        "settled",
        "tag",
        "unreleased",
        "user",
        "watched",
    )

    def __init__(self, client: Client, number: int = 0) -> None:
        self.client = client
        self.number = number  # by which admins tell sessions apart
        self.user: User | None = None
        self.device: KnownDevice | None = None  # for which it speaks, once it has said so
        # Keys of the users whose devices it has asked for; None stands for everybody.
        self.watched: Set[str] | None = NOBODY
        self.rooms: dict[str, Room] = {}  # where it speaks, by key
        self.hears: set[Room] = set()  # where it listens: follows when the journal got there
        self.tag = ""  # what the wire wants back with the answer to what is asked now
        self.ignored: Set[str] = NOBODY  # its user's own set, once there is one
        self.mute: ServerSanction | None = None  # on the whole server; it may be over by now
        self.login_failures = 0
        self.unreleased = 0  # entries in the journal that this session made
        self.settled: Signal | None = None  # set when there are none left

    @property
    def is_operator(self) -> bool:
        """Whether it is the control socket's: it is in no room, and may act in all of them."""
        return self.user is OPERATOR

    @property
    def level(self) -> Level:
        """Who is asking."""
        if self.user is None:
            return Level.ANYBODY
        if self.user is OPERATOR:
            return Level.OPERATOR
        return Level.ADMIN if self.user.is_admin else Level.USER

    @property
    def speaker(self) -> User:
        """The user who is logged in. Raises NotPossible before login."""
        if self.user is None:
            raise NotPossible("log in first: /login NAME, or /register NAME", code="login_required")
        return self.user

    @property
    def device_or_refuse(self) -> KnownDevice:
        """The device that the session speaks for. Raises NotPossible when there is none."""
        if self.device is None:
            raise no_device()
        return self.device

    def check_is_here(self) -> None:
        """Raise NotPossible when it was ended meanwhile: of what it asked, nothing happens."""
        if self.client.is_closing or (self.user is OPERATOR and self.client.is_gone):
            raise sent_out()

    def check_is_in(self, room: Room) -> None:
        """Raise NotPossible when it is not in that room any more: it had to wait for something."""
        if self.rooms.get(room.key) is not room:
            raise NotPossible(f"you are not in {room.name} any more", code="no_room")

    def check_is_admin(self) -> None:
        """Raise Refusal when it was ended meanwhile, or its user is no admin any more."""
        self.check_is_here()
        if not self.speaker.is_admin:
            raise only_for_admins()

    def check_may_speak(self, now: int, room: Room | None = None) -> None:
        """Raise Refusal when no text of it may be shown to anybody, or to nobody in that room.

        It goes before whatever makes others read what its user typed: messages, and reasons, topics
        and names no less.
        """
        self.check_is_here()
        if self.mute is not None and not self.mute.is_over(now):
            raise Forbidden(f"you are muted on this server{self.mute.terms}", code="muted")
        if room is not None:
            room.check_may_speak(self.speaker, now)

    def room_or_refuse(self, name: str = "") -> Room:
        """Return the room of that name that the session is in, or its only one. Raises Refusal."""
        if name:
            room = self.rooms.get(parse_name(name).key)
            if room is None:
                raise NotPossible(f"you are not in {name}; join it first", code="no_room")
            return room
        if len(self.rooms) == 1:
            (room,) = self.rooms.values()
            return room
        if not self.rooms:
            raise NotPossible("join a room first: /join ROOM", code="no_room")
        raise NotPossible("you are in several rooms; say in which one", code="which_room")


def sent_out() -> NotPossible:
    """Return what a session is told that was ended before what it asked was done."""
    return NotPossible("you were sent away meanwhile", code="sent_out")


def only_for_admins() -> Forbidden:
    """Return what those are told who are no admins, or no admins any more."""
    return Forbidden("only admins may do that", code="not_allowed")


def no_device() -> NotPossible:
    """Return the refusal of what only a device can ask."""
    return NotPossible(
        "say first for which device you speak, with keys.device.put", code="no_device"
    )
