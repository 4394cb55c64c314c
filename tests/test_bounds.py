"""What a user can make grow has a bound, and what is long is shown in pages."""

import pytest

from app.settings import FILES_A_USER_MAX, FILES_LISTED_MAX
from tests.client import wait_until
from tests.program import Program
from tests.server_process import ServerProcess
from tests.transfers import begun_files, request

_SUMS = """
    SELECT file_count, file_bytes, count(files.id), coalesce(sum(size), 0)
    FROM users LEFT JOIN files ON user_id = users.id WHERE users.name = ?
"""


def _share(server: ServerProcess, program: Program, data: bytes = b"") -> int:
    url = program.call("file.offer", name="a.txt")["url"]
    assert request(server, "PUT", url, data).status == 201
    return max(file["id"] for file in program.call("file.list")["files"])


def _sums(server: ServerProcess, program: Program) -> tuple[int, ...]:
    """Return the sums that are kept of a user's files, which are those of its rows."""
    program.call("ping")  # what it asked before is done then
    with server.database() as database:
        kept_count, kept_bytes, *counted = database.execute(_SUMS, (program.name,)).fetchone()
    assert [kept_count, kept_bytes] == counted
    return kept_count, kept_bytes


# The sums of a user's files follow whatever happens to a file, so that no upload counts them.
def test_sums_of_files(server: ServerProcess, new_name) -> None:
    alice = server.program().register(new_name("alice")).join(new_name("room"))
    first = _share(server, alice, b"12345")
    assert _sums(server, alice) == (1, 5)
    second = _share(server, alice, b"")
    url = alice.call("file.offer", name="b.txt")["url"]
    assert request(server, "PUT", url, [b"123", b"4567"]).status == 201
    assert _sums(server, alice) == (3, 12)
    alice.call("file.unshare", file=first)
    assert _sums(server, alice) == (2, 7)
    alice.call("file.unshare", file=second)
    large = alice.call("file.offer", name="c.txt")["url"]
    assert request(server, "PUT", large, [b"x" * (9 << 20)]).status == 413
    wait_until(lambda: begun_files(server) == 0, "what came of the last one is removed")
    assert _sums(server, alice) == (1, 7)


# A user has so many files, empty ones too: the next one is refused, wherever it comes from.
def test_files_of_a_user(server: ServerProcess, new_name) -> None:
    alice = server.program().register(new_name("alice")).join(new_name("room"))
    shared = _share(server, alice)
    urls = [alice.call("file.offer", name="a.txt")["url"] for _ in range(2)]
    with server.database() as database:
        database.execute(
            "UPDATE users SET file_count = ? WHERE name = ?", (FILES_A_USER_MAX - 1, alice.name)
        )
    assert request(server, "PUT", urls[0], b"").status == 201
    answer = request(server, "PUT", urls[1], b"")
    assert answer.status == 413
    assert answer.body.startswith(b"you share 1000 files, as many as anybody may; /unshare one")
    assert alice.refused("file.offer", name="a.txt") == "over_quota"
    person = server.connect().log_in(alice.name)
    person.type(f"/send a.txt to {alice.name}", f"/upload a.txt to {alice.name}", ".")
    for _ in range(2):
        person.expect("Error: you share 1000 files, as many as anybody may; /unshare one first")
    alice.call("file.unshare", file=shared)
    assert _share(server, alice)


# Files are listed a page at a time, the newest ones first, in rooms and between two.
@pytest.mark.parametrize("in_room", [True, False])
def test_pages_of_files(server: ServerProcess, new_name, in_room: bool) -> None:
    alice = server.program().register(new_name("alice"))
    bob = server.program().register(new_name("bob"))
    room = new_name("room")
    if in_room:
        alice.join(room)
        bob.join(room)
    with server.database() as database:
        query = "INSERT INTO files (room_id, recipient_id, user_id, name, size, sha256, made_at)"
        where = (
            "(SELECT id FROM rooms WHERE key = ?), NULL"
            if in_room
            else ("NULL, (SELECT id FROM users WHERE key = ?)")
        )
        rows = [(room if in_room else bob.name, alice.name, number) for number in range(7)]
        database.executemany(
            f"{query} SELECT {where}, id, 'a', 0, x'00', 2000000000000 + ?3 FROM users"
            " WHERE key = ?2",
            rows,
        )
    for reader in (alice, bob):
        seen, before, page = [], None, {}
        while page.get("has_more", True):
            page = reader.call("file.list", before=before, count=3)
            assert len(page["files"]) <= 3
            seen[:0] = [file["id"] for file in page["files"]]
            before = page["before_id"]
        assert len(seen) == 7
        assert seen == sorted(set(seen))
    person = server.connect().log_in(bob.name)
    if in_room:
        person.join(room)
    person.type(f"/files {seen[2]}")
    person.expect_line(rf"  {seen[0]}: a .*")
    person.expect_line(rf"  {seen[1]}: a .*")
    person.expect_nothing_more()
    assert alice.refused("file.list", count=FILES_LISTED_MAX + 1) == "bad_arguments"
