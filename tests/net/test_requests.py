"""HTTP, strictly: what could be read in two ways is refused. Downloads that broke off go on."""

import io
import os
import re
import socket
import subprocess
from itertools import permutations

import gevent
import pytest

from app.bounds import FILE_CHUNK_BYTES, LINES_IN_A_ROW_MAX
from app.net.http import _Body
from app.net.requests import parse_range
from tests.kit.client import WAIT_SECONDS_MAX
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import ask_url, begin_get, request, send_raw, share

_CHUNKED = "Transfer-Encoding: chunked"
_NEXT = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"  # what a request in disguise would be
_FIVE = "Content-Length: 5"
_ONE_CHUNK = "5\r\nabcde\r\n0\r\n\r\n"
_BESIDES_A_LENGTH = [
    *((400, f"Content-{header}") for header in ("Range: bytes 3-7/8", "range: bytes */8")),
    *((415, f"Content-Encoding:{coding}") for coding in (" gzip", "", " identity", " Identity")),
    *((400, f"Content-Length: {length}") for length in "05"),
    *((417, f"Expect: {what}") for what in ("a-miracle", "100-continue, x")),
    *((400, f"X: y{more}") for more in ("\r\n folded", "\nZ: z", "\rZ: z", "\0")),
    *((400, header) for header in ("X y", ": y", "Größe: 5", "Host: y")),
    (431, "X: " + "y" * 20_000),
]
_LENGTHS = ("+5", "-5", "0_5", "0x5", "5, 5", "5 5", "5.0", "", "٥", "9" * 30)
_ENCODINGS = (" gzip, chunked", " chunked, identity", " xchunked", "")
_SIZES = ("+5", "-5", "0x5", "5_0", " 5", "5 ", "5;a=b", "5\n", "", "g", "0" * 16 + "5")


def _put(server: ServerProcess, url: str, *headers: str, body: str = "") -> bytes:
    """Send an upload and nothing more, and return all that is answered."""
    head = "\r\n".join([f"PUT {url} HTTP/1.1", "Host: localhost", *headers])
    return send_raw(server, f"{head}\r\n\r\n{body}".encode(), is_all=True)


# What is no upload, or could be read in two ways, is refused, nothing of it is read as a request,
# and its address is good as before.
@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        *((status, [header, _FIVE], "abcde") for status, header in _BESIDES_A_LENGTH),
        *((400, [f"Content-Length: {length}"], "abcde") for length in _LENGTHS),
        *((400, [header], "abcde") for header in ("Content-Length : 5", " Content-Length: 5")),
        (411, [], ""),
        (431, ["X: y"] * 65, "abcde"),
        (415, ["Content-Encoding: identity, br", _CHUNKED], _ONE_CHUNK),
        *((501, [f"Transfer-Encoding:{each}"], _ONE_CHUNK) for each in _ENCODINGS),
        *((400, headers, _ONE_CHUNK) for headers in permutations([_CHUNKED, _FIVE])),
        (400, [_CHUNKED, _CHUNKED], _ONE_CHUNK),
        *((400, [_CHUNKED], f"{size}\r\nabcde\r\n0\r\n\r\n") for size in _SIZES),
        *((400, [_CHUNKED], body) for body in ("5\nabcde\r\n0\r\n\r\n", "0\r\nX : y\r\n\r\n")),
    ],
)
def test_what_is_no_upload(server, pair, status: int, headers: list[str], body: str) -> None:
    alice, _ = pair
    url = ask_url(alice, "/send a.txt")
    answer = _put(server, url, *headers, body=body + _NEXT)
    assert re.match(rb"HTTP/1\.1 %d " % status, answer)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"%d" % status]
    alice.expect_nothing_more()
    assert request(server, "PUT", url, b"whole").status == 201


