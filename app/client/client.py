"""The client for programs: one conversation, through many connections.

    with Client("127.0.0.1:8888", name="echo", password="secret", register=True) as client:
        client.join("lobby")
        for event in client.events():
            print(event)

Promises:
  1. `events()` yields each message of each joined room once, in the order of ids, none missing,
     whatever happens to the connection or the server. After each loss the client connects again by
     itself, logs in, joins its rooms where it left them, and reads from history the messages that
     were not replayed.
  2. `say` returns when the message is stored, and it is stored once: it is said again with the same
     `txn` until it is answered. Other requests without an answer when the connection is lost raise
     ConnectionLost. If asking twice does no harm, they are asked again instead.
  3. Its memory is bounded. While the program does not read its events, the socket is read only for
     answers to calls. Messages that come before such an answer, and have no space in the queue, are
     read again from history later. In place of other events without space comes one `missed`.
  4. Any thread may call any method; `close` wakes them all.
"""

from __future__ import annotations

import ssl
import threading
import time
import uuid
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from app.client.connection import CallRefused, Connection, ConnectionLost
from app.client.resume import Answer, Backoff, Event, Rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVENTS_QUEUED_MAX = 4_096  # not yet read by the program: some 5 MB of usual messages
GAP_PAGE_MESSAGES = 200  # in one request for history

# Ops that may be asked twice: they only read, or a new connection has not done them yet.
_REPEATABLE = {
    *("ping", "who", "rooms", "history", "bans", "help", "file.list", "join", "leave"),
    "room.roster",
    *("server.bans", "user.list", "room.list", "sessions", "status"),
}
_WITH_TXN = {"say", "me", "msg"}
# Refusals of a login or a join that pass; any other one of a login ends the client.
_PASSING = {"wait", "busy", "full", "shutting_down", "not_stored", "internal"}
_TRY_NEXT = {"login_refused", "name_taken", "registration_closed"}  # then try the next way


