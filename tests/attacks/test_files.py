"""Files as a way in: hostile names, uploads that lie, rights that were taken, bounds that are met.

CVE-2021-41281 (names), CVE-2024-52805 (uploads), CVE-2021-34434 (evading a ban).
"""

import gzip
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

from app.bounds import FILE_CHUNK_BYTES, TRANSFERS_A_USER_MAX
from app.errors import BadNameError
from app.net.transfer import _reader
from app.values.names import parse_file_name
from tests.kit.client import WAIT_SECONDS_MAX, at_once, wait_until
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import (
    ask_url,
    begin_get,
    begin_put,
    begun_files,
    chunks,
    request,
    share,
    status_of,
)

QUOTA_BYTES = 15 << 20
SERVER_SETTINGS = {"FILE_QUOTA_BYTES": QUOTA_BYTES}

HOSTILE_NAMES = {
    **dict.fromkeys(("../../etc/passwd", "/etc/passwd"), "passwd"),
    **dict.fromkeys((".bashrc", "..bashrc"), "bashrc"),
    "C:\\Windows\\system.ini": "system.ini",
    "-rf": "rf",
    "- -o x": "o x",
    "a\0b.txt": "ab.txt",
    "a\r\nb\x1b[2J.txt": "ab[2J.txt",
    "invoice\u202efdp.exe": "invoicefdp.exe",
    "a\u200b\ufeff.txt": "a.txt",
    "\ud800.txt": "txt",
    "x" * 300 + ".pdf": "x" * 251 + ".pdf",
    "火" * 100 + ".pdf": "火" * 83 + ".pdf",
    "x." + "y" * 300: "x",
}


# Whatever a file is called, it is saved in the folder where one stands, visibly, as no option.
@pytest.mark.parametrize(("name", "kept"), HOSTILE_NAMES.items())
def test_hostile_names(name: str, kept: str) -> None:
    assert parse_file_name(name) == kept
    assert len(kept.encode()) <= 255


# A name of which nothing is left is refused.
@pytest.mark.parametrize("name", ["", ".", "..", "/", "a/..", "---", "\u202e", " "])
def test_no_names(name: str) -> None:
    with pytest.raises(BadNameError):
        parse_file_name(name)


# So it is when it comes over the wire: the room, who fetches it and HTTP are told the kept name.
def test_hostile_names_over_the_wire(server, pair, new_name) -> None:
    bob = pair[1]
    bot = server.program().register(new_name("bot")).join(bob.room)
    url = bot.call("file.offer", name="../\x1b[2J\u202e'; reboot\n.sh")["url"]
    answer = request(server, "PUT", url, b"x")
    number = int(answer.body.split()[2].removesuffix(b":"))
    for reader in pair:
        reader.expect_line(".* has joined the room.")
        reader.expect_line(rf"\S+ shares \[2J'; reboot\.sh \(1 B\): /get {number}")
    bob.type(f"/get {number}")
    bob.expect_line(r"""curl -f -o '\[2J'"'"'; reboot\.sh' http://\S+""")


# Who is banned can fetch nothing and bring nothing any more, not with what they had before either.
@pytest.mark.parametrize("how", ["kick", "ban"])
def test_rights_end_with_a_ban(server, pair, how: str) -> None:
    alice, bob = pair
    number = share(server, alice, "a.txt", b"secret")
    bob.expect_line(".* shares .*")
    fetch, bring = ask_url(bob, f"/get {number}"), ask_url(bob, "/send b.txt")
    alice.type(f"/{how} {bob.name}")
    bob.expect_line("You were .*")
    assert request(server, "GET", fetch).status == 404
    assert request(server, "HEAD", fetch).status == 404
    assert request(server, "PUT", bring, b"more").status == 404
    bob.exchange(f"/get {number}", f"Error: there is no file {number} here")


# A ban breaks off what is under way, in both directions; nothing of it is shared after the ban.
def test_a_ban_breaks_off(server, pair) -> None:
    alice, bob = pair
    size = 8 << 20
    number = share(server, alice, "large.bin", b"x" * size)
    bob.expect_line(".* shares .*")
    before = chunks(server)
    fetching = begin_get(server, ask_url(bob, f"/get {number}"))
    begun = b"y" * FILE_CHUNK_BYTES
    bringing = begin_put(server, ask_url(bob, "/send b.bin"), 2 * FILE_CHUNK_BYTES, begun)
    wait_until(lambda: chunks(server) > before, "the first chunk is stored")
    alice.type(f"/ban {bob.name}")
    alice.expect_line(".* was banned by .*")
    bringing.sendall(begun)
    assert status_of(bringing) == 403
    with fetching:
        assert len(fetching.read()) < size
    wait_until(lambda: chunks(server) == before, "what had come is removed")
    alice.expect_nothing_more()


# A file that is taken away is gone at once, also for who holds an address of it.
def test_unshared_meanwhile(server, pair) -> None:
    alice, bob = pair
    number = share(server, alice, "a.txt", b"oops")
    bob.expect_line(".* shares .*")
    url = ask_url(bob, f"/get {number}")
    alice.type(f"/unshare {number}")
    alice.expect_line(".* is shared no more.")
    assert request(server, "GET", url).status == 404


