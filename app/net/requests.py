"""The grammar of HTTP requests, strictly (RFC 9112): nothing is guessed.

A proxy that passes requests on has to see the same requests in the same bytes. So a request that
could be read in two ways is refused, and its connection closed: lines with other ends, blanks in
wrong places, headers that go on in the next line, lengths that contradict each other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from email.message import Message
from ipaddress import IPv6Address
from typing import Protocol

from app.bounds import HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX
from app.values.addresses import PORT_MAX

_REQUEST_LINE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!-~]+ HTTP/1\.[01]\r\n")
_HEADER = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*((?:[^\0-\x20\x7f][^\0-\x08\x0a-\x1f\x7f]*)?)\r\n"
)
_LENGTH = re.compile(r"[0-9]{1,19}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_CHUNK_LINE_BYTES_MAX = 17
_RANGE = re.compile(r"(?i:bytes)=([0-9]{0,19})-([0-9]{0,19})")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)((?:[/?][^#]*)?)", re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]+)(?::([0-9]{0,9}))?")
# Headers that say how to read a request. Each may stand there once.
_ONCE = (
    "content-encoding",
    "content-length",
    "content-range",
    "expect",
    "host",
    "if-range",
    "range",
    "transfer-encoding",
)


class Reader(Protocol):
    """A source of a request's bytes."""

    def readline(self, size: int) -> bytes:
        """Return a line with its end, or its first `size` bytes."""


class BadRequestError(ValueError):
    """Refuses a request, with a status and a sentence; its connection is closed."""

    def __init__(self, sentence: str, status: str = "400 Bad Request") -> None:
        super().__init__(sentence)
        self.status = status


def check_request_line(line: str) -> None:
    """Check a request's first line. Raises BadRequestError."""
    if not _REQUEST_LINE.fullmatch(line):
        raise BadRequestError("a request begins with METHOD TARGET HTTP/1.1, CR and LF")


def parse_target(target: str) -> tuple[str, str] | None:
    """Return host and path of a target in absolute form, http://HOST/PATH; else None.

    This host counts, not the one in Host (RFC 9112, 3.2.2).
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return None
    return match[1], match[2] if match[2].startswith("/") else f"/{match[2]}"


def parse_authority(text: str) -> str | None:
    """Return the host of HOST[:PORT], as in Host (RFC 9110, 7.2); None if it is malformed."""
    match = _HOST.fullmatch(text)
    if match is None or int(match[2] or 0) > PORT_MAX:
        return None
    with suppress(ValueError):
        return str(IPv6Address(match[1][1:-1])) if match[1].startswith("[") else match[1]
    return None


def read_headers(reader: Reader) -> bytes:
    """Return the lines of headers, with the empty last one. Raises BadRequestError."""
    head, names = b"", Counter[str]()
    while (line := reader.readline(HTTP_HEAD_BYTES_MAX)) != b"\r\n":
        head += line
        if len(head) > HTTP_HEAD_BYTES_MAX or names.total() >= HTTP_HEADERS_MAX:
            raise BadRequestError(
                f"headers have at most {HTTP_HEAD_BYTES_MAX} bytes, and are {HTTP_HEADERS_MAX}",
                "431 Request Header Fields Too Large",
            )
        match = _HEADER.fullmatch(line)
        if match is None:
            raise BadRequestError("a header is NAME: VALUE on one line, which ends with CR and LF")
        names[match[1].decode().lower()] += 1
    for name in _ONCE:
        if names[name] > 1:
            raise BadRequestError(f"{name} is there more than once")
    return head + b"\r\n"


def check_framing(version: str, headers: Message) -> None:
    """Check the headers for length and expectation. Raises BadRequestError."""
    length, coding = headers.get("content-length"), headers.get("transfer-encoding")
    if length is not None and not _LENGTH.fullmatch(length.strip(" \t")):
        raise BadRequestError("Content-Length is no number")
    if coding is not None:
        if length is not None or version == "HTTP/1.0":
            raise BadRequestError("Transfer-Encoding with a Content-Length, or in HTTP/1.0")
        if coding.strip(" \t").lower() != "chunked":
            raise BadRequestError("the only Transfer-Encoding is chunked", "501 Not Implemented")
    expected = headers.get("expect")
    if expected is not None and expected.strip(" \t").lower() != "100-continue":
        raise BadRequestError("nothing but 100-continue can be expected", "417 Expectation Failed")


def check_upload(request: Mapping[str, str]) -> None:
    """Check that an upload is a whole file without a coding. Raises BadRequestError.

    `request` is in the form of WSGI.
    """
    if "HTTP_CONTENT_RANGE" in request:
        raise BadRequestError("a file comes whole, without a Content-Range")
    if "HTTP_CONTENT_ENCODING" in request:
        raise BadRequestError(
            "a file comes as it is, without a Content-Encoding", "415 Unsupported Media Type"
        )
    if not request.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in request:
        raise BadRequestError("say how long it is", "411 Length Required")


def read_chunk_size(reader: Reader) -> int:
    """Return the size of a body's next chunk; 0 after the last. Raises BadRequestError.

    After the last chunk it reads the trailers, too.
    """
    match = _CHUNK.fullmatch(reader.readline(_CHUNK_LINE_BYTES_MAX))
    if match is None:
        raise BadRequestError("a chunk begins with its size, in hexadecimal digits alone")
    size = int(match[1], 16)
    if not size:
        read_headers(reader)
    return size


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """Return a range of a file as its first byte and its end; None for the whole file.

    If the text is not a single range of bytes, the whole file is sent, as RFC 9110 (14.2) allows. A
    range without a byte in it ends where it begins.
    """
    match = _RANGE.fullmatch(text.strip(" \t"))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), min(size, int(match[2] or size) + 1)
        if match[2] and int(match[2]) < first:
            return None
    return first, max(first, end)
