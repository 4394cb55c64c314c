"""HTTP on the port of the chat: health, metrics and files.

gevent's WSGI server speaks it, on sockets that `Server` hands over; it never listens itself. The
log has the address and the result of a request, and never its path, which may hold a token.
"""

from __future__ import annotations

import fcntl
import io
import ssl
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from socket import MSG_DONTWAIT, MSG_PEEK, SHUT_RDWR, SHUT_WR, fromfd
from types import TracebackType
from typing import TYPE_CHECKING, Any

import gevent
import structlog
from gevent.lock import Semaphore
from gevent.pywsgi import Input, WSGIHandler, WSGIServer
from typing_extensions import override

from app.bounds import (
    DISCARD_SECONDS_MAX,
    HTTP_REQUEST_SECONDS_MAX,
    HTTP_STALL_SECONDS_MAX,
    LINES_IN_A_ROW_MAX,
    RECEIVE_BYTES_MAX,
    TURN_SECONDS,
)
from app.net import exposition, transfer
from app.net.requests import (
    BadRequestError,
    check_framing,
    check_request_line,
    parse_target,
    read_chunk_size,
    read_headers,
)
from app.net.sockets import TlsSocket
from app.wires.words import sentence

if TYPE_CHECKING:
    from gevent.socket import socket

    from app.chat.service import Service
    from app.net.hosts import KnownHosts
    from app.protocol.server import Rejection

_HEADERS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FAILED = b"HTTP/1.1 500 Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_REFUSED = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b\n"
_PEER_GONE = (TimeoutError, ConnectionError, ssl.SSLError)

log = structlog.get_logger()


