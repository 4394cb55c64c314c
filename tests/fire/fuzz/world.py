"""A service on a database of its own, and clients of both wires that talk to it without sockets.

What a client is shown is kept as events, in the order in which it is: what a room is shown comes as
bytes, rendered once for all, and says in a frame which event it was. All bytes are kept, too.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from unittest.mock import patch

import gevent
import structlog

from app.archive import contents as values
from app.bounds import CONTROL_LINE_BYTES_MAX, SWITCH_INTERVAL_SECONDS
from app.chat.accounts import passwords
from app.chat.service import Service
from app.database.database import Database
from app.database.migration import migrate
from app.engine.presence import Session
from app.errors import Refusal
from app.protocol import server
from app.protocol.command import Command
from app.protocol.event import Event
from app.settings import Settings
from app.values.names import parse_name
from app.wires import wires
from tests.fire.fuzz.fuzzers import MEMORY
from tests.fire.fuzz.hub import watched
from tests.kit.prepared import QUICK_HASHES
from tests.kit.replay import check_logs, state_of

LINE_BYTES_MAX = 1_024
WIRES = {kind.name: kind for kind in wires.WIRES}
_FRAME = re.compile(rb"\x1e([0-9]+)\x1f")  # no text that is shown to anybody can have these

_TURNS = 4  # that a greenlet takes which was spawned, and sleeps for no time at all

_CHEAP = passwords._context.copy(**QUICK_HASHES)


class Frames:
    """Events that rooms were shown, by the numbers in the frames around their bytes."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self.renders = {
            name: partial(self._render, kind.render) for name, kind in WIRES.items()
        }  # one function a wire: the same for everybody with it

    def _render(self, render: Callable[[Event], bytes], event: Event) -> bytes:
        self._events.append(event)
        return b"\x1e%d\x1f%b" % (len(self._events) - 1, render(event))

    def split(self, data: bytes) -> Iterator[tuple[Event, bytes]]:
        """Yield the events that bytes show, each with its own bytes."""
        _, *rest = _FRAME.split(data)
        assert b"\x1e" not in b"".join(rest[1::2]), data
        for number, shown in zip(rest[::2], rest[1::2], strict=True):
            yield self._events[int(number)], shown


class Terminal:
    """Somebody at the other end. Implements app.engine.session.Client."""

    def __init__(self, frames: Frames, wire: str, address: str, now: int) -> None:
        line_bytes_max = LINE_BYTES_MAX if address != "control socket" else CONTROL_LINE_BYTES_MAX
        self._wire = WIRES[wire](line_bytes_max)
        self._frames = frames
        self.address = address
        self.wire = wire
        self.render = frames.renders[wire]
        self.rooms_max = self._wire.rooms_max
        self.is_secure = True
        self.server = "http://127.0.0.1:8888"
        self.is_closing = self.has_hung_up = self.is_gone = False
        self.connected_at = now
        self.unread_bytes = 0
        self.shown: list[Event] = []
        self.sent = bytearray()
        self.session: Session | None = None

    def send(self, data: bytes) -> bool:
        """See Client."""
        if not self.is_closing and data:
            for event, own in self._frames.split(data):
                self.shown.append(event)
                self.sent += own
        return True

    def show(self, *shown: Event) -> None:
        """See Client."""
        if not self.is_closing:
            self.shown += shown
            self.sent += self._wire.take_output() + b"".join(map(self._wire.show, shown))

    show_at_leisure = show

    def wait_until_read(self) -> None:
        """See Client. All is read at once here."""

    def close(self, event: Event) -> None:
        """See Client."""
        if not self.is_closing:
            self.shown.append(event)
            self.sent += self._wire.take_output() + self._wire.show_last(event)
            self.is_closing = True

    def take(self) -> tuple[list[Event], bytes]:
        """Return what was shown and sent since the last time."""
        taken = self.shown, bytes(self.sent)
        self.shown, self.sent = [], bytearray()
        return taken

    def feed(self, service: Service, pieces: Iterable[bytes]) -> list[Command | Refusal]:
        """Send bytes, as a connection would read them; return what they asked for. Switches."""
        asked: list[Command | Refusal] = []
        for piece in pieces:
            for item in self._wire.feed(piece):
                if item is not None and not self.is_closing:
                    asked.append(item)
                    self._do(service, item)
                self.sent += self._wire.take_output()
            self.sent += self._wire.take_output()
        if self.is_closing:
            service.disconnect(self._session)
        return asked

    @property
    def _session(self) -> Session:
        assert self.session is not None
        return self.session

    def _do(self, service: Service, item: Command | Refusal) -> None:
        session = self._session
        session.tag = self._wire.tag
        try:
            if isinstance(item, Refusal):
                raise item
            with watched():
                service.handle(session, item)
        except Refusal as refusal:
            service.journal.settle(session)
            refused = server.Refused.of(refusal)
            if refusal.is_final:
                self.close(refused)
            else:
                self.show(refused)
        self.sent += self._wire.done()