# A chunk that is wrong in the middle ends the upload, and nothing of it is shared.
@pytest.mark.parametrize("rest", ["5;x=y\r\nabcde\r\n", "+5\r\nabcde\r\n", "4\r\nabcde\r\n"])
def test_a_bad_chunk(server, pair, rest: str) -> None:
    alice, _ = pair
    body = f"5\r\nabcde\r\n{rest}0\r\n\r\n{_NEXT}"
    answer = _put(server, ask_url(alice, "/send a.txt"), _CHUNKED, body=body)
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"400"]
    alice.expect_nothing_more()


# However many chunks come in one read, others get their turn between them.
def test_others_get_a_turn() -> None:
    count, turns = 5 * LINES_IN_A_ROW_MAX, []
    body = _Body(io.BytesIO(b"1\r\nx\r\n" * count + b"0\r\n\r\n"), None, None, True)
    reading = gevent.spawn(body.read)
    while not reading.ready():
        turns.append(gevent.sleep(0))
    assert reading.get() == b"x" * count
    assert len(turns) >= 5


# What is allowed is taken: capitals, blanks around a value, trailers, a body that is asked for.
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (["CONTENT-LENGTH: \t5 "], "abcde"),
        (["Transfer-Encoding: Chunked"], "2\r\nab\r\n003\r\ncde\r\n0\r\n\r\n"),
        ([_CHUNKED], "5\r\nabcde\r\n0\r\nX-Sum: y\r\n\r\n"),
        (["Expect: 100-Continue", _FIVE], "abcde"),
    ],
)
def test_what_is_an_upload(server, pair, headers: list[str], body: str) -> None:
    alice, _ = pair
    url = ask_url(alice, "/send a.txt")
    answer = _put(server, url, *headers, "Connection: close", body=body)
    assert b"HTTP/1.1 201 Created\r\n" in answer
    assert b"5 bytes" in answer