class Http(WSGIServer):
    """Answers the requests of connections that speak HTTP."""

    def __init__(
        self,
        service: Service,
        address: tuple[str, int],
        hosts: KnownHosts,
        metrics_token: str = "",
    ) -> None:
        """Take the server's address, for the environment of requests."""
        self._service = service
        self._hosts = hosts
        self._metrics_token = metrics_token
        self._measuring = Semaphore()  # a page takes some ms: one at a time
        self.requests_under_way = 0
        names = {"SERVER_NAME": address[0], "SERVER_PORT": str(address[1])}
        super().__init__(
            address, self._answer, log=None, error_log=None, environ=names, handler_class=_Handler
        )

    def serve(self, client_socket: socket, address: str) -> None:
        """Answer requests until the client has no other. Switches."""
        client_socket.settimeout(HTTP_STALL_SECONDS_MAX)
        visitor = _Visitor(client_socket, address)
        self._service.visitors.add(visitor)
        try:
            with suppress(OSError):  # the client has gone during an answer
                self.handle(client_socket, (address, 0))  # type: ignore[arg-type]  # typed as a str
        finally:
            self._service.visitors.discard(visitor)

    def cut_all(self) -> None:
        """Cut all connections. Never switches."""
        if self.requests_under_way:
            log.warning("cut transfers that had no end", count=self.requests_under_way)
        for visitor in list(self._service.visitors):
            visitor.cut()

    def refuse(self, client_socket: socket, refused: Rejection) -> None:
        """Tell a client why it is refused, read a while, and close. Switches."""
        _send_last(client_socket, self.refusal(refused))
        client_socket.close()

    def refusal(self, refused: Rejection) -> bytes:
        """Return the answer to a client that is refused."""
        status = "403 Forbidden" if refused.code == "banned" else "503 Service Unavailable"
        return _refusal(status, sentence(refused))

    def _answer(self, request: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        gevent.sleep(TURN_SECONDS)  # else many requests at once keep all others waiting
        method, path = request["REQUEST_METHOD"], request["PATH_INFO"]
        if refusal := self._hosts.refusal(request):
            status, text = refusal
            return _say(request, start_response, status, f"{text}\n".encode())
        if path.startswith(transfer.PREFIX):
            return transfer.answer(self._service.files, request, start_response)
        if path not in ("/healthz", "/metrics"):
            status, text = "404 Not Found", "there is nothing here"
        elif method not in ("GET", "HEAD"):
            status, text = "405 Method Not Allowed", "only GET and HEAD"
        elif path == "/metrics":
            return self._measure(request, start_response)
        elif illness := self._service.status.illness(time.monotonic()):
            status, text = "503 Service Unavailable", illness
        else:
            status, text = "200 OK", "ok"
        return _say(request, start_response, status, f"{text}\n".encode())

    def _measure(self, request: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if not exposition.may_read(request, self._metrics_token):
            text = f"{exposition.FORBIDDEN}\n".encode()
            return _say(request, start_response, "403 Forbidden", text)
        with self._measuring:
            gevent.sleep(TURN_SECONDS)
            page = exposition.page(self._service.status)
        return _say(request, start_response, "200 OK", page, exposition.CONTENT_TYPE)


def _say(
    request: dict[str, Any],
    start_response: Any,
    status: str,
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
) -> Iterable[bytes]:
    length = ("Content-Length", str(len(body)))
    start_response(status, [("Content-Type", content_type), *_HEADERS, length])
    return [] if request["REQUEST_METHOD"] == "HEAD" else [body]


class _Visitor:
    """A connection that speaks HTTP. Implements app.engine.client.Visitor."""

    def __init__(self, client_socket: socket, address: str) -> None:
        self.address = address
        self._socket = client_socket

    def cut(self) -> None:
        """See Visitor. For its greenlet it is as if the peer were gone."""
        number, family, kind = self._socket.fileno(), self._socket.family, self._socket.type
        with suppress(OSError), fromfd(number, family, kind) as below_tls:  # without an end of TLS
            below_tls.shutdown(SHUT_RDWR)


def _refusal(status: str, sentence: str) -> bytes:
    text = sentence.encode()
    return _REFUSED % (status.encode(), len(text) + 1, text)


def _send_last(client_socket: socket, answer: bytes) -> None:
    """Send the last answer on a connection, and read the rest for a while. Switches.

    With unread input, a close could lose the answer.
    """
    client_socket.settimeout(None)
    with suppress(OSError, gevent.Timeout), gevent.Timeout(DISCARD_SECONDS_MAX):
        client_socket.sendall(answer)
        client_socket.shutdown(SHUT_WR)
        while client_socket.recv(RECEIVE_BYTES_MAX):
            pass


class _Peer:
    """The peer of a connection: tells whether it has read its answers."""

    def __init__(self, client_socket: socket) -> None:
        self._socket = client_socket
        self._requests = 0
        self._is_gone = self._is_lost = False

    def has_taken(self, request: int) -> bool:
        """Whether the answer to a request was read, as far as is known. Never switches.

        A client that breaks off resets the connection. One that has read all ends the connection in
        good order, or sends another request.
        """
        if self._requests == request:
            self._look()
        return self._requests > request or not self._is_lost

    def answering(self) -> Callable[[], bool]:
        """Return `has_taken` for the current request."""
        return partial(self.has_taken, self._requests)

    def asks(self) -> None:
        """Note the next request."""
        self._requests += 1

    def end(self, *, is_lost: bool) -> None:
        """Note the end of requests; `is_lost` if the connection was broken off."""
        self._look()
        self._is_gone, self._is_lost = True, is_lost or self._is_lost

    def _look(self) -> None:
        number, family, kind = self._socket.fileno(), self._socket.family, self._socket.type
        if number < 0 or self._is_gone:
            return
        unsent = struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))[0]
        with fromfd(number, family, kind) as below_tls:
            try:
                below_tls.recv(1, MSG_PEEK | MSG_DONTWAIT)
            except BlockingIOError:
                self._is_lost = unsent > 0
            except OSError:
                self._is_lost = True


class _Body(Input):
    """The body of a request. After a refusal, the rest is read for a moment only."""

    def _chunked_read(self, length: int | None = None, _use_readline: bool = False) -> bytes:
        """Read a body in chunks: all of it, or so many bytes. Raises BadRequestError.

        With a length of 0 it reads the size of the first chunk.
        """
        self._send_100_continue()  # type: ignore[attr-defined]  # gevent's, but not in its types
        pieces: list[bytes] = []
        left = sys.maxsize if length is None else length
        while self.chunk_length and (left or self.chunk_length < 0):
            if self.chunk_length < 0:  # not begun
                self.chunk_length = read_chunk_size(self.rfile)
                self.position = 0
                continue
            data = self.rfile.read(min(left, self.chunk_length - self.position))
            if not data:
                raise BadRequestError("the body did not come whole")
            pieces.append(data)
            if len(pieces) % LINES_IN_A_ROW_MAX == 0:
                gevent.sleep(TURN_SECONDS)  # one read may have thousands of chunks
            left -= len(data)
            self.position += len(data)
            if self.position == self.chunk_length:
                if self.rfile.read(2) != b"\r\n":
                    raise BadRequestError("a chunk is longer than its size")
                self.chunk_length = -1
                if not left:
                    break
        return b"".join(pieces)

    def _discard(self) -> None:
        is_awaited = self.socket is not None  # the client waits for 100 Continue
        try:
            with gevent.Timeout(DISCARD_SECONDS_MAX, TimeoutError):
                if not is_awaited:
                    super()._discard()  # type: ignore[misc]  # gevent's own, but not in its types
        except TimeoutError:
            is_awaited = True
        if is_awaited:
            self.rfile.close()  # it is not known where the next request would begin


