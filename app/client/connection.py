"""One connection: requests, their answers, and events between them.

Any thread may ask. One thread reads, and hands out answers and events in the order of the wire.
When the connection is lost, each thread that waits for an answer gets ConnectionLost.
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
SILENCE_SECONDS = 30  # before the server is pinged, and again until it answers
LINE_BYTES_MAX = 64 << 20  # ten times what the longest page of history takes
_BAD_ANSWER = "the server answered something else than what was asked"


class CallRefused(Exception):
    """The server refused a request.

    `code` is stable; `str(refusal)` is a sentence for people. With the code `bad_answer`, the
    answer was about something else than the request; the sentence is ours.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class ConnectionLost(ConnectionError):
    """The connection was lost, or could not be made.

    A request without an answer may have been carried out or not.
    """


def greeting(address: str, tls: ssl.SSLContext | None) -> Answer:
    """Ask a server how to log in, before anything else.

    Returns its answer to `ping`. Raises CallRefused, ConnectionLost; ValueError for a text that is
    no address.
    """
    connection = Connection(address, tls, _Deaf())
    try:
        return connection.exchange("ping")
    finally:
        connection.close()


def _in_words(error: OSError) -> str:
    """Return for people why a server can't be reached."""
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
    """Takes in events and answers, in the thread that reads.

    It may take its time: TCP makes the server wait.
    """

    def on_event(self, event: Event) -> None:
        """Take in an event."""

    def on_answer(self, request: Event, answer: Answer) -> None:
        """Take in an answer. It comes before the asking thread gets it, and before later lines."""


class _Deaf:
    """A Listener that ignores all."""

    def on_event(self, event: Event) -> None:
        """Ignore an event."""

    def on_answer(self, request: Event, answer: Answer) -> None:
        """Ignore an answer."""


@dataclass
class _Asked:
    request: dict[str, Any]
    line: bytes
    answer: Future[Answer]


class Connection:
    """Requests, answers and events on one socket. Any thread may `cut` it."""

    def __init__(
        self,
        address: str,
        tls: ssl.SSLContext | None,
        listener: Listener,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        check_is_alive: Callable[[], None] | None = None,
    ) -> None:
        """Connect.

        After `silence_seconds` without a byte the server is pinged here. With `check_is_alive`,
        that is called instead: it looks elsewhere, and raises ConnectionLost if there is no use in
        waiting. Raises ConnectionLost; ValueError for a text that is no address.
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
        """Return the user id of a Unix socket's listener. None if the kernel does not tell."""
        return self._stream.peer_user_id()

    @property
    def is_lost(self) -> bool:
        """Return whether the connection is lost."""
        return self._loss is not None

    def ask(self, op: str, /, **fields: object) -> Future[Answer]:
        """Send a request; return its future answer.

        Fields that are None are left out. The answer comes while another call reads; it may be
        CallRefused or ConnectionLost. Raises ConnectionLost.
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
        """Ask, and read until the answer is there.

        For the thread that reads. Raises CallRefused, ConnectionLost.
        """
        answer = self.ask(op, **fields)
        while not answer.done():
            self.read()
        return answer.result()

    def read(self) -> None:
        """Wait for the next lines, and hand them out. Raises ConnectionLost."""
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
        """Return the number of the request that is answered.

        A server does not read the id in a line that is too long: the longest line is meant then.
        """
        if answer.get("error") == "line_too_long" and self._asked:
            return max(self._asked, key=lambda number: len(self._asked[number].line))
        number = answer.get("id")
        return number if type(number) is int else None

    def cut(self, reason: str) -> ConnectionLost:
        """End the connection, and tell all waiting threads.

        Returns their exception, which has the first reason given.
        """
        with self._asking:
            loss = self._loss = self._loss or ConnectionLost(reason)
            waiting = list(self._asked.values())
            self._asked.clear()
        self._stream.shut()
        for asked in waiting:
            asked.answer.set_exception(loss)
        return loss

    def close(self) -> None:
        """Give the socket back. For the thread that reads, when it is done with it."""
        self.cut("closed")
        self._stream.close()
