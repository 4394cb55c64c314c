"""Files over HTTP: `PUT /f/TOKEN` brings one, `GET /f/TOKEN` fetches one, whole and once.

A client that was cut off can ask for the rest (Range) at the same address.

A file is never held whole in memory, and a peer that stalls is cut. A browser can only save a file:
it is an attachment without a type, and the browser must not guess one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import gevent

from app.bounds import FILE_CHUNK_SECONDS_MAX
from app.errors import Forbidden, NotPossible, Refusal, TooLarge, Unavailable
from app.measures import metrics
from app.net.requests import BadRequestError, check_upload, parse_range
from app.protocol.server import Refused
from app.wires import words

if TYPE_CHECKING:
    from app.chat.files.files import Files, Read
    from app.protocol.files import SharedFile

PREFIX = "/f/"
HAS_TAKEN = "greenroom.has_taken"  # in a request: whether the client has read the answer

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
    """Answer a request that brings or fetches a file, as WSGI applications do. Switches."""
    token = request["PATH_INFO"].removeprefix(PREFIX)
    try:
        match request["REQUEST_METHOD"]:
            case "PUT":
                return _put(files, token, request, respond)
            case "GET":
                return _get(files, token, request, respond)
            case "HEAD":
                file = files.offered(token)
                respond("200 OK", [*_HEADERS, *_described(file, file.size)])
                return []
            case _:
                return _say(respond, "405 Method Not Allowed", "PUT or GET", _ALLOWED, _CLOSE)
    except Refusal as refusal:
        metrics.REFUSALS.labels(refusal.code).inc()
        status = next(status for kind, status in _STATUS if isinstance(refusal, kind))
        # The rest of the body is not read, so no request can follow it.
        return _say(respond, status, words.sentence(Refused.of(refusal)), _CLOSE)


def _put(files: Files, token: str, request: dict[str, Any], respond: Respond) -> Iterable[bytes]:
    check_upload(request)
    length = request.get("CONTENT_LENGTH")
    size = int(length) if length else None
    file = files.receive(token, size, _reader(request["wsgi.input"].read))
    text = f"shared as {file.id}: {file.name}, {file.size} bytes, sha256 {file.sha256}"
    return _say(respond, "201 Created", text, *_digests(file))


def _get(files: Files, token: str, request: dict[str, Any], respond: Respond) -> Iterable[bytes]:
    file = files.offered(token)
    wanted = _wanted(file, request)
    if wanted is not None and wanted[0] >= wanted[1]:
        size = ("Content-Range", f"bytes */{file.size}")
        sentence = "there is no such part of the file"
        return _say(respond, "416 Range Not Satisfiable", sentence, size)
    first, end = wanted or (0, file.size)
    chunks = files.fetch(token, first, end, request[HAS_TAKEN])
    piece = next(chunks, b"")  # a refusal comes here, before anything is sent
    headers = [*_HEADERS, *_described(file, end - first)]
    if wanted is None:
        respond("200 OK", headers)
    else:
        headers.append(("Content-Range", f"bytes {first}-{end - 1}/{file.size}"))
        respond("206 Partial Content", headers)
    return _whole(chain([piece], chunks))


def _wanted(file: SharedFile, request: dict[str, Any]) -> tuple[int, int] | None:
    """Return the part that is asked for, if the client knows this file; None for all."""
    text = request.get("HTTP_RANGE", "")
    if request.get("HTTP_IF_RANGE", _tag(file)) != _tag(file):
        return None
    return parse_range(text, file.size)


def _say(
    respond: Respond, status: str, sentence: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    body = f"{sentence}\n".encode()
    respond(status, [*_HEADERS, _TEXT, ("Content-Length", str(len(body))), *headers])
    return [body]


def _described(file: SharedFile, length: int) -> Headers:
    """Return a file's headers: its name (RFC 6266, 8187), digests, and the length sent."""
    plain = "".join([c if c.isascii() and c not in '"\\%' else "_" for c in file.name])
    name = f"filename=\"{plain}\"; filename*=UTF-8''{quote(file.name, safe='')}"
    return [
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", f"attachment; {name}"),
        ("Content-Length", str(length)),
        ("Accept-Ranges", "bytes"),
        *_digests(file),
    ]


def _tag(file: SharedFile) -> str:
    return f'"{file.sha256}"'


def _digests(file: SharedFile) -> Headers:
    """Return the headers with a file's checksum (RFC 9530)."""
    digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
    return [("ETag", _tag(file)), ("Repr-Digest", f"sha-256=:{digest}:")]


def _reader(read: Read) -> Read:
    """Return a reader of a body that breaks off when a chunk is late or cut off."""

    def read_chunk(count: int) -> bytes:
        try:
            with gevent.Timeout(FILE_CHUNK_SECONDS_MAX, TimeoutError("too slow")):
                return read(count)
        except (TimeoutError, ConnectionError) as error:
            raise ConnectionAbortedError("the file did not come whole") from error
        except OSError as error:  # the peer sends no more, and may still read
            raise BadRequestError("the file did not come whole") from error

    return read_chunk


def _whole(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file; break the connection off if the file is removed."""
    try:
        yield from chunks
    except Refusal as refusal:
        raise ConnectionAbortedError(str(refusal)) from refusal
