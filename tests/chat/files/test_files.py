"""Files: shared in a room or with one user, fetched whole, and kept until their time is over."""

import base64
import itertools
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from app import bounds
from app.engine.presence import User
from app.engine.tickets import DownloadTicket, Tickets, UploadTicket
from app.errors import NotPossible, Unavailable
from app.measures import metrics
from app.queries.files import NewFile
from tests.kit.client import WAIT_SECONDS_MAX, Client, wait_until
from tests.kit.house import House
from tests.kit.server_process import ServerProcess
from tests.kit.transfers import (
    ask_url,
    begin_put,
    begun_files,
    chunks,
    digest,
    request,
    run_in_terminal,
    share,
    status_of,
)

KIB = 1024
CURL_REFUSED = 22  # how curl -f exits at 404
BYTES_MAX = 600_000
SERVER_SETTINGS = {"FILE_BYTES_MAX": BYTES_MAX}
SIZES = [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 256 * KIB, 256 * KIB + 1, BYTES_MAX]


@pytest.fixture
def alice(pair: tuple[Client, Client]) -> Client:
    return pair[0]


@pytest.fixture
def bob(pair: tuple[Client, Client]) -> Client:
    return pair[1]


# What is pasted into another terminal brings a file and fetches it; sums are equal at both ends.
@pytest.mark.parametrize("size", SIZES)
def test_there_and_back(server: ServerProcess, alice, bob, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    sent, fetched = tmp_path / "sent", tmp_path / "fetched"
    sent.mkdir()
    fetched.mkdir()
    (sent / "my report [1].pdf").write_bytes(data)
    alice.type("/send my report [1].pdf")
    printed = run_in_terminal(alice.expect_line(), sent)
    number = printed.split()[2].removesuffix(":")
    name = "my report [1].pdf"
    assert printed == f"shared as {number}: {name}, {size} bytes, sha256 {digest(data)}\n"
    for reader in (alice, bob):
        reader.expect_line(rf"{alice.name} shares my report \[1\]\.pdf \(.* K?B\): /get {number}")
    bob.type(f"/get {number}")
    line = bob.expect_line()
    bob.expect_lines(f"  {size} bytes, sha256 {digest(data)}")
    run_in_terminal(line, fetched)
    assert (fetched / name).read_bytes() == data


# The line of /get run once more, when its address is used up, leaves the file as it is.
def test_fetched_once_more(server: ServerProcess, alice: Client, bob: Client, tmp_path) -> None:
    number = share(server, alice, "notes.txt", b"what was fetched")
    bob.type(f"/get {number}")
    bob.expect("curl ")
    line = "curl " + bob.expect_line()
    run_in_terminal(line, tmp_path)
    run_in_terminal(line, tmp_path, exit_code=CURL_REFUSED)
    assert (tmp_path / "notes.txt").read_bytes() == b"what was fetched"


# What is too long is refused before it is read: a client that asks whether to send it is told no.
def test_too_long_by_its_length(server: ServerProcess, alice: Client) -> None:
    url = ask_url(alice, "/send large.bin")
    with socket.create_connection(("127.0.0.1", server.port), WAIT_SECONDS_MAX) as connection:
        head = f"PUT {url} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BYTES_MAX + 1}\r\n"
        connection.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"\r\n\r\na file has at most 600000 bytes\n")
    assert status_of(begin_put(server, url, BYTES_MAX + 1, b"beginning")) == 413
    assert request(server, "PUT", url, b"short").status == 201  # the address was not used up


# Without a length, it is refused as soon as it is too long, and nothing of it stays.
def test_too_long_in_chunks(server: ServerProcess, alice: Client) -> None:
    before = chunks(server)
    pieces = itertools.repeat(b"x" * 50_000, 13)
    assert request(server, "PUT", ask_url(alice, "/send large.bin"), pieces).status == 413
    wait_until(lambda: chunks(server) == before, "what was kept is removed")
    pieces = itertools.repeat(b"x" * 50_000, 12)
    assert request(server, "PUT", ask_url(alice, "/send large.bin"), pieces).status == 201
    alice.expect_line(r".* shares large\.bin \(600 KB\): /get \d+")
    alice.expect_nothing_more()


# An address is good for one transfer of its own kind; looking does not count.
def test_addresses_are_good_once(server: ServerProcess, alice: Client, bob: Client) -> None:
    number = share(server, alice, "a.txt", b"once")
    url = ask_url(bob, f"/get {number}")
    gone = request(server, "GET", "/f/no-such-token")
    assert gone.status == 404
    assert request(server, "PUT", url, b"other").body == gone.body
    for _ in range(2):
        looked = request(server, "HEAD", url)
        assert (looked.status, looked.headers["Content-Length"], looked.body) == (200, "4", b"")
    assert request(server, "GET", url).body == b"once"
    assert request(server, "GET", url).body == gone.body
    assert request(server, "HEAD", url).status == 404
    place = ask_url(alice, "/send b.txt")
    assert request(server, "GET", place).body == gone.body
    assert request(server, "PUT", place, b"b").status == 201
    assert request(server, "PUT", place, b"b").body == gone.body
    assert request(server, "POST", place, b"b").status == 405


