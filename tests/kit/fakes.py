"""Rooms, sessions and a store without sockets and files: what they got is kept to be looked at."""

from collections.abc import Sequence

from gevent.event import Event as Signal

from app.engine.presence import Room, Session, User
from app.engine.recent import Recent
from app.protocol.event import Event, RoomEvent
from app.queries.messages import NewMessage, Stored
from app.queries.rooms import StoredRoom


def render(event: RoomEvent) -> bytes:
    """Show an event as its class and user, and what was said."""
    return (
        f"{type(event).__name__} {event.user} {getattr(event, 'body', '')}".rstrip().encode()
        + b"\n"
    )


class FakeClient:
    """Implements app.engine.session.Client. `sent` has a piece for each send that had bytes."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.address = address
        self.wire = "text"
        self.rooms_max = 1
        self.is_secure = True
        self.server = "http://127.0.0.1:8888"
        self.is_closing = False
        self.has_hung_up = False
        self.is_gone = False
        self.connected_at = self.unread_bytes = 0
        self.render = render
        self.is_behind = False  # with reading
        self.sent: list[bytes] = []
        self.shown: list[Event] = []

    def send(self, data: bytes) -> bool:
        if data:
            self.sent.append(data)
        return not self.is_behind

    def show(self, *shown: Event) -> None:
        self.shown += shown
        self.sent += [f"{type(event).__name__}!\n".encode() for event in shown]

    show_at_leisure = show

    def close(self, event: Event) -> None:
        self.show(event)
        self.is_closing = True

    def wait_until_read(self) -> None:
        """Return at once: nothing that is sent waits here."""


def fake_session(name: str, user_id: int = 1, ignored: frozenset[str] = frozenset()) -> Session:
    """Return a session that is logged in as a user."""
    session = Session(FakeClient())
    session.user = User(user_id, name, set(ignored))
    session.user.sessions.add(session)
    session.ignored = ignored
    return session


def fake_room(name: str = "lobby") -> Room:
    """Return a live room in which nobody is."""
    stored = StoredRoom(1, name, "", 1, set(), {"ban": {}, "mute": {}})
    return Room(name, stored, Recent(256))


class FakeStore:
    """Keeps what a journal commits. While `is_open` is not set, a commit waits."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []  # the bodies of each commit that began
        self.seen: dict[int, int] = {}
        self.begun = Signal()
        self.is_open = Signal()
        self.is_open.set()
        self.refusal: Exception | None = None
        self.now, self.seconds = 1.0, 0.0  # a clock, and how much it goes on with each commit
        self._newest_id = 0

    def append(
        self, messages: Sequence[NewMessage], seen: dict[int, int], writes: Sequence[object]
    ) -> Stored:
        written = ["(written)"] * len(writes)
        self.batches.append([*(message.body for message in messages), *written])
        self.begun.set()
        self.is_open.wait()
        self.now += self.seconds
        if self.refusal is not None:
            raise self.refusal
        self.seen |= seen
        first_id = self._newest_id + 1
        self._newest_id += len(messages)
        return Stored(range(first_id, self._newest_id + 1), (), len(writes))

    def try_storing(self) -> None:
        self.append((), {}, ())

    def hold(self) -> None:
        """Let the next commits wait."""
        self.is_open.clear()
        self.begun.clear()