class Client:
    """A client of one server; see the promises above.

    Attributes: `user`, `token`, `latency` (in seconds).
    """

    def __init__(
        self,
        address: str,
        *,
        name: str = "",
        password: str = "",
        token: str = "",
        register: bool = False,
        remember: str = "",
        tls: ssl.SSLContext | bool | None = None,
        on_state: Callable[[Event], None] | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """Connect to `[HOST][:PORT]` and log in.

        `token` is tried first, then `name` with `password`. `register`: make the account if there
        is none of the name. `remember`: a label, under which to ask for a `token`. `tls`: True, or
        a context of your own. `on_state`: called with the events `reconnecting` and `connected` as
        they happen, by the thread that reads; it must not call the client. Raises CallRefused,
        ConnectionLost; ValueError.
        """
        if not (token or (name and password)):
            raise ValueError("a client logs in with a name and a password, or with a token")
        self.user = name
        self.token = token
        self.latency: float | None = None  # seconds, of the last ping
        self._address = address
        self._credentials = {"name": name, "password": password}
        self._may_register = register
        self._label = remember or None
        self._tls = ssl.create_default_context() if tls is True else tls or None
        self._on_state = on_state or (lambda event: None)
        self._backoff = backoff or Backoff()
        self._introduction: tuple[str, Event] | None = None  # asked again after each login
        self._taking_turns = threading.Lock()  # held by the thread that waits for the next event
        self._changed = threading.Condition()  # guards all below
        self._connection: Connection | None = None
        self._is_ready = False  # whether the connection is logged in, and in all rooms
        self._end: Exception | None = None
        self._is_closed = False
        self._callers = 0  # threads that wait for an answer, or for a connection
        self._queue: deque[Event] = deque()
        self._rooms = Rooms()
        self._connect()
        threading.Thread(target=self._run, name=f"chat {address}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # For the program.

    def call(self, op: str, /, **fields: object) -> Answer:
        """Ask anything of docs/protocol/, and return the answer.

        It waits for a connection first. Raises CallRefused; ConnectionLost at the client's end, or
        when it is unknown whether the server did it.
        """
        if op in _WITH_TXN and not fields.get("txn"):
            fields["txn"] = uuid.uuid4().hex
        return self._timed_call(op, **fields)[0]

    def _timed_call(self, op: str, /, **fields: object) -> tuple[Answer, float]:
        """Return an answer, and how many seconds it took.

        The seconds are those on the connection that brought the answer.
        """
        with self._calling():
            while True:
                connection = self._ready_connection()
                began = time.monotonic()
                try:
                    return connection.ask(op, **fields).result(), time.monotonic() - began
                except ConnectionLost:
                    if op not in _REPEATABLE | _WITH_TXN:
                        raise

    def introduce(self, op: str, /, **fields: object) -> Answer:
        """Ask something now, and again after each login.

        It is for what a session has to know before anything else, such as its device. Raises as
        `call`.
        """
        answer = self.call(op, **fields)
        with self._changed:
            self._introduction = (op, fields)
        return answer

    def is_password(self, text: str) -> bool:
        """Return whether a text is the password of the login.

        Then it should protect nothing else.
        """
        return text == self._credentials["password"] != ""

    def join(self, room: str, since: int | None = None) -> Answer:
        """Enter a room. `since`: replay all messages after that id. Raises as `call`."""
        return self.call("join", room=room, since=since)

    def leave(self, room: str) -> Answer:
        """Leave a room. Raises as `call`."""
        return self.call("leave", room=room)

    def say(self, room: str, body: str, *, txn: str = "") -> int:
        """Say something, and return the message's id when stored.

        With the same `txn` it is stored once, even if another run of the program says it again.
        Raises CallRefused; ConnectionLost when the client has ended.
        """
        return int(self.call("say", room=room, body=body, txn=txn)["message_id"])

    def ping(self) -> float:
        """Return how many seconds the server takes to answer.

        They are kept as `latency` too. An outage before the answer does not count. Raises as
        `call`.
        """
        self.latency = self._timed_call("ping")[1]
        return self.latency

    def events(self) -> Iterator[Event]:
        """Yield events until the client is closed.

        Call it again to go on. Beside the server's events there are: `reconnecting`, with its
        `reason`; `connected` again; `shut_out`, of a `room` that could not be entered again;
        `missed`, in place of other events than messages. Raises the error that ended the client:
        CallRefused, such as of a login, or ConnectionLost.
        """
        try:
            while True:
                yield self._next_event()
        except ConnectionLost:
            if not self._is_closed:
                raise

    def close(self) -> None:
        """End the client, from any thread, at any time.

        `events()` ends, and calls raise ConnectionLost.
        """
        with self._changed:
            self._is_closed = True
        self._finish(ConnectionLost("this client is closed"))

    # In the program's threads.

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """Keep the reading thread reading, however full the queue is."""
        with self._changed:
            self._callers += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._callers -= 1

    def _ready_connection(self) -> Connection:
        def is_ready() -> bool:
            return bool(self._end or (self._is_ready and not self._current.is_lost))

        with self._changed:
            self._changed.wait_for(is_ready)
            if self._end:
                raise self._end
            return self._current

    @property
    def _current(self) -> Connection:
        assert self._connection is not None  # noqa: S101 - since the constructor
        return self._connection

    def _next_event(self) -> Event:
        with self._taking_turns:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._queue or self._end)
                    if self._end and (self._is_closed or not self._queue):
                        raise self._end
                    if self._queue[0]["event"] != "gap":
                        self._changed.notify_all()
                        return self._queue.popleft()
                    room = self._queue[0]["room"]
                self._fill_gap(room)

    def _fill_gap(self, room: str) -> None:
        """Replace the first gap in the queue by its history. By one page of it."""
        with self._changed:
            since = self._rooms.ask(room)
        page = None
        if since is not None:
            try:
                page = self.call("history", room=room, after=since, count=GAP_PAGE_MESSAGES)
            except CallRefused:
                with self._changed:
                    if self._rooms.ask(room) is not None:
                        raise  # else we have left the room: its history is not shown
        with self._changed:
            if self._queue[0]["room"] == room:  # else the room was renamed, and is asked for again
                self._queue.popleft()
                self._queue.extendleft(reversed(self._rooms.fill(page) if page else []))

    # In the thread that reads. (The constructor's thread makes the first connection.)

    def _run(self) -> None:
        try:
            while not self._end:
                reason = self._read_until_lost()
                self._reconnect(reason)
        except (CallRefused, ConnectionLost) as error:
            self._finish(error)
        finally:
            self._finish(ConnectionLost("the client failed"))  # if there was another reason
            self._current.close()

    def _read_until_lost(self) -> ConnectionLost:
        connected_at = time.monotonic()
        try:
            while True:
                self._current.read()
        except ConnectionLost as reason:
            self._backoff.note_connected(time.monotonic() - connected_at)
            return reason
        finally:
            self._current.close()

    def _reconnect(self, reason: ConnectionLost) -> None:
        """Try until it is connected, or the client closed. Raises CallRefused, ConnectionLost."""
        with self._changed:
            self._is_ready = False
        if not self._end:
            self._announce({"event": "reconnecting", "reason": str(reason)})
        while (seconds := self._backoff.next_seconds()) is not None:
            with self._changed:
                if self._changed.wait_for(lambda: self._end, seconds):
                    return None
            try:
                return self._connect()
            except ConnectionLost as error:
                reason = error
            except CallRefused as refusal:
                if refusal.code not in _PASSING:
                    raise
                reason = ConnectionLost(str(refusal))
        raise reason

    def _connect(self) -> None:
        """Connect, log in, and enter the rooms. Raises CallRefused, ConnectionLost."""
        is_first = self._connection is None
        connection = Connection(self._address, self._tls, self)
        with self._changed:
            self._connection = connection
            if self._end:
                connection.cut(str(self._end))
        try:
            self._log_in(connection)
            self._introduce_again(connection)
            if not is_first:
                self._announce({"event": "connected"})
            self._enter_rooms(connection)
        except Exception:
            connection.close()
            raise
        with self._changed:
            self._is_ready = True
            self._changed.notify_all()

    def _log_in(self, connection: Connection) -> None:
        if connection.exchange("ping").get("needs_tls") is True:
            raise CallRefused("tls_required", "this server takes logins with TLS alone")
        named = {**self._credentials, "remember": self._label}
        ways: list[tuple[str, dict[str, str | None]]] = []
        if self.token:
            ways.append(("login", {"token": self.token}))
        if self._may_register:
            ways.append(("register", named))
        if named["password"]:
            ways.append(("login", named))
        for number, (op, fields) in enumerate(ways, 1):
            try:
                answer = connection.exchange(op, **fields)
                break
            except CallRefused as refusal:
                if refusal.code not in _TRY_NEXT or number == len(ways):
                    raise
                if "token" in fields:
                    self.token = ""
        self.user = answer["user"]
        self.token = answer.get("token") or self.token
        self._may_register = False

    def _introduce_again(self, connection: Connection) -> None:
        try:
            if self._introduction:
                op, fields = self._introduction
                connection.exchange(op, **fields)
        except CallRefused as refusal:  # else the program hears it at its next `introduce`
            if refusal.code in _PASSING:
                raise

    def _enter_rooms(self, connection: Connection) -> None:
        with self._changed:
            rooms = self._rooms.shown()
        for room, since in rooms:
            try:
                connection.exchange("join", room=room, since=since, create=False)
            except CallRefused as refusal:
                if refusal.code in _PASSING:
                    raise
                shut_out = {"event": "shut_out", "room": room, "error": refusal.code}
                with self._changed:
                    self._rooms.leave(room)
                    self._put({**shut_out, "message": str(refusal)})

    def _announce(self, state: Event) -> None:
        self._on_state(state)
        with self._changed:
            self._put(state)

    def on_answer(self, request: Event, answer: Answer) -> None:
        """Take in an answer, and its effects: see Listener."""
        with self._changed:
            if request["op"] == "join":
                self._put(self._rooms.join(request.get("since"), answer))
            elif request["op"] == "leave":
                self._rooms.leave(answer["room"])
            elif request["op"] == "passwd":
                self._credentials["password"] = request["new"]

    def on_event(self, event: Event) -> None:
        """Take in an event. Waits while the queue is full, unless a thread waits for an answer."""
        kind = event["event"]
        with self._changed:
            self._changed.wait_for(lambda: self._has_space or not self._may_wait)
            if kind == "message":
                self._put(self._rooms.take(event, has_space=self._has_space))
                return
            is_mine = event.get("user") == self.user
            if kind == "deleted" or (kind in {"kicked", "banned"} and is_mine):
                self._rooms.leave(event["room"])
            elif kind == "renamed":
                self._rename(event["room"], event["name"])
            self._put(event)

    def _rename(self, room: str, name: str) -> None:
        self._rooms.rename(room, name)
        for event in self._queue:
            if event == {"event": "gap", "room": room}:
                event["room"] = name

    @property
    def _may_wait(self) -> bool:
        return self._is_ready and not self._callers and not self._end

    @property
    def _has_space(self) -> bool:
        return len(self._queue) < EVENTS_QUEUED_MAX

    def _put(self, event: Event | None) -> None:
        """Queue an event, or `missed` when there is no space.

        A gap always has space: one stands for many messages.
        """
        if event is None:
            return
        if not self._has_space and event["event"] != "gap":
            event = {"event": "missed"}
            if self._queue[-1] == event:
                return
        self._queue.append(event)
        self._changed.notify_all()

    def _finish(self, error: Exception) -> None:
        with self._changed:
            self._end = self._end or error
            self._is_ready = False
            connection = self._connection
            self._changed.notify_all()
        if connection is not None:
            connection.cut(str(error))