# A browser can do nothing with it but save it, under its own name.
def test_served_as_an_attachment(server: ServerProcess, alice: Client, bob: Client) -> None:
    data = b"<script>alert(1)</script>"
    number = share(server, alice, 'Grüße "100%".html', data)
    headers = request(server, "GET", ask_url(bob, f"/get {number}")).headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["ETag"] == f'"{digest(data)}"'
    sum_text = base64.b64encode(bytes.fromhex(digest(data))).decode()
    assert headers["Repr-Digest"] == f"sha-256=:{sum_text}:"
    plain = 'filename="Gr__e _100__.html"'
    whole = "filename*=UTF-8''Gr%C3%BC%C3%9Fe%20_100%25_.html"  # no quotes: Windows bars them
    assert headers["Content-Disposition"] == f"attachment; {plain}; {whole}"


# A file for one user is for them and its sender, and shown to nobody else.
def test_for_one_user(server: ServerProcess, alice: Client, bob: Client, new_name) -> None:
    carol = server.connect().register(new_name("carol")).join(alice.room)
    for reader in (alice, bob):
        reader.expect_lines(f"{carol.name} has joined the room.")
    number = share(server, alice, "a.txt", b"for bob", f" to {bob.name.upper()}")
    private = f"[private to {bob.name}] {alice.name} shares a.txt (7 B): /get {number}"
    bob.expect_lines(private)
    for reader in (alice, bob):
        assert request(server, "GET", ask_url(reader, f"/get {number}")).body == b"for bob"
    for line in (f"/get {number}", f"/download {number}", f"/unshare {number}"):
        carol.type(line)
        carol.expect_lines(f"Error: there is no file {number} here")
    carol.type("/files")
    carol.expect_lines("There are no files here.")


# Who ignores somebody is not shown what they share.
def test_ignored(server: ServerProcess, alice: Client, bob: Client) -> None:
    bob.type(f"/ignore {alice.name}")
    bob.expect_line("You ignore .*")
    share(server, alice, "a.txt", b"a")
    share(server, alice, "a.txt", b"a", f" to {bob.name}")
    bob.expect_nothing_more()


# Programs offer and fetch by the same addresses, and are told all there is to know.
def test_programs(server: ServerProcess, alice: Client, new_name) -> None:
    name = new_name("bot")
    bot = server.program().register(name).join(alice.room)
    alice.expect_lines(f"{name} has joined the room.")
    offer = bot.call("file.offer", room=alice.room, name="../a.txt", size=3)
    assert offer["name"] == "a.txt"
    assert request(server, "PUT", offer["url"], b"four").status == 400
    other = bot.call("file.offer", name="b.txt", size=3)
    assert request(server, "PUT", other["url"], iter([b"a", b"b"])).status == 400  # in chunks
    assert request(server, "PUT", offer["url"], b"abc").status == 201
    alice.expect_line(rf"{name} shares a\.txt \(3 B\): /get \d+")
    told = bot.call("file.list")["files"][-1]
    found = bot.call("file.get", file=told["id"])
    assert (found["name"], found["size"], found["sha256"]) == ("a.txt", 3, digest(b"abc"))
    assert request(server, "GET", found["url"]).body == b"abc"
    bot.call("file.unshare", file=told["id"])
    assert bot.refused("file.get", file=told["id"]) == "no_such_file"


# The largest file that may be typed comes back as it was; its lines are not held up, shown or kept.
def test_in_lines(start_server) -> None:
    server = start_server(MESSAGE_RATE="1/3")
    alice = server.connect().register("alice").join("lobby")
    text = base64.encodebytes(os.urandom(bounds.FILE_IN_LINES_BYTES_MAX)).decode()
    alice.type("/upload random.bin", *text.splitlines(), ".")
    alice.expect_line("Lines of base64.*")
    alice.expect_lines("alice shares random.bin (66 KB): /get 1")
    alice.type("/download 1")
    alice.expect_line("random.bin, 65536 bytes, sha256 .*:")
    alice.expect_lines(*text.splitlines(), ".")
    number = share(server, alice, "larger.bin", b"x" * (bounds.FILE_IN_LINES_BYTES_MAX + 1))
    alice.type(f"/download {number}")
    alice.expect_lines(f"Error: that is too large to be shown in lines; /get {number} fetches it")
    assert text[:40] not in server.log