# Who sends no more before the file is whole is told so, if they still listen.
@pytest.mark.parametrize(
    ("framing", "body"),
    [
        *((_FIVE, body) for body in ("", "abcd")),
        *((_CHUNKED, body) for body in ("", "5\r\n", "5\r\nabcd", "5\r\nabcde\r\n")),
    ],
)
def test_half_a_file(server, pair, framing: str, body: str) -> None:
    alice, _ = pair
    answer = _put(server, ask_url(alice, "/send a.txt"), framing, body=body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    alice.expect_nothing_more()


# What is no request of HTTP/1.1 or 1.0 is refused, with any method.
@pytest.mark.parametrize(
    "line",
    [
        *("GET /healthz\r\n", "HEAD /healthz\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n"),
        *(f"GET /healthz {version}\r\n" for version in ("HTTP/0.9", "HTTP/1.2", "HTTP/01.1")),
        *(f"GET /healthz {version}\r\n" for version in ("http/1.1", " HTTP/1.1", "HTTP/1.1 ")),
        *("GET  /healthz HTTP/1.1\r\n", "GET /healthz\tHTTP/1.1\r\n", "GET /healthz HTTP/1.1\n"),
        "GET /health\0z HTTP/1.1\r\n",
        "GET /healthz HTTP/1.1\r\nTransfer-Encoding: gzip\r\n",
        "GET /healthz HTTP/1.0\r\nTransfer-Encoding: chunked\r\n",
        "HEAD /healthz HTTP/1.1\r\nContent-Length: +0\r\n",
        "GET /healthz HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 32\r\n",
    ],
)
def test_what_is_no_request(server, line: str) -> None:
    answer = send_raw(server, f"{line}\r\n{_NEXT}".encode(), is_all=True)
    assert re.match(rb"HTTP/1\.1 (400|501) ", answer)
    assert answer.count(b"HTTP/1.1 ") == 1


# Which part of a file is meant (RFC 9110, 14.1); what is no single part is all of it.
@pytest.mark.parametrize(
    ("text", "part"),
    [
        *(("bytes=0-", (0, 10)), ("bytes=3-", (3, 10)), ("Bytes=3-4", (3, 5))),
        *(("bytes=3-99", (3, 10)), ("bytes=-4", (6, 10)), ("bytes=-40", (0, 10))),
        *(("bytes=10-", (10, 10)), ("bytes=-0", (10, 10))),
        *((each, None) for each in ("", "bytes=-", "bytes=4-3", "bytes=0-1,3-4", "lines=1-")),
        *((each, None) for each in ("bytes=+1-", "bytes=1_0-", "bytes = 1-", "bytes=0x1-")),
    ],
)
def test_parts(text: str, part: tuple[int, int] | None) -> None:
    assert parse_range(text, 10) == part


@pytest.fixture(scope="module")
def large() -> bytes:
    return os.urandom(3 * FILE_CHUNK_BYTES + 1000)


# A download that broke off goes on where it was, with curl and at the same address, until it was
# taken whole; then the address is used up.
@pytest.mark.parametrize("have", [1, FILE_CHUNK_BYTES - 1, FILE_CHUNK_BYTES, 700_000])
def test_a_download_goes_on(server, pair, tmp_path, large: bytes, have: int) -> None:
    alice, bob = pair
    url = ask_url(bob, f"/get {share(server, alice, 'a.bin', large)}")
    with begin_get(server, url) as fetching:
        fetching.read(have)
    path = tmp_path / "a.bin"
    path.write_bytes(large[:have])
    address = f"http://127.0.0.1:{server.port}{url}"
    curl = ["curl", "-sS", "-f", "--retry", "9", "-C", "-", "-o", path, address]
    assert subprocess.run(curl, check=False, timeout=WAIT_SECONDS_MAX).returncode == 0
    assert path.read_bytes() == large
    assert request(server, "GET", url).status == 404


# Whoever breaks off when all of it was sent, and not read, can go on as well.
def test_a_small_download_goes_on(server, pair) -> None:
    alice, bob = pair
    url = ask_url(bob, f"/get {share(server, alice, 'a.bin', bytes(10_000))}")
    with socket.create_connection(("127.0.0.1", server.port), WAIT_SECONDS_MAX) as client:
        client.sendall(f"GET {url} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    rest = request(server, "GET", url, None, {"Range": "bytes=1000-"})
    assert (rest.status, len(rest.body)) == (206, 9_000)
    assert request(server, "GET", url).status == 404


# A part is sent if the file is the one that the client knows; what is behind its end is no part.
def test_a_part(server, pair) -> None:
    alice, bob = pair
    url = ask_url(bob, f"/get {share(server, alice, 'a.txt', b'0123456789')}")
    tag = request(server, "HEAD", url).headers["ETag"]
    part = request(server, "GET", url, None, {"Range": "bytes=2-4", "If-Range": tag})
    assert (part.status, part.body) == (206, b"234")
    assert part.headers["Content-Range"] == "bytes 2-4/10"
    assert part.headers["ETag"] == tag
    none = request(server, "GET", url, None, {"Range": "bytes=10-"})
    assert (none.status, none.headers["Content-Range"]) == (416, "bytes */10")
    other = request(server, "GET", url, None, {"Range": "bytes=2-4", "If-Range": '"other"'})
    assert (other.status, other.body) == (200, b"0123456789")
    assert other.headers["Accept-Ranges"] == "bytes"
    assert request(server, "GET", url).status == 404


# Who was sent out can't go on either.
def test_no_part_after_a_kick(server, pair) -> None:
    alice, bob = pair
    url = ask_url(bob, f"/get {share(server, alice, 'a.txt', b'0123456789')}")
    assert request(server, "GET", url, None, {"Range": "bytes=0-4"}).status == 206
    alice.type(f"/kick {bob.name}")
    alice.expect_line(".* was kicked by .*")
    assert request(server, "GET", url, None, {"Range": "bytes=5-"}).status == 404