class _Input(io.RawIOBase):
    """The bytes of a client. Each read gives others a turn first: the bytes may never end."""

    def __init__(self, client_socket: socket) -> None:
        super().__init__()
        self._socket = client_socket

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        gevent.sleep(TURN_SECONDS)
        return self._socket.recv_into(buffer)


class _Handler(WSGIHandler):
    """Handles one connection, within time limits, and with our log."""

    server: Http

    def __init__(self, client_socket: socket, address: Any, server: Http) -> None:
        super().__init__(client_socket, address, server)
        self.rfile = io.BufferedReader(_Input(client_socket))
        self._peer = _Peer(client_socket)

    @override
    def handle(self) -> None:
        try:
            super().handle()
        finally:
            self._peer.end(is_lost=False)

    @override
    def handle_one_request(self) -> Any:
        result = super().handle_one_request()
        if isinstance(result, tuple):
            _send_last(self.socket, result[1])
            return None
        return result

    @override
    def read_requestline(self) -> str:
        try:
            with gevent.Timeout(HTTP_REQUEST_SECONDS_MAX, TimeoutError):
                line = super().read_requestline()
        except OSError as error:
            self._peer.end(is_lost=not isinstance(error, TimeoutError))
            raise
        if line:
            self._peer.asks()
        return line

    @override
    def read_request(self, raw_requestline: str) -> Any:
        check_request_line(raw_requestline)
        with gevent.Timeout(HTTP_REQUEST_SECONDS_MAX, TimeoutError):
            return super().read_request(raw_requestline)

    @override
    def MessageClass(self, *readers: Any) -> Any:
        """Read and check a request's headers. The base class does not check."""
        headers = super().MessageClass(io.BytesIO(read_headers(readers[0])))
        check_framing(self.request_version or "", headers)
        if "expect" in headers:
            headers.replace_header("expect", "100-continue")  # gevent knows no capitals
        return headers

    @override
    def get_environ(self) -> dict[str, Any]:
        is_tls = isinstance(self.socket, TlsSocket)
        absolute = parse_target(self.path or "")
        if absolute:
            self.path = absolute[1]
        environment = super().get_environ() | {"wsgi.url_scheme": "https" if is_tls else "http"}
        if absolute and ("HTTP_HOST" in environment or self.request_version == "HTTP/1.0"):
            environment["HTTP_HOST"] = absolute[0]
        environment[transfer.HAS_TAKEN] = self._peer.answering()
        body: Any = self.wsgi_input
        self.wsgi_input = _Body(body.rfile, body.content_length, body.socket, body.chunked_input)
        return environment | {"wsgi.input": self.wsgi_input}

    @override
    def handle_one_response(self) -> None:
        self.server.requests_under_way += 1
        try:
            gevent.sleep(TURN_SECONDS)  # one read may have hundreds of requests
            super().handle_one_response()
        finally:
            self.server.requests_under_way -= 1

    @override
    def handle_error(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell the client that its request failed, if nothing of the answer was sent."""
        self.close_connection = True
        if isinstance(error, _PEER_GONE):
            return
        if isinstance(error, BadRequestError):
            _, answer = self._handle_client_error(error)
            if not self.headers_sent:
                _send_last(self.socket, answer)
            return
        log.error("http request failed", exc_info=(kind, error, traceback))
        if not self.headers_sent:
            with suppress(OSError):
                self.socket.sendall(_FAILED)

    def _handle_client_error(self, error: Exception) -> tuple[str, bytes]:
        is_told = isinstance(error, BadRequestError)
        reason = str(error) if is_told else type(error).__name__
        log.info("bad http request", address=self.client_address[0], reason=reason)
        if isinstance(error, BadRequestError):
            return error.status[:3], _refusal(error.status, str(error))
        return "400", _BAD_REQUEST
