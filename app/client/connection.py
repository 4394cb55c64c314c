"""One connection to a server: requests and their answers, and the events in between.

Any thread may ask; one thread reads, and hands out answers and events in the order of the wire.
When the connection is lost, everybody who still waits for an answer is told so.
"""

from __future__ import annotations

import itertools
import json
import socket
import ssl
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from app.client.incoming import is_answer, is_event
from app.client.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.client.resume import Answer, Event

SILENT = "the server is silent"
SILENCE_SECONDS = 30  # after which the server is asked whether it is there; as long again to answer
LINE_BYTES_MAX = 64 << 20  # ten times what the longest page of history takes
_BAD_ANSWER = "the server answered something else than what was asked"


class CallRefused(Exception):
    """The server refused a request: `code` is stable, `str(refusal)` a sentence for people.

    With the code `bad_answer`, what it answered is about something else; the sentence is ours.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class ConnectionLost(ConnectionError):
    """The connection was lost, or not to be had; what was not answered may have happened or not."""


def greeting(address: str, tls: ssl.SSLContext | None) -> Answer:
    """Ask a server how one may log in there, before anything is told to it.

    Raises CallRefused, ConnectionLost; ValueError for what is no address.
    """
    connection = Connection(address, tls, _Deaf())
    try:
        return connection.exchange("ping")
    finally:
        connection.close()


def _in_words(error: OSError) -> str:
    """Return why a server can't be reached, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "there is nobody who speaks TLS"
    if isinstance(error, ConnectionRefusedError | FileNotFoundError):
        return "no server listens there"
    if isinstance(error, socket.gaierror):
        return "there is no host of that name"
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return (error.strerror or str(error)).lower()


class Listener(Protocol):
    """Who is told what comes, by the thread that reads. It may take its time: TCP then waits."""

    def on_event(self, event: Event) -> None:
        """Take an event."""

    def on_answer(self, request: Event, answer: Answer) -> None:
        """Take an answer, before whoever asked gets it, and before what comes behind it."""


class _Deaf:
    """A Listener that takes no notice."""

    def on_event(self, event: Event) -> None:
        """See Listener."""

    def on_answer(self, request: Event, answer: Answer) -> None:
        """See Listener."""


@dataclass
class _Asked:
    request: dict[str, Any]
    line: bytes
    answer: Future[Answer]


class Connection:
    """Requests, answers and events on one socket. `cut` it from any thread."""

    def __init__(
        self,
        address: str,
        tls: ssl.SSLContext | None,
        listener: Listener,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        check_is_alive: Callable[[], None] | None = None,
    ) -> None:
        """Connect. Raises ConnectionLost; ValueError for what is no address.

        After so long a silence the server is pinged here; or `check_is_alive` looks elsewhere, and
        raises ConnectionLost when it should not be waited for any more.
        """
        self._silence_seconds = silence_seconds
        self._check_is_alive = check_is_alive
        try:
            self._stream = Stream(address, tls)
        except OSError as error:
            raise ConnectionLost(f"can't connect to {address}: {_in_words(error)}") from error
        self._listener = listener
        self._asking = threading.Lock()  # guards the three below
        self._asked: dict[object, _Asked] = {}
        self._numbers = itertools.count(1)
        self._loss: ConnectionLost | None = None
        self._rest = b""
        self._last_words = "the server hung up"
        self._is_probed = False

    @property
    def peer_user_id(self) -> int | None:
        """Which user of this machine listens at a Unix socket; None where nobody can tell."""
        return self._stream.peer_user_id()

    @property
    def is_lost(self) -> bool:
        """Whether it can be used no more."""
        return self._loss is not None

    def ask(self, op: str, /, **fields: object) -> Future[Answer]:
        """Send a request; fields that are None are left out. The answer comes while it is read.

        It raises CallRefused or ConnectionLost.
        """
        request = {"op": op, **{key: value for key, value in fields.items() if value is not None}}
        answer: Future[Answer] = Future()
        with self._asking:
            if self._loss:
                raise self._loss
            number = next(self._numbers)
            line = json.dumps({"id": number, **request}, ensure_ascii=False).encode() + b"\n"
            self._asked[number] = _Asked(request, line, answer)
        try:
            self._stream.send(line)
        except OSError as error:
            self.cut(str(error))
        return answer

    def exchange(self, op: str, /, **fields: object) -> Answer:
        """Ask, and read until the answer is there: for the thread that reads.

        Raises CallRefused, ConnectionLost.
        """
        answer = self.ask(op, **fields)
        while not answer.done():
            self.read()
        return answer.result()

    def read(self) -> None:
        """Wait for what comes next, and hand it out. Raises ConnectionLost."""
        try:
            data = self._stream.receive(self._silence_seconds)
        except TimeoutError:
            self._probe()
            return
        except OSError as error:
            raise self.cut(str(error)) from error
        if not data:
            raise self.cut(self._last_words)
        self._is_probed = False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            raise self.cut("the server sent a line without end")
        for line in lines:
            self._take(line)

    def _probe(self) -> None:
        if self._check_is_alive is not None:
            try:
                self._check_is_alive()
            except ConnectionLost:
                raise self.cut(SILENT) from None
            return
        if self._is_probed:
            raise self.cut(SILENT)
        self._is_probed = True
        self.ask("ping")

    def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            raise self.cut("what answers there is no Greenroom")
        if "event" in said:
            if is_event(said):
                self._listener.on_event(said)
        else:
            self._settle(said)

    def _settle(self, answer: Answer) -> None:
        with self._asking:
            asked = self._asked.pop(self._number_of(answer), None)
        if asked is None:
            if "message" in answer:
                self._last_words = f"the server says: {answer['message']}"
        elif answer.get("ok") is not True:
            refusal = CallRefused(str(answer.get("error")), str(answer.get("message")))
            asked.answer.set_exception(refusal)
        elif is_answer(asked.request, answer):
            self._listener.on_answer(asked.request, answer)
            asked.answer.set_result(answer)
        else:
            asked.answer.set_exception(CallRefused("bad_answer", _BAD_ANSWER))

    def _number_of(self, answer: Answer) -> object:
        """Return which request is answered. The id of a line that is too long nobody has read."""
        if answer.get("error") == "line_too_long" and self._asked:
            return max(self._asked, key=lambda number: len(self._asked[number].line))
        number = answer.get("id")
        return number if type(number) is int else None

    def cut(self, reason: str) -> ConnectionLost:
        """End it, tell all who wait, and return what they are told: the first reason given."""
        with self._asking:
            loss = self._loss = self._loss or ConnectionLost(reason)
            waiting = list(self._asked.values())
            self._asked.clear()
        self._stream.shut()
        for asked in waiting:
            asked.answer.set_exception(loss)
        return loss

    def close(self) -> None:
        """Give the socket back: for the thread that reads, when it is done with it."""
        self.cut("closed")
        self._stream.close()
