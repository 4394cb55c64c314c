"""HTTP on the port of the chat: health and metrics for whoever watches the server, and files.

gevent's WSGI server speaks it, on sockets that the listener hands over; it never listens itself.
What is logged of a request is who sent it and what became of it, never its path: that may hold a
token.
"""

from __future__ import annotations

import io
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from socket import SHUT_RDWR, SHUT_WR, fromfd
from types import TracebackType
from typing import TYPE_CHECKING, Any

import gevent
import structlog
from gevent.lock import Semaphore
from gevent.pywsgi import Input, WSGIHandler, WSGIServer

from app.net import exposition, transfer
from app.net.sockets import TlsSocket
from app.settings import (
    DISCARD_SECONDS_MAX,
    HTTP_REQUEST_SECONDS_MAX,
    HTTP_STALL_SECONDS_MAX,
    RECEIVE_BYTES_MAX,
    TURN_SECONDS,
)

if TYPE_CHECKING:
    from gevent.socket import socket

    from app import events
    from app.chat.service import Service

_HEADERS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FAILED = b"HTTP/1.1 500 Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_REFUSED = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b\n"
_PEER_GONE = (TimeoutError, ConnectionError, ssl.SSLError)

log = structlog.get_logger()


class Http(WSGIServer):
    """Answers the requests of connections that speak HTTP."""

    def __init__(self, service: Service, address: tuple[str, int], metrics_token: str = "") -> None:
        """Serve what there is at an address, which is told in the environment of requests."""
        self._service = service
        self._metrics_token = metrics_token
        self._measuring = Semaphore()  # it takes some ms: one page between the turns of all others
        self.requests_under_way = 0
        names = {"SERVER_NAME": address[0], "SERVER_PORT": str(address[1])}
        super().__init__(
            address, self._answer, log=None, error_log=None, environ=names, handler_class=_Handler
        )

    def serve(self, client_socket: socket, address: str) -> None:
        """Answer requests until the client has no more, and close. Switches."""
        client_socket.settimeout(HTTP_STALL_SECONDS_MAX)
        visitor = _Visitor(client_socket, address)
        self._service.visitors.add(visitor)
        try:
            with suppress(OSError):  # the client is gone, in the middle of an answer
                self.handle(client_socket, (address, 0))  # type: ignore[arg-type]  # typed as a str
        finally:
            self._service.visitors.discard(visitor)

    def refuse(self, client_socket: socket, refused: events.Refused) -> None:
        """Say why it is not served, and close; before, what comes is read a while. Switches."""
        client_socket.settimeout(None)
        with suppress(OSError, gevent.Timeout), gevent.Timeout(DISCARD_SECONDS_MAX):
            client_socket.sendall(self.refusal(refused))
            client_socket.shutdown(SHUT_WR)
            while client_socket.recv(RECEIVE_BYTES_MAX):
                pass
        client_socket.close()

    def refusal(self, refused: events.Refused) -> bytes:
        """Return the answer that says why a client is not served."""
        text = refused.sentence.encode()
        status = b"403 Forbidden" if refused.code == "banned" else b"503 Service Unavailable"
        return _REFUSED % (status, len(text) + 1, text)

    def _answer(self, request: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = request["REQUEST_METHOD"], request["PATH_INFO"]
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
            gevent.sleep(TURN_SECONDS)  # or many who ask at once keep everybody waiting
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
    """A connection that speaks HTTP. Implements app.chat.session.Visitor."""

    def __init__(self, client_socket: socket, address: str) -> None:
        self.address = address
        self._socket = client_socket

    def cut(self) -> None:
        """See Visitor. Whoever reads from it or sends sees that the peer is gone."""
        number, family, kind = self._socket.fileno(), self._socket.family, self._socket.type
        with suppress(OSError), fromfd(number, family, kind) as below_tls:  # nobody says goodbye
            below_tls.shutdown(SHUT_RDWR)


class _Body(Input):
    """The body of a request. When it was refused, what still comes is read for a moment only."""

    def read(self, length: int | None = None) -> bytes:
        """Read, as the base does. Raises ConnectionError for what is no body: nobody reads on."""
        try:
            return super().read(length)
        except ValueError as error:  # a chunk that does not say how long it is
            raise ConnectionAbortedError("that is no HTTP") from error

    def _discard(self) -> None:
        is_awaited = self.socket is not None  # the client has sent nothing: it asked whether to
        try:
            with gevent.Timeout(DISCARD_SECONDS_MAX, TimeoutError):
                if not is_awaited:
                    super()._discard()  # type: ignore[misc]  # gevent's own, but not in its types
        except TimeoutError:
            is_awaited = True
        if is_awaited:
            self.rfile.close()  # nobody knows where the next request would begin


class _Input(io.RawIOBase):
    """What a client sends. Before each read everybody else gets a turn: it may have no end."""

    def __init__(self, client_socket: socket) -> None:
        super().__init__()
        self._socket = client_socket

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        gevent.sleep(TURN_SECONDS)
        return self._socket.recv_into(buffer)


class _Handler(WSGIHandler):
    """One connection. Bounds how long it may take, and logs as everything else is logged."""

    server: Http

    def __init__(self, client_socket: socket, address: Any, server: Http) -> None:
        super().__init__(client_socket, address, server)
        self.rfile = io.BufferedReader(_Input(client_socket))

    def read_requestline(self) -> str:
        with gevent.Timeout(HTTP_REQUEST_SECONDS_MAX, TimeoutError):
            return super().read_requestline()

    def read_request(self, raw_requestline: str) -> Any:
        with gevent.Timeout(HTTP_REQUEST_SECONDS_MAX, TimeoutError):
            return super().read_request(raw_requestline)

    def get_environ(self) -> dict[str, Any]:
        is_tls = isinstance(self.socket, TlsSocket)
        environment = super().get_environ() | {"wsgi.url_scheme": "https" if is_tls else "http"}
        body: Any = self.wsgi_input
        self.wsgi_input = _Body(body.rfile, body.content_length, body.socket, body.chunked_input)
        return environment | {"wsgi.input": self.wsgi_input}

    def handle_one_response(self) -> None:
        self.server.requests_under_way += 1
        try:
            gevent.sleep(TURN_SECONDS)  # hundreds of requests may have come in one read
            super().handle_one_response()
        finally:
            self.server.requests_under_way -= 1

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
        log.error("http request failed", exc_info=(kind, error, traceback))
        if not self.headers_sent:
            with suppress(OSError):
                self.socket.sendall(_FAILED)

    def _handle_client_error(self, error: Exception) -> tuple[str, bytes]:
        log.info("bad http request", address=self.client_address[0], reason=type(error).__name__)
        return "400", _BAD_REQUEST