# An upload that ends before its end is shared with nobody, and nothing of it is kept.
@pytest.mark.parametrize("sent", [0, 1, FILE_CHUNK_BYTES, FILE_CHUNK_BYTES + 1])
def test_cut_off(server, pair, sent: int) -> None:
    alice, _ = pair
    before = chunks(server)
    url = ask_url(alice, "/send a.bin")
    begin_put(server, url, 3 * FILE_CHUNK_BYTES, b"x" * sent).close()
    wait_until(lambda: request(server, "PUT", url, b"").status == 404, "the address is used")
    wait_until(lambda: (begun_files(server), chunks(server)) == (0, before), "nothing is left")
    alice.expect_nothing_more()


# Who stalls is cut: a chunk that does not come in its time ends the upload.
def test_stalled(monkeypatch) -> None:
    monkeypatch.setattr("app.net.transfer.FILE_CHUNK_SECONDS_MAX", 0.01)
    with gevent.Timeout(WAIT_SECONDS_MAX), pytest.raises(ConnectionAbortedError):
        _reader(lambda _: gevent.sleep(60) or b"")(1)


# Of two who come at once with one address, one is served.
def test_two_at_once(server, pair) -> None:
    alice, bob = pair
    data = b"x" * FILE_CHUNK_BYTES * 3

    def statuses(*arguments: object) -> list[int]:
        found: list[int] = []
        at_once(*[lambda: found.append(request(server, *arguments).status)] * 2)
        return sorted(found)

    for _ in range(5):
        assert statuses("PUT", ask_url(alice, "/send a.bin"), data) == [201, 404]
        number = alice.expect_line(".* shares .*").split()[-1]
        served, refused = statuses("GET", ask_url(bob, f"/get {number}"))
        assert served == 200
        assert refused in (404, 503)  # the first one has it, or has it still
        alice.type(f"/unshare {number}")
        alice.expect_line(".* is shared no more.")


def _stored_bytes(server: ServerProcess, name: str) -> int:
    """Return how much is kept of somebody's files, whole or not."""
    query = """
        SELECT coalesce(sum(length(data)), 0) FROM file_chunks JOIN files ON id = file_id
        WHERE user_id = (SELECT id FROM users WHERE name = ?)
    """
    with server.database() as database:
        return database.execute(query, (name,)).fetchone()[0]


# Ten at once, of whom five fit, end at exactly the quota: not a byte more is taken, and removing
# one makes room for one. Where sizes are not announced, some may have made way for one another;
# what they left is there for the next ones.
@pytest.mark.parametrize("is_chunked", [False, True])
def test_quota(server, pair, is_chunked: bool) -> None:
    alice, _ = pair
    data = b"x" * (QUOTA_BYTES // 5)
    body = [data[:100_000], data[100_000:]] if is_chunked else data
    urls = [ask_url(alice, f"/send {number}.bin") for number in range(10)]
    with ThreadPoolExecutor(len(urls)) as threads:
        found = [threads.submit(request, server, "PUT", url, body) for url in urls]
    statuses = [each.result().status for each in found]
    shared = statuses.count(201)
    assert set(statuses) <= {201, 413}
    assert is_chunked or shared == 5
    assert _stored_bytes(server, alice.name) == shared * len(data) <= QUOTA_BYTES

    def put(body: object) -> int:
        return request(server, "PUT", ask_url(alice, "/send a.bin"), body).status

    for _ in range(shared, 5):
        assert put([data]) == 201
    assert _stored_bytes(server, alice.name) == QUOTA_BYTES
    assert put(b"1") == 413
    with server.database() as database:
        found = database.execute("SELECT max(id) FROM files WHERE size = ?", (len(data),))
        (number,) = found.fetchone()
    alice.type(f"/unshare {number}")
    alice.expect(" is shared no more.")
    assert put(data) == 201


# What comes packed is refused: kept as it came it would be another file, and inflated, a few bytes
# could fill a disk.
def test_packed(server, pair) -> None:
    alice, _ = pair
    packed, how = gzip.compress(bytes(QUOTA_BYTES * 4)), {"Content-Encoding": "gzip"}
    assert request(server, "PUT", ask_url(alice, "/send a.gz"), packed, how).status == 415
    assert _stored_bytes(server, alice.name) == 0


# One user has so many transfers under way and no more; the address stays good for later.
def test_too_many_at_once(server, pair) -> None:
    alice, _ = pair
    before = begun_files(server)
    urls = [ask_url(alice, "/send a.bin") for _ in range(TRANSFERS_A_USER_MAX + 1)]
    held = [begin_put(server, url, 10) for url in urls[:-1]]
    wait_until(lambda: begun_files(server) == before + len(held), "all have begun")
    answer = request(server, "PUT", urls[-1], b"late")
    told = b"too many files are under way; try again in a minute\n"
    assert (answer.status, answer.body) == (503, told)
    for connection in held:
        connection.close()
    wait_until(lambda: begun_files(server) == before, "all have ended")
    assert request(server, "PUT", urls[-1], b"late").status == 201
