"""Files over HTTP: `PUT /f/TOKEN` brings one, `GET /f/TOKEN` fetches one, once.

A file is never held whole, and a peer that stalls is cut. What is served can't be anything but
saved by a browser: an attachment, of no type, that is not to be guessed.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gevent

from app import metrics
from app.errors import Forbidden, NotPossible, Refusal, TooLarge, Unavailable
from app.settings import FILE_CHUNK_SECONDS_MAX

if TYPE_CHECKING:
    from app.chat.files import Files, Read
    from app.records import SharedFile

PREFIX = "/f/"

_STATUS: tuple[tuple[type[Refusal], str], ...] = (
    (NotPossible, "404 Not Found"),
    (TooLarge, "413 Content Too Large"),
    (Forbidden, "403 Forbidden"),
    (Unavailable, "503 Service Unavailable"),
    (Refusal, "400 Bad Request"),
)
_HEADERS = [("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff")]
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_ALLOWED = ("Allow", "GET, HEAD, PUT")
_CLOSE = ("Connection", "close")

Headers = list[tuple[str, str]]
Respond = Callable[[str, Headers], object]


def answer(files: Files, request: dict[str, Any], respond: Respond) -> Iterable[bytes]:
    """Answer a request that brings a file or fetches one, as WSGI applications do. Switches."""
    token = request["PATH_INFO"].removeprefix(PREFIX)
    try:
        match request["REQUEST_METHOD"]:
            case "PUT":
                return _put(files, token, request, respond)
            case "GET":
                return _get(files, token, respond)
            case "HEAD":
                respond("200 OK", [*_HEADERS, *_described(files.offered(token))])
                return []
            case _:
                return _say(respond, "405 Method Not Allowed", "PUT or GET", _ALLOWED, _CLOSE)
    except Refusal as refusal:
        metrics.REFUSALS.labels(refusal.code).inc()
        status = next(status for kind, status in _STATUS if isinstance(refusal, kind))
        # The rest of what is being sent is not read, so nothing can follow it.
        return _say(respond, status, str(refusal), _CLOSE)


def _put(files: Files, token: str, request: dict[str, Any], respond: Respond) -> Iterable[bytes]:
    length = request.get("CONTENT_LENGTH")
    size = int(length) if length else None
    if size is None and "HTTP_TRANSFER_ENCODING" not in request:
        return _say(respond, "411 Length Required", "say how long it is", _CLOSE)
    file = files.receive(token, size, _reader(request["wsgi.input"].read))
    text = f"shared as {file.id}: {file.name}, {file.size} bytes, sha256 {file.sha256}"
    return _say(respond, "201 Created", text, *_digests(file))


def _get(files: Files, token: str, respond: Respond) -> Iterable[bytes]:
    file, chunks = files.offered(token), files.fetch(token)
    first = next(chunks, b"")  # refused here, or not before something was sent
    respond("200 OK", [*_HEADERS, *_described(file)])
    return _whole(chain([first], chunks))


def _say(
    respond: Respond, status: str, sentence: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    body = f"{sentence}\n".encode()
    respond(status, [*_HEADERS, _TEXT, ("Content-Length", str(len(body))), *headers])
    return [body]


def _described(file: SharedFile) -> Headers:
    """Return the headers of a file: what it is called (RFC 6266, 8187), how long, and its sum."""
    plain = "".join([c if c.isascii() and c not in '"\\%' else "_" for c in file.name])
    name = f"filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"
    return [
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", f"attachment; {name}"),
        ("Content-Length", str(file.size)),
        *_digests(file),
    ]


def _digests(file: SharedFile) -> Headers:
    """Return the headers by which a program can tell that all of it is right (RFC 9530)."""
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    return [("ETag", f'"{file.sha256}"'), ("Repr-Digest", f"sha-256=:{digest}:")]


def _reader(read: Read) -> Read:
    """Return what reads a body chunk by chunk, and breaks off when one is late or cut off."""

    def read_chunk(count: int) -> bytes:
        try:
            with gevent.Timeout(FILE_CHUNK_SECONDS_MAX, TimeoutError("too slow")):
                return read(count)
        except OSError as error:
            raise ConnectionAbortedError("the file did not come whole") from error

    return read_chunk


def _whole(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file; break the connection off when it is taken away meanwhile."""
    try:
        yield from chunks
    except Refusal as refusal:
        raise ConnectionAbortedError(str(refusal)) from refusal
