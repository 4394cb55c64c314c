"""A connection: a socket, its wire, its outbox, and the greenlet that reads it.

Its promises:
  1. `send` never switches. Bytes that the kernel does not take at once wait in the outbox.
  2. The outbox is bounded. A peer that leaves more unread is cut, and its last line says why.
  3. An exception is thrown into the reading greenlet only while it waits to read.
  4. However a connection ends, its session ends once, and its room is told.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import gevent
import structlog
from gevent import get_hub, getcurrent
from gevent.event import Event as Signal
from gevent.socket import cancel_wait, wait

from app.bounds import (
    DISCARD_SECONDS_MAX,
    LAST_WORDS_SECONDS_MAX,
    LINES_IN_A_ROW_MAX,
    LOGIN_SECONDS_IN_ALL_MAX,
    READ_BYTES_MIN,
    RECEIVE_BYTES_MAX,
    REPLY_BYTES_MAX,
    TURN_SECONDS,
)
from app.engine.limits import LoginTime, TokenBucket
from app.errors import Refusal, internal
from app.measures import metrics
from app.net.sockets import TlsSocket, format_address
from app.protocol.event import Event
from app.protocol.server import Refused, Rejection
from app.values.times import now

if TYPE_CHECKING:
    from app.chat.service import Service
    from app.engine.presence import Session
    from app.net.sockets import PlainSocket
    from app.protocol.command import Command
    from app.settings import Settings
    from app.wires.wire import Wire

_HUNG_UP = getattr(select, "POLLRDHUP", 0)  # on Linux; elsewhere a read tells it
_GONE = select.POLLERR | select.POLLHUP  # nothing can be sent to it either

log = structlog.get_logger()


class _Closing(Exception):
    """Wakes a greenlet that waits on a connection which is closing."""


class Connection:
    """One client's socket, which never blocks. Implements app.engine.client.Client."""

    __slots__ = (
        "_bucket",
        "_drained",
        "_has_hung_up",
        "_is_lost",
        "_login_time",
        "_login_timer",
        "_loose_bytes",
        "_outbox",
        "_outbox_bytes",
        "_outbox_bytes_max",
        "_pause_ends",
        "_public_url",
        "_readable",
        "_reader",
        "_service",
        "_socket",
        "_wire",
        "_writable",
        "address",
        "connected_at",
        "is_closing",
        "is_secure",
        "render",
        "rooms_max",
        "wire",
    )

    def __init__(
        self,
        client_socket: PlainSocket | TlsSocket,
        address: str,
        wire: Wire,
        service: Service,
        settings: Settings,
        is_secure: bool,
    ) -> None:
        self.address = address
        self.connected_at = now()
        self.is_secure = is_secure
        self.render = wire.render
        self.rooms_max = wire.rooms_max
        self.wire = wire.name
        self._socket = client_socket
        self._wire = wire
        self._service = service
        self._outbox: list[bytes | memoryview] = []  # an empty deque has 700 bytes more
        self._outbox_bytes = 0
        self._outbox_bytes_max = settings.outbox_bytes_max
        self._public_url = settings.public_url
        self._drained: Signal | None = None  # there while a greenlet waits for an empty outbox
        self._pause_ends: Signal | None = None  # there while the client is read more slowly
        self.is_closing = False  # the session is over; the outbox is still sent
        self._has_hung_up = False  # when the kernel was last asked
        self._is_lost = False  # the peer is gone
        self._reader: Any = None  # the reading greenlet, while it waits for input
        self._loose_bytes = 0  # since the last line; not paid for yet
        rate, burst = settings.message_rate
        self._bucket = TokenBucket(rate, burst, time.monotonic()) if rate else None
        self._writable: Any = None  # a watcher, while _write_outbox runs
        loop = get_hub().loop
        self._readable = loop.io(client_socket.fileno(), 1)
        silence_seconds = settings.login_seconds_max
        self._login_time = LoginTime(silence_seconds, LOGIN_SECONDS_IN_ALL_MAX, time.monotonic())
        self._login_timer: Any = loop.timer(silence_seconds)  # until a user has logged in

    @property
    def server(self) -> str:
        """See Client."""
        if self._public_url:
            return self._public_url
        scheme = "https" if isinstance(self._socket, TlsSocket) else "http"
        return f"{scheme}://{format_address(self._socket.getsockname())}"

    @property
    def unread_bytes(self) -> int:
        """See Client."""
        return self._outbox_bytes

    @property
    def has_hung_up(self) -> bool:
        """See Client. Asks the kernel: unread bytes may come before the end."""
        if not self._has_hung_up and not self.is_closing:
            poll = select.poll()
            poll.register(self._socket, _HUNG_UP)
            found = poll.poll(0)
            self._has_hung_up = bool(found)
            if found and found[0][1] & _GONE:
                self._lose()
        return self._has_hung_up or self.is_closing

    @property
    def is_gone(self) -> bool:
        """See Client. Asks the kernel."""
        poll = select.poll()
        poll.register(self._socket, 0)  # it tells of _GONE in any case
        return self._is_lost or bool(poll.poll(0))

    def serve(self) -> None:
        """Serve a client until it has left or is cut. Switches."""
        self._login_timer.start(self._cut_if_late)
        self._serve(self._service.connect(self))

    def serve_operator(self) -> None:
        """Serve the operator until they leave. Switches."""
        self._bucket = None
        self._serve(self._service.connect_operator(self))

    def _serve(self, session: Session) -> None:
        try:
            self._talk(session)
        finally:
            self.is_closing = True
            self._service.disconnect(session)
            self._stop_login_timer()
            self._close_socket()

    def refuse(self, refused: Rejection) -> None:
        """Tell a client why it is not served, and close. Switches."""
        self.close(refused)
        self._close_socket()

    def _talk(self, session: Session) -> None:
        check = partial(self._service.check_may_ask, session)
        data = self._receive_at_once()
        while data or (data := self._receive()):
            number = 0
            for number, item in enumerate(self._wire.feed(data, check), 1):
                self._slow_down(is_blank=item is None)
                if session.user is None or number % LINES_IN_A_ROW_MAX == 0:
                    gevent.sleep(TURN_SECONDS)  # one read may have thousands of lines
                if item is None:
                    self._send_output()  # a prompt, perhaps, and before the next line's answer
                elif not self.is_closing:
                    self._do(session, item)
                if self.is_closing:
                    return
            self._send_output()
            if session.user is not None:
                self._stop_login_timer()
            elif number:
                self._login_time.note_line(time.monotonic())
            self._pay_for(0 if number else max(len(data), READ_BYTES_MIN))
            data = b""  # not kept while the client is silent
        self._service.journal.settle(session)  # `printf ... | nc -N` gets all answers

    def _receive_at_once(self) -> bytes:
        """Return the first bytes, which were looked at. TLS holds them, so no watcher tells."""
        with suppress(OSError):
            return self._socket.recv(RECEIVE_BYTES_MAX)
        return b""

    def _receive(self) -> bytes:
        """Return bytes of the peer; none when it is gone or is cut. Switches."""
        if self.is_closing:
            return b""
        self._reader = getcurrent()
        try:
            return self._receive_now()
        except _Closing:
            return b""
        except OSError:
            self._is_lost = True
            return b""
        finally:
            self._reader = None

    def _receive_now(self) -> bytes:
        """Wait for bytes and return them. Switches. gevent's `wait` would keep a KiB more."""
        while True:
            self._readable.start(getcurrent().switch)
            try:
                get_hub().switch()
            finally:
                self._readable.stop()
            with suppress(BlockingIOError):
                return self._socket.recv(RECEIVE_BYTES_MAX)

    def _slow_down(self, *, is_blank: bool) -> None:
        """Wait when the client is faster than it may be. Switches then.

        Blank lines of a client that has hung up are not waited for: else its session would stay
        open after it has left.
        """
        if self._bucket is not None:
            seconds = self._bucket.take(time.monotonic())
            if seconds and not (is_blank and self.has_hung_up):
                self._pause_ends = Signal()
                self._pause_ends.wait(seconds)
                self._pause_ends = None

    def _pay_for(self, loose_bytes: int) -> None:
        """Count bytes that came without a line. Switches, if they are many.

        As many as a line may have count as one line. They may belong to a line that has not ended,
        or to none: telnet's commands, the rest of a line that is too long. A read of a few bytes
        counts as more, since the read itself is the cost.
        """
        self._loose_bytes = self._loose_bytes + loose_bytes if loose_bytes else 0
        while self._loose_bytes >= self._wire.free_bytes_max and not self.is_closing:
            self._loose_bytes -= self._wire.free_bytes_max
            self._slow_down(is_blank=True)

    def _do(self, session: Session, item: Command | Refusal) -> None:
        """Carry out a command, or refuse a line. Switches."""
        if session.is_operator and self.is_gone:
            return  # manage.py has said that this is not done later
        session.tag = self._wire.tag
        if isinstance(item, Refusal):
            self._refuse(session, item)
        else:
            self._carry_out(session, item)
        if done := self._wire.done():
            self.send(done)

    def _carry_out(self, session: Session, command: Command) -> None:
        try:
            self._service.handle(session, command)
        except Refusal as refusal:
            self._refuse(session, refusal)
        except Exception:
            log.exception("command failed", command=type(command).__name__)
            self._refuse(session, internal())

    def _refuse(self, session: Session, refusal: Refusal) -> None:
        self._service.journal.settle(session)  # answers come in the order of the questions
        refused = Refused.of(refusal)
        if refusal.is_final:
            self.close(refused)
        else:
            metrics.REFUSALS.labels(refusal.code).inc()
            self.show(refused)

    def _send_output(self) -> None:
        output = self._wire.take_output()
        if output:
            self.send(output)

    def show(self, *shown: Event) -> None:
        """See Client."""
        self.send(self._wire.take_output() + b"".join(map(self._wire.show, shown)))

    def show_at_leisure(self, event: Event) -> None:
        """See Client. Cuts between lines, so that other events fit in."""
        self._send_output()
        data = self._wire.show(event)
        del event  # it may be as long, and the reader may take hours
        while data and not self.is_closing:
            end = data.find(b"\n", REPLY_BYTES_MAX) + 1 or len(data)
            if self._outbox_bytes + end > REPLY_BYTES_MAX:
                self.wait_until_read()
            self.send(data[:end])
            data = data[end:]
        gevent.sleep(TURN_SECONDS)  # this may have taken some ms, and the next line is there

    def wait_until_read(self) -> None:
        """See Client."""
        if not self.is_closing:
            self._wait_until_drained()

    def send(self, data: bytes) -> bool:
        """See Client."""
        if self.is_closing or not data:
            return True
        unsent: bytes | memoryview = data
        if not self._outbox:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._lose()
                return True
            if sent == len(data):
                return True
            unsent = memoryview(data)[sent:]  # shared by all readers that lag
        self._queue(unsent)
        if self._outbox_bytes > self._outbox_bytes_max:
            self._cut_slow_reader()
        return False

    def close(self, event: Event) -> None:
        """See Client."""
        if not self.is_closing:
            if isinstance(event, Rejection):
                metrics.REFUSALS.labels(event.code).inc()
            last_words = self._wire.take_output() + self._wire.show_last(event)
            self.send(last_words)
            self._end()

    def _queue(self, data: bytes | memoryview) -> None:
        if self._writable is None:  # made here: more may be queued before the writer runs
            self._writable = get_hub().loop.io(self._socket.fileno(), 2)
            gevent.spawn(self._write_outbox)
        self._outbox.append(data)
        self._outbox_bytes += len(data)

    def _write_outbox(self) -> None:
        """Send the outbox until it is empty. Switches."""
        try:
            while self._outbox:
                wait(self._writable)
                self._write_some()
        except _Closing:
            self._empty_outbox()  # its time is up
        except OSError:
            self._lose()
        finally:
            self._writable.close()
            self._writable = None
        if self._drained is not None:
            self._drained.set()

    def _write_some(self) -> None:
        """Send the beginning of the outbox, small pieces of it together."""
        count = size_bytes = 0
        while count < len(self._outbox) and size_bytes < REPLY_BYTES_MAX:
            size_bytes += len(self._outbox[count])
            count += 1
        data = self._outbox[0] if count == 1 else b"".join(self._outbox[:count])
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        self._outbox_bytes -= sent
        self._outbox[:count] = [memoryview(data)[sent:]] if sent < size_bytes else []

    def _empty_outbox(self) -> None:
        self._outbox.clear()
        self._outbox_bytes = 0

    def _wait_until_drained(self, timeout_seconds: float | None = None) -> None:
        """Wait until the outbox is empty, or the connection is cut. Switches."""
        if self._outbox and not self._is_lost:
            self._drained = Signal()
            self._drained.wait(timeout_seconds)
            self._drained = None

    def _cut_slow_reader(self) -> None:
        """Cut a peer that does not read. Of its outbox, only a line that has begun is sent."""
        waiting = bytes(self._outbox[0])
        start = max(0, self._socket.begun_bytes - 1)  # bytes that are encrypted already must go out
        begun = waiting[:start] + waiting[start:].partition(b"\n")[0]
        refused = Refused(
            "too_slow",
            f"you left over {self._outbox_bytes_max} bytes unread; come back and read on",
        )
        log.info("cut a slow reader", address=self.address)
        metrics.READERS_CUT.inc()
        metrics.REFUSALS.labels(refused.code).inc()
        self._empty_outbox()
        self._queue(begun + b"\n" + self._wire.show_last(refused))
        self._end()

    def _cut_if_late(self) -> None:
        """Cut a client that has not logged in. Time in which it waits for us does not count."""
        now = time.monotonic()
        if self._reader is None:
            self._login_time.note_line(now)
        left_seconds = self._login_time.left_seconds(now)
        if left_seconds <= 0:
            self.close(Refused("login_timeout", "you took too long to log in; connect again"))
            return
        self._stop_login_timer()
        self._login_timer = get_hub().loop.timer(left_seconds)
        self._login_timer.start(self._cut_if_late)

    def _stop_login_timer(self) -> None:
        if self._login_timer is not None:
            self._login_timer.close()
            self._login_timer = None

    def _lose(self) -> None:
        """Note that the peer is gone: nothing can be sent, and nothing will come."""
        self._is_lost = True
        self._empty_outbox()
        self._end()

    def _end(self) -> None:
        """Wake the reading greenlet if it waits; else it looks at `is_closing` itself."""
        self.is_closing = True
        for waited_for in (self._drained, self._pause_ends):
            if waited_for is not None:
                waited_for.set()
        if self._reader is not None:
            get_hub().loop.run_callback(self._stop_reading)

    def _stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.throw(_Closing())

    def _close_socket(self) -> None:
        """Wait until the peer has read its last lines, and close. Switches, for seconds at most."""
        self._wait_until_drained(LAST_WORDS_SECONDS_MAX)
        if self._writable is not None:
            cancel_wait(self._writable, _Closing())
        try:
            self._socket.shutdown(socket.SHUT_WR)
            if not self._is_lost:
                self._discard_input()
        except (OSError, _Closing):
            pass  # it is gone, or its time is up
        self._readable.close()
        self._socket.close()

    def _discard_input(self) -> None:
        """Read the rest of the input: with unread input, a close could lose the last lines."""
        with suppress(gevent.Timeout), gevent.Timeout(DISCARD_SECONDS_MAX):
            while self._receive_now():
                pass