# Files outlive the server, but not their time; nor does anything of one that was not whole.
def test_after_a_restart(start_server) -> None:
    server = start_server(FILE_DAYS_MAX=1)
    alice = server.connect().register("alice").join("lobby")
    kept, old = (share(server, alice, name, os.urandom(700_000)) for name in ("kept", "old"))
    before = digest(request(server, "GET", ask_url(alice, f"/get {kept}")).body)
    with begin_put(server, ask_url(alice, "/send cut"), 900_000, b"x" * 800_000):
        wait_until(lambda: chunks(server) == 9, "a part of the third is stored")
        server.kill()
    with server.database() as database:
        database.execute("UPDATE files SET made_at = made_at - 86400001 WHERE id = ?", [old])
    server.start()
    wait_until(lambda: chunks(server) == 3, "the two others are removed")
    alice = server.connect().log_in("alice").join("lobby")
    alice.type("/files")
    alice.expect_line(rf"  {kept}: kept \(700 KB\), alice, .* UTC")
    alice.expect_nothing_more()
    assert digest(request(server, "GET", ask_url(alice, f"/get {kept}")).body) == before
    assert begun_files(server) == 0


# A file that comes to its end while others are reaped is none of those that were left behind.
def test_completed_while_others_are_reaped(house: House, meanwhile) -> None:
    user = house.register("alice").speaker
    transfers, new = house.service._transfers, NewFile(None, user.id, user.id, "a.txt", False)
    with ExitStack() as coming_in:
        incoming = coming_in.enter_context(transfers.incoming(new))
        incoming.add(b"a")

        def end() -> None:
            incoming.complete(house.now)
            coming_in.close()

        meanwhile(house.database, "read", end)
        transfers.reap()
    assert b"".join(transfers.outgoing(incoming.file_id)) == b"a"


# A ticket is good until its time is over, not longer.
def test_tickets_expire() -> None:
    now = 1_000
    tickets = Tickets(lambda: now)
    token = tickets.issue(_ticket(1))
    now += bounds.TICKET_SECONDS_MAX * 1000 - 1
    assert tickets.find(token, UploadTicket).name == "a"
    now += 1
    with pytest.raises(NotPossible):
        tickets.find(token, UploadTicket)
    with pytest.raises(NotPossible), tickets.using(token, UploadTicket):
        pass


# Of too many tickets a user loses the oldest; others lose none.
def test_tickets_of_a_user_are_bounded() -> None:
    tickets = Tickets(lambda: 1_000)
    others = tickets.issue(_ticket(2))
    first, second, *_ = [tickets.issue(_ticket(1)) for _ in range(bounds.TICKETS_A_USER_MAX + 1)]
    assert tickets.find(others, UploadTicket).user.id == 2
    assert tickets.find(second, UploadTicket).user.id == 1
    for token, kind in ((first, UploadTicket), (second, DownloadTicket)):
        with pytest.raises(NotPossible):
            tickets.find(token, kind)


# However many accounts take all tickets, a stranger gets some, and keeps them: who has most loses.
@pytest.mark.parametrize("each", [3, 6])
def test_tickets_of_a_crowd(monkeypatch: pytest.MonkeyPatch, each: int) -> None:
    monkeypatch.setattr("app.engine.tickets.TICKETS_MAX", 12)
    tickets = Tickets(lambda: 1_000)
    crowd = [number for number in range(1, 12 // each + 1) for _ in range(each)]
    held = [tickets.issue(_ticket(number)) for number in crowd]
    stranger = tickets.issue(_ticket(99))
    with pytest.raises(NotPossible):
        tickets.find(held[0], UploadTicket)
    for number in crowd * 3:
        tickets.issue(_ticket(number))
    assert tickets.find(stranger, UploadTicket).user.id == 99
    assert metrics.KEPT.labels("tickets").collect()[0].samples[0].value == 12


# However many accounts have all transfers, a stranger's begins: the newest of who has most ends, or
# the oldest of all, once it had its time. Who has as many as others ends none.
def test_transfers_of_a_crowd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.engine.tickets.TRANSFERS_MAX", 4)
    now = 1_000
    tickets = Tickets(lambda: now)
    crowd = [_ticket(1), _ticket(1), _ticket(1), _ticket(2)]
    with ExitStack() as held:
        for each in crowd:
            held.enter_context(tickets.holding(each))
        held.enter_context(tickets.holding(_ticket(3)))
        assert [each.is_crowded_out for each in crowd] == [False, False, True, False]
        with pytest.raises(Unavailable):
            crowd[2].check()
        held.enter_context(tickets.holding(_ticket(4)))
        assert [each.is_crowded_out for each in crowd] == [False, True, True, False]
        with pytest.raises(Unavailable), tickets.holding(_ticket(5)):
            pass
        now += bounds.TRANSFER_SECONDS_GRANTED * 1000
        with pytest.raises(Unavailable), tickets.holding(_ticket(2)):
            pass
        with tickets.holding(_ticket(5)):
            assert [each.is_crowded_out for each in crowd] == [True, True, True, False]
    assert metrics.KEPT.labels("transfers").collect()[0].samples[0].value == 0


def _ticket(user_id: int) -> UploadTicket:
    user = User(user_id, "alice", set())
    return UploadTicket(user=user, room_id=1, name="a", recipient=None, size=None)