@lru_cache(maxsize=1)
def _empty_database() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "greenroom.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


class World:
    """A service, its database, and its clients. All methods switch."""

    def __init__(self, now: int) -> None:
        self.now = now
        self._folder = Path(tempfile.mkdtemp(prefix="greenroom-fuzz-", dir=MEMORY))
        (self._folder / "greenroom.db").write_bytes(_empty_database())
        self.frames = Frames()
        self._start()

    def _start(self) -> None:
        settings = Settings(
            data_dir=self._folder,
            login_attempts=0,
            registrations_per_ip_per_hour=0,
            rooms_owned_max=0,
            line_bytes_max=LINE_BYTES_MAX,
            durability="normal",
        )
        self.service = Service(Database(settings.url, "normal"), settings, lambda: self.now)

    def connect(self, wire: str, address: str) -> Terminal | None:
        """Connect a client; None when its address is banned."""
        if self.service.sanctions.ban_of(address):
            return None
        terminal = Terminal(self.frames, wire, address, self.now)
        terminal.session = self.service.connect(terminal)
        terminal.take()
        return terminal

    def connect_operator(self) -> Terminal:
        """Connect to the control socket."""
        terminal = Terminal(self.frames, "ndjson", "control socket", self.now)
        terminal.session = self.service.connect_operator(terminal)
        return terminal

    def hang_up(self, terminal: Terminal) -> None:
        """Let a client be gone."""
        terminal.is_closing = True
        assert terminal.session is not None
        with watched():
            self.service.disconnect(terminal.session)

    def settle(self) -> None:
        """Wait until all that happened was released, and everybody had a turn."""
        journal = self.service.journal
        while True:
            journal._is_idle.wait()
            for _ in range(_TURNS):
                gevent.sleep(0)
            if journal._is_idle.is_set():
                return

    def check_live_rooms(self) -> None:
        """Check that each live room equals the room that would be loaded from the database."""
        rooms = self.service.rooms
        for room in list(rooms._live):
            loaded = rooms._load(parse_name(room.name))
            assert loaded is not None, room.name
            assert list(room.recent) == list(loaded.recent)
            assert state_of(room, self.now) == state_of(loaded, self.now)

    def restart(self) -> None:
        """Stop the service, and start another one on the same database."""
        self.service.close()
        self._start()

    def close(self) -> None:
        """Stop, see that what was written could be restored, and leave nothing behind."""
        self.service._database.read(lambda each: check_logs(each, self.now))
        self.service.close()
        path = self._folder / "greenroom.db"
        values.check(path, path)
        shutil.rmtree(self._folder)


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """Let passwords cost nothing, and no batch wait for the next one; keep the log to be seen."""
    log: list[dict[str, object]] = []

    def keep(_logger: object, _method: str, event: dict[str, object]) -> dict[str, object]:
        if event.get("exc_info") or event.get("log_level") in ("error", "exception", "critical"):
            log.append(event)
        raise structlog.DropEvent

    before, interval = structlog.get_config(), sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    structlog.configure(
        processors=[structlog.processors.add_log_level, keep], cache_logger_on_first_use=False
    )
    with (
        patch("app.engine.journal.BATCH_INTERVAL_SECONDS_MAX", 0.0),
        patch("app.chat.devices.keys.CLAIMS_AN_HOUR_AND_DEVICE_MAX", 0),
        patch.object(passwords, "_context", _CHEAP),
    ):
        try:
            yield
        finally:
            structlog.configure(**before)
            sys.setswitchinterval(interval)
    assert not log, log
